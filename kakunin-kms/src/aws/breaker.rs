//! A circuit breaker: while the service does not answer, callers hear so at once instead of each waiting for
//! its own timeout.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row after which it opens.
const LIMIT: u32 = 8;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// When one caller may try, if it is open.
    retry: Option<Instant>,
    pause: Duration,
}

impl Breaker {
    /// Whether a call may be made, else how long none may. While it is open, one caller in each pause may.
    pub(super) fn enter(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.retry {
            Some(at) if now < at => Err(at.duration_since(now)),
            Some(_) => {
                state.retry = Some(now + state.pause);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The service answered, whatever it said.
    pub(super) fn answered(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The service did not answer, or answered that it is broken.
    pub(super) fn failed(&self, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failures = state.failures.saturating_add(1);
        if state.failures >= LIMIT {
            state.pause = (state.pause * 2).clamp(SHORTEST, LONGEST);
            state.retry = Some(now + state.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_lets_one_through_and_closes_on_an_answer() {
        let (breaker, now) = (Breaker::default(), Instant::now());
        for _ in 1..LIMIT {
            breaker.failed(now);
            assert!(breaker.enter(now).is_ok());
        }
        breaker.failed(now);
        assert_eq!(breaker.enter(now), Err(SHORTEST));
        let later = now + SHORTEST;
        assert!(breaker.enter(later).is_ok(), "one tries");
        assert!(breaker.enter(later).is_err(), "and nobody beside it");
        breaker.failed(later);
        assert_eq!(breaker.enter(later), Err(SHORTEST * 2), "pauses grow");
        for n in 1..10 {
            breaker.failed(later + SHORTEST * n);
        }
        assert!(breaker.enter(later + SHORTEST * 9).is_err_and(|wait| wait <= LONGEST));
        breaker.answered();
        assert!(breaker.enter(later).is_ok());
    }
}
