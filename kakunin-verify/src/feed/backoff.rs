//! When to try again: soon at first, then less often, and never all at the same time.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(5);

/// How long to wait after the next failure, at most.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) const fn new() -> Self {
        Self(FIRST)
    }

    /// It worked: the next failure is the first.
    pub(super) const fn reset(&mut self) {
        self.0 = FIRST;
    }

    /// How long to wait now: any time up to the bound, which doubles, and `asked` on top.
    pub(super) fn next(&mut self, asked: Duration) -> Duration {
        let most = self.0;
        self.0 = most.saturating_mul(2).min(LAST);
        // Without randomness all wait the longest.
        let fraction = getrandom::u32().unwrap_or(u32::MAX);
        asked.min(LAST) + most.mul_f64(f64::from(fraction) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_start_again() {
        let mut backoff = Backoff::new();
        for most in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            assert!(backoff.next(Duration::ZERO) <= Duration::from_millis(most));
        }
        backoff.reset();
        assert!(backoff.next(Duration::ZERO) <= FIRST);
        let asked = backoff.next(Duration::from_secs(3_600));
        assert!(asked >= LAST && asked <= LAST + 2 * FIRST, "a server may ask for some patience");
        let mut first = || {
            backoff.reset();
            backoff.next(Duration::ZERO)
        };
        let waits: Vec<_> = (0..20).map(|_| first()).collect();
        assert!(waits.windows(2).any(|pair| pair[0] != pair[1]), "not all at the same time");
    }
}
