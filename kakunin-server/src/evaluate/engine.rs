//! The model over calls, as a server would feed it: facts of an event, then the history.

use std::sync::Arc;

use kakunin_core::event::{Event, TokenKey};
use kakunin_core::id::Serial;
use kakunin_core::risk::{History, Prior, RiskModel, Score};

use super::agents::Agent;
use super::call::Call;
use super::folder::Folder;
use crate::models::Model;

/// The score from which a server revokes, in millionths, unless a policy says otherwise.
pub(super) const REVOKE: u32 = 850_000;
/// The score from which it warns.
pub(super) const WARN: u32 = 750_000;

/// A model, its prior, and a key for names; scores do not depend on which key that is.
#[derive(Debug)]
pub(super) struct Engine {
    model: Arc<dyn RiskModel>,
    prior: Prior,
    tokens: TokenKey,
    serial: Serial,
}

/// An agent with the score after each of its calls, in the order of these.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) agent: &'a Agent,
    pub(super) scores: Vec<u32>,
}

impl Engine {
    pub(super) fn new(model: &Model) -> Self {
        // Of a serial nothing gets into the facts.
        let Some(serial) = Serial::from_bytes([1; 16]) else { unreachable!("a serial of ones is one") };
        Self { model: model.0.clone(), prior: Prior::default(), tokens: TokenKey::new([7; 32]), serial }
    }

    /// Takes a call in, and gives the score after it, in millionths.
    pub(super) fn take(&self, history: &mut History, call: &Call) -> u32 {
        let facts = self.tokens.facts(&self.event(call));
        let assessment = self.model.assess(history, &self.prior, call.at, &facts);
        history.record(&*self.model, call.at, &facts, &assessment);
        assessment.score.millionths()
    }

    fn event(&self, call: &Call) -> Event {
        let mut event = Event::new(self.serial, call.action.clone(), call.outcome);
        event.out_of_scope = call.outside;
        event.auth_failure = call.auth_failure;
        event.session.clone_from(&call.session);
        event.target.clone_from(&call.target);
        event.counterparty.clone_from(&call.counterparty);
        event.amount.clone_from(&call.amount);
        event
    }

    pub(super) fn judge<'a>(&self, folder: &'a Folder) -> Vec<Judged<'a>> {
        let judge = |agent: &'a Agent| {
            let mut history = History::default();
            let scores = agent.calls.iter().map(|call| self.take(&mut history, call)).collect();
            Judged { agent, scores }
        };
        folder.agents.iter().map(judge).collect()
    }
}

impl Judged<'_> {
    /// Each call's number and the score after it.
    pub(super) fn each(&self) -> impl Iterator<Item = (u64, u32)> {
        self.agent.calls.iter().map(|call| call.seq).zip(self.scores.iter().copied())
    }

    /// The first call, by number, from which the score reaches `threshold`.
    pub(super) fn flag(&self, threshold: u32) -> Option<u64> {
        self.each().filter(|(_, score)| *score >= threshold).map(|(seq, _)| seq).min()
    }

    /// The highest score.
    pub(super) fn peak(&self) -> u32 {
        self.scores.iter().copied().max().unwrap_or_default()
    }

    /// Whether it was flagged after it was compromised, and not before.
    pub(super) fn is_caught(&self, threshold: u32) -> bool {
        !self.agent.is_honest() && self.flag(threshold).is_some_and(|flag| flag >= self.agent.onset)
    }
}

/// A score, as it is shown.
pub(super) fn shown(millionths: u32) -> Score {
    Score::from_millionths(millionths)
}
