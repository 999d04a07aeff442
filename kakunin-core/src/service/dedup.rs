//! Which events of an agent were recorded already.

use std::collections::{BTreeMap, VecDeque};

use crate::time::{DAY, UnixTime};

/// Most streams of one agent.
pub(super) const MAX_STREAMS: usize = 256;
/// Most identifiers remembered for one agent; beyond it the oldest goes before its day is over.
const MAX_IDS: usize = 65_536;

/// What is remembered of one agent's events.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    streams: BTreeMap<u64, Window>,
    ids: BTreeMap<u64, UnixTime>,
    order: VecDeque<(UnixTime, u64)>,
}

/// Numbers of a stream that were recorded: the highest, and which of the 63 below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) high: u64,
    pub(super) mask: u64,
}

impl Seen {
    /// Whether number `seq` of `stream` was recorded. Numbers below the window count as recorded:
    /// a stream's reporter keeps its numbers in order, give or take 63.
    pub(super) fn has_number(&self, stream: u64, seq: u64) -> bool {
        let Some(window) = self.streams.get(&stream) else {
            return false;
        };
        match window.high.checked_sub(seq) {
            None => false,
            Some(back) if back < 64 => window.mask >> back & 1 == 1,
            Some(_) => true,
        }
    }

    /// Whether there is room for one more stream, or this one is known.
    pub(super) fn has_room(&self, stream: u64) -> bool {
        self.streams.len() < MAX_STREAMS || self.streams.contains_key(&stream)
    }

    /// Remembers a number, and gives the window to store.
    pub(super) fn add_number(&mut self, stream: u64, seq: u64) -> Window {
        let window = self.streams.entry(stream).or_insert(Window { high: seq, mask: 0 });
        if let Some(ahead) = seq.checked_sub(window.high) {
            window.mask = u32::try_from(ahead).ok().and_then(|n| window.mask.checked_shl(n)).unwrap_or(0) | 1;
            window.high = seq;
        } else if let Some(bit) = u32::try_from(window.high - seq).ok().and_then(|n| 1_u64.checked_shl(n)) {
            window.mask |= bit;
        }
        *window
    }

    /// Takes a stored window.
    pub(super) fn load_window(&mut self, stream: u64, window: Window) {
        self.streams.insert(stream, window);
    }

    /// Whether an identifier was recorded within the last day.
    pub(super) fn has_id(&self, now: UnixTime, id: u64) -> bool {
        self.ids.get(&id).is_some_and(|at| now.since(*at) < DAY)
    }

    /// Remembers an identifier.
    pub(super) fn add_id(&mut self, at: UnixTime, id: u64) {
        self.ids.insert(id, at);
        self.order.push_back((at, id));
    }

    /// Forgets identifiers that are a day old, and gives them.
    pub(super) fn forget_ids(&mut self, now: UnixTime) -> Vec<u64> {
        let mut gone = Vec::new();
        while self.order.front().is_some_and(|(at, _)| now.since(*at) >= DAY || self.order.len() > MAX_IDS) {
            if let Some((at, id)) = self.order.pop_front()
                && self.ids.get(&id) == Some(&at)
            {
                self.ids.remove(&id);
                gone.push(id);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_recorded_once_in_any_near_order() {
        let mut seen = Seen::default();
        for seq in [5, 3, 4, 90, 60, 27, 1_000_000, 999_999] {
            assert!(!seen.has_number(1, seq), "{seq}");
            seen.add_number(1, seq);
            assert!(seen.has_number(1, seq), "{seq}");
        }
        assert!(!seen.has_number(2, 5) && seen.has_number(1, 5) && !seen.has_number(1, 999_998));
    }

    #[test]
    fn identifiers_are_forgotten_after_a_day() {
        let mut seen = Seen::default();
        seen.add_id(UnixTime::from_millis(0), 1);
        seen.add_id(UnixTime::from_millis(5), 2);
        assert!(seen.forget_ids(UnixTime::from_millis(DAY - 1)).is_empty());
        assert_eq!(seen.forget_ids(UnixTime::from_millis(DAY)), [1]);
        let now = UnixTime::from_millis(DAY);
        assert!(!seen.has_id(now, 1) && seen.has_id(now, 2));
    }
}
