//! How the log's time stands to the clock: how far it is ahead, after a clock that was ahead was put right; and how far ahead
//! of the last record a clock may be for the log to follow it (ADR 20).

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::time::{Clock, DAY, MINUTE, UnixTime};

/// The least that is worth telling, in milliseconds: clocks that are kept right step by less.
const WORTH_TELLING: u64 = MINUTE;
/// By how much the clock may be set ahead while a process records: as much as a machine may sleep.
const WHILE_RUNNING: u64 = 7 * DAY;
/// How much time may have gone by since the last record when a process records its first: after more, no certificate that a
/// deployment issued by its default profile stands any more.
const AT_A_START: u64 = 400 * DAY;

/// The highest time of any record.
#[derive(Debug)]
pub(crate) struct Lead(Mutex<Last>);

#[derive(Debug)]
struct Last {
    time: UnixTime,
    /// What the steady clock said when it was seen.
    steady: u64,
    /// How far beyond it, and the time since, the clock is believed.
    bound: u64,
}

impl Lead {
    /// Where the last record so far is of this time. With `believe`, whatever the clock says is believed once.
    pub(crate) fn new(last: UnixTime, clock: &dyn Clock, believe: bool) -> Self {
        let bound = if believe { u64::MAX } else { AT_A_START };
        Self(Mutex::new(Last { time: last, steady: clock.steady(), bound }))
    }

    /// The highest time of any record, if that is more than a little ahead of `now`: by how much.
    pub(crate) fn ahead(&self, now: UnixTime) -> u64 {
        let ahead = self.last().time.since(now);
        if ahead < WORTH_TELLING { 0 } else { ahead }
    }

    /// There is a record of this time.
    pub(crate) fn saw(&self, time: UnixTime, clock: &dyn Clock) {
        let mut last = self.last();
        if time >= last.time {
            (last.time, last.steady) = (time, clock.steady());
        }
    }

    /// This process made a record of this time.
    pub(crate) fn recorded(&self, time: UnixTime, clock: &dyn Clock) {
        self.saw(time, clock);
        self.last().bound = WHILE_RUNNING;
    }

    /// What the log goes by: the clock, or if that is too far ahead to be believed, the last record and what went by since.
    pub(crate) fn believed(&self, clock: &dyn Clock) -> UnixTime {
        let (now, expected) = (clock.now(), self.expected(clock));
        if self.too_far(clock) == 0 { now } else { expected }
    }

    /// By how many milliseconds the clock is ahead of what can be, or 0 if it is believed.
    pub(crate) fn too_far(&self, clock: &dyn Clock) -> u64 {
        let (ahead, last) = (clock.now().since(self.expected(clock)), self.last());
        if last.time == UnixTime::default() || ahead <= last.bound { 0 } else { ahead }
    }

    fn expected(&self, clock: &dyn Clock) -> UnixTime {
        let last = self.last();
        last.time.plus(clock.steady().saturating_sub(last.steady))
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{HOUR, ManualClock};

    const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

    #[test]
    fn a_clock_is_followed_as_far_as_it_can_be_right() {
        let clock = ManualClock::at(NOW);
        let lead = Lead::new(NOW, &clock, false);
        // At a start a year may have gone by, and not 74.
        clock.leap(NOW.plus(400 * DAY));
        assert_eq!((lead.believed(&clock), lead.too_far(&clock)), (NOW.plus(400 * DAY), 0));
        let y2100 = UnixTime::from_secs(4_102_444_800);
        clock.leap(y2100);
        assert_eq!((lead.believed(&clock), lead.too_far(&clock)), (NOW, y2100.since(NOW)));
        clock.set(y2100.plus(HOUR));
        assert_eq!(lead.believed(&clock), NOW.plus(HOUR), "time goes by all the same");
        // While it records, a week.
        lead.recorded(NOW.plus(HOUR), &clock);
        for (ahead, believed) in [(7 * DAY, true), (7 * DAY + 1, false)] {
            clock.leap(NOW.plus(HOUR + ahead));
            assert_eq!(lead.too_far(&clock) == 0, believed, "{ahead}");
        }
        // However long nothing is recorded.
        clock.leap(NOW.plus(HOUR));
        clock.set(NOW.plus(1_000 * DAY));
        assert_eq!(lead.believed(&clock), NOW.plus(1_000 * DAY));
    }

    #[test]
    fn who_says_that_the_clock_is_right_is_believed_until_the_first_record() {
        let y2100 = UnixTime::from_secs(4_102_444_800);
        let clock = ManualClock::at(y2100);
        let lead = Lead::new(NOW, &clock, true);
        assert_eq!(lead.believed(&clock), y2100);
        lead.recorded(y2100, &clock);
        clock.leap(y2100.plus(8 * DAY));
        assert_eq!(lead.believed(&clock), y2100);
        let new = Lead::new(UnixTime::default(), &clock, false);
        assert_eq!(new.believed(&clock), y2100.plus(8 * DAY), "a log without records begins by the clock");
    }
}
