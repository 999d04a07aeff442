//! What is remembered of an agent's events.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::fingerprint::Fingerprint;
use super::nonces::Nonces;
use super::numbers::{MEMORY, Numbers, Taken, Trace};
use super::row::{ID, NONCE, Reporter, Row, STREAM, What, row_key};
use crate::event::{Event, StreamSeq};
use crate::id::AgentId;
use crate::log::leaf::Act;
use crate::service::error::Error;
use crate::service::limits::MAX_STREAMS;
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;

/// Most streams of one agent, over all reporters.
const MAX_ALL_STREAMS: usize = 4_096;
/// Most identifiers remembered of one agent, over all reporters.
const MAX_ALL_IDS: usize = 65_536;

/// What is remembered of one agent's events. Copies share what they do not change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen(BTreeMap<Reporter, Arc<Reported>>, Nonces);

/// What one reporter sent.
#[derive(Clone, Debug, Default)]
struct Reported {
    streams: BTreeMap<u64, Numbers>,
    ids: BTreeMap<u64, (UnixTime, Taken)>,
    order: VecDeque<(UnixTime, u64)>,
}

impl Seen {
    /// Whether a number was recorded before, and for what.
    ///
    /// # Errors
    /// [`Error::TooManyStreams`], [`Error::StreamJump`]: it cannot be recorded.
    pub(crate) fn number(&self, now: UnixTime, by: Reporter, at: StreamSeq) -> Result<Option<Taken>, Error> {
        let Some(own) = self.0.get(&by) else { return Ok(None) };
        match own.streams.get(&at.stream).filter(|numbers| numbers.is_fresh(now)) {
            Some(numbers) if numbers.has(at.seq) => Ok(Some(numbers.known_as(at.seq))),
            Some(numbers) if numbers.is_far(at.seq) => Err(Error::StreamJump),
            Some(_) => Ok(None),
            None if own.is_full(now) => Err(Error::TooManyStreams),
            None => Ok(None),
        }
    }

    /// Whether an identifier was recorded within the last day, and for what.
    pub(crate) fn id(&self, now: UnixTime, by: Reporter, id: u64) -> Option<Taken> {
        let (at, taken) = self.0.get(&by)?.ids.get(&id)?;
        (now.since(*at) < MEMORY).then_some(*taken)
    }

    /// Whether a nonce was used, whoever reported that.
    pub(crate) fn nonce(&self, now: UnixTime, nonce: u64) -> bool {
        self.1.has(now, nonce)
    }

    /// Remembers a recorded act, forgets what is too old or too much, and says what has to be stored. Of an event whose
    /// details are erased it is not known any more which it was.
    pub(crate) fn remember(
        &mut self,
        agent: &AgentId,
        at: UnixTime,
        (index, act, event): (u64, &Act, Option<&Event>),
        changes: &mut Vec<Change>,
    ) {
        if act.stream.is_none() && act.client_id.is_none() {
            return;
        }
        let taken = event.map(|event| Trace { index, print: Fingerprint::of(event) });
        let mut stored = |by, part, number, value| {
            changes.push(Change { kind: Kind::Dedup, key: row_key(agent, part, by, number), value });
        };
        if let Some((stream, seq)) = act.stream {
            let (value, gone) = self.add_number(at, act.reporter, StreamSeq { stream, seq }, taken);
            gone.into_iter().for_each(|(by, stream)| stored(by, STREAM, stream, None));
            stored(act.reporter, STREAM, stream, Some(value));
        }
        // Leaves of before leave that to the event.
        let once = act.once || event.is_some_and(|event| event.once);
        if let Some(nonce) = act.client_id.filter(|_| once) {
            self.1.add(at, nonce);
            stored(None, NONCE, nonce, Some(at.millis().to_be_bytes().to_vec()));
            self.1.forget(at).into_iter().for_each(|old| stored(None, NONCE, old, None));
        } else if let Some(id) = act.client_id {
            self.add_id(at, act.reporter, id, taken);
            let mut value = at.millis().to_be_bytes().to_vec();
            value.extend(taken.iter().flat_map(Trace::encode));
            stored(act.reporter, ID, id, Some(value));
            self.forget_ids(at).into_iter().for_each(|(by, id)| stored(by, ID, id, None));
        }
    }

