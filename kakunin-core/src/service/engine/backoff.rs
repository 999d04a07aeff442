//! When to try again what failed.

use crate::id::Entropy;
use crate::time::{SECOND, UnixTime};

/// The longest wait between two attempts, in milliseconds.
pub(crate) const MAX_WAIT: u64 = 60 * SECOND;

/// After a failure the next attempt waits 1 s, then twice as long, at most a minute or what the follower says; each time
/// up to a quarter less, so that those that failed together do not come back together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    next: UnixTime,
}

impl Backoff {
    pub(crate) const fn is_due(&self, now: UnixTime) -> bool {
        self.wait(now) == 0
    }

    /// Milliseconds until the next attempt.
    pub(crate) const fn wait(&self, now: UnixTime) -> u64 {
        until(self.next, now)
    }

    /// How many attempts failed since the last that did not.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    /// When the next attempt is.
    pub(crate) const fn next(&self) -> UnixTime {
        self.next
    }

    /// The next attempt waits longer, at most `longest` milliseconds.
    pub(crate) fn failed(&mut self, now: UnixTime, longest: u64, entropy: &dyn Entropy) {
        self.failures = self.failures.saturating_add(1);
        let wait = SECOND.saturating_mul(1 << self.failures.min(7).saturating_sub(1));
        let wait = wait.min(longest).min(MAX_WAIT);
        let mut chance = [0];
        // Without randomness it is the whole wait.
        let _ = entropy.fill(&mut chance);
        self.next = now.plus(wait - wait / 4 * u64::from(chance[0]) / 255);
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

/// Milliseconds until then. A time that is further away than any wait is of a clock that was ahead: it has come.
pub(crate) const fn until(at: UnixTime, now: UnixTime) -> u64 {
    let left = at.since(now);
    if left > MAX_WAIT { 0 } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{EntropyError, SystemEntropy};
    use crate::time::HOUR;

    const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

    #[test]
    fn a_clock_that_was_ahead_keeps_nothing_waiting() {
        let mut backoff = Backoff::default();
        backoff.failed(NOW, MAX_WAIT, &SystemEntropy);
        assert!(!backoff.is_due(NOW) && backoff.is_due(NOW.plus(SECOND)));
        backoff.failed(NOW.plus(2 * HOUR), MAX_WAIT, &SystemEntropy);
        assert!(backoff.is_due(NOW));
    }

    #[derive(Debug)]
    struct Always(Option<u8>);

    impl Entropy for Always {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
            buffer.fill(self.0.ok_or(EntropyError)?);
            Ok(())
        }
    }

    #[test]
    fn waits_double_up_to_a_limit_and_are_at_most_a_quarter_shorter_by_chance() {
        for (chance, waits, longest) in [
            (None, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000], MAX_WAIT),
            (Some(0), [1_000, 2_000, 4_000, 4_000, 4_000, 4_000, 4_000, 4_000], 4_000),
            (Some(255), [750, 1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000], 10 * MAX_WAIT),
        ] {
            let mut backoff = Backoff::default();
            for wait in waits {
                backoff.failed(NOW, longest, &Always(chance));
                assert_eq!(backoff.wait(NOW), wait);
            }
            backoff.succeeded();
            assert_eq!((backoff.wait(NOW), backoff.failures()), (0, 0));
        }
    }
}
