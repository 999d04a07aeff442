//! Numbers of one stream that were recorded, and which events the highest of them are.

use std::collections::VecDeque;

use super::fingerprint::{self, Fingerprint};
use crate::service::limits::MAX_JUMP;
use crate::time::{DAY, UnixTime};

/// How long a stream is remembered after its last event, and an identifier after it came.
pub(super) const MEMORY: u64 = DAY;
/// Most runs of numbers that a stream keeps apart; then the lowest gap counts as recorded.
pub(super) const MAX_RUNS: usize = 32;
/// Of how many of the highest numbers of a stream it is known which events they are.
pub(super) const KNOWN_NUMBERS: usize = 32;
/// Of a stream's row. Those from before begin with a time, or a number, and consist of eights.
const FORM: u8 = 2;

/// Which event it was that has a number or identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// Index of its record.
    pub(crate) index: u64,
    pub(super) print: Fingerprint,
}

/// A number or identifier that is taken; `None` where it is not known any more by which event.
pub(crate) type Taken = Option<Trace>;

/// Numbers of a stream that were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// When the last one came.
    pub(super) at: UnixTime,
    /// Everything below counts as recorded.
    floor: u64,
    /// First and last number of each run, in rising order, with gaps between.
    pub(super) runs: Vec<(u64, u64)>,
    /// Which events the highest number and those below it are.
    known: VecDeque<Taken>,
}

impl Trace {
    pub(super) const LEN: usize = 8 + fingerprint::LEN;

    /// Whether it is of the event with this print, which named its agent alone or not.
    pub(crate) fn is_of(&self, print: &Fingerprint, unnamed: bool) -> bool {
        self.print.is(print, unnamed)
    }

    pub(super) fn encode(&self) -> [u8; Self::LEN] {
        let mut octets = [0; Self::LEN];
        let (index, print) = octets.split_at_mut(8);
        index.copy_from_slice(&self.index.to_be_bytes());
        print.copy_from_slice(&self.print.encode());
        octets
    }

    pub(super) fn decode(octets: &[u8; Self::LEN]) -> Option<Self> {
        let (index, print) = octets.split_first_chunk()?;
        let print = Fingerprint::decode(print.try_into().ok()?)?;
        Some(Self { index: u64::from_be_bytes(*index), print })
    }
}

impl Numbers {
    pub(super) fn is_fresh(&self, now: UnixTime) -> bool {
        now.since(self.at) < MEMORY
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        seq < self.floor || self.runs.iter().rev().any(|(first, last)| (*first..=*last).contains(&seq))
    }

    pub(super) fn is_far(&self, seq: u64) -> bool {
        self.runs.last().is_some_and(|(_, high)| seq > high.saturating_add(MAX_JUMP))
    }

    pub(super) fn high(&self) -> Option<u64> {
        self.runs.last().map(|(_, high)| *high)
    }

    /// Which event it is.
    pub(super) fn known_as(&self, seq: u64) -> Taken {
        let below = usize::try_from(self.high()?.checked_sub(seq)?).ok()?;
        *self.known.get(below)?
    }

    pub(super) fn know(&mut self, seq: u64, taken: Taken) {
        let high = self.high().unwrap_or(seq);
        let bounded = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(KNOWN_NUMBERS);
        (0..bounded(seq.saturating_sub(high))).for_each(|_| self.known.push_front(None));
        self.known.truncate(KNOWN_NUMBERS);
        let below = bounded(high.saturating_sub(seq));
        if below < KNOWN_NUMBERS {
            self.known.resize(self.known.len().max(below + 1), None);
            self.known.get_mut(below).into_iter().for_each(|known| *known = taken);
        }
    }

    /// Forgets which events its numbers are; whether it knew of any.
    pub(super) fn forget_prints(&mut self) -> bool {
        let knew = self.known.iter().any(Option::is_some);
        self.known.iter_mut().for_each(|known| *known = None);
        knew
    }

    pub(super) fn add(&mut self, seq: u64, taken: Taken) {
        if self.has(seq) {
            return;
        }
        self.know(seq, taken);
        let after = self.runs.partition_point(|(first, _)| *first < seq);
        self.runs.insert(after, (seq, seq));
        self.runs.dedup_by(|next, run| {
            let joins = run.1.checked_add(1) == Some(next.0);
            if joins {
                run.1 = next.1;
            }
            joins
        });
        if self.runs.len() > MAX_RUNS {
            self.floor = self.runs.remove(0).1.saturating_add(1);
        }
    }

    /// The form, then time, floor, how many runs there are, the runs, and which events the highest numbers are.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = vec![FORM];
        let count = u64::try_from(self.runs.len()).unwrap_or(u64::MAX);
        let runs = self.runs.iter().flat_map(|(first, last)| [*first, *last]);
        row.extend([self.at.millis(), self.floor, count].into_iter().chain(runs).flat_map(u64::to_be_bytes));
        for known in &self.known {
            row.extend(known.as_ref().map_or([0; Trace::LEN], Trace::encode));
        }
        row
    }

    pub(super) fn decode(row: &[u8]) -> Option<Self> {
        let (head, mut rest) = row.strip_prefix(&[FORM])?.split_first_chunk::<24>()?;
        let (head, _) = head.as_chunks::<8>();
        let [at, floor, count] =
            [0, 1, 2].map(|n| head.get(n).map_or(0, |octets| u64::from_be_bytes(*octets)));
        let mut numbers = Self { at: UnixTime::from_millis(at), floor, ..Self::default() };
        for _ in 0..count {
            let (run, more) = rest.split_first_chunk::<16>()?;
            let (first, last) = run.split_at(8);
            let number = |octets: &[u8]| Some(u64::from_be_bytes(octets.try_into().ok()?));
            numbers.runs.push((number(first)?, number(last)?));
            rest = more;
        }
        let (known, rest) = rest.as_chunks::<{ Trace::LEN }>();
        // No record but a log's first has index 0, and that is no event.
        let read = |octets: &[u8; Trace::LEN]| Trace::decode(octets).filter(|trace| trace.index > 0);
        numbers.known = known.iter().map(read).collect();
        rest.is_empty().then_some(numbers)
    }

    /// How a stream was stored before it was known which events its numbers are: time, floor and runs.
    pub(super) fn of_before(row: &[u8], now: UnixTime) -> Option<Self> {
        let (numbers, _) = row.as_chunks::<8>();
        let numbers: Vec<_> = numbers.iter().map(|number| u64::from_be_bytes(*number)).collect();
        match &*numbers {
            [high, mask] => Some(Self::of_window(now, *high, *mask)),
            [at, floor, runs @ ..] => {
                let (pairs, rest) = runs.as_chunks::<2>();
                let runs = pairs.iter().map(|[first, last]| (*first, *last)).collect();
                let at = UnixTime::from_millis(*at);
                rest.is_empty().then_some(Self { at, floor: *floor, runs, known: VecDeque::new() })
            }
            _ => None,
        }
    }

    /// The highest number, and which of the 63 below it: how a stream was stored before it kept runs.
    pub(super) fn of_window(at: UnixTime, high: u64, mask: u64) -> Self {
        let mut numbers = Self { at, floor: high.saturating_sub(63), ..Self::default() };
        let set = (0..64).filter(|back| mask >> back & 1 == 1);
        set.for_each(|back| numbers.add(high.saturating_sub(back), None));
        numbers
    }
}
