//! Suspending a certificate for a while, and ending that.

use super::decide::{Command, Need};
use super::draft::{Draft, known};
use super::verdict::RELEASED;
use crate::agent::{AgentError, AgentState};
use crate::error::StoreError;
use crate::id::{AgentId, Serial};
use crate::issue::Issued;
use crate::log::record::{Braked, Control};
use crate::policy::Verdict;
use crate::revoke::{Cause, Revocation, RevocationChange, Said};
use crate::service::error::Error;
use crate::service::state::certificates::{self, Standing};

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
    /// Whether a second person approved it.
    pub(crate) approved: bool,
}

const REVOKED: Error = Error::Exists("the certificate is revoked, which is not undone");

impl Command for Hold {
    const NEED: Need = Need::Reserved;
    type Answer = Revocation;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Revocation, Error> {
        let certificate = draft.owned(&self.serial)?;
        match certificate.standing {
            Standing::Held(first) => return draft.hold_further(first, self.said),
            Standing::Revoked(_) => return Err(REVOKED),
            Standing::Good => {}
        }
        let facts = certificate.facts;
        let state = known(draft, &facts.agent)?.row.agent.state;
        if state == AgentState::Retired {
            return Err(AgentError::State { state, step: "have its certificate held" }.into());
        }
        draft.hold(&facts, self.said, None)?;
        Ok(facts.revocation(Cause::Hold, draft.now))
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
        // Nothing but a hold of its newest certificate, and of nothing else since, ends with this.
        let row = &known(draft, &agent)?.row;
        match row.agent.state {
            AgentState::Suspended if row.halt.is_some() => return Err(Error::Suspended(agent)),
            AgentState::Active | AgentState::Suspended => {}
            state => return Err(AgentError::State { state, step: "have its certificate released" }.into()),
        }
        if draft.needs_another_to_release() && !self.approved {
            return Err(Error::SecondPerson);
        }
        // Else the next event would have it held again.
        if row.braked.is_some() {
            draft.judge(&agent, Verdict::Dismiss, RELEASED.to_owned().try_into()?)?;
        }
        draft.release(&self.serial)
    }
}

impl Draft<'_> {
    /// Holds a certificate that stands well, and the one beside it.
    pub(super) fn hold(
        &mut self,
        facts: &Issued,
        said: Said,
        braked: Option<Braked>,
    ) -> Result<(), StoreError> {
        let beside = self.certificate(&facts.serial).map(|certificate| self.beside(certificate));
        let good = beside.into_iter().flatten().filter(|other| other.standing == Standing::Good);
        let both: Vec<_> = [*facts].into_iter().chain(good.map(|other| other.facts)).collect();
        for facts in both {
            let hold = facts.revocation(Cause::Hold, self.now);
            self.revocations.push(RevocationChange::Revoked(hold));
            let held = Control::CertificateHeld { hold, said: said.clone(), braked: braked.clone() };
            self.push(hold.agent, Some(hold.serial), held)?;
        }
        Ok(())
    }

    /// Of a certificate that is held already: one that the breaker holds is a person's hold from here on, which is not
    /// released with the others.
    fn hold_further(&mut self, first: Revocation, said: Said) -> Result<Revocation, Error> {
        if known(self, &first.agent)?.row.braked.is_some() {
            let held = Control::CertificateHeld { hold: first, said, braked: None };
            self.push(first.agent, Some(first.serial), held)?;
        }
        Ok(first)
    }

    /// The newest certificate of an agent, if it is held: also one that ran out meanwhile, because its agent is as
    /// suspended as before.
    pub(super) fn held_of(&self, agent: &AgentId) -> Option<Issued> {
        let newest = certificates::present(&self.certificates, self.agent(agent)?)?;
        matches!(newest.standing, Standing::Held(_)).then_some(newest.facts)
    }

    /// Releases what is held of an agent.
    pub(super) fn release_of(&mut self, agent: &AgentId) -> Result<(), Error> {
        self.held_of(agent).map_or(Ok(()), |held| self.release(&held.serial))
    }

    fn release(&mut self, serial: &Serial) -> Result<(), Error> {
        let certificate = self.owned(serial)?;
        let (facts, beside) = (certificate.facts, self.beside(certificate));
        let both: Vec<_> = [facts].into_iter().chain(beside.into_iter().map(|other| other.facts)).collect();
        self.end_due_grace(&facts.agent)?;
        for Issued { issuer, serial, agent, .. } in both {
            if matches!(self.certificate(&serial).map(|c| c.standing), Some(Standing::Held(_))) {
                self.revocations.push(RevocationChange::Released { issuer, serial });
                self.push(agent, Some(serial), Control::CertificateReleased { issuer })?;
            }
        }
        Ok(())
    }
}
