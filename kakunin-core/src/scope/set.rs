//! What an agent holds: a set of scopes.

use super::action::Action;
use super::parsed::{MAX_SCOPES, Scope, ScopeError};

/// What an agent holds: at most [`MAX_SCOPES`] scopes, sorted and unique. Empty holds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct ScopeSet(Vec<Scope>);

impl ScopeSet {
    /// A set of these scopes.
    ///
    /// # Errors
    /// [`ScopeError::TooMany`].
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, ScopeError> {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort();
        scopes.dedup();
        if scopes.len() > MAX_SCOPES { Err(ScopeError::TooMany(scopes.len())) } else { Ok(Self(scopes)) }
    }

    /// Parses each text and makes a set of them.
    ///
    /// # Errors
    /// As [`Scope::parse`] and [`ScopeSet::new`].
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, ScopeError> {
        let scopes: Result<Vec<_>, _> = texts.into_iter().map(|t| Scope::parse(t.as_ref())).collect();
        Self::new(scopes?)
    }

    /// The scopes in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Scope] {
        &self.0
    }

    /// Whether any scope of this set covers `action`.
    #[must_use]
    pub fn permits(&self, action: &Action) -> bool {
        self.0.iter().any(|scope| scope.covers(&action.0))
    }

    /// A narrower set: every scope of `child` must be covered by one scope of this set.
    ///
    /// # Errors
    /// [`ScopeError::Wider`] names the first scope that is not.
    pub fn attenuate(&self, child: Self) -> Result<Self, ScopeError> {
        match child.0.iter().find(|c| !self.0.iter().any(|p| p.covers(c))) {
            Some(wider) => Err(ScopeError::Wider(wider.clone())),
            None => Ok(child),
        }
    }

    /// Refuses wildcard verbs, which only a tenant's policy may allow.
    ///
    /// # Errors
    /// [`ScopeError::WildcardVerb`].
    pub(crate) fn without_wildcard_verbs(self) -> Result<Self, ScopeError> {
        match self.0.iter().find(|s| s.verb() == "*") {
            Some(scope) => Err(ScopeError::WildcardVerb(scope.clone())),
            None => Ok(self),
        }
    }
}

impl ScopeSet {
    /// The scopes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl TryFrom<Vec<Scope>> for ScopeSet {
    type Error = ScopeError;

    fn try_from(scopes: Vec<Scope>) -> Result<Self, ScopeError> {
        Self::new(scopes)
    }
}

impl From<ScopeSet> for Vec<Scope> {
    fn from(set: ScopeSet) -> Self {
        set.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> ScopeSet {
        ScopeSet::parse(texts).unwrap()
    }

    #[test]
    fn matches_whole_segments_only() {
        let permits = |scope: &str, action: &str| set(&[scope]).permits(&Action::parse(action).unwrap());
        assert!(permits("read:accounts", "read:accounts"));
        assert!(!permits("write:pay", "write:payments") && !permits("write:payments", "write:pay"));
        assert!(permits("read:accounts/*", "read:accounts/7/lines"));
        assert!(
            !permits("read:accounts/*", "read:accounts") && !permits("read:accounts/*", "read:accountsx/7")
        );
        assert!(permits("read:*", "read:a/b") && !permits("read:*", "write:a"));
        assert!(permits("*:*", "write:a") && permits("*:a/*", "write:a/b") && !permits("*:a/*", "write:b/b"));
        assert!(!ScopeSet::default().permits(&Action::parse("read:a").unwrap()));
    }

    #[test]
    fn attenuation_is_refused_when_wider() {
        let parent = set(&["read:accounts/*", "write:payments"]);
        assert!(parent.attenuate(set(&["read:accounts/7", "write:payments"])).is_ok());
        assert!(parent.attenuate(set(&["read:accounts/7/*"])).is_ok());
        let wider = parent.attenuate(set(&["read:*"])).unwrap_err();
        assert_eq!((wider.code(), wider.to_string().contains("`read:*`")), ("scope_wider", true));
        assert!(set(&["*:a"]).without_wildcard_verbs().is_err());
    }
}
