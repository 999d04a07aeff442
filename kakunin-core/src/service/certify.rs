//! Giving agents certificates: for the first time, and again before one expires.

use super::draft::{Draft, revocation};
use super::error::Error;
use super::lifecycle::known;
use super::projection::AgentEntry;
use super::tenant::Tenant;
use super::{Inner, Kakunin};
use crate::agent::{AgentError, AgentState, Document};
use crate::event::ShortName;
use crate::id::{AgentId, HaltId, Serial, TenantId, uuid_v7};
use crate::issue::{self, Certificate, Prepared, Profile};
use crate::key::{KeyAlgorithm, KeyRef, PlannedKeyId, Spki};
use crate::log::record::Control;
use crate::revoke::Cause;
use crate::x509::extensions::ModelHash;
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

/// How an agent stood when its certificate was ordered. If that changed before it is issued, somebody
/// decided otherwise meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stood {
    state: AgentState,
    halt: Option<HaltId>,
}

impl Stood {
    fn of(entry: &AgentEntry) -> Self {
        Self { state: entry.row.agent.state, halt: entry.row.halt.map(|halt| halt.id) }
    }
}

/// One issuance: for whom, and in place of what.
struct Order<'a> {
    tenant: &'a Tenant,
    agent: &'a AgentId,
    profile: Profile,
    by: Option<ShortName>,
    /// The attested model, when the agent's certificate is replaced.
    renews: Option<&'a ModelHash>,
}

/// A certificate that is planned, with all that decides whether it may still be issued once it is signed.
struct Planned {
    prepared: Prepared,
    stood: Stood,
    /// The document whose hash it pins: what is registered may change while it is signed.
    constraints: Option<Document>,
}

impl Kakunin {
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
        let tenant = self.inner.tenant(tenant).await?;
        let order = Order { tenant: &tenant, agent, profile, by: self.by.clone(), renews: None };
        self.inner.fulfil(&order, source).await
    }

    /// Gives an active agent a new certificate in place of the one it has, which is revoked as superseded
    /// in the same append. Its evidence stays. Whoever asks attests which model the agent runs.
    ///
    /// # Errors
    /// [`Error::Agent`] if the attested model is not the registered one, or the agent is not active;
    /// else as [`Kakunin::certify`].
    pub async fn renew(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        attested: &ModelHash,
        profile: Profile,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        let order = Order { tenant: &tenant, agent, profile, by: self.by.clone(), renews: Some(attested) };
        let renewed = self.inner.fulfil(&order, source).await?;
        // The old key: a provider that does not answer now is asked again later.
        let _ = self.inner.run_key_tasks(&tenant).await;
        Ok(renewed)
    }
}

