//! Which events of an agent were recorded already, told apart by who reported them: nothing that one
//! reporter sends makes an event of another one a duplicate, or takes its room.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::event::{StreamSeq, Token};
use crate::id::AgentId;
use crate::log::leaf::Act;
use crate::service::error::Error;
use crate::service::limits::{MAX_JUMP, MAX_STREAMS};
use crate::store::state::{Change, Kind};
use crate::time::{DAY, UnixTime};

/// How long a stream is remembered after its last event, and an identifier after it came.
const MEMORY: u64 = DAY;
/// Most streams of one agent, over all reporters.
const MAX_ALL_STREAMS: usize = 4_096;
/// Most identifiers remembered of one agent, over all reporters.
const MAX_ALL_IDS: usize = 65_536;
/// Most runs of numbers that a stream keeps apart; then the lowest gap counts as recorded.
const MAX_RUNS: usize = 32;

/// The token of who reports; `None` for the process that embeds the deployment, and for whoever reported
/// before records said who.
pub(crate) type Reporter = Option<Token>;

/// What is remembered of one agent's events. Copies share what they do not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(BTreeMap<Reporter, Arc<Reported>>);

/// What one reporter sent.
#[derive(Clone, Debug, Default)]
struct Reported {
    streams: BTreeMap<u64, Numbers>,
    ids: BTreeMap<u64, UnixTime>,
    order: VecDeque<(UnixTime, u64)>,
}

/// Numbers of a stream that were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Numbers {
    /// When the last one came.
    at: UnixTime,
    /// Everything below counts as recorded.
    floor: u64,
    /// First and last number of each run, in rising order, with gaps between.
    runs: Vec<(u64, u64)>,
}

impl Seen {
    /// Whether a number was recorded before.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`], [`Error::StreamJump`]: it cannot be recorded.
    pub(crate) fn has_number(&self, now: UnixTime, by: Reporter, at: StreamSeq) -> Result<bool, Error> {
        let Some(own) = self.0.get(&by) else { return Ok(false) };
        match own.streams.get(&at.stream).filter(|numbers| numbers.is_fresh(now)) {
            Some(numbers) if numbers.has(at.seq) => Ok(true),
            Some(numbers) if numbers.is_far(at.seq) => Err(Error::StreamJump),
            Some(_) => Ok(false),
            None if own.is_full(now) => Err(Error::TooManyStreams),
            None => Ok(false),
        }
    }

    /// Whether an identifier was recorded within the last day.
    pub(crate) fn has_id(&self, now: UnixTime, by: Reporter, id: u64) -> bool {
        let at = self.0.get(&by).and_then(|own| own.ids.get(&id));
        at.is_some_and(|at| now.since(*at) < MEMORY)
    }

    /// Remembers a recorded act, forgets what is too old or too much, and says what has to be stored.
    pub(crate) fn remember(&mut self, agent: &AgentId, at: UnixTime, act: &Act, changes: &mut Vec<Change>) {
        let mut stored = |by, part, number, value| {
            changes.push(Change { kind: Kind::Dedup, key: row_key(agent, part, by, number), value });
        };
        if let Some((stream, seq)) = act.stream {
            let (value, gone) = self.add_number(at, act.reporter, StreamSeq { stream, seq });
            gone.into_iter().for_each(|(by, stream)| stored(by, STREAM, stream, None));
            stored(act.reporter, STREAM, stream, Some(value));
        }
        if let Some(id) = act.client_id {
            self.add_id(at, act.reporter, id);
            stored(act.reporter, ID, id, Some(at.millis().to_be_bytes().to_vec()));
            self.forget_ids(at).into_iter().for_each(|(by, id)| stored(by, ID, id, None));
        }
    }

    // The row of the stream, and the streams that were forgotten for it.
    fn add_number(&mut self, at: UnixTime, by: Reporter, seq: StreamSeq) -> (Vec<u8>, Vec<(Reporter, u64)>) {
        let known = self.0.get(&by).is_some_and(|own| own.streams.contains_key(&seq.stream));
        let gone = if known { Vec::new() } else { self.make_room(at, by) };
        let numbers = Arc::make_mut(self.0.entry(by).or_default()).streams.entry(seq.stream).or_default();
        if !numbers.is_fresh(at) {
            *numbers = Numbers::default();
        }
        numbers.at = at;
        numbers.add(seq.seq);
        (numbers.encode(), gone)
    }

