//! When to try again what failed.

use std::collections::HashSet;

use crate::time::{SECOND, UnixTime};

/// The longest wait between two attempts, in milliseconds.
const MAX_WAIT: u64 = 60 * SECOND;

/// After a failure the next attempt waits 1 s, then twice as long, at most a minute.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
    next: UnixTime,
}

impl Backoff {
    pub(crate) fn is_due(&self, now: UnixTime) -> bool {
        // One that is further away than any wait is of a clock that was ahead.
        self.next <= now || self.next.since(now) > MAX_WAIT
    }

    /// How many attempts failed since the last that did not.
    pub(crate) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn failed(&mut self, now: UnixTime) {
        self.failures = self.failures.saturating_add(1);
        let wait = SECOND.saturating_mul(1 << self.failures.min(7).saturating_sub(1)).min(MAX_WAIT);
        self.next = now.plus(wait);
    }

    pub(crate) fn succeeded(&mut self) {
        *self = Self::default();
    }
}

/// How the work of one tenant goes. Held while it is done, so that tasks of one key keep their order.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    pub(crate) backoff: Backoff,
    /// Rows of tasks that failed. They wait for the next attempt; what was decided since does not.
    pub(crate) stuck: HashSet<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR;

    #[test]
    fn a_clock_that_was_ahead_keeps_nothing_waiting() {
        let (mut backoff, now) = (Backoff::default(), UnixTime::from_secs(1_795_420_800));
        backoff.failed(now);
        assert!(!backoff.is_due(now) && backoff.is_due(now.plus(SECOND)));
        backoff.failed(now.plus(2 * HOUR));
        assert!(backoff.is_due(now));
    }
}
