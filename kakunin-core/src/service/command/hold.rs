//! Suspending a certificate for a while, and ending that.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use crate::agent::{AgentError, AgentState};
use crate::id::Serial;
use crate::issue::Issued;
use crate::log::record::Control;
use crate::revoke::{Cause, Revocation, RevocationChange, Said};
use crate::service::error::Error;
use crate::service::state::certificates::Standing;

/// Holds a certificate, and the one beside it; of one that is held, the first hold is the answer.
#[derive(Clone)]
pub(crate) struct Hold {
    pub(crate) serial: Serial,
    pub(crate) said: Said,
}

/// Ends a hold.
#[derive(Clone)]
pub(crate) struct Release {
    pub(crate) serial: Serial,
}

const REVOKED: Error = Error::Exists("the certificate is revoked, which is not undone");

impl Command for Hold {
    const NEED: Need = Need::Reserved;
    type Answer = Revocation;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Revocation, Error> {
        let certificate = draft.owned(&self.serial)?;
        match certificate.standing {
            Standing::Held(first) => return Ok(first),
            Standing::Revoked(_) => return Err(REVOKED),
            Standing::Good => {}
        }
        let hold = certificate.facts.revocation(Cause::Hold, draft.now);
        let beside = draft.beside(certificate);
        let state = known(draft, &hold.agent)?.row.agent.state;
        if state == AgentState::Retired {
            return Err(AgentError::State { state, step: "have its certificate held" }.into());
        }
        let good = beside.iter().filter(|other| other.standing == Standing::Good);
        let others = good.map(|other| other.facts.revocation(Cause::Hold, draft.now));
        for hold in [hold].into_iter().chain(others.collect::<Vec<_>>()) {
            draft.revocations.push(RevocationChange::Revoked(hold));
            let held = Control::CertificateHeld { hold, said: self.said.clone() };
            draft.push(hold.agent, Some(hold.serial), held)?;
        }
        Ok(hold)
    }
}

impl Command for Release {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        let certificate = draft.owned(&self.serial)?;
        let agent = certificate.facts.agent;
        match certificate.standing {
            Standing::Good => return Ok(()),
            Standing::Revoked(_) => return Err(REVOKED),
            Standing::Held(_) => {}
        }
        let beside = draft.beside(certificate).into_iter().map(|other| other.facts);
        let both: Vec<_> = [certificate.facts].into_iter().chain(beside).collect();
        // Nothing but a hold of its newest certificate, and of nothing else since, ends with this.
        let row = &known(draft, &agent)?.row;
        match row.agent.state {
            AgentState::Suspended if row.halt.is_some() => return Err(Error::Suspended(agent)),
            AgentState::Active | AgentState::Suspended => {}
            state => return Err(AgentError::State { state, step: "have its certificate released" }.into()),
        }
        draft.end_due_grace(&agent)?;
        for Issued { issuer, serial, .. } in both {
            if matches!(draft.certificate(&serial).map(|c| c.standing), Some(Standing::Held(_))) {
                draft.revocations.push(RevocationChange::Released { issuer, serial });
                draft.push(agent, Some(serial), Control::CertificateReleased { issuer })?;
            }
        }
        Ok(())
    }
}
