//! Which time on duty it is, of a process over a store that several share.

use std::sync::atomic::{AtomicU64, Ordering};

/// How often this process came on duty: odd while it is.
#[derive(Debug, Default)]
pub(crate) struct Duty(AtomicU64);

impl Duty {
    pub(super) fn is_on(&self) -> bool {
        self.epoch() % 2 == 1
    }

    /// Which time on duty it is, or was.
    pub(super) fn epoch(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Says whether that is news.
    pub(super) fn set(&self, on: bool) -> bool {
        let news = on != self.is_on();
        if news {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
        news
    }
}
