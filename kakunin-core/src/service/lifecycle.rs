//! Registering agents, giving them certificates, retiring them.

use super::draft::{Draft, revocation};
use super::error::Error;
use super::projection::AgentEntry;
use super::tenant::Tenant;
use super::{Inner, Kakunin};
use crate::agent::{Agent, AgentError, AgentState, NewAgent};
use crate::error::StoreError;
use crate::id::{AgentId, Serial, TenantId, uuid_v7};
use crate::issue::{self, Certificate, Profile};
use crate::key::{KeyAlgorithm, KeyRef, PlannedKeyId, Spki};
use crate::log::record::Control;
use crate::revoke::Cause;
use crate::x509::{csr, pem};

/// Where an agent's private key is, or shall be.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum KeySource<'a> {
    /// The deployment's provider makes it and keeps it.
    Provider(KeyAlgorithm),
    /// The workload keeps it, and shows possession with a PKCS#10 request in DER or PEM. Names and
    /// extensions come from the registration, never from the request.
    Request(&'a [u8]),
}

/// RSA-2048 in the deployment's provider.
impl Default for KeySource<'_> {
    fn default() -> Self {
        Self::Provider(KeyAlgorithm::Rsa2048)
    }
}

impl Kakunin {
    /// Registers an agent; it is `pending` until it has a certificate.
    ///
    /// # Errors
    /// [`Error::Agent`] if the specification is refused.
    pub async fn register(&self, tenant: &TenantId, spec: NewAgent) -> Result<Agent, Error> {
        let inner = &self.inner;
        let id = AgentId::generate(inner.now(), &*inner.parts.entropy)?;
        let agent = Agent::register(id, tenant.clone(), spec, inner.now())?;
        let tenant = inner.tenant(tenant).await?;
        let recorded = agent.clone();
        inner
            .decide(&tenant, move |draft| Ok(draft.push(id, None, Control::AgentRegistered(recorded))?))
            .await?;
        Ok(agent)
    }

    /// Gives an agent a certificate for a key from `source`: key and serial are recorded as planned
    /// before they exist, so that a crash leaves nothing unexplained.
    ///
    /// # Errors
    /// [`Error::Exists`] if it has one that is not revoked or expired; [`Error::Agent`] if it is
    /// retired; [`Error::Csr`], [`Error::Sign`] and what the store says.
    pub async fn certify(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        profile: Profile,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        match source {
            KeySource::Request(request) => {
                let spki = csr::proven_key(request)?;
                inner.issue(&tenant, agent, profile, None, &spki).await
            }
            KeySource::Provider(algorithm) => {
                let planned = PlannedKeyId::new(uuid_v7(inner.now(), &*inner.parts.entropy)?);
                let record = Control::KeyPlanned { planned: planned.clone(), algorithm };
                inner
                    .decide(&tenant, |draft| {
                        certifiable(draft, agent)?;
                        Ok(draft.push(*agent, None, record)?)
                    })
                    .await?;
                let made = inner.make_key(&planned, algorithm).await;
                let issued = match made {
                    Ok((key, spki)) => inner.issue(&tenant, agent, profile, Some(key), &spki).await,
                    Err(error) => Err(error),
                };
                if issued.is_err() {
                    // The error that matters is the first one; what is left over is swept at the next start.
                    let _ = inner.abandon(&tenant, agent).await;
                }
                issued
            }
        }
    }

    /// One agent.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's agents too.
    pub async fn agent(&self, tenant: &TenantId, agent: &AgentId) -> Result<Agent, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        let sequencer = self.inner.settled(&tenant).await?;
        let entry = sequencer.projection.agents.get(agent).ok_or(Error::NotFound("agent"))?;
        Ok(entry.row.agent.clone())
    }

    /// A certificate this deployment issued, DER.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's certificates too.
    pub async fn certificate(&self, tenant: &TenantId, serial: &Serial) -> Result<Vec<u8>, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        self.inner.stored_certificate(&tenant, serial).await
    }

    /// Retires an agent for good; its certificate is revoked with it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; retiring a retired agent succeeds.
    pub async fn retire(&self, tenant: &TenantId, agent: &AgentId) -> Result<(), Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        inner
            .decide(&tenant, |draft| {
                let time = draft.time;
                let entry = known(draft, agent)?;
                if entry.row.agent.state == AgentState::Retired {
                    return Ok(());
                }
                let standing =
                    entry.standing_certificate(time).map(|c| revocation(&c.facts, Cause::Retired, time));
                draft.push(*agent, None, Control::AgentRetired)?;
                if let Some(revocation) = standing {
                    draft.revoke(revocation, None)?;
                }
                Ok(())
            })
            .await?;
        inner.run_key_tasks(&tenant).await
    }
}

impl Inner {
    async fn make_key(
        &self,
        planned: &PlannedKeyId,
        algorithm: KeyAlgorithm,
    ) -> Result<(KeyRef, Spki), Error> {
        let key = self.parts.keys.generate(planned, algorithm).await?;
        let spki = self.parts.keys.open(&key).await?.public_key().clone();
        Ok((key, spki))
    }

