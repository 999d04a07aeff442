//! Registering: agents are found again by their names, and not replaced under them while they are suspended.

use super::decide::{Command, Need};
use super::draft::Draft;
use crate::agent::{Agent, AgentError};
use crate::log::record::Control;
use crate::service::error::Error;
use crate::service::state::names::Class;

/// Registers an agent.
#[derive(Clone)]
pub(crate) struct Register(pub(crate) Agent);

/// Finds the agent of that name, or registers this one.
#[derive(Clone)]
pub(crate) struct Ensure(pub(crate) Agent);

impl Command for Register {
    const NEED: Need = Need::Ordinary;
    type Answer = Agent;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Agent, Error> {
        let Self(new) = self;
        draft.may_be_named(&new.spec.name)?;
        draft.push(new.id, None, Control::AgentRegistered(new.clone()))?;
        Ok(new)
    }
}

impl Command for Ensure {
    const NEED: Need = Need::Ordinary;
    type Answer = Agent;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Agent, Error> {
        let Self(new) = self;
        let name = &new.spec.name;
        draft.may_be_named(name)?;
        if let Some(found) = draft.named(name, Class::Usable) {
            return Ok(found.clone());
        }
        if let Some(Agent { state, .. }) = draft.named(name, Class::Retired) {
            let step = "be used again; register another by an order of its own";
            return Err(AgentError::State { state: *state, step }.into());
        }
        Register(new).decide(draft)
    }
}
