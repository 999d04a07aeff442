//! How long the other side of a connection may keep us waiting. A little, at any time; and on the whole no longer than
//! what it takes or sends in return is worth, so that an octet now and then gains nothing.

use std::time::Duration;

/// Octets a second below which patience runs out.
const RATE: u32 = 64 * 1024;

/// What is left of our patience with one stream or connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    patience: Duration,
    waited: Duration,
}

impl Pace {
    pub(super) const fn new(patience: Duration) -> Self {
        Self { patience, waited: Duration::ZERO }
    }

    /// How much longer it may take.
    pub(super) const fn left(&self) -> Duration {
        self.patience.saturating_sub(self.waited)
    }

    /// We waited so long, and then so many octets passed.
    pub(super) fn passed(&mut self, waited: Duration, octets: usize) {
        let worth = Duration::from_secs(1)
            .saturating_mul(u32::try_from(octets).unwrap_or(u32::MAX))
            .checked_div(RATE)
            .unwrap_or_default();
        self.waited = self.waited.saturating_add(waited).saturating_sub(worth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_octet_now_and_then_buys_no_time_and_a_slow_line_does() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(20 * second);
        for _ in 0..19 {
            pace.passed(second, 1);
        }
        assert!(pace.left() < second + second / 10, "{:?}", pace.left());
        let mut pace = Pace::new(20 * second);
        for _ in 0..1_000 {
            pace.passed(second, 64 * 1024);
        }
        assert_eq!(pace.left(), 20 * second);
    }
}
