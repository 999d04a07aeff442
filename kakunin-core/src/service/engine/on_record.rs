//! When what a log amounts to was put on record last, and whether it is time again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::log::entry::LogId;
use crate::time::{HOUR, UnixTime};

/// Records between two, at the most about.
const RECORDS: u64 = 250_000;
/// Milliseconds between two, if there were records at all.
const INTERVAL: u64 = HOUR;

/// Whether it is to be done now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// If it is time.
    Due,
    /// If there was any record since the last.
    Now,
    /// Although there was none.
    Anyway,
}

/// What was put on record last, of each log.
#[derive(Debug, Default)]
pub(crate) struct OnRecord(Mutex<HashMap<LogId, Last>>);

/// What that was, of one log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    /// Size of the log up to which it, and its own record, say everything.
    pub(super) covered: u64,
    /// Whether there is more all the same: it is not known how much.
    pub(super) behind: bool,
    pub(super) at: UnixTime,
}

impl OnRecord {
    pub(super) fn get(&self, log: &LogId) -> Option<Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(log).copied()
    }

    pub(super) fn set(&self, log: LogId, last: Last) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(log, last);
    }
}

impl Last {
    pub(super) fn is_due(self, size: u64, when: When, now: UnixTime) -> bool {
        let grown = size.saturating_sub(self.covered);
        let late = when != When::Due || now < self.at || now.since(self.at) >= INTERVAL;
        grown >= RECORDS || late && (grown > 0 || self.behind) || when == When::Anyway
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_time_after_an_hour_or_many_records_and_never_for_an_idle_log() {
        let now = UnixTime::from_secs(1_795_420_800);
        let last = Last { covered: 10, behind: false, at: now };
        let due = |last: Last, size, after| last.is_due(size, When::Due, now.plus(after));
        assert!(!due(last, 11, HOUR - 1) && due(last, 11, HOUR));
        assert!(!due(last, 9 + RECORDS, 0) && due(last, 10 + RECORDS, 0));
        assert!(!due(last, 10, 1_000 * HOUR), "nothing was recorded");
        let behind = Last { behind: true, ..last };
        assert!(!due(behind, 10, HOUR - 1) && due(behind, 10, HOUR));
        // A clock that was far ahead, and is set right, keeps none from its hour.
        assert!(last.is_due(11, When::Due, now.minus(1)));
        let asked = |when, size| last.is_due(size, when, now);
        assert_eq!(
            [asked(When::Now, 10), asked(When::Now, 11), asked(When::Anyway, 10)],
            [false, true, true]
        );
    }
}