    /// Forgets streams before another one begins: those of its reporter that are idle, if it has many; and
    /// the longest idle one of whoever has most, if all together have many.
    fn make_room(&mut self, now: UnixTime, by: Reporter) -> Vec<(Reporter, u64)> {
        let mut gone = Vec::new();
        if let Some(own) = self.0.get_mut(&by).filter(|own| own.streams.len() >= MAX_STREAMS) {
            Arc::make_mut(own).streams.retain(|stream, numbers| {
                let fresh = numbers.is_fresh(now);
                if !fresh {
                    gone.push((by, *stream));
                }
                fresh
            });
        }
        if self.0.values().map(|own| own.streams.len()).sum::<usize>() < MAX_ALL_STREAMS {
            return gone;
        }
        if let Some((by, most)) = self.0.iter_mut().max_by_key(|(_, own)| own.streams.len()) {
            let most = Arc::make_mut(most);
            if let Some(stream) = most.streams.iter().min_by_key(|(_, n)| n.at).map(|(stream, _)| *stream) {
                most.streams.remove(&stream);
                gone.push((*by, stream));
            }
        }
        gone
    }

    fn add_id(&mut self, at: UnixTime, by: Reporter, id: u64) {
        let own = Arc::make_mut(self.0.entry(by).or_default());
        own.ids.insert(id, at);
        own.order.push_back((at, id));
    }

    /// Forgets identifiers that are a day old; and if there are too many, of whoever has most.
    fn forget_ids(&mut self, now: UnixTime) -> Vec<(Reporter, u64)> {
        let mut gone = Vec::new();
        for (by, own) in &mut self.0 {
            let old = |own: &Reported| own.order.front().is_some_and(|(at, _)| now.since(*at) >= MEMORY);
            while old(own) {
                gone.extend(Arc::make_mut(own).forget_first_id().map(|id| (*by, id)));
            }
        }
        while self.0.values().map(|own| own.order.len()).sum::<usize>() > MAX_ALL_IDS
            && let Some((by, most)) = self.0.iter_mut().max_by_key(|(_, own)| own.order.len())
        {
            gone.extend(Arc::make_mut(most).forget_first_id().map(|id| (*by, id)));
        }
        gone
    }

    /// Takes a stored row back. Identifiers come in the order of their times.
    pub(crate) fn load(&mut self, row: Row) {
        let own = Arc::make_mut(self.0.entry(row.by).or_default());
        match row.what {
            What::Stream(numbers) => _ = own.streams.insert(row.number, numbers),
            What::Id(at) => {
                own.ids.insert(row.number, at);
                own.order.push_back((at, row.number));
            }
        }
    }
}

impl Reported {
    fn is_full(&self, now: UnixTime) -> bool {
        self.streams.len() >= MAX_STREAMS
            && self.streams.values().filter(|numbers| numbers.is_fresh(now)).count() >= MAX_STREAMS
    }

    fn forget_first_id(&mut self) -> Option<u64> {
        let (at, id) = self.order.pop_front()?;
        // It may have come again since.
        let last = self.ids.get(&id) == Some(&at);
        last.then(|| self.ids.remove(&id)).map(|_| id)
    }
}

impl Numbers {
    fn is_fresh(&self, now: UnixTime) -> bool {
        now.since(self.at) < MEMORY
    }

    fn has(&self, seq: u64) -> bool {
        seq < self.floor || self.runs.iter().rev().any(|(first, last)| (*first..=*last).contains(&seq))
    }

    fn is_far(&self, seq: u64) -> bool {
        self.runs.last().is_some_and(|(_, high)| seq > high.saturating_add(MAX_JUMP))
    }

