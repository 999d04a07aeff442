//! When a delivery that failed is tried again: the table of Standard Webhooks 1.0.0.

use crate::id::Entropy;
use crate::time::{HOUR, MINUTE, SECOND, UnixTime};

/// How long is waited after each attempt that failed, in milliseconds; after the last of them there is one more attempt.
const WAITS: [u64; 9] =
    [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

/// What a receiver that asks for more time gets at the most, in milliseconds.
const MOST_ASKED: u64 = 24 * HOUR;

/// How long is waited after so many attempts in vain, in milliseconds; `None`: that was the last. Up to a fifth longer by
/// chance, so that those that failed together do not come back together. Who answers with Retry-After, in milliseconds, is
/// given that time, up to a day.
pub(crate) fn wait(attempts: u32, asked: Option<u64>, entropy: &dyn Entropy) -> Option<u64> {
    let failed = usize::try_from(attempts).ok()?.checked_sub(1)?;
    let wait = WAITS.get(failed)?;
    let mut chance = [0];
    // Without randomness it is the wait of the table.
    let _ = entropy.fill(&mut chance);
    let table = wait + wait / 5 * u64::from(chance[0]) / 255;
    Some(table.max(asked.unwrap_or(0).min(MOST_ASKED)))
}

/// Milliseconds until then, for who waits at most `longest`. A time that is further away, by more than a minute, is of a
/// clock that was ahead: it has come.
pub(crate) const fn until(at: UnixTime, longest: u64, now: UnixTime) -> u64 {
    let left = at.since(now);
    if left > longest.saturating_add(MINUTE) { 0 } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EntropyError;
    use crate::time::DAY;

    #[derive(Debug)]
    struct Always(Option<u8>);

    impl Entropy for Always {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyError> {
            buffer.fill(self.0.ok_or(EntropyError)?);
            Ok(())
        }
    }

    #[test]
    fn waits_are_those_of_the_table_and_up_to_a_fifth_longer() {
        let all =
            |chance: Option<u8>| (1..).map_while(|n| wait(n, None, &Always(chance))).collect::<Vec<_>>();
        assert_eq!(all(Some(0)), WAITS);
        assert_eq!(all(None), WAITS);
        let longest: Vec<_> = WAITS.iter().map(|wait| wait + wait / 5).collect();
        assert_eq!(all(Some(255)), longest);
        assert_eq!(WAITS.iter().sum::<u64>() / HOUR, 75);
        assert_eq!(wait(0, None, &Always(None)), None);
    }

    #[test]
    fn who_asks_for_time_gets_it_up_to_a_day_and_never_another_attempt() {
        let asked = |attempts, asked| wait(attempts, Some(asked), &Always(None));
        assert_eq!(asked(1, 60 * SECOND), Some(60 * SECOND));
        assert_eq!(asked(1, 0), Some(5 * SECOND));
        assert_eq!(asked(2, SECOND), Some(5 * MINUTE));
        assert_eq!(asked(1, u64::MAX), Some(DAY));
        assert_eq!(asked(10, SECOND), None);
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_nothing_waiting() {
        let now = UnixTime::from_secs(1_795_420_800);
        assert_eq!(until(now.plus(HOUR), HOUR, now), HOUR);
        assert_eq!(until(now.plus(9 * HOUR), HOUR, now), 0);
        assert_eq!(until(now.minus(9 * HOUR), HOUR, now), 0);
    }
}
