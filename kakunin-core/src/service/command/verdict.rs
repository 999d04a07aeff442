//! What people say of an agent's score.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::agent::{AgentError, AgentState, Note};
use crate::id::AgentId;
use crate::log::record::{Control, VerdictGiven};
use crate::policy::{Mode, RiskState, Verdict};
use crate::revoke::{Cause, Said};
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::folding::standing_of;

/// Why evidence is dismissed with a hold of the breaker's that is released without a word.
pub(super) const RELEASED: &str = "released from the breaker's hold";

/// A verdict, and what it brings with it.
#[derive(Clone)]
pub(crate) struct Judge {
    pub(crate) agent: AgentId,
    pub(crate) verdict: Verdict,
    pub(crate) reason: Note,
    /// For what the identity is taken away, if it is.
    pub(crate) cause: Cause,
}

impl Command for Judge {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        let Self { agent, verdict, reason, cause } = self;
        let entry = known(draft, &agent)?;
        let (state, braked) = (entry.row.agent.state, entry.row.braked.is_some());
        if state == AgentState::Retired {
            return Err(AgentError::State { state, step: "be judged" }.into());
        }
        if !matches!(cause, Cause::KeyCompromise | Cause::RiskThresholdExceeded) {
            return Err(Error::VerdictCause);
        }
        let standing = draft.standing(entry).map(|certificate| certificate.facts);
        if verdict != Verdict::ConfirmCompromised && braked && draft.needs_another_to_release() {
            return Err(Error::SecondPerson);
        }
        draft.judge(&agent, verdict, reason.clone())?;
        match (verdict, standing) {
            (Verdict::ConfirmCompromised, Some(facts)) => {
                let said = Said { reason: None, note: Some(reason) };
                draft.revoke_saying(facts.revocation(cause, draft.now), None, said)?;
            }
            (Verdict::Dismiss | Verdict::ConfirmSafe, _) if braked => draft.release_of(&agent)?,
            _ => {}
        }
        Ok(())
    }
}

/// A verdict that takes the identity away, also where there is no room for anything else.
#[derive(Clone)]
pub(crate) struct Condemn(pub(crate) Judge);

impl Command for Condemn {
    const NEED: Need = Need::Reserved;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        self.0.decide(draft)
    }
}

impl Draft<'_> {
    /// Puts a verdict on record, about the score as it is now.
    pub(super) fn judge(&mut self, agent: &AgentId, verdict: Verdict, reason: Note) -> Result<(), Error> {
        let entry = known(self, agent)?;
        let (score, band) = standing_of(entry, self.judging, &self.policy.policy, self.time);
        let serial = entry.row.agent.certificate;
        let given = VerdictGiven { verdict, reason, score, band };
        Ok(self.push(*agent, serial, Control::RiskVerdict(given))?)
    }

    /// That an agent's score does not stand in the way of a certificate: from the threshold of revocation on a person
    /// decides first.
    pub(super) fn may_be_certified(&self, entry: &AgentEntry) -> Result<(), Error> {
        let policy = &self.policy.policy;
        let (score, _) = standing_of(entry, self.judging, policy, self.time);
        let allows = policy.mode == Mode::Observe || score < policy.thresholds.revoke();
        // Also of one that had no certificate to lose.
        let allows = allows && entry.row.risk_state != RiskState::ConfirmedCompromised;
        if allows { Ok(()) } else { Err(Error::VerdictNeeded(entry.row.agent.id)) }
    }

    /// Whether a release waits for a second person.
    pub(super) fn needs_another_to_release(&self) -> bool {
        self.policy.policy.second_approver.release
    }
}