    /// Forgets which events it were, for something of them is erased: what comes under their names again is a duplicate.
    pub(crate) fn forget_prints(&mut self, agent: &AgentId, changes: &mut Vec<Change>) {
        let mut stored = |by, part, number, value| {
            changes.push(Change {
                kind: Kind::Dedup,
                key: row_key(agent, part, by, number),
                value: Some(value),
            });
        };
        for (by, own) in &mut self.0 {
            let own = Arc::make_mut(own);
            for (stream, numbers) in &mut own.streams {
                if numbers.forget_prints() {
                    stored(*by, STREAM, *stream, numbers.encode());
                }
            }
            for (id, (at, taken)) in &mut own.ids {
                if taken.take().is_some() {
                    stored(*by, ID, *id, at.millis().to_be_bytes().to_vec());
                }
            }
        }
    }

    // The row of the stream, and the streams that were forgotten for it.
    fn add_number(
        &mut self,
        at: UnixTime,
        by: Reporter,
        seq: StreamSeq,
        taken: Taken,
    ) -> (Vec<u8>, Vec<(Reporter, u64)>) {
        let known = self.0.get(&by).is_some_and(|own| own.streams.contains_key(&seq.stream));
        let gone = if known { Vec::new() } else { self.make_room(at, by) };
        let numbers = Arc::make_mut(self.0.entry(by).or_default()).streams.entry(seq.stream).or_default();
        if !numbers.is_fresh(at) {
            *numbers = Numbers::default();
        }
        numbers.at = at;
        numbers.add(seq.seq, taken);
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

    fn add_id(&mut self, at: UnixTime, by: Reporter, id: u64, taken: Taken) {
        let own = Arc::make_mut(self.0.entry(by).or_default());
        own.ids.insert(id, (at, taken));
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
        if let What::Nonce(at) = row.what {
            return self.1.add(at, row.number);
        }
        let own = Arc::make_mut(self.0.entry(row.by).or_default());
        match row.what {
            What::Stream(numbers) => _ = own.streams.insert(row.number, numbers),
            What::Id(at, taken) => {
                own.ids.insert(row.number, (at, taken));
                own.order.push_back((at, row.number));
            }
            What::Nonce(_) => {}
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
        let last = self.ids.get(&id).is_some_and(|(last, _)| *last == at);
        last.then(|| self.ids.remove(&id)).map(|_| id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::numbers::{KNOWN_NUMBERS, MAX_RUNS};
    use super::*;
    use crate::service::limits::MAX_JUMP;
    use crate::time::DAY;

    const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

    fn number(stream: u64, seq: u64) -> StreamSeq {
        StreamSeq { stream, seq }
    }

    fn has(seen: &Seen, now: UnixTime, by: Reporter, at: StreamSeq) -> bool {
        seen.number(now, by, at).unwrap().is_some()
    }

    fn code(result: Result<Option<Taken>, Error>) -> &'static str {
        result.unwrap_err().code()
    }

    #[test]
    fn a_number_is_recorded_once_in_any_order() {
        let mut seen = Seen::default();
        let there = |seen: &Seen, seq| has(seen, NOW, None, number(1, seq));
        for seq in [5, 3, 4, 90, 60, 27, 1_000_000, 999_999, 0, u64::from(u32::MAX)] {
            assert!(!there(&seen, seq), "{seq}");
            seen.add_number(NOW, None, number(1, seq), None);
            assert!(there(&seen, seq), "{seq}");
        }
        // Batches that overtake each other lose nothing.
        (2_000..3_000)
            .chain(1_000..2_000)
            .for_each(|seq| _ = seen.add_number(NOW, None, number(2, seq), None));
        assert_eq!(seen.0[&None].streams[&2].runs, [(1_000, 2_999)]);
        assert!(!has(&seen, NOW, None, number(3, 5)) && !there(&seen, 999_998));
        // Each second one is missing: of so many gaps the lowest count as recorded.
        (0..200).for_each(|n| _ = seen.add_number(NOW, None, number(4, 2 * n), None));
        let numbers = &seen.0[&None].streams[&4];
        assert_eq!((numbers.runs.len(), numbers.has(1), numbers.has(397)), (MAX_RUNS, true, false));
        assert_eq!(numbers.encode().len(), 25 + 16 * MAX_RUNS + Trace::LEN * KNOWN_NUMBERS);
    }

    #[test]
    fn a_reporter_shares_nothing_with_another() {
        let mut seen = Seen::default();
        seen.add_number(NOW, Some(1), number(1, (1 << 53) - 1), None);
        seen.add_id(NOW, Some(1), 7, None);
        for by in [None, Some(2)] {
            assert!(!has(&seen, NOW, by, number(1, 0)) && seen.id(NOW, by, 7).is_none());
        }
        for stream in 0..255 {
            seen.add_number(NOW, Some(1), number(2 + stream, 0), None);
        }
        assert_eq!(code(seen.number(NOW, Some(1), number(999, 0))), "too_many_streams");
        assert!(has(&seen, NOW, Some(1), number(2, 0)), "the known ones go on");
        assert!(!has(&seen, NOW, Some(2), number(999, 0)));
        // A day later they are forgotten, and their rows go.
        let later = NOW.plus(MEMORY);
        assert!(!has(&seen, later, Some(1), number(999, 0)));
        assert_eq!(seen.add_number(later, Some(1), number(999, 0), None).1.len(), 256);
        assert!(!has(&seen, later, Some(1), number(2, 0)));
    }

    #[test]
    fn whoever_has_most_makes_room_for_the_others() {
        let mut seen = Seen::default();
        let reporters = u64::try_from(MAX_ALL_STREAMS / MAX_STREAMS).unwrap();
        for by in 0..reporters {
            (0..256)
                .for_each(|stream| _ = seen.add_number(NOW.plus(stream), Some(by), number(stream, 0), None));
        }
        assert!(!has(&seen, NOW, Some(99), number(1, 1)));
        let (_, gone) = seen.add_number(NOW, Some(99), number(1, 1), None);
        assert_eq!((gone.len(), gone[0].1), (1, 0), "the longest idle one");
        let ids = u64::try_from(MAX_ALL_IDS).unwrap();
        seen.add_id(NOW, Some(1), 5, None);
        for id in 0..=ids {
            seen.add_id(NOW.plus(1), Some(2), id, None);
            seen.forget_ids(NOW.plus(1));
        }
        assert!(seen.id(NOW, Some(1), 5).is_some(), "a flood forgets its own");
        assert!(seen.id(NOW, Some(2), 0).is_none() && seen.id(NOW, Some(2), ids).is_some());
    }

    #[test]
    fn jumps_are_bounded_and_leave_nothing_behind() {
        let mut seen = Seen::default();
        seen.add_number(NOW, Some(1), number(1, 7), None);
        for far in [8 + MAX_JUMP, (1 << 53) - 1, u64::MAX] {
            assert_eq!(code(seen.number(NOW, Some(1), number(1, far))), "stream_jump");
        }
        assert!(!has(&seen, NOW, Some(1), number(1, 7 + MAX_JUMP)));
        assert!(!has(&seen, NOW, Some(1), number(1, 8)));
    }

    #[test]
    fn identifiers_are_forgotten_after_a_day() {
        let mut seen = Seen::default();
        seen.add_id(UnixTime::from_millis(0), None, 1, None);
        seen.add_id(UnixTime::from_millis(5), None, 2, None);
        assert!(seen.forget_ids(UnixTime::from_millis(DAY - 1)).is_empty());
        assert_eq!(seen.forget_ids(UnixTime::from_millis(DAY)), [(None, 1)]);
        let now = UnixTime::from_millis(DAY);
        assert!(seen.id(now, None, 1).is_none() && seen.id(now, None, 2).is_some());
    }

    #[test]
    fn stored_rows_are_read_back_also_those_of_before() {
        let agent = AgentId::from_bytes([7; 16]);
        for by in [None, Some(9)] {
            let (mut seen, mut again) = (Seen::default(), Seen::default());
            let row = [3, 1, 0].map(|seq| seen.add_number(NOW, by, number(5, seq), None).0)[2].clone();
            again.load(Row::read(&row_key(&agent, STREAM, by, 5), &row, NOW).unwrap());
            assert_eq!(again.0[&by].streams, seen.0[&by].streams);
            assert!(Row::read(&row_key(&agent, STREAM, by, 5), &row[1..], NOW).is_none());
        }
        let window = [100_u64, 0b1011].map(u64::to_be_bytes).concat();
        let row = Row::read(&row_key(&agent, STREAM, None, 5), &window, NOW).unwrap();
        let mut seen = Seen::default();
        seen.load(row);
        let there = |seq| has(&seen, NOW, None, number(5, seq));
        assert_eq!([100, 99, 98, 97, 37, 36, 101].map(there), [true, true, false, true, false, true, false]);
    }

    /// A start reads rows in the order of their keys, and goes on as if there had been none.
    #[test]
    fn what_makes_room_is_the_same_after_a_start() {
        let serial = crate::id::Serial::from_bytes([1; 16]).unwrap();
        let event = Event::new(serial, "read:a".parse().unwrap(), crate::event::Outcome::Ok);
        let trace = |index| Some(Trace { index, print: Fingerprint::of(&event) });
        let (agent, count) = (AgentId::from_bytes([7; 16]), u64::try_from(MAX_ALL_IDS).unwrap());
        let (mut lived, mut rows) = (Seen::default(), BTreeMap::new());
        // One batch: of one time, and in an order that is not that of their tokens.
        for index in 1..=count {
            let (id, taken) = (count - index, trace(index));
            lived.add_id(NOW, None, id, taken);
            let mut value = NOW.millis().to_be_bytes().to_vec();
            value.extend(taken.iter().flat_map(Trace::encode));
            rows.insert(row_key(&agent, ID, None, id), value);
        }
        let mut read: Vec<_> = rows.iter().map(|(k, v)| Row::read(k, v, NOW).unwrap()).collect();
        read.sort_by_key(Row::order);
        let mut again = Seen::default();
        read.into_iter().for_each(|row| again.load(row));
        for seen in [&mut lived, &mut again] {
            seen.add_id(NOW, None, count, trace(count + 1));
        }
        assert_eq!(again.forget_ids(NOW), lived.forget_ids(NOW));
    }

    #[test]
    fn of_the_highest_numbers_it_is_known_which_events_they_are() {
        let serial = crate::id::Serial::from_bytes([1; 16]).unwrap();
        let event = Event::new(serial, "read:a".parse().unwrap(), crate::event::Outcome::Ok);
        let trace = |index| Some(Trace { index, print: Fingerprint::of(&event) });
        let mut seen = Seen::default();
        let mut row = Vec::new();
        // By their index, in an order in which they overtake each other, and with a gap.
        for seq in [4, 2, 9, 7, 40] {
            row = seen.add_number(NOW, None, number(1, seq), trace(100 + seq)).0;
        }
        let mut again = Seen::default();
        again.load(Row::read(&row_key(&AgentId::from_bytes([7; 16]), STREAM, None, 1), &row, NOW).unwrap());
        for seen in [&seen, &again] {
            let known =
                |seq| seen.number(NOW, None, number(1, seq)).unwrap().map(|taken| taken.map(|t| t.index));
            assert_eq!([40, 9, 7].map(known), [Some(Some(140)), Some(Some(109)), Some(None)]);
            assert_eq!([4, 2, 8, 39].map(known), [Some(None), Some(None), None, None]);
        }
        seen.add_id(NOW, None, 5, trace(7));
        assert_eq!(seen.id(NOW, None, 5).unwrap().unwrap().index, 7);
        assert!(seen.id(NOW, None, 5).unwrap().unwrap().is_of(&Fingerprint::of(&event), false));
    }
}
