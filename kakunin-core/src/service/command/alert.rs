//! What an agent's owner is told, once, or once a day.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::id::{AgentId, Serial};
use crate::key::KeyRef;
use crate::log::record::{Control, KeyAction};
use crate::service::error::Error;
use crate::service::state::certificates;

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

/// The newest certificates of these agents are about to end, and their owner was not told.
#[derive(Clone)]
pub(crate) struct TellOfExpiry(pub(crate) Vec<AgentId>);

impl Command for TellOfExpiry {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn records(&self) -> usize {
        self.0.len()
    }

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        for agent in self.0 {
            // As it is after what was decided meanwhile.
            let Some(entry) = draft.agent(&agent) else { continue };
            let due = certificates::told_from(&draft.certificates, entry).is_some_and(|at| at <= draft.now);
            let Some(facts) = draft.standing(entry).filter(|_| due).map(|newest| newest.facts) else {
                continue;
            };
            let not_after = facts.not_after;
            draft.push(agent, Some(facts.serial), Control::CertificateExpiring { not_after })?;
        }
        Ok(())
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
