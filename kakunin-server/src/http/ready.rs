//! When store and keys were last seen to work.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use kakunin_core::time::{SECOND, UnixTime};

/// When store and keys were last seen to work.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    pub(super) at: AtomicU64,
    pub(super) signing: AtomicBool,
}

impl Ready {
    pub(super) fn lately(&self, now: UnixTime) -> bool {
        let last = self.at.load(Ordering::Relaxed);
        last > 0 && now.millis().abs_diff(last) < SECOND
    }

    pub(super) fn confirmed(&self, now: UnixTime, signing: bool) {
        self.signing.store(signing, Ordering::Relaxed);
        self.at.store(now.millis(), Ordering::Relaxed);
    }
}