impl Inner {
    async fn fulfil(&self, order: &Order<'_>, source: KeySource<'_>) -> Result<Certificate, Error> {
        let algorithm = match source {
            KeySource::Request(request) => {
                let spki = csr::proven_key(request)?;
                return self.issue(order, None, &spki).await;
            }
            KeySource::Provider(algorithm) => algorithm,
        };
        let planned = PlannedKeyId::new(uuid_v7(self.now(), &*self.parts.entropy)?);
        let record = Control::KeyPlanned { planned: planned.clone(), algorithm };
        let stood = self
            .decide(order.tenant, order.by.clone(), |draft| {
                let stood = Stood::of(order.check(draft)?);
                draft.push(*order.agent, None, record)?;
                Ok(stood)
            })
            .await?;
        let made = self.make_key(&planned, algorithm).await;
        let issued = match made {
            Ok((key, spki)) => self.issue(order, Some((key, stood)), &spki).await,
            Err(error) => Err(error),
        };
        if issued.is_err() {
            // The error that matters is the first one; what is left over is swept at the next start.
            let _ = self.abandon(order.tenant, order.agent).await;
        }
        issued
    }

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
        order: &Order<'_>,
        key: Option<(KeyRef, Stood)>,
        spki: &Spki,
    ) -> Result<Certificate, Error> {
        let serial = Serial::generate(&*self.parts.entropy)?;
        // Before it exists, so that a certificate is found from the moment it is in the log.
        self.serials.remember(serial, &order.tenant.id);
        let Planned { prepared, stood, constraints } = self.plan(order, serial, key, spki).await?;
        let ca = &self.ca;
        let signed = ca.signer.sign(prepared.to_be_signed()).await.map_err(Error::from);
        let assembled = signed.and_then(|signature| Ok(prepared.assemble(&ca.issuer, &signature)?));
        let certificate = match assembled {
            Ok(certificate) => certificate,
            Err(error) => {
                let _ = self.abandon(order.tenant, order.agent).await;
                return Err(error);
            }
        };
        let conclude = |draft: &mut Draft<'_>| order.conclude(draft, &certificate, stood, constraints);
        if let Err(error) = self.decide(order.tenant, order.by.clone(), conclude).await {
            let _ = self.abandon(order.tenant, order.agent).await;
            return Err(error);
        }
        Ok(certificate)
    }

    async fn plan(
        &self,
        order: &Order<'_>,
        serial: Serial,
        key: Option<(KeyRef, Stood)>,
        spki: &Spki,
    ) -> Result<Planned, Error> {
        let (agent, profile) = (*order.agent, order.profile);
        self.decide(order.tenant, order.by.clone(), |draft| {
            // With a key of the provider, it was checked when that was planned.
            let (entry, key) = match key {
                Some((key, stood)) => {
                    let entry = order.unchanged(draft, stood)?;
                    order.attested(entry)?;
                    (entry, Some(key))
                }
                None => (order.check(draft)?, None),
            };
            let stood = Stood::of(entry);
            let prepared = issue::prepare(
                &self.ca.issuer,
                &self.place,
                &entry.row.agent,
                spki,
                profile,
                serial,
                draft.time,
            )?;
            let facts = *prepared.facts();
            let constraints = entry.row.agent.spec.constraints.clone();
            draft.push(agent, None, Control::KeyBound { key, key_id: spki.key_id() })?;
            draft.push(agent, Some(serial), Control::CertificatePlanned { facts, profile })?;
            Ok(Planned { prepared, stood, constraints })
        })
        .await
    }

    /// Gives up what was planned for an agent: the key is retired, the serial refused for ever.
    pub(super) async fn abandon(&self, tenant: &Tenant, agent: &AgentId) -> Result<(), Error> {
        let orphan = self
            .decide(tenant, None, |draft| {
                let Some(plan) = known(draft, agent)?.row.plan.clone() else {
                    return Ok(None);
                };
                if let Some((facts, _)) = plan.facts {
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
}

impl Order<'_> {
    /// The agent, if it may be given this certificate now.
    fn check<'d>(&self, draft: &'d Draft<'_>) -> Result<&'d AgentEntry, Error> {
        let entry = known(draft, self.agent)?;
        let state = entry.row.agent.state;
        match (self.renews.is_some(), state) {
            (true, AgentState::Active) => {}
            (true, _) => return Err(AgentError::State { state, step: "renew its certificate" }.into()),
            (false, AgentState::Retired) => {
                return Err(AgentError::State { state, step: "be given a certificate" }.into());
            }
            (false, _) if entry.standing_certificate(draft.time).is_some() => {
                return Err(Error::Exists("the agent has a certificate; revoke it, or renew it"));
            }
            (false, _) => {}
        }
        self.attested(entry)?;
        if entry.row.plan.is_some() {
            return Err(Error::Exists("a certificate for this agent is being issued"));
        }
        Ok(entry)
    }

    fn attested(&self, entry: &AgentEntry) -> Result<(), AgentError> {
        let registered = &entry.row.agent.spec.model_hash;
        if self.renews.is_none_or(|attested| attested == registered) {
            Ok(())
        } else {
            Err(AgentError::Attestation)
        }
    }

    /// The agent, if nobody retired, stopped or suspended it since.
    fn unchanged<'d>(&self, draft: &'d Draft<'_>, stood: Stood) -> Result<&'d AgentEntry, Error> {
        let entry = known(draft, self.agent)?;
        if Stood::of(entry) == stood {
            return Ok(entry);
        }
        let state = entry.row.agent.state;
        Err(AgentError::State { state, step: "be given the certificate that was ordered before" }.into())
    }

    /// Records the certificate, and the end of the one it replaces.
    fn conclude(
        &self,
        draft: &mut Draft<'_>,
        certificate: &Certificate,
        stood: Stood,
        constraints: Option<Document>,
    ) -> Result<(), Error> {
        let entry = self.unchanged(draft, stood)?;
        let state = entry.row.agent.state;
        let planned = entry.row.plan.as_ref().and_then(|p| p.facts).map(|(facts, _)| facts);
        // The plan may have been swept meanwhile.
        if planned != Some(certificate.facts) {
            return Err(AgentError::State { state, step: "be given a certificate" }.into());
        }
        let old = entry.standing_certificate(draft.time).map(|c| c.facts).filter(|_| self.renews.is_some());
        let reinstates = state == AgentState::Suspended;
        let issued = Control::CertificateIssued {
            facts: certificate.facts,
            certificate: pem::encode(pem::CERTIFICATE, &certificate.der),
            reinstates,
            constraints,
        };
        draft.push(*self.agent, Some(certificate.facts.serial), issued)?;
        if reinstates {
            draft.reinstate(self.agent);
        }
        if let Some(old) = old {
            let superseded = revocation(&old, Cause::Superseded, draft.time);
            draft.revoke(superseded, None)?;
        }
        Ok(())
    }
}
