//! Stopping an agent at once.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::agent::{AgentError, AgentState};
use crate::id::{AgentId, HaltId};
use crate::log::record::Control;
use crate::revoke::{Cause, Halt, Receipt, Said};
use crate::service::error::Error;

/// Suspends an agent, and revokes its certificate; of one that is stopped, the first stop is the answer.
#[derive(Clone)]
pub(crate) struct StopAgent {
    pub(crate) id: HaltId,
    pub(crate) agent: AgentId,
    pub(crate) cause: Cause,
    pub(crate) said: Said,
}

impl Command for StopAgent {
    const NEED: Need = Need::Reserved;
    type Answer = Halt;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Halt, Error> {
        let Self { id, agent, cause, said } = self;
        let entry = known(draft, &agent)?;
        let state = entry.row.agent.state;
        if let Some(first) = entry.row.halt.filter(|_| state == AgentState::Suspended) {
            return Ok(first);
        }
        if state == AgentState::Retired {
            return Err(AgentError::State { state, step: "be halted" }.into());
        }
        let standing = draft.standing(entry).map(|c| c.facts);
        let halt = Halt { id, cause, serial: standing.map(|facts| facts.serial), at: draft.now };
        draft.push(agent, halt.serial, Control::AgentHalted { halt, said: said.clone() })?;
        match standing {
            Some(facts) => draft.revoke_saying(facts.revocation(cause, draft.now), None, said)?,
            None => draft.end_grace(&agent)?,
        }
        Ok(halt)
    }
}

/// Keeps the receipt of a stop with it.
#[derive(Clone)]
pub(crate) struct KeepReceipt {
    pub(crate) agent: AgentId,
    pub(crate) halt: Halt,
    pub(crate) receipt: Receipt,
}

impl Command for KeepReceipt {
    const NEED: Need = Need::Reserved;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        let record = Control::HaltReceipt { halt: self.halt.id, receipt: self.receipt };
        Ok(draft.push(self.agent, self.halt.serial, record)?)
    }
}
