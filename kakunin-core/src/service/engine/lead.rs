//! How far the log's time is ahead of the clock: after a clock that was ahead was put right.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::{MINUTE, UnixTime};

/// The least that is worth telling, in milliseconds: clocks that are kept right step by less.
const WORTH_TELLING: u64 = MINUTE;

/// The highest time of any record.
#[derive(Debug)]
pub(crate) struct Lead(AtomicU64);

impl Lead {
    pub(crate) const fn new(last: UnixTime) -> Self {
        Self(AtomicU64::new(last.millis()))
    }

    /// The highest time of any record, if that is more than a little ahead of `now`: by how much.
    pub(crate) fn ahead(&self, now: UnixTime) -> u64 {
        let ahead = UnixTime::from_millis(self.0.load(Ordering::Relaxed)).since(now);
        if ahead < WORTH_TELLING { 0 } else { ahead }
    }

    /// There is a record of this time.
    pub(crate) fn saw(&self, time: UnixTime) {
        self.0.fetch_max(time.millis(), Ordering::Relaxed);
    }
}
