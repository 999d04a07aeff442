//! How events become an agent's history, score and tally: the same when they are decided and when they are read back.

use std::sync::Arc;

use super::agent::AgentEntry;
use super::own::Own;
use super::second::Second;
use super::tally::Tally;
use super::usage::Usage;
use crate::log::leaf::Act;
use crate::log::record::{Body, Control, Record, Renewal};
use crate::policy::{Policy, Verdict};
use crate::risk::{Assessment, Band, Models, Prior, RiskModel, Score};
use crate::time::UnixTime;

/// Which model judges, and since which record of the tenant's log: what another one made of an agent before it is nothing that
/// this one could go on from.
#[derive(Clone, Copy)]
pub(crate) struct Judging<'m> {
    pub(crate) model: &'m dyn RiskModel,
    since: Option<u64>,
}

impl<'m> Judging<'m> {
    /// What is recorded next.
    pub(crate) fn now(own: &Own, models: &'m Models) -> Self {
        Self::at(own, u64::MAX, models)
    }

    /// The record at `index`.
    pub(crate) fn at(own: &Own, index: u64, models: &'m Models) -> Self {
        let (since, name) = own.policies.model(index);
        // Where one judges all, no other made anything of anybody.
        Self { model: models.named(name), since: since.filter(|_| !models.is_one()) }
    }
}

/// What scores are made and counted by.
#[derive(Clone, Copy)]
pub(crate) struct Measure<'m> {
    pub(crate) judging: Judging<'m>,
    /// One that runs beside it, and only reports.
    pub(crate) second: Option<&'m dyn RiskModel>,
    pub(crate) prior: &'m Prior,
    /// The one that was in force.
    pub(crate) policy: &'m Policy,
}

impl AgentEntry {
    /// Takes an assessed event into the history.
    pub(crate) fn record(
        &mut self,
        place: (u64, UnixTime),
        act: &Act,
        assessment: &Assessment,
        measure: Measure<'_>,
    ) {
        let at = place.1;
        match measure.second {
            Some(second) => Second::record(&mut self.second, second, measure.prior, (at, &act.facts)),
            // One that runs no more says nothing any more.
            None => self.second = None,
        }
        let judged = (assessment, measure.judging.model.is_ground(self.score, assessment));
        Tally::note(&mut self.tally, place, act, judged, &measure.policy.thresholds);
        Arc::make_mut(&mut self.history).record(measure.judging.model, at, &act.facts, assessment);
        Usage::note(&mut self.usage, at, &act.action, act.facts.outcome);
        (self.score, self.evidence) = (assessment.score, assessment.evidence);
    }

    /// Begins the account of a new certificate. What was refused stays until a person `approved`.
    pub(crate) fn certified(&mut self, reinstates: bool, approved: bool) {
        Usage::begin(&mut self.usage, approved);
        if reinstates {
            self.forgive();
        }
    }

    /// Somebody decided to trust the agent again: the evidence is forgotten, and what it was refused.
    pub(crate) fn forgive(&mut self) {
        Usage::begin(&mut self.usage, true);
        (self.history, self.tally, self.second) = (Arc::default(), Arc::default(), None);
        (self.score, self.evidence) = (Score::default(), [0; 4]);
    }
}

impl AgentEntry {
    /// Whether what is known of it was judged by another model last.
    pub(crate) fn is_of_another(&self, judging: Judging<'_>) -> bool {
        judging.since.is_some_and(|since| self.reach <= since)
    }

    /// Before its next record is taken in: what another model made of it counts no more.
    pub(crate) fn judged_by(&mut self, judging: Judging<'_>) {
        if self.is_of_another(judging) {
            Arc::make_mut(&mut self.history).dismiss();
            Arc::make_mut(&mut self.tally).dismiss();
            (self.score, self.evidence) = (Score::default(), [0; 4]);
        }
    }

    /// A person judged the score: what makes it up counts no more.
    fn judged(&mut self, verdict: Verdict, at: UnixTime) {
        let history = Arc::make_mut(&mut self.history);
        match verdict {
            Verdict::ConfirmCompromised => return,
            Verdict::ConfirmSafe => history.teach(at, self.tally.doubted(at)),
            Verdict::Dismiss => {}
        }
        history.dismiss();
        Second::dismiss(&mut self.second);
        Arc::make_mut(&mut self.tally).dismiss();
        (self.score, self.evidence) = (Score::default(), [0; 4]);
    }
}

/// Folds one record into the agent's risk history, as it was folded when it was decided; whoever applies it has called
/// [`AgentEntry::judged_by`] before. Gives the score on record and the one that came out, if it was scored.
pub(crate) fn fold(
    entry: &mut AgentEntry,
    index: u64,
    record: &Record,
    measure: Measure<'_>,
) -> Option<(Score, Score)> {
    entry.reach = entry.reach.max(index + 1);
    match &record.body {
        Body::Event(act, _) => {
            let recorded = act.score?;
            let assessment =
                measure.judging.model.assess(&entry.history, measure.prior, record.time, &act.facts);
            entry.record((index, record.time), act, &assessment, measure);
            return Some((recorded, assessment.score));
        }
        Body::Control(control) => match &**control {
            Control::CertificateIssued { reinstates, renewal, .. } => {
                entry.certified(*reinstates, renewal.as_ref().is_some_and(Renewal::is_approved));
            }
            Control::AgentReinstated { .. } => entry.forgive(),
            Control::RiskVerdict(given) => entry.judged(given.verdict, record.time),
            _ => {}
        },
    }
    None
}

/// An agent's score and band now; they fall while nothing happens.
pub(crate) fn standing_of(
    entry: &AgentEntry,
    judging: Judging<'_>,
    policy: &Policy,
    now: UnixTime,
) -> (Score, Band) {
    let score = match entry.is_of_another(judging) {
        true => Score::default(),
        false => judging.model.current(&entry.history, now).min(entry.score),
    };
    (score, policy.band(score, entry.row.band))
}
