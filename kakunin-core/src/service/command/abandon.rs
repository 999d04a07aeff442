//! Giving up what was planned for an agent.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::id::AgentId;
use crate::log::record::Control;
use crate::revoke::Cause;
use crate::service::error::Error;

/// Gives it up. The answer: whether there was anything.
#[derive(Clone)]
pub(crate) struct Abandon {
    pub(crate) agent: AgentId,
}

impl Command for Abandon {
    const NEED: Need = Need::Reserved;
    type Answer = bool;

    fn decide(self, draft: &mut Draft<'_>) -> Result<bool, Error> {
        abandon(draft, self.agent)
    }
}

/// Records that what was planned for an agent is given up.
pub(crate) fn abandon(draft: &mut Draft<'_>, agent: AgentId) -> Result<bool, Error> {
    let Some(plan) = known(draft, &agent)?.row.plan.clone() else {
        return Ok(false);
    };
    if let Some((facts, _)) = plan.facts {
        let revocation = facts.revocation(Cause::Abandoned, draft.now);
        draft.revoke(revocation, None)?;
    }
    if let Some(planned) = &plan.planned {
        draft.push(agent, None, Control::KeyAbandoned { planned: planned.clone() })?;
    }
    Ok(true)
}
