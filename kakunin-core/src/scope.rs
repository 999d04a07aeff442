//! The scope grammar: what an agent may do, matched on whole segments, denied by default.
//!
//! ```text
//! scope    = verb ":" resource
//! verb     = word / "*"
//! resource = seg *( "/" seg ) [ "/*" ] / "*"
//! word     = LOWER *( LOWER / DIGIT / "-" / "_" )                    ; 1 to 32
//! seg      = ( LOWER / DIGIT ) *( LOWER / DIGIT / "-" / "_" / "." )  ; 1 to 64
//! ```
//!
//! `read:accounts` covers only itself. `read:accounts/*` covers one or more further segments and not
//! `read:accounts`. `read:*` covers every resource. There is no substring match, no negation and no
//! regular expression, so that `covers` is decidable pair by pair.

use core::fmt;

use crate::text::hidden;
use core::str::FromStr;

/// Most octets in one scope.
pub const MAX_SCOPE_LEN: usize = 128;
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

/// One concrete action: a scope without a wildcard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Action(Scope);

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
    pub fn without_wildcard_verbs(self) -> Result<Self, ScopeError> {
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

/// Whether scope text `granted` covers scope text `wanted`. Both must have been checked.
#[must_use]
pub fn covers(granted: &str, wanted: &str) -> bool {
    let (Some((gv, gr)), Some((wv, wr))) = (granted.split_once(':'), wanted.split_once(':')) else {
        return false;
    };
    if gv != "*" && gv != wv {
        return false;
    }
    match gr.strip_suffix('*') {
        Some("") => true,
        // `accounts/` is kept with its slash, so that only whole segments match, and at least one.
        Some(prefix) => wr.len() > prefix.len() && wr.starts_with(prefix),
        None => gr == wr,
    }
}

/// Checks one scope text against the grammar; the error is a byte offset and the rule.
///
/// # Errors
/// The place and the rule that is broken.
pub fn check(text: &str) -> Result<(), (usize, &'static str)> {
    if text.len() > MAX_SCOPE_LEN {
        return Err((MAX_SCOPE_LEN, "a scope has at most 128 bytes"));
    }
    let Some((verb, resource)) = text.split_once(':') else {
        return Err((text.len(), "a scope is verb:resource"));
    };
    if verb != "*" {
        check_word(verb, 32, b"-_", false, "a verb is a-z then a-z 0-9 - _, up to 32, or *")?;
    }
    if resource == "*" {
        return Ok(());
    }
    let mut at = verb.len() + 1;
    let body = resource.strip_suffix("/*").unwrap_or(resource);
    for seg in body.split('/') {
        check_word(seg, 64, b"-_.", true, "a segment is a-z 0-9 then a-z 0-9 - _ ., up to 64")
            .map_err(|(offset, rule)| (at + offset, rule))?;
        at += seg.len() + 1;
    }
    Ok(())
}

fn check_word(
    word: &str,
    max: usize,
    also: &[u8],
    digit_first: bool,
    rule: &'static str,
) -> Result<(), (usize, &'static str)> {
    let fits = |(i, b): (usize, u8)| {
        b.is_ascii_lowercase()
            || (b.is_ascii_digit() && (i > 0 || digit_first))
            || (i > 0 && also.contains(&b))
    };
    match word.bytes().enumerate().find(|&pair| !fits(pair)) {
        Some((at, _)) => Err((at, rule)),
        None if word.is_empty() || word.len() > max => Err((word.len().min(max), rule)),
        None => Ok(()),
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
