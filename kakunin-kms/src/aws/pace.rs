//! Keeps calls under a quota: the service counts them per account and second, and throttles everybody who
//! shares the account.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Hands out moments that lie at least one period apart, in the order of asking. A token bucket would let a
/// full bucket and what drips into it pass within one second, twice the quota.
#[derive(Debug)]
pub(super) struct Pacer {
    period: Duration,
    next: Mutex<Instant>,
}

impl Pacer {
    pub(super) fn new(per_second: u32) -> Self {
        let period = Duration::from_secs(1).checked_div(per_second.max(1)).unwrap_or(Duration::from_secs(1));
        Self { period, next: Mutex::new(Instant::now()) }
    }

    /// How long to wait from `now`; the turn is taken. `None`, and none is, if that is longer than
    /// `patience`.
    pub(super) fn turn(&self, now: Instant, patience: Duration) -> Option<Duration> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let at = (*next).max(now);
        let wait = at.saturating_duration_since(now);
        if wait > patience {
            return None;
        }
        *next = at + self.period;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_turns_than_the_quota() {
        let (pacer, start) = (Pacer::new(50), Instant::now() + Duration::from_secs(60));
        let mut turns = Vec::new();
        // Bursts, and pauses between them.
        for burst in 0..20 {
            let now = start + Duration::from_millis(burst * 370);
            turns.extend((0..40).filter_map(|_| Some(now + pacer.turn(now, Duration::from_secs(2))?)));
        }
        assert!(turns.len() > 300 && turns.is_sorted());
        for (n, from) in turns.iter().enumerate() {
            let within = turns[n..].iter().filter(|t| t.duration_since(*from) < Duration::from_secs(1));
            assert!(within.count() <= 50);
        }
    }

    #[test]
    fn who_would_wait_too_long_is_told_and_takes_no_turn() {
        let (pacer, now) = (Pacer::new(1), Instant::now() + Duration::from_secs(60));
        assert_eq!(pacer.turn(now, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(pacer.turn(now, Duration::from_millis(999)), None);
        assert_eq!(pacer.turn(now, Duration::from_secs(1)), Some(Duration::from_secs(1)));
    }
}