    fn add(&mut self, seq: u64) {
        if self.has(seq) {
            return;
        }
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

    fn encode(&self) -> Vec<u8> {
        let runs = self.runs.iter().flat_map(|(first, last)| [*first, *last]);
        [self.at.millis(), self.floor].into_iter().chain(runs).flat_map(u64::to_be_bytes).collect()
    }

    /// The highest number, and which of the 63 below it: how a stream was stored before it kept runs.
    fn of_window(at: UnixTime, high: u64, mask: u64) -> Self {
        let mut numbers = Self { at, floor: high.saturating_sub(63), runs: Vec::new() };
        (0..64).filter(|back| mask >> back & 1 == 1).for_each(|back| numbers.add(high.saturating_sub(back)));
        numbers
    }
}

/// One stored row of [`Kind::Dedup`].
pub(crate) struct Row {
    pub(crate) agent: AgentId,
    pub(crate) by: Reporter,
    number: u64,
    what: What,
}

enum What {
    Stream(Numbers),
    Id(UnixTime),
}

const STREAM: u8 = 0;
const ID: u8 = 1;

fn row_key(agent: &AgentId, part: u8, by: Reporter, number: u64) -> Vec<u8> {
    let by = by.map(u64::to_be_bytes);
    let by = by.as_ref().map_or(&[][..], |by| by);
    [agent.as_bytes().as_slice(), &[part], by, &number.to_be_bytes()].concat()
}

impl Row {
    /// Reads a stored row; `now` is when streams were last used that were stored without it.
    pub(crate) fn read(key: &[u8], value: &[u8], now: UnixTime) -> Option<Self> {
        let (agent, rest) = key.split_first_chunk::<16>()?;
        let (part, rest) = rest.split_first()?;
        let (rest, number) = rest.split_last_chunk::<8>()?;
        let by = match rest {
            [] => None,
            by => Some(u64::from_be_bytes(by.try_into().ok()?)),
        };
        let (numbers, rest) = value.as_chunks::<8>();
        let numbers: Vec<_> = numbers.iter().map(|number| u64::from_be_bytes(*number)).collect();
        let what = match (*part, &*numbers, rest) {
            (STREAM, [high, mask], []) => What::Stream(Numbers::of_window(now, *high, *mask)),
            (STREAM, [at, floor, runs @ ..], []) => {
                let (pairs, rest) = runs.as_chunks::<2>();
                let runs = pairs.iter().map(|[first, last]| (*first, *last)).collect();
                let at = UnixTime::from_millis(*at);
                What::Stream(rest.is_empty().then_some(Numbers { at, floor: *floor, runs })?)
            }
            (ID, [at], []) => What::Id(UnixTime::from_millis(*at)),
            _ => return None,
        };
        Some(Self { agent: AgentId::from_bytes(*agent), by, number: u64::from_be_bytes(*number), what })
    }

