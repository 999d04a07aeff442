//! What an agent's scored events of 30 days amount to, for people who ask: by kind, by band, and the last
//! ones that were against it. Nothing is decided by it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::EventKind;
use crate::log::leaf::Act;
use crate::risk::{Score, Thresholds};
use crate::time::{DAY, UnixTime};

/// Days that are remembered, as in risk histories.
const DAYS: u64 = 30;
/// Events against an agent that are remembered.
const RECENT: usize = 10;
/// In the order in which they are counted; more are only added at the end.
const KINDS: [EventKind; 8] = [
    EventKind::ApiCall,
    EventKind::DataAccess,
    EventKind::DataMutation,
    EventKind::Transaction,
    EventKind::Authentication,
    EventKind::MessageSigned,
    EventKind::MessageVerificationFailed,
    EventKind::Other,
];

/// One day of scored events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DayTally {
    /// Days since 1970, UTC.
    day: u64,
    /// How often the score after an event was low, medium, and high enough to revoke.
    bands: [u32; 3],
    /// Events outside the scope, or with a failed authentication.
    adverse: u32,
    /// Events of each of [`KINDS`], and the sum of the scores after them in millionths.
    kinds: [(u32, u64); KINDS.len()],
}

/// An event outside the scope, or with a failed authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Adverse {
    /// Index in the tenant's log.
    pub index: u64,
    /// Of which kind.
    pub kind: EventKind,
    /// The score after it.
    pub score: Score,
    /// When it was recorded.
    pub at: UnixTime,
}

/// Shared with the copies that drafts make.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Tally {
    /// Oldest first.
    days: VecDeque<DayTally>,
    /// Newest first.
    adverse: VecDeque<Adverse>,
}

/// A kind of event, how many there were, and the sum of the scores after them in millionths.
pub type KindTally = (EventKind, u64, u64);

impl DayTally {
    /// When it began, UTC.
    #[must_use]
    pub const fn begin(&self) -> UnixTime {
        UnixTime::from_millis(self.day.saturating_mul(DAY))
    }

    /// How many scored events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.kinds.iter().map(|(count, _)| u64::from(*count)).sum()
    }

    /// The sum of the scores after them, in millionths.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.kinds.iter().map(|(_, sum)| sum).sum()
    }

    /// How often the score after one was low, medium, and high enough to revoke.
    #[must_use]
    pub const fn bands(&self) -> [u32; 3] {
        self.bands
    }

    /// Events outside the scope, or with a failed authentication.
    #[must_use]
    pub const fn adverse(&self) -> u32 {
        self.adverse
    }

    /// Events by kind, of which there were any.
    pub fn kinds(&self) -> impl Iterator<Item = KindTally> {
        let kinds = KINDS.into_iter().zip(self.kinds).filter(|(_, (count, _))| *count > 0);
        kinds.map(|(kind, (count, sum))| (kind, u64::from(count), sum))
    }

    fn add(&mut self, kind: EventKind, score: Score, thresholds: &Thresholds) {
        let band = match score {
            s if s >= thresholds.revoke() => 2,
            s if s >= thresholds.medium() => 1,
            _ => 0,
        };
        self.bands.iter_mut().skip(band).take(1).for_each(|n| *n = n.saturating_add(1));
        let of_kind = KINDS.iter().zip(&mut self.kinds).find(|(known, _)| **known == kind);
        if let Some((_, (count, sum))) = of_kind {
            *count = count.saturating_add(1);
            *sum = sum.saturating_add(u64::from(score.millionths()));
        }
    }
}

impl Tally {
    pub(crate) fn note(
        this: &mut Arc<Self>,
        (index, at): (u64, UnixTime),
        act: &Act,
        score: Score,
        thresholds: &Thresholds,
    ) {
        let (tally, kind) = (Arc::make_mut(this), act.facts.kind);
        let is_adverse = act.facts.out_of_scope || act.facts.auth_failure;
        let day = tally.days.back().map_or(0, |last| last.day).max(at.millis() / DAY);
        if tally.days.back().is_none_or(|last| last.day < day) {
            tally.days.push_back(DayTally { day, ..DayTally::default() });
            tally.days.retain(|past| past.day.saturating_add(DAYS) > day);
        }
        if let Some(today) = tally.days.back_mut() {
            today.add(kind, score, thresholds);
            today.adverse = today.adverse.saturating_add(u32::from(is_adverse));
        }
        if is_adverse {
            tally.adverse.push_front(Adverse { index, kind, score, at });
            tally.adverse.truncate(RECENT);
        }
    }

    /// The days of the window up to `now`, oldest first.
    pub(crate) fn days(&self, now: UnixTime) -> Vec<DayTally> {
        let today = now.millis() / DAY;
        self.days.iter().filter(|past| past.day.saturating_add(DAYS) > today).copied().collect()
    }

    /// The last events against the agent in that window, newest first.
    pub(crate) fn adverse(&self, now: UnixTime) -> Vec<Adverse> {
        let from = now.minus(DAYS * DAY);
        self.adverse.iter().filter(|event| event.at >= from).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Attribution, Effect, Facts, Outcome};

    fn act(kind: EventKind, out_of_scope: bool) -> Act {
        let facts = Facts {
            kind,
            effect: Effect::Read,
            outcome: Outcome::Ok,
            out_of_scope,
            auth_failure: false,
            amount: None,
            action: 1,
            target: None,
            counterparty: None,
            session: None,
        };
        Act {
            subject: None,
            tool: None,
            action: "read:a".parse().unwrap(),
            correlation: None,
            attribution: Attribution::Possession,
            score: None,
            facts,
            stream: None,
            client_id: None,
            reporter: None,
        }
    }

    #[test]
    fn days_end_and_only_the_last_ten_against_the_agent_are_kept() {
        let (mut tally, thresholds) = (Arc::new(Tally::default()), Thresholds::default());
        let at = |day: u64| UnixTime::from_millis(day * DAY + 5);
        for day in 100..140 {
            for kind in KINDS {
                let score = Score::from_millionths(if day == 139 { 900_000 } else { 100_000 });
                Tally::note(
                    &mut tally,
                    (day, at(day)),
                    &act(kind, kind == EventKind::Other),
                    score,
                    &thresholds,
                );
            }
        }
        // Time does not go back.
        let early = Score::from_millionths(1);
        Tally::note(&mut tally, (999, at(1)), &act(EventKind::ApiCall, false), early, &thresholds);
        let days = tally.days(at(139));
        assert_eq!((days.len(), days[0].begin()), (30, UnixTime::from_millis(110 * DAY)));
        assert_eq!((days[29].events(), days[29].bands(), days[29].adverse()), (9, [1, 0, 8], 1));
        assert_eq!((days[28].total(), days[28].kinds().count()), (800_000, 8));
        let against: Vec<_> = tally.adverse(at(139)).iter().map(|event| event.index).collect();
        assert_eq!(against, (130..140).rev().collect::<Vec<_>>());
        assert_eq!(
            (tally.days(at(150)).len(), tally.days(at(170)).len(), tally.adverse(at(170)).len()),
            (19, 0, 0)
        );
        let stored = serde_json::to_vec(&*tally).unwrap();
        assert_eq!(serde_json::from_slice::<Tally>(&stored).unwrap(), *tally);
        assert!(stored.len() < 8_192, "{}", stored.len());
    }
}
