//! What was erased of an agent: payloads of its events, by month.

use crate::month::Month;
use crate::service::limits::MAX_ERASURES;

/// The payloads of an agent's events of these months, as far as they are recorded before this record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Erasure {
    /// Index of the record that says so.
    pub(crate) record: u64,
    /// The first month.
    pub(crate) from: Month,
    /// The last month.
    pub(crate) to: Month,
    /// The month of the record.
    pub(crate) at: Month,
}

/// All of one agent, in the order of their records.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Erasures(Vec<Erasure>);

impl Erasure {
    /// Whether it erased what was recorded at this index, in this month.
    pub(crate) fn covers(&self, month: Month, index: u64) -> bool {
        index < self.record && self.spans(month)
    }

    /// Whether it names this month.
    pub(crate) fn spans(&self, month: Month) -> bool {
        (self.from..=self.to).contains(&month)
    }
}

impl Erasures {
    /// Adds one, unless it is there; those that it contains say nothing more.
    pub(crate) fn add(&mut self, erasure: Erasure) {
        let within =
            |one: &Erasure| one.record <= erasure.record && erasure.from <= one.from && one.to <= erasure.to;
        if self.0.iter().all(|one| one.record < erasure.record) {
            self.0.retain(|one| !within(one));
            self.0.push(erasure);
        }
    }

    /// Which record erased what was recorded at this index, in this month.
    pub(crate) fn of(&self, month: Month, index: u64) -> Option<u64> {
        self.0.iter().find(|one| one.covers(month, index)).map(|one| one.record)
    }

    /// The last record before this index that erased this month; 0 if none did, which is no such record.
    pub(crate) fn since(&self, month: Month, index: u64) -> u64 {
        let before = |one: &&Erasure| one.record < index && one.spans(month);
        self.0.iter().rev().find(before).map_or(0, |one| one.record)
    }

    /// The last that spans all of these months.
    pub(crate) fn whole(&self, from: Month, to: Month) -> Option<Erasure> {
        self.0.iter().rev().find(|one| one.from <= from && to <= one.to).copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= MAX_ERASURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erasure(record: u64, from: &str, to: &str) -> Erasure {
        Erasure { record, from: from.parse().unwrap(), to: to.parse().unwrap(), at: to.parse().unwrap() }
    }

    #[test]
    fn what_came_before_the_record_is_erased_and_what_came_after_is_not() {
        let month = |text: &str| text.parse::<Month>().unwrap();
        let mut erased = Erasures::default();
        assert_eq!((erased.of(month("2026-11"), 5), erased.since(month("2026-11"), 5)), (None, 0));
        erased.add(erasure(10, "2026-10", "2026-11"));
        erased.add(erasure(20, "2026-11", "2026-12"));
        for (at, index, by, since) in [
            ("2026-09", 5, None, 0),
            ("2026-10", 5, Some(10), 0),
            ("2026-10", 10, None, 0),
            ("2026-10", 11, None, 10),
            ("2026-11", 5, Some(10), 0),
            ("2026-11", 11, Some(20), 10),
            ("2026-11", 21, None, 20),
            ("2026-12", 19, Some(20), 0),
            ("2027-01", 5, None, 0),
        ] {
            let found = (erased.of(month(at), index), erased.since(month(at), index));
            assert_eq!(found, (by, since), "{at} at {index}");
        }
        assert_eq!(erased.whole(month("2026-11"), month("2026-12")).map(|one| one.record), Some(20));
        assert_eq!(erased.whole(month("2026-10"), month("2026-12")), None);
    }

    #[test]
    fn a_wider_one_takes_the_place_of_those_within_and_erases_as_much() {
        let mut erased = Erasures::default();
        for record in 1..100 {
            erased.add(erasure(record, "2026-11", "2026-11"));
        }
        assert_eq!(erased.0.len(), 1);
        erased.add(erasure(50, "2020-01", "2026-12"));
        assert_eq!(erased.0.len(), 1, "read once more");
        erased.add(erasure(100, "2020-01", "2026-12"));
        assert_eq!(erased.0, [erasure(100, "2020-01", "2026-12")]);
        assert_eq!(erased.of("2026-11".parse().unwrap(), 99), Some(100));
    }
}