    /// When its identifier came; streams come before all.
    pub(crate) fn time(&self) -> UnixTime {
        match self.what {
            What::Stream(_) => UnixTime::default(),
            What::Id(at) => at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

    fn number(stream: u64, seq: u64) -> StreamSeq {
        StreamSeq { stream, seq }
    }

    fn code(result: Result<bool, Error>) -> &'static str {
        result.unwrap_err().code()
    }

    #[test]
    fn a_number_is_recorded_once_in_any_order() {
        let mut seen = Seen::default();
        let has = |seen: &Seen, seq| seen.has_number(NOW, None, number(1, seq)).unwrap();
        for seq in [5, 3, 4, 90, 60, 27, 1_000_000, 999_999, 0, u64::from(u32::MAX)] {
            assert!(!has(&seen, seq), "{seq}");
            seen.add_number(NOW, None, number(1, seq));
            assert!(has(&seen, seq), "{seq}");
        }
        // Batches that overtake each other lose nothing.
        (2_000..3_000).chain(1_000..2_000).for_each(|seq| _ = seen.add_number(NOW, None, number(2, seq)));
        assert_eq!(seen.0[&None].streams[&2].runs, [(1_000, 2_999)]);
        assert!(!seen.has_number(NOW, None, number(3, 5)).unwrap() && !has(&seen, 999_998));
        // Each second one is missing: of so many gaps the lowest count as recorded.
        (0..200).for_each(|n| _ = seen.add_number(NOW, None, number(4, 2 * n)));
        let numbers = &seen.0[&None].streams[&4];
        assert_eq!((numbers.runs.len(), numbers.has(1), numbers.has(397)), (MAX_RUNS, true, false));
        assert_eq!(numbers.encode().len(), 16 + 16 * MAX_RUNS);
    }

    #[test]
    fn a_reporter_shares_nothing_with_another() {
        let mut seen = Seen::default();
        seen.add_number(NOW, Some(1), number(1, (1 << 53) - 1));
        seen.add_id(NOW, Some(1), 7);
        for by in [None, Some(2)] {
            assert!(!seen.has_number(NOW, by, number(1, 0)).unwrap() && !seen.has_id(NOW, by, 7));
        }
        for stream in 0..255 {
            seen.add_number(NOW, Some(1), number(2 + stream, 0));
        }
        assert_eq!(code(seen.has_number(NOW, Some(1), number(999, 0))), "too_many_streams");
        assert!(seen.has_number(NOW, Some(1), number(2, 0)).unwrap(), "the known ones go on");
        assert!(!seen.has_number(NOW, Some(2), number(999, 0)).unwrap());
        // A day later they are forgotten, and their rows go.
        let later = NOW.plus(MEMORY);
        assert!(!seen.has_number(later, Some(1), number(999, 0)).unwrap());
        assert_eq!(seen.add_number(later, Some(1), number(999, 0)).1.len(), 256);
        assert!(!seen.has_number(later, Some(1), number(2, 0)).unwrap());
    }

    #[test]
    fn whoever_has_most_makes_room_for_the_others() {
        let mut seen = Seen::default();
        let reporters = u64::try_from(MAX_ALL_STREAMS / MAX_STREAMS).unwrap();
        for by in 0..reporters {
            (0..256).for_each(|stream| _ = seen.add_number(NOW.plus(stream), Some(by), number(stream, 0)));
        }
        assert!(!seen.has_number(NOW, Some(99), number(1, 1)).unwrap());
        let (_, gone) = seen.add_number(NOW, Some(99), number(1, 1));
        assert_eq!((gone.len(), gone[0].1), (1, 0), "the longest idle one");
        let ids = u64::try_from(MAX_ALL_IDS).unwrap();
        seen.add_id(NOW, Some(1), 5);
        for id in 0..=ids {
            seen.add_id(NOW.plus(1), Some(2), id);
            seen.forget_ids(NOW.plus(1));
        }
        assert!(seen.has_id(NOW, Some(1), 5), "a flood forgets its own");
        assert!(!seen.has_id(NOW, Some(2), 0) && seen.has_id(NOW, Some(2), ids));
    }

    #[test]
    fn jumps_are_bounded_and_leave_nothing_behind() {
        let mut seen = Seen::default();
        seen.add_number(NOW, Some(1), number(1, 7));
        for far in [8 + MAX_JUMP, (1 << 53) - 1, u64::MAX] {
            assert_eq!(code(seen.has_number(NOW, Some(1), number(1, far))), "stream_jump");
        }
        assert!(!seen.has_number(NOW, Some(1), number(1, 7 + MAX_JUMP)).unwrap());
        assert!(!seen.has_number(NOW, Some(1), number(1, 8)).unwrap());
    }

    #[test]
    fn identifiers_are_forgotten_after_a_day() {
        let mut seen = Seen::default();
        seen.add_id(UnixTime::from_millis(0), None, 1);
        seen.add_id(UnixTime::from_millis(5), None, 2);
        assert!(seen.forget_ids(UnixTime::from_millis(DAY - 1)).is_empty());
        assert_eq!(seen.forget_ids(UnixTime::from_millis(DAY)), [(None, 1)]);
        let now = UnixTime::from_millis(DAY);
        assert!(!seen.has_id(now, None, 1) && seen.has_id(now, None, 2));
    }

    #[test]
    fn stored_rows_are_read_back_also_those_of_before() {
        let agent = AgentId::from_bytes([7; 16]);
        for by in [None, Some(9)] {
            let (mut seen, mut again) = (Seen::default(), Seen::default());
            let row = [3, 1, 0].map(|seq| seen.add_number(NOW, by, number(5, seq)).0)[2].clone();
            again.load(Row::read(&row_key(&agent, STREAM, by, 5), &row, NOW).unwrap());
            assert_eq!(again.0[&by].streams, seen.0[&by].streams);
            assert!(Row::read(&row_key(&agent, STREAM, by, 5), &row[1..], NOW).is_none());
        }
        let window = [100_u64, 0b1011].map(u64::to_be_bytes).concat();
        let row = Row::read(&row_key(&agent, STREAM, None, 5), &window, NOW).unwrap();
        let mut seen = Seen::default();
        seen.load(row);
        let has = |seq| seen.has_number(NOW, None, number(5, seq)).unwrap();
        assert_eq!([100, 99, 98, 97, 37, 36, 101].map(has), [true, true, false, true, false, true, false]);
    }
}
