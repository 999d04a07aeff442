//! Retiring an agent for good.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::agent::AgentState;
use crate::id::AgentId;
use crate::log::record::Control;
use crate::revoke::{Cause, Said};
use crate::service::error::Error;

#[derive(Clone)]
pub(crate) struct Retire {
    pub(crate) agent: AgentId,
    pub(crate) said: Said,
}

impl Command for Retire {
    const NEED: Need = Need::Reserved;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        let Self { agent, said } = self;
        let entry = known(draft, &agent)?;
        if entry.row.agent.state == AgentState::Retired {
            return Ok(());
        }
        let standing = draft.standing(entry).map(|c| c.facts.revocation(Cause::Retired, draft.now));
        draft.push(agent, None, Control::AgentRetired)?;
        match standing {
            Some(revocation) => draft.revoke_saying(revocation, None, said)?,
            None => draft.end_grace(&agent)?,
        }
        Ok(())
    }
}
