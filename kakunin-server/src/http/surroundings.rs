//! What is around the API: its TLS pair, of which `readyz` and `/metrics` tell, and files that others can read, of which
//! `/metrics` does.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use kakunin_core::time::{DAY, UnixTime};

/// Seen by whoever serves, shown by whoever answers.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    pair: RwLock<Option<Pair>>,
    exposed: AtomicUsize,
}

/// The TLS certificate in use, with those that it is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// When all of them are valid.
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    /// Whether it is for the host of the public URL, if that is an https one.
    pub(crate) names_us: bool,
}

/// Whether relying parties accept a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Good,
    /// Less than a sixth of its life is left, and less than two weeks.
    Ending,
    NotYetValid,
    Expired,
}

impl Pair {
    pub(crate) fn standing(&self, now: UnixTime) -> Standing {
        let left = self.not_after.since(now);
        let soon = (self.not_after.since(self.not_before) / 6).min(14 * DAY);
        if now > self.not_after {
            Standing::Expired
        } else if now < self.not_before {
            Standing::NotYetValid
        } else if left < soon {
            Standing::Ending
        } else {
            Standing::Good
        }
    }
}

impl Surroundings {
    pub(crate) fn pair(&self) -> Option<Pair> {
        *self.pair.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_pair(&self, pair: Option<Pair>) {
        *self.pair.write().unwrap_or_else(PoisonError::into_inner) = pair;
    }

    /// Files with keys that others can read.
    pub(crate) fn exposed(&self) -> usize {
        self.exposed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_exposed(&self, files: usize) {
        self.exposed.store(files, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_ends_soon_by_its_life() {
        let at = |days: u64| UnixTime::from_secs(days * 86_400);
        let pair = |life: u64| Pair { not_before: at(100), not_after: at(100 + life), names_us: true };
        let standing = |life: u64, day: u64| pair(life).standing(at(100 + day));
        assert_eq!(pair(90).standing(at(99)), Standing::NotYetValid);
        assert_eq!([0, 75, 77, 90, 91].map(|day| standing(90, day)), {
            use Standing::{Ending, Expired, Good};
            [Good, Good, Ending, Ending, Expired]
        });
        assert_eq!(
            (standing(6, 4), standing(6, 6), standing(400, 385)),
            (Standing::Good, Standing::Ending, Standing::Good)
        );
    }
}
