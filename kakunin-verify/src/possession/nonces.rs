//! Nonces that were used: each proves possession once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use kakunin_core::id::Serial;
use kakunin_core::time::UnixTime;

use crate::denied::{Code, Denied};

/// Nonces of each certificate, remembered until their signatures are too old anyway. Bounded: when it is
/// full of such that may still come again it refuses, rather than forgets.
#[derive(Debug)]
pub struct Nonces {
    capacity: usize,
    used: Mutex<Used>,
}

/// What each certificate may use of the memory, if a quarter of it is less: so one agent cannot shut the
/// others out.
const SHARE: usize = 16;

type Key = (Serial, Box<str>);

#[derive(Debug, Default)]
struct Used {
    keys: HashSet<Key>,
    /// How many of each certificate.
    shares: HashMap<Serial, usize>,
    ends: BTreeSet<(UnixTime, Key)>,
    /// The latest end of a nonce that was forgotten.
    forgotten: Option<UnixTime>,
}

impl Nonces {
    /// Remembers up to `capacity` nonces, about 250 octets each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, used: Mutex::default() }
    }

    /// Uses a nonce up that could come again until `end`.
    pub(super) fn spend(
        &self,
        serial: &Serial,
        nonce: &str,
        end: UnixTime,
        now: UnixTime,
    ) -> Result<(), Denied> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.forget(now);
        // `now` may be behind that of another call: read earlier, or of a clock that was set back.
        if used.forgotten.is_some_and(|last| end <= last) {
            return Err(Denied::new(Code::PossessionStale));
        }
        let key = (*serial, Box::from(nonce));
        if used.keys.contains(&key) {
            return Err(Denied::new(Code::PossessionReplayed));
        }
        let share = used.shares.get(serial).copied().unwrap_or(0);
        if used.keys.len() >= self.capacity || share >= (self.capacity / 4).max(SHARE) {
            return Err(Denied::new(Code::PossessionUnavailable));
        }
        used.shares.insert(*serial, share + 1);
        used.ends.insert((end, key.clone()));
        used.keys.insert(key);
        Ok(())
    }
}

/// Room for 100,000: 1,600 signatures a second.
impl Default for Nonces {
    fn default() -> Self {
        Self::new(100_000)
    }
}

impl Used {
    fn forget(&mut self, now: UnixTime) {
        while self.ends.first().is_some_and(|(end, _)| *end < now) {
            if let Some((end, key)) = self.ends.pop_first() {
                self.keys.remove(&key);
                if let Some(share) = self.shares.get_mut(&key.0) {
                    *share = share.saturating_sub(1);
                    if *share == 0 {
                        self.shares.remove(&key.0);
                    }
                }
                self.forgotten = self.forgotten.max(Some(end));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn a_nonce_is_used_once_until_it_is_too_old() {
        let (nonces, a, b) =
            (Nonces::new(3), Serial::from_bytes([1; 16]).unwrap(), Serial::from_bytes([2; 16]).unwrap());
        let spend = |serial, nonce, now: u64| {
            nonces.spend(serial, nonce, at(now + 60), at(now)).map_err(|d| d.kind())
        };
        assert_eq!(spend(&a, "n", 0), Ok(()));
        assert_eq!(spend(&a, "n", 1), Err(Code::PossessionReplayed));
        assert_eq!((spend(&b, "n", 1), spend(&a, "m", 1)), (Ok(()), Ok(())));
        assert_eq!(spend(&a, "o", 1), Err(Code::PossessionUnavailable), "full");
        assert_eq!(spend(&a, "n", 60), Err(Code::PossessionReplayed), "still young enough to come again");
        assert_eq!(spend(&a, "o", 61), Ok(()), "the first is forgotten");
        assert_eq!(spend(&a, "n", 62), Ok(()));
    }

    #[test]
    fn one_agent_does_not_shut_the_others_out() {
        let (nonces, a, b) =
            (Nonces::new(100), Serial::from_bytes([1; 16]).unwrap(), Serial::from_bytes([2; 16]).unwrap());
        let spend = |serial, n: u32, now| nonces.spend(serial, &n.to_string(), at(now + 60), at(now)).is_ok();
        assert_eq!((0..100).filter(|n| spend(&a, *n, 0)).count(), 25);
        assert!(spend(&b, 0, 0));
        assert_eq!((0..100).filter(|n| spend(&a, *n, 61)).count(), 25, "its share is its own again");
    }

    #[test]
    fn what_was_forgotten_stays_used_when_time_goes_back() {
        let (nonces, serial) = (Nonces::new(3), Serial::from_bytes([1; 16]).unwrap());
        let spend = |nonce, end, now| nonces.spend(&serial, nonce, at(end), at(now)).map_err(|d| d.kind());
        assert_eq!((spend("n", 60, 0), spend("o", 121, 61)), (Ok(()), Ok(())));
        assert_eq!(spend("n", 60, 60), Err(Code::PossessionStale));
        assert_eq!(spend("p", 61, 60), Ok(()), "of a later end none was forgotten");
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let (nonces, serial) = (Nonces::default(), Serial::from_bytes([1; 16]).unwrap());
        let wins = std::thread::scope(|scope| {
            let tries: Vec<_> =
                (0..16).map(|_| scope.spawn(|| nonces.spend(&serial, "n", at(60), at(0)).is_ok())).collect();
            tries.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(wins, 1);
    }
}
