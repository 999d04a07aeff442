//! The use of an agent's key at the key provider: granted on record first, and void if trust was taken away meanwhile.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::agent::{AgentError, AgentState};
use crate::grant::Principal;
use crate::id::{AgentId, Serial};
use crate::key::KeyRef;
use crate::log::record::Control;
use crate::service::error::Error;
use crate::service::state::certificates::Standing;

/// Grants a principal the key of an agent's certificate.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) agent: AgentId,
    pub(crate) to: Principal,
}

/// A grant that is on record, and that the provider is about to be told of.
#[derive(Clone)]
pub(crate) struct Granted {
    agent: AgentId,
    serial: Serial,
    pub(crate) key: KeyRef,
    void_before: u64,
}

/// Ends a grant that the provider made after trust was taken away. The answer: whether it stands.
#[derive(Clone)]
pub(crate) struct ConfirmGrant(pub(crate) Granted);

impl Command for Grant {
    const NEED: Need = Need::Ordinary;
    type Answer = Granted;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Granted, Error> {
        let Self { agent, to } = self;
        let entry = known(draft, &agent)?;
        let (state, void_before) = (entry.row.agent.state, entry.row.void_before);
        let good = draft.standing(entry).filter(|c| c.standing == Standing::Good);
        let certificate = good
            .filter(|_| state == AgentState::Active)
            .ok_or(AgentError::State { state, step: "have its key granted without a valid certificate" })?;
        let (serial, key) = (certificate.facts.serial, certificate.key.clone().ok_or(Error::KeyElsewhere)?);
        draft.push(agent, Some(serial), Control::KeyGranted { key: key.clone(), principal: to })?;
        Ok(Granted { agent, serial, key, void_before })
    }
}

impl Command for ConfirmGrant {
    const NEED: Need = Need::Reserved;
    type Answer = Result<(), AgentError>;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Self::Answer, Error> {
        let Self(Granted { agent, serial, key, void_before }) = self;
        let row = &known(draft, &agent)?.row;
        if row.void_before == void_before {
            return Ok(Ok(()));
        }
        let state = row.agent.state;
        draft.push(agent, Some(serial), Control::KeyGrantsVoided { key })?;
        Ok(Err(AgentError::State { state, step: "have the key granted that was asked for before" }))
    }
}