    async fn issue(
        &self,
        tenant: &Tenant,
        agent: &AgentId,
        profile: Profile,
        key: Option<KeyRef>,
        spki: &Spki,
    ) -> Result<Certificate, Error> {
        let serial = Serial::generate(&*self.parts.entropy)?;
        let with_provider = key.is_some();
        let ca = &self.ca;
        let prepared = self
            .decide(tenant, |draft| {
                let entry = if with_provider { known(draft, agent)? } else { certifiable(draft, agent)? };
                let prepared = issue::prepare(
                    &ca.issuer,
                    &self.place,
                    &entry.row.agent,
                    spki,
                    profile,
                    serial,
                    draft.time,
                )?;
                let facts = *prepared.facts();
                draft.push(*agent, None, Control::KeyBound { key, key_id: spki.key_id() })?;
                draft.push(*agent, Some(serial), Control::CertificatePlanned { facts, profile })?;
                Ok(prepared)
            })
            .await?;
        let signed = ca.signer.sign(prepared.to_be_signed()).await.map_err(Error::from);
        let assembled = signed.and_then(|signature| Ok(prepared.assemble(&ca.issuer, &signature)?));
        let certificate = match assembled {
            Ok(certificate) => certificate,
            Err(error) => {
                let _ = self.abandon(tenant, agent).await;
                return Err(error);
            }
        };
        self.decide(tenant, |draft| {
            let entry = known(draft, agent)?;
            let state = entry.row.agent.state;
            // Between planning and now somebody may have retired the agent, or swept the plan.
            if state == AgentState::Retired
                || entry.row.plan.as_ref().is_none_or(|p| p.facts != Some(certificate.facts))
            {
                return Err(AgentError::State { state, step: "be given a certificate" }.into());
            }
            let reinstates = state == AgentState::Suspended;
            let pem = pem::encode(pem::CERTIFICATE, &certificate.der);
            let issued =
                Control::CertificateIssued { facts: certificate.facts, certificate: pem, reinstates };
            draft.push(*agent, Some(serial), issued)?;
            if reinstates {
                draft.reinstate(agent);
            }
            Ok(())
        })
        .await?;
        Ok(certificate)
    }

    /// Gives up what was planned for an agent: the key is retired, the serial refused for ever.
    pub(super) async fn abandon(&self, tenant: &Tenant, agent: &AgentId) -> Result<(), Error> {
        let orphan = self
            .decide(tenant, |draft| {
                let Some(plan) = known(draft, agent)?.row.plan.clone() else {
                    return Ok(None);
                };
                if let Some(facts) = plan.facts {
                    let revocation = revocation(&facts, Cause::Abandoned, draft.time);
                    draft.revoke(revocation, None)?;
                }
                if let Some(planned) = &plan.planned {
                    draft.push(*agent, None, Control::KeyAbandoned { planned: planned.clone() })?;
                }
                Ok(plan.planned)
            })
            .await?;
        if let Some(planned) = orphan {
            let held = self.parts.keys.list().await?;
            for orphan in held.into_iter().filter(|k| k.planned == planned) {
                self.parts.keys.retire(&orphan.key).await?;
            }
        }
        Ok(())
    }

    async fn stored_certificate(&self, tenant: &Tenant, serial: &Serial) -> Result<Vec<u8>, Error> {
        let log = crate::log::sink::LogId::Tenant(tenant.id.clone());
        let row = self.parts.state.get(&log, crate::state::Kind::Certificate, serial.as_bytes()).await?;
        let row = row.ok_or(Error::NotFound("certificate"))?;
        let corrupt = || StoreError::Corrupt("a stored certificate does not decode".into());
        let text = core::str::from_utf8(&row).map_err(|_| corrupt())?;
        Ok(pem::decode(pem::CERTIFICATE, text).ok().and_then(|mut all| all.pop()).ok_or_else(corrupt)?)
    }
}

pub(super) fn known<'d>(draft: &'d Draft<'_>, agent: &AgentId) -> Result<&'d AgentEntry, Error> {
    draft.agent(agent).ok_or(Error::NotFound("agent"))
}

/// The agent, if it may be given a certificate now.
fn certifiable<'d>(draft: &'d Draft<'_>, agent: &AgentId) -> Result<&'d AgentEntry, Error> {
    let entry = known(draft, agent)?;
    let state = entry.row.agent.state;
    if state == AgentState::Retired {
        return Err(AgentError::State { state, step: "be given a certificate" }.into());
    }
    if entry.standing_certificate(draft.time).is_some() {
        return Err(Error::Exists("the agent has a certificate; revoke it, or renew it"));
    }
    if entry.row.plan.is_some() {
        return Err(Error::Exists("a certificate for this agent is being issued"));
    }
    Ok(entry)
}
