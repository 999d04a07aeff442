//! What an agent's owner is told, once, or once a day.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::id::{AgentId, Serial};
use crate::key::KeyRef;
use crate::log::record::{Control, KeyAction};
use crate::service::error::Error;

/// Somebody names a certificate without showing possession. The answer: whether this is the first of the day.
#[derive(Clone)]
pub(crate) struct Suspect {
    pub(crate) serial: Serial,
}

impl Command for Suspect {
    const NEED: Need = Need::Ordinary;
    type Answer = bool;

    fn decide(self, draft: &mut Draft<'_>) -> Result<bool, Error> {
        let agent = draft.agent_of(&self.serial).ok_or(Error::NO_CERTIFICATE)?;
        if known(draft, &agent)?.row.alerted_today(draft.time) {
            return Ok(false);
        }
        draft.push(agent, Some(self.serial), Control::PossessionMissing)?;
        Ok(true)
    }
}

/// An agent renews its certificate more often than it may.
#[derive(Clone)]
pub(crate) struct RefuseSelfRenewal {
    pub(crate) agent: AgentId,
}

impl Command for RefuseSelfRenewal {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        // Its key signed what was refused.
        draft.end_grace(&self.agent)?;
        let row = &known(draft, &self.agent)?.row;
        if row.refused_today(draft.time) {
            return Ok(());
        }
        let serial = row.agent.certificate;
        Ok(draft.push(self.agent, serial, Control::SelfRenewalRefused)?)
    }
}

/// The key provider fails for long to do what was decided.
#[derive(Clone)]
pub(crate) struct DelayKeyTask {
    pub(crate) agent: AgentId,
    pub(crate) serial: Option<Serial>,
    pub(crate) key: KeyRef,
    pub(crate) action: KeyAction,
}

impl Command for DelayKeyTask {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        let Self { agent, serial, key, action } = self;
        known(draft, &agent)?;
        Ok(draft.push(agent, serial, Control::KeyTaskDelayed { key, action })?)
    }
}
