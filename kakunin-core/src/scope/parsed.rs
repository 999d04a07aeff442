//! One scope that follows the grammar, and why a text, an action or a set does not.

use core::fmt;
use core::str::FromStr;

use super::grammar::{check, covers};
use crate::text::hidden;

/// Most scopes an agent can hold.
pub const MAX_SCOPES: usize = 64;

/// Why a text is not a scope, an action, or a set of scopes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// The text does not follow the grammar.
    #[error("scope `{text}` is malformed at byte {at}: {rule}")]
    Malformed {
        /// The beginning of the text.
        text: String,
        /// Where it departs from the grammar.
        at: usize,
        /// What was expected there.
        rule: &'static str,
    },
    /// A wildcard where one concrete action is needed.
    #[error("action `{0}` has a wildcard: name one concrete action")]
    NotConcrete(Scope),
    /// More than [`MAX_SCOPES`] scopes.
    #[error("{0} scopes are too many: an agent holds at most {MAX_SCOPES}")]
    TooMany(usize),
    /// A wildcard verb where the policy does not allow one.
    #[error("scope `{0}` has a wildcard verb, which this deployment does not allow: name the verb")]
    WildcardVerb(Scope),
    /// A child scope that no parent scope covers.
    #[error("scope `{0}` is wider than what is held: ask for a narrower one")]
    Wider(Scope),
}

impl ScopeError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "scope_malformed",
            Self::NotConcrete(_) => "action_not_concrete",
            Self::TooMany(_) => "scope_too_many",
            Self::WildcardVerb(_) => "scope_wildcard_verb",
            Self::Wider(_) => "scope_wider",
        }
    }
}

/// One scope, such as `read:accounts` or `read:accounts/*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

impl Scope {
    /// Parses a scope; anything outside the grammar is refused, never normalised.
    ///
    /// # Errors
    /// [`ScopeError::Malformed`] with the place and the rule.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        check(text).map(|()| Self(text.to_owned())).map_err(|(at, rule)| ScopeError::Malformed {
            text: text.chars().take(40).map(|c| if hidden(c).is_some() { '?' } else { c }).collect(),
            at,
            rule,
        })
    }

    /// The text of this scope.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The verb, `*` included.
    #[must_use]
    pub fn verb(&self) -> &str {
        self.0.split_once(':').map_or("", |(verb, _)| verb)
    }

    /// The resource with its wildcard.
    #[must_use]
    pub fn resource(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, resource)| resource)
    }

    /// Whether this scope holds `other` and everything that `other` holds.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.0, &other.0)
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
