//! Trusting a suspended agent again.

use super::abandon::abandon;
use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::agent::{Agent, AgentError, AgentState, Note};
use crate::id::AgentId;
use crate::log::record::Control;
use crate::service::error::Error;

#[derive(Clone)]
pub(crate) struct Reinstate {
    pub(crate) agent: AgentId,
    pub(crate) reason: Note,
    /// Whether a second person approved it.
    pub(crate) approved: bool,
}

impl Command for Reinstate {
    const NEED: Need = Need::Ordinary;
    type Answer = Agent;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Agent, Error> {
        let Self { agent, reason, approved } = self;
        let entry = known(draft, &agent)?;
        let state = entry.row.agent.state;
        let held = draft.standing(entry).is_some() && entry.row.halt.is_none();
        let refused = match state {
            AgentState::Suspended if held => Some("be reinstated: release its certificate, which is held"),
            AgentState::Suspended => None,
            _ => Some("be reinstated"),
        };
        if let Some(step) = refused {
            return Err(AgentError::State { state, step }.into());
        }
        if draft.needs_another_to_release() && !approved {
            return Err(Error::SecondPerson);
        }
        abandon(draft, agent)?;
        draft.push(agent, None, Control::AgentReinstated { reason })?;
        Ok(known(draft, &agent)?.row.agent.clone())
    }
}
