//! What a verifier insists on. The default is strict; every opt-out has a name that says what it does.

use kakunin_core::time::{SECOND, UnixTime};

/// How old what is known of revocations may be by default, in milliseconds.
pub const MAX_STALENESS: u64 = 20 * SECOND;

/// How strictly revocation is enforced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    max_staleness: Option<u64>,
    accept_unknown: bool,
}

impl Policy {
    /// Unknown or older than 20 s is denied.
    #[must_use]
    pub const fn strict() -> Self {
        Self { max_staleness: Some(MAX_STALENESS), accept_unknown: false }
    }

    /// Denies when what is known of revocations is older than `millis`.
    #[must_use]
    pub const fn max_staleness(mut self, millis: u64) -> Self {
        self.max_staleness = Some(millis);
        self
    }

    /// Accepts however old the known revocations are: a cut feed then hides every later revocation.
    #[must_use]
    pub const fn dangerously_ignore_staleness(mut self) -> Self {
        self.max_staleness = None;
        self
    }

    /// Accepts certificates of issuers whose revocations are not known: they cannot be revoked here.
    #[must_use]
    pub const fn dangerously_accept_unknown_revocation(mut self) -> Self {
        self.accept_unknown = true;
        self
    }

    /// Names of the opt-outs in force, for the host to log when it starts.
    pub fn opt_outs(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.max_staleness.is_none(), "dangerously_ignore_staleness"),
            (self.accept_unknown, "dangerously_accept_unknown_revocation"),
        ]
        .into_iter()
        .filter_map(|(on, name)| on.then_some(name))
    }

    pub(crate) const fn accepts_unknown(&self) -> bool {
        self.accept_unknown
    }

    // A view far ahead of `now` means that our clock went back, and then age says nothing either.
    pub(crate) fn accepts_age(&self, as_of: UnixTime, now: UnixTime) -> bool {
        self.max_staleness.is_none_or(|max| now.since(as_of) <= max && as_of.since(now) <= max)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::strict()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staleness_is_bounded_both_ways() {
        let (policy, t) = (Policy::default(), UnixTime::from_secs(1_000));
        assert!(policy.accepts_age(t.minus(20 * SECOND), t) && policy.accepts_age(t.plus(20 * SECOND), t));
        assert!(
            !policy.accepts_age(t.minus(20 * SECOND + 1), t)
                && !policy.accepts_age(t.plus(20 * SECOND + 1), t)
        );
        assert_eq!(policy.opt_outs().count(), 0);
        let lax = policy.dangerously_ignore_staleness().dangerously_accept_unknown_revocation();
        assert!(lax.accepts_age(UnixTime::default(), t) && lax.accepts_unknown());
        assert_eq!(lax.opt_outs().count(), 2);
    }
}
