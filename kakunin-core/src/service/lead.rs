//! How far the log's time is ahead of the clock: after a clock that was ahead was put right.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Kakunin;
use crate::time::{MINUTE, UnixTime};

/// The least that is worth telling, in milliseconds: clocks that are kept right step by less.
const WORTH_TELLING: u64 = MINUTE;

/// The highest time of any record.
#[derive(Debug)]
pub(super) struct Lead(AtomicU64);

impl Lead {
    pub(super) const fn new(last: UnixTime) -> Self {
        Self(AtomicU64::new(last.millis()))
    }

    /// There is a record of this time.
    pub(super) fn saw(&self, time: UnixTime) {
        self.0.fetch_max(time.millis(), Ordering::Relaxed);
    }
}

impl Kakunin {
    /// By how many milliseconds the time of the log is ahead of the clock, or 0 if that is less than a minute. The
    /// clock is behind now, or was ahead before; records go on in their order, at half the clock's pace until it has
    /// caught up. What others hold against their clocks (validity, ends of tokens, dates of revocation) goes by the
    /// clock all the same.
    #[must_use]
    pub fn log_ahead(&self) -> u64 {
        let last = UnixTime::from_millis(self.inner.lead.0.load(Ordering::Relaxed));
        let ahead = last.since(self.inner.now());
        if ahead < WORTH_TELLING { 0 } else { ahead }
    }
}
