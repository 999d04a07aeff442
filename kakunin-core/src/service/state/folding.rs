//! How events become an agent's history, score and tally: the same when they are decided and when they are read back.

use std::sync::Arc;

use super::agent::AgentEntry;
use super::policy::Policy;
use super::tally::Tally;
use super::usage::Usage;
use crate::log::leaf::Act;
use crate::log::record::{Body, Control, Record, Renewal};
use crate::risk::{Assessment, Band, RiskModel, Score};
use crate::time::UnixTime;

impl AgentEntry {
    /// Takes an assessed event into the history.
    pub(crate) fn record(
        &mut self,
        place: (u64, UnixTime),
        act: &Act,
        assessment: &Assessment,
        (model, policy): (&dyn RiskModel, &Policy),
    ) {
        let at = place.1;
        Tally::note(&mut self.tally, place, act, assessment.score, &policy.thresholds);
        Arc::make_mut(&mut self.history).record(model, at, &act.facts, assessment);
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
        (self.history, self.tally) = (Arc::default(), Arc::default());
        (self.score, self.evidence) = (Score::default(), [0; 4]);
    }
}

/// Folds one record into the agent's risk history, as it was folded when it was decided. Gives the score on record and
/// the one that came out, where these are two.
pub(crate) fn fold(
    entry: &mut AgentEntry,
    index: u64,
    record: &Record,
    model: &dyn RiskModel,
    policy: &Policy,
) -> Option<(Score, Score)> {
    entry.reach = entry.reach.max(index + 1);
    match &record.body {
        Body::Event(act, _) => {
            let recorded = act.score?;
            let assessment = model.assess(&entry.history, &policy.prior, record.time, &act.facts);
            entry.record((index, record.time), act, &assessment, (model, policy));
            return (recorded != assessment.score).then_some((recorded, assessment.score));
        }
        Body::Control(control) => match &**control {
            Control::CertificateIssued { reinstates, renewal, .. } => {
                entry.certified(*reinstates, renewal.as_ref().is_some_and(Renewal::is_approved));
            }
            Control::AgentReinstated { .. } => entry.forgive(),
            _ => {}
        },
    }
    None
}

/// An agent's score and band now; they fall while nothing happens.
pub(crate) fn standing_of(
    entry: &AgentEntry,
    model: &dyn RiskModel,
    policy: &Policy,
    now: UnixTime,
) -> (Score, Band) {
    let score = model.current(&entry.history, now).min(entry.score);
    (score, policy.thresholds.band(score))
}
