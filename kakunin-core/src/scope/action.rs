//! One concrete action.

use core::fmt;
use core::str::FromStr;

use super::parsed::{Scope, ScopeError};

/// One concrete action: a scope without a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Action(pub(super) Scope);

impl serde::Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl Action {
    /// Parses a concrete action.
    ///
    /// # Errors
    /// As [`Scope::parse`], and [`ScopeError::NotConcrete`] for a wildcard.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let scope = Scope::parse(text)?;
        if scope.as_str().contains('*') { Err(ScopeError::NotConcrete(scope)) } else { Ok(Self(scope)) }
    }

    /// The text of this action.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The verb.
    #[must_use]
    pub fn verb(&self) -> &str {
        self.0.verb()
    }

    /// The resource.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.0.resource()
    }
}

/// What may be asked for: an [`Action`], or a text that has to be one.
pub trait ToAction {
    /// The action, parsed where it is not yet.
    ///
    /// # Errors
    /// As [`Action::parse`].
    fn to_action(&self) -> Result<Action, ScopeError>;

    /// The text, whether or not it is an action.
    fn as_text(&self) -> &str;
}

impl ToAction for Action {
    fn to_action(&self) -> Result<Action, ScopeError> {
        Ok(self.clone())
    }

    fn as_text(&self) -> &str {
        self.as_str()
    }
}

impl ToAction for str {
    fn to_action(&self) -> Result<Action, ScopeError> {
        Action::parse(self)
    }

    fn as_text(&self) -> &str {
        self
    }
}

impl ToAction for String {
    fn to_action(&self) -> Result<Action, ScopeError> {
        Action::parse(self)
    }

    fn as_text(&self) -> &str {
        self
    }
}

impl<T: ToAction + ?Sized> ToAction for &T {
    fn to_action(&self) -> Result<Action, ScopeError> {
        (**self).to_action()
    }

    fn as_text(&self) -> &str {
        (**self).as_text()
    }
}

impl FromStr for Action {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Action {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        Self::parse(&text)
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.0.into()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_the_grammar_does_not_have() {
        let long = format!("read:{}", "a".repeat(124));
        for bad in [
            "",
            ":",
            "read",
            "read:",
            ":a",
            "Read:a",
            "read:A",
            "read:a b",
            "read:a//b",
            "read:/a",
            "read:a/",
            "read:..",
            "read:.a",
            "read:a*",
            "read:*a",
            "read:*/a",
            "read:a/*/b",
            "read:a/**",
            "r*:a",
            "1read:a",
            "read:a:b",
            "read:\u{e9}",
            "read:a\0",
            "read:-a",
            &long,
        ] {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
        assert!(Action::parse("read:*").is_err() && Action::parse("*:a").is_err());
        let error = Scope::parse("read:a//b").unwrap_err().to_string();
        assert!(error.contains("at byte 7"), "{error}");
    }
}
