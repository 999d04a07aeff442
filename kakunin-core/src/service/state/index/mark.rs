//! As what a record is found: its kind, of an event how it ended, and the score after it.
//!
//! Which band a score is in, the policy says that is in force when somebody reads. So the index keeps scores, in steps; what
//! a threshold cuts through is decided by the record.

use crate::event::{EventKind, Outcome};
use crate::log::leaf::{Leaf, kind_code, outcome_code};
use crate::log::record::EVENT;

/// Marks of events: this, three bits of kind, two of outcome.
const EVENTS: u8 = 0b1100_0000;
/// Records whose kind has no mark of its own.
const OTHERS: u8 = EVENTS - 1;
/// No score.
const NONE: u8 = u8::MAX;
/// Millionths of a step, and of a coarse one: thresholds are mostly multiples of them.
const STEP: u32 = 5_000;
const COARSE: u32 = 50_000;

/// As what a record is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    kind: u8,
    score: u8,
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    kind: u8,
    /// The least and the greatest millionths of the score.
    pub(crate) scores: Option<(u32, u32)>,
}

impl Mark {
    pub(crate) fn of(leaf: &Leaf) -> Self {
        let Some(act) = &leaf.act else { return Self { kind: of_kind(leaf.kind), score: NONE } };
        let kind = EVENTS | kind_code(act.facts.kind) << 2 | outcome_code(act.facts.outcome);
        let step = |score: crate::risk::Score| u8::try_from(score.millionths() / STEP).unwrap_or(NONE);
        Self { kind, score: act.score.map_or(NONE, step) }
    }

    pub(super) const fn from_octets([kind, score]: [u8; 2]) -> Self {
        Self { kind, score }
    }

    pub(super) const fn octets(self) -> [u8; 2] {
        [self.kind, self.score]
    }

    /// The same, in coarse steps.
    pub(super) fn coarse(self) -> Self {
        let ratio = u8::try_from(COARSE / STEP).unwrap_or(NONE);
        Self { score: if self.score == NONE { NONE } else { self.score / ratio }, ..self }
    }

    pub(crate) fn meaning(self) -> Meaning {
        self.in_steps(STEP)
    }

    /// Of one in coarse steps.
    pub(crate) fn coarse_meaning(self) -> Meaning {
        self.in_steps(COARSE)
    }

    fn in_steps(self, step: u32) -> Meaning {
        let least = u32::from(self.score) * step;
        let scores = (self.score != NONE).then_some((least, least + step - 1));
        Meaning { kind: self.kind, scores }
    }
}

impl Meaning {
    /// Whether it may be a record of this kind.
    pub(crate) fn may_be(self, kind: u16) -> bool {
        if kind == EVENT { self.is_event() } else { self.kind == of_kind(kind) }
    }

    pub(crate) const fn is_event(self) -> bool {
        self.kind & EVENTS == EVENTS
    }

    /// Whether it is an event of this kind.
    pub(crate) const fn is_act(self, kind: EventKind) -> bool {
        self.is_event() && (self.kind & !EVENTS) >> 2 == kind_code(kind)
    }

    /// Whether it is an event that ended so.
    pub(crate) const fn ended(self, outcome: Outcome) -> bool {
        self.is_event() && self.kind & 0b11 == outcome_code(outcome)
    }
}

/// Of a record that is no event.
fn of_kind(kind: u16) -> u8 {
    u8::try_from(kind).unwrap_or(OTHERS).min(OTHERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::Record;

    #[test]
    fn each_kind_of_record_has_a_mark_and_each_is_what_it_says() {
        for (name, code) in Record::KINDS {
            let mark = Mark { kind: of_kind(*code), score: NONE }.meaning();
            let events = *code == EVENT;
            assert!(events || mark.may_be(*code) && !mark.is_event() && mark.kind != OTHERS, "{name}");
            assert!(Record::KINDS.iter().all(|(_, other)| other == code || !mark.may_be(*other)), "{name}");
        }
        assert_eq!((of_kind(0x8001), of_kind(191), of_kind(192)), (OTHERS, OTHERS, OTHERS));
        for kind in EventKind::ALL {
            for outcome in Outcome::ALL {
                let kind_of = EVENTS | kind_code(*kind) << 2 | outcome_code(*outcome);
                let mark = Mark { kind: kind_of, score: 60 };
                let meaning = mark.meaning();
                assert!(meaning.may_be(EVENT) && meaning.is_act(*kind) && meaning.ended(*outcome));
                assert_eq!(EventKind::ALL.iter().filter(|k| meaning.is_act(**k)).count(), 1);
                assert_eq!(meaning.scores, Some((300_000, 304_999)));
                assert_eq!(mark.coarse().coarse_meaning().scores, Some((300_000, 349_999)));
            }
        }
        let full = Mark { kind: EVENTS, score: 200 };
        assert_eq!(full.coarse().coarse_meaning().scores, Some((1_000_000, 1_049_999)));
    }
}
