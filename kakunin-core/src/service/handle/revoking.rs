//! Taking identities away, for whatever cause: one path, idempotent, never undone. Holds beside it.

use crate::agent::{AgentError, AgentState, Note};
use crate::id::{AgentId, HaltId, Serial, TenantId};
use crate::issue::Issued;
use crate::log::record::Control;
use crate::revoke::{Cause, Halt, Revocation, RevocationChange, Said};
use crate::service::command::draft::{Draft, known};
use crate::service::effects::running::Kakunin;
use crate::service::error::Error;
use crate::service::state::certificates::{CertificateState, Standing};

impl Kakunin {
    /// Revokes a certificate, and with it the one that stands beside it after a renewal, unless it is the older one and
    /// the cause that it is superseded. The first cause stands: revoking it again gives the first revocation.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// # use kakunin_core::prelude::*;
    /// # use kakunin_kms::local::LocalKeys;
    /// # use std::sync::Arc;
    /// #
    /// # let mut config = Config::new("agents.example")?;
    /// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    /// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    /// # let kakunin = Kakunin::open(config, parts).await?;
    /// # let acme = "acme".parse()?;
    /// # kakunin.create_tenant(&acme).await?;
    /// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
    /// # let agent = kakunin.register(&acme, spec).await?;
    /// # let key = KeySource::Provider(KeyAlgorithm::P256);
    /// # let issued = kakunin.certify(&acme, &agent.id, Profile::Standard, key).await?;
    /// kakunin.revoke(&acme, &issued.facts.serial, Cause::KeyCompromise).await?;
    /// let again = kakunin.revoke(&acme, &issued.facts.serial, Cause::Retired).await?;
    /// assert_eq!(again.cause, Cause::KeyCompromise);
    /// // Verifiers in this process refuse it from here on; others follow the CRL or the feed.
    /// let known = kakunin.revocations().reason(&issued.facts.issuer, &issued.facts.serial)?;
    /// assert_eq!(known, Some(Reason::KeyCompromise));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`] if the certificate is not of this tenant's.
    pub async fn revoke(
        &self,
        tenant: &TenantId,
        serial: &Serial,
        cause: Cause,
    ) -> Result<Revocation, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let (serial, said) = (*serial, self.said.clone());
        let revoked = inner
            .decide_reserved(&tenant, self.by.clone(), move |draft| {
                let certificate = certificate(draft, &serial)?;
                if let Standing::Revoked(first) = certificate.standing {
                    return Ok(first);
                }
                let revocation = certificate.facts.revocation(cause, draft.now);
                draft.revoke_saying(revocation, None, said)?;
                Ok(revocation)
            })
            .await?;
        // The identity is gone already; a provider that does not answer now is asked again later.
        inner.run_key_tasks(&tenant).await;
        Ok(revoked)
    }

    /// Stops an agent at once: its certificate, if it has one, is revoked for `cause`, and it stays
    /// suspended until [`Kakunin::reinstate`]. Join tokens, grants and certificates in the making are void with it.
    /// Stopping a stopped agent gives the first stop.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// # use kakunin_core::prelude::*;
    /// # use kakunin_kms::local::LocalKeys;
    /// # use std::sync::Arc;
    /// #
    /// # let mut config = Config::new("agents.example")?;
    /// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    /// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    /// # let kakunin = Kakunin::open(config, parts).await?;
    /// # let acme = "acme".parse()?;
    /// # kakunin.create_tenant(&acme).await?;
    /// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// # let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
    /// # let agent = kakunin.register(&acme, spec).await?;
    /// # let key = KeySource::Provider(KeyAlgorithm::P256);
    /// # let issued = kakunin.certify(&acme, &agent.id, Profile::Standard, key).await?;
    /// let halt = kakunin.halt(&acme, &agent.id, Cause::KillSwitchActivated, None).await?;
    /// assert_eq!(halt.serial, Some(issued.facts.serial));
    /// let refused = kakunin.certify(&acme, &agent.id, Profile::Standard, KeySource::default()).await;
    /// assert_eq!(refused.unwrap_err().code(), "agent_suspended");
    /// kakunin.reinstate(&acme, &agent.id, "its prompt was mended".to_owned().try_into()?).await?;
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if it is retired.
    pub async fn halt(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        cause: Cause,
        note: Option<Note>,
    ) -> Result<Halt, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let id = HaltId::generate(inner.now(), &*inner.parts.entropy)?;
        let (agent, reason) = (*agent, self.said.reason.clone());
        let said = Said { reason, note: note.or_else(|| self.said.note.clone()) };
        let halted = inner
            .decide_reserved(&tenant, self.by.clone(), move |draft| {
                let entry = known(draft, &agent)?;
                let state = entry.row.agent.state;
                if let Some(first) = entry.row.halt.filter(|_| state == AgentState::Suspended) {
                    return Ok(first);
                }
                if state == AgentState::Retired {
                    return Err(AgentError::State { state, step: "be halted" }.into());
                }
                let standing = draft.standing(entry).map(|c| c.facts);
                let halt = Halt { id, cause, serial: standing.map(|facts| facts.serial), at: draft.now };
                draft.push(agent, halt.serial, Control::AgentHalted { halt, said: said.clone() })?;
                match standing {
                    Some(facts) => draft.revoke_saying(facts.revocation(cause, draft.now), None, said)?,
                    None => draft.end_grace(&agent)?,
                }
                Ok(halt)
            })
            .await?;
        inner.run_key_tasks(&tenant).await;
        Ok(halted)
    }

    /// Records that somebody uses an agent's certificate, or names it, without showing possession: an
    /// alert for its owner, once a day and agent. It moves no score. Says whether this was the first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn suspect_impersonation(&self, serial: &Serial) -> Result<bool, Error> {
        let inner = &self.inner;
        let tenant = inner.serials.tenant(serial).ok_or(Error::NotFound("certificate"))?;
        let tenant = inner.tenant(&tenant).await?;
        let serial = *serial;
        inner
            .decide(&tenant, None, move |draft| {
                let agent = draft.agent_of(&serial).ok_or(Error::NotFound("certificate"))?;
                if known(draft, &agent)?.row.alerted_today(draft.time) {
                    return Ok(false);
                }
                draft.push(agent, Some(serial), Control::PossessionMissing)?;
                Ok(true)
            })
            .await
    }

    /// Suspends a certificate until [`Kakunin::release`], and with it the one that stands beside it after a renewal.
    /// Holding a held one gives the first hold.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if it is revoked already; [`Error::Agent`] if its agent is retired.
    pub async fn hold(&self, tenant: &TenantId, serial: &Serial) -> Result<Revocation, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let (serial, said) = (*serial, self.said.clone());
        let held = inner
            .decide_reserved(&tenant, self.by.clone(), move |draft| {
                let certificate = certificate(draft, &serial)?;
                match certificate.standing {
                    Standing::Held(first) => return Ok(first),
                    Standing::Revoked(_) => {
                        return Err(Error::Exists("the certificate is revoked, which is not undone"));
                    }
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
                    let held = Control::CertificateHeld { hold, said: said.clone() };
                    draft.push(hold.agent, Some(hold.serial), held)?;
                }
                Ok(hold)
            })
            .await?;
        inner.run_key_tasks(&tenant).await;
        Ok(held)
    }

    /// Ends a hold: the certificate is accepted again, and the one that was held with it until its grace is over. Releasing what is not held changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Exists`] if it is revoked; [`Error::Suspended`] if its agent was halted, too;
    /// [`Error::Agent`] if that is retired, or has no certificate.
    pub async fn release(&self, tenant: &TenantId, serial: &Serial) -> Result<(), Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let serial = *serial;
        inner
            .decide(&tenant, self.by.clone(), move |draft| {
                let certificate = certificate(draft, &serial)?;
                let agent = certificate.facts.agent;
                match certificate.standing {
                    Standing::Good => return Ok(()),
                    Standing::Revoked(_) => {
                        return Err(Error::Exists("the certificate is revoked, which is not undone"));
                    }
                    Standing::Held(_) => {}
                }
                let beside = draft.beside(certificate).into_iter().map(|other| other.facts);
                let both: Vec<_> = [certificate.facts].into_iter().chain(beside).collect();
                // Nothing but a hold of its newest certificate, and of nothing else since, ends with this.
                let row = &known(draft, &agent)?.row;
                match row.agent.state {
                    AgentState::Suspended if row.halt.is_some() => return Err(Error::Suspended(agent)),
                    AgentState::Active | AgentState::Suspended => {}
                    state => {
                        return Err(AgentError::State { state, step: "have its certificate released" }.into());
                    }
                }
                draft.end_due_grace(&agent)?;
                for Issued { issuer, serial, .. } in both {
                    if matches!(draft.certificate(&serial).map(|c| c.standing), Some(Standing::Held(_))) {
                        draft.revocations.push(RevocationChange::Released { issuer, serial });
                        draft.push(agent, Some(serial), Control::CertificateReleased { issuer })?;
                    }
                }
                Ok(())
            })
            .await?;
        inner.run_key_tasks(&tenant).await;
        Ok(())
    }
}

fn certificate<'d>(draft: &'d Draft<'_>, serial: &Serial) -> Result<&'d CertificateState, Error> {
    let agent: AgentId = draft.agent_of(serial).ok_or(Error::NotFound("certificate"))?;
    known(draft, &agent)?;
    draft.certificate(serial).ok_or(Error::NotFound("certificate"))
}
