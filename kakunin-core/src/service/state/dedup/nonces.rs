//! Nonces of signatures that showed an act to be an agent's own: each is good once, whoever reports it and whichever process
//! is asked.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::time::{MINUTE, SECOND, UnixTime};

/// How long one is remembered, by the log's time, which is never quicker than a clock that keeps time: a signature is good for
/// 70 s at the most.
const MEMORY: u64 = 2 * MINUTE;
/// They are kept by when they came. A draft copies the last of these, so it is short.
const SLOT: u64 = 4 * SECOND;

/// What came within a slot, in rising order; the slots in theirs. Copies share what they do not change.
#[derive(Clone, Debug, Default)]
pub(super) struct Nonces(VecDeque<(u64, Arc<Vec<u64>>)>);

impl Nonces {
    pub(super) fn has(&self, now: UnixTime, nonce: u64) -> bool {
        let fresh = self.0.iter().rev().take_while(|(slot, _)| *slot >= oldest(now));
        fresh.into_iter().any(|(_, nonces)| nonces.binary_search(&nonce).is_ok())
    }

    pub(super) fn add(&mut self, at: UnixTime, nonce: u64) {
        let slot = at.millis() / SLOT;
        // The log's time never goes back.
        if self.0.back().is_none_or(|(last, _)| *last < slot) {
            self.0.push_back((slot, Arc::default()));
        }
        if let Some((_, nonces)) = self.0.back_mut()
            && let Err(place) = nonces.binary_search(&nonce)
        {
            Arc::make_mut(nonces).insert(place, nonce);
        }
    }

    /// Forgets those that are too old, and gives them.
    pub(super) fn forget(&mut self, now: UnixTime) -> Vec<u64> {
        let mut gone = Vec::new();
        while let Some((_, nonces)) = self.0.pop_front_if(|(slot, _)| *slot < oldest(now)) {
            gone.extend(nonces.iter());
        }
        gone
    }
}

/// The first slot that is remembered at `now`.
const fn oldest(now: UnixTime) -> u64 {
    now.minus(MEMORY).millis() / SLOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_remembered_for_two_minutes() {
        let (mut nonces, at) = (Nonces::default(), |secs| UnixTime::from_secs(1_795_420_800 + secs));
        for second in 0..300 {
            nonces.add(at(second), second % 7 * 1_000 + second);
            let kept = nonces.clone();
            assert!(kept.has(at(second), second % 7 * 1_000 + second));
            // No row is left behind, and none is removed that somebody could still ask for.
            let gone = nonces.forget(at(second));
            assert!(gone.iter().all(|old| !kept.has(at(second), *old)));
        }
        let known = (0..300).filter(|second| nonces.has(at(299), second % 7 * 1_000 + second)).count();
        assert!((121..=124).contains(&known), "{known}");
        assert!(!nonces.has(at(299 + 130), 299 % 7 * 1_000 + 299));
    }
}
