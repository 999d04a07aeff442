//! What an agent's scored events of 30 days amount to, for people who ask: by kind, by band, and the last
//! ones that were against it. Nothing is decided by it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::event::{EventKind, Facts, Outcome, Token};
use crate::log::leaf::Act;
use crate::risk::{Assessment, Score, Thresholds};
use crate::time::{DAY, UnixTime};

/// Days that are remembered, as in risk histories.
const DAYS: u64 = 30;
/// Events against an agent that are remembered.
const RECENT: usize = 10;
/// Suspicious events whose facts are remembered.
const DOUBTED: usize = 16;
/// Targets that are remembered, at which it failed.
const FAILING: usize = 4;
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
    /// Events that were suspicious, and that nobody dismissed.
    #[serde(default)]
    suspicious: u32,
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
    /// What the last suspicious events were, newest first: a person may say that they are its work.
    #[serde(default)]
    doubted: VecDeque<(UnixTime, Facts)>,
    /// Targets at which it failed of late.
    #[serde(default)]
    failing: Vec<Failing>,
}

/// A target at which an agent failed: with an error, or in authenticating.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Failing {
    /// Its token.
    pub(crate) target: Token,
    /// How often.
    pub(crate) times: u32,
    /// When it did last,
    pub(crate) last: UnixTime,
    /// and in which event.
    pub(crate) index: u64,
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
        (assessment, is_suspicious): (&Assessment, bool),
        thresholds: &Thresholds,
    ) {
        let (tally, kind, score) = (Arc::make_mut(this), act.facts.kind, assessment.score);
        tally.fails((index, at), &act.facts);
        let is_adverse = act.facts.out_of_scope || act.facts.auth_failure;
        let day = tally.days.back().map_or(0, |last| last.day).max(at.millis() / DAY);
        if tally.days.back().is_none_or(|last| last.day < day) {
            tally.days.push_back(DayTally { day, ..DayTally::default() });
            tally.days.retain(|past| past.day.saturating_add(DAYS) > day);
        }
        if let Some(today) = tally.days.back_mut() {
            today.add(kind, score, thresholds);
            today.adverse = today.adverse.saturating_add(u32::from(is_adverse));
            today.suspicious = today.suspicious.saturating_add(u32::from(is_suspicious));
        }
        if is_suspicious {
            tally.doubted.truncate(tally.doubted.len().min(DOUBTED - 1));
            tally.doubted.push_front((at, act.facts));
        }
        if is_adverse {
            tally.adverse.push_front(Adverse { index, kind, score, at });
            tally.adverse.truncate(RECENT);
        }
    }

    fn fails(&mut self, (index, at): (u64, UnixTime), facts: &Facts) {
        let Some(target) = facts.target.or(facts.counterparty) else { return };
        if facts.outcome != Outcome::Error && !facts.auth_failure {
            return;
        }
        // One that failed long ago begins anew.
        self.failing.retain(|known| known.last > at.minus(DAY));
        if let Some(known) = self.failing.iter_mut().find(|known| known.target == target) {
            (known.times, known.last, known.index) = (known.times.saturating_add(1), at, index);
            return;
        }
        if self.failing.len() >= FAILING {
            let longest_ago = (0..).zip(&self.failing).min_by_key(|(_, known)| known.index);
            longest_ago.map(|(place, _)| place).map(|place| self.failing.swap_remove(place));
        }
        self.failing.push(Failing { target, times: 1, last: at, index });
    }

    /// Targets at which it failed since `from`.
    pub(crate) fn failing(&self, from: UnixTime) -> impl Iterator<Item = &Failing> {
        self.failing.iter().filter(move |known| known.last > from)
    }

    /// How many events of the window up to `now` were suspicious, and nobody dismissed them.
    pub(crate) fn suspicious(&self, now: UnixTime) -> u32 {
        let today = now.millis() / DAY;
        let days = self.days.iter().filter(|past| past.day.saturating_add(DAYS) > today);
        days.fold(0, |sum, day| sum.saturating_add(day.suspicious))
    }

    /// What the last suspicious events of the window up to `now` were.
    pub(crate) fn doubted(&self, now: UnixTime) -> impl Iterator<Item = &Facts> {
        let from = now.minus(DAYS * DAY);
        self.doubted.iter().filter(move |(at, _)| *at >= from).map(|(_, facts)| facts)
    }

    /// What was suspicious is so no more.
    pub(crate) fn dismiss(&mut self) {
        self.days.iter_mut().for_each(|day| day.suspicious = 0);
        self.doubted.clear();
        self.failing.clear();
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
    use crate::event::{Attribution, Effect};

    fn scored(score: u32) -> Assessment {
        Assessment { score: Score::from_millionths(score), evidence: [0; 4], surprise: [0; 4] }
    }

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
            once: false,
        }
    }

    #[test]
    fn days_end_and_only_the_last_ten_against_the_agent_are_kept() {
        let (mut tally, thresholds) = (Arc::new(Tally::default()), Thresholds::default());
        let at = |day: u64| UnixTime::from_millis(day * DAY + 5);
        for day in 100..140 {
            for kind in KINDS {
                let score = scored(if day == 139 { 900_000 } else { 100_000 });
                let act = act(kind, kind == EventKind::Other);
                Tally::note(
                    &mut tally,
                    (day, at(day)),
                    &act,
                    (&score, kind == EventKind::Other),
                    &thresholds,
                );
            }
        }
        // Time does not go back.
        Tally::note(
            &mut tally,
            (999, at(1)),
            &act(EventKind::ApiCall, false),
            (&scored(1), false),
            &thresholds,
        );
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
        assert_eq!(
            (tally.suspicious(at(139)), tally.suspicious(at(168)), tally.doubted(at(139)).count()),
            (30, 1, 16)
        );
        assert_eq!(tally.doubted(at(168)).count(), 2, "what is long past teaches nobody");
        Arc::make_mut(&mut tally).dismiss();
        assert_eq!((tally.suspicious(at(139)), tally.doubted(at(139)).count()), (0, 0));
        assert_eq!(tally.adverse(at(139)).len(), 10, "what happened stays");
    }

    #[test]
    fn the_last_targets_at_which_it_failed_are_remembered_for_a_day() {
        let (mut tally, thresholds) = (Arc::new(Tally::default()), Thresholds::default());
        let at = |minute: u64| UnixTime::from_millis(100 * DAY + minute * 60_000);
        let mut fails = |index: u64, target, outcome| {
            let act = act(EventKind::ApiCall, false);
            let facts = Facts { target, outcome, ..act.facts };
            Tally::note(
                &mut tally,
                (index, at(index)),
                &Act { facts, ..act },
                (&scored(1), false),
                &thresholds,
            );
            let mut all: Vec<_> = tally.failing(at(0)).map(|f| (f.target, f.times, f.index)).collect();
            all.sort_unstable();
            all
        };
        assert_eq!(fails(1, None, Outcome::Error), [], "nobody is named");
        assert_eq!(fails(2, Some(7), Outcome::Ok), []);
        assert_eq!(fails(3, Some(7), Outcome::Error), [(7, 1, 3)]);
        assert_eq!(fails(4, Some(7), Outcome::Error), [(7, 2, 4)]);
        for target in 8..11 {
            fails(target, Some(target), Outcome::Error);
        }
        assert_eq!(fails(20, Some(7), Outcome::Error).len(), 4);
        let all = fails(21, Some(99), Outcome::Error);
        assert_eq!(all, [(7, 3, 20), (9, 1, 9), (10, 1, 10), (99, 1, 21)], "the oldest leaves");
        assert_eq!(fails(2_000, Some(1), Outcome::Error), [(1, 1, 2_000)], "and all after a day");
    }
}
