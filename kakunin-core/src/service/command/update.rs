//! Changing what an agent is registered as.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::agent::{Agent, AgentChange, AgentError, AgentState};
use crate::id::AgentId;
use crate::log::record::Control;
use crate::service::error::Error;

#[derive(Clone)]
pub(crate) struct Update {
    pub(crate) agent: AgentId,
    pub(crate) change: AgentChange,
}

impl Command for Update {
    const NEED: Need = Need::Ordinary;
    type Answer = Agent;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Agent, Error> {
        let registered = &known(draft, &self.agent)?.row.agent;
        let state = registered.state;
        if state == AgentState::Retired {
            return Err(AgentError::State { state, step: "be changed" }.into());
        }
        let spec = self.change.applied_to(&registered.spec)?;
        if spec.name != registered.spec.name {
            // Neither out of the way of a new one, nor into the place of a suspended one.
            draft.may_be_named(&registered.spec.name)?;
            draft.may_be_named(&spec.name)?;
        }
        if spec != registered.spec {
            draft.push(self.agent, None, Control::AgentUpdated(spec))?;
        }
        Ok(known(draft, &self.agent)?.row.agent.clone())
    }
}
