//! Renewing a certificate: what has to be shown for it, what it may be, and what the record says of it.

use std::sync::Arc;

use super::certificates::Certificates;
use super::certify::Order;
use super::draft::Draft;
use super::error::Error;
use super::lifecycle::known;
use super::projection::AgentEntry;
use super::tenant::Tenant;
use super::{Inner, Kakunin, KeySource};
use crate::agent::{Agent, AgentError, AgentState, Document};
use crate::crypto::PublicKey;
use crate::error::StoreError;
use crate::id::{AgentId, Serial, TenantId};
use crate::issue::{Certificate, Profile};
use crate::key::Spki;
use crate::log::record::{Control, KeyBinding, Renewal};
use crate::risk::{Band, Score};
use crate::scope::{Scope, ScopeSet};
use crate::time::HOUR;
use crate::x509::certificate::CertificateView;
use crate::x509::csr::{CsrError, Proven};
use crate::x509::extensions::{AgentClaims, ModelHash};

/// How often an agent may renew its own certificate within an hour, unless somebody else renews it meanwhile. What
/// it replaces stays on CRLs until it would have expired: with the tenth of each life that has to be over, these are
/// ten entries an agent at the most.
pub const SELF_RENEWALS: usize = 4;
/// Which part of a certificate's life has to be over before its agent renews it.
const SELF_RENEWAL_PART: u64 = 10;

/// The certificate that is replaced.
pub(super) struct Replaced {
    pub(super) serial: Serial,
    key: Spki,
    claims: AgentClaims,
    /// Whether whoever orders the renewal may approve the scope.
    pub(super) approves: bool,
}

impl Kakunin {
    /// Gives an active agent a new certificate in place of the one it has, which is superseded when the new one is
    /// first used, or after [`Config::renewal_grace`](super::Config::renewal_grace). The same request for a key of the
    /// workload's is answered with the same certificate for [`REPEATABLE`](super::REPEATABLE). Its evidence stays. Whoever asks attests which model the agent runs, and
    /// approves the registered scope; the record says both, and what changed, was unused and was refused.
    ///
    /// In the medium band the profile is at most [`Profile::Elevated`], above it [`Profile::HighRisk`].
    ///
    /// # Errors
    /// [`Error::Agent`] if the attested model is not the registered one, or the agent is not active;
    /// [`Error::Csr`] if a request is not bound to the current key; else as [`Kakunin::certify`].
    pub async fn renew(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        attested: &ModelHash,
        profile: Profile,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        let inner = &self.inner;
        let serial = {
            let sequencer = inner.settled(&tenant).await?;
            let entry = sequencer.projection.agents.get(agent).ok_or(Error::NotFound("agent"))?;
            let Agent { state, certificate, .. } = entry.row.agent;
            let serial = certificate.filter(|_| state == AgentState::Active);
            serial.ok_or(AgentError::State { state, step: "renew its certificate" })?
        };
        self.renew_in_place_of(tenant, (*agent, serial), attested, profile, source).await
    }

    /// As [`Kakunin::renew`], for whoever says which certificate is replaced: so the same request can be told although the
    /// provider makes the key, and is answered with the same certificate for [`REPEATABLE`](super::REPEATABLE).
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such certificate; [`Error::Agent`] if it is not the agent's newest; else as
    /// [`Kakunin::renew`].
    pub async fn renew_certificate(
        &self,
        tenant: &TenantId,
        serial: &Serial,
        attested: &ModelHash,
        profile: Profile,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        let tenant = self.inner.tenant(tenant).await?;
        let agent = {
            let sequencer = self.inner.settled(&tenant).await?;
            let certificate = sequencer.projection.certificates.get(serial);
            certificate.ok_or(Error::NotFound("certificate"))?.facts.agent
        };
        self.renew_in_place_of(tenant, (agent, *serial), attested, profile, source).await
    }

    async fn renew_in_place_of(
        &self,
        tenant: Arc<Tenant>,
        (agent, serial): (AgentId, Serial),
        attested: &ModelHash,
        profile: Profile,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        let old = self.inner.replaced(&tenant, serial, true).await?;
        let renews = Some((*attested, Arc::new(old)));
        let order = Order { tenant, agent, profile, by: self.by.clone(), renews, join: None };
        self.inner.renew(order, source).await
    }
}

impl Inner {
    pub(super) async fn renew(&self, order: Order, source: KeySource<'_>) -> Result<Certificate, Error> {
        let tenant = order.tenant.clone();
        let renewed = self.fulfil(&Arc::new(order), source).await?;
        // The old key: a provider that does not answer now is asked again later.
        self.run_key_tasks(&tenant).await;
        Ok(renewed)
    }

    /// Tells an agent's owner, once a day.
    pub(super) async fn tell_of_refused_renewal(&self, tenant: &Tenant, agent: AgentId) -> Result<(), Error> {
        self.decide(tenant, None, move |draft| {
            // Its key signed what was refused.
            draft.end_grace(&agent)?;
            let row = &known(draft, &agent)?.row;
            if row.refused_today(draft.time) {
                return Ok(());
            }
            let serial = row.agent.certificate;
            Ok(draft.push(agent, serial, Control::SelfRenewalRefused)?)
        })
        .await
    }

    /// What a certificate says that is or was replaced.
    pub(super) async fn replaced(
        &self,
        tenant: &Tenant,
        serial: Serial,
        approves: bool,
    ) -> Result<Replaced, Error> {
        let der = self.stored_certificate(tenant, &serial).await?;
        let corrupt = || StoreError::Corrupt("a stored certificate does not parse".into());
        let view = CertificateView::parse(&der, &self.place.arc).map_err(|_| corrupt())?;
        let key = Spki::from_der(view.spki).map_err(|_| corrupt())?;
        let claims = view.extensions.agent.to_owned().ok_or_else(corrupt)?;
        Ok(Replaced { serial, key, claims, approves })
    }
}

impl Replaced {
    /// That it is time for the agent to renew it, if that is who asks. By the clock, which is what the
    /// certificate's life goes by. What was done by a clock that was ahead does not count until then; an operator's
    /// renewal always ends the wait.
    pub(super) fn is_due(&self, draft: &Draft<'_>, entry: &AgentEntry) -> Result<(), Error> {
        let Some(old) = draft.certificate(&self.serial).filter(|_| !self.approves) else { return Ok(()) };
        let from = old.issued_at.unwrap_or(old.facts.not_before);
        let begins = from.plus(old.facts.not_after.since(from) / SELF_RENEWAL_PART);
        let all = &entry.row.self_renewals;
        let made = all.iter().filter(|at| **at <= draft.now);
        let ends =
            made.clone().next().filter(|_| made.count() >= SELF_RENEWALS).map(|first| first.plus(HOUR));
        let due = ends.map_or(begins, |ends| ends.max(begins));
        let wait = due.since(draft.now);
        if wait > 0 { Err(Error::SelfRenewal { wait }) } else { Ok(()) }
    }

    /// That the holder of the current key wants the requested one to follow it.
    pub(super) fn binding(&self, request: &Proven, signature: Option<&[u8]>) -> Result<KeyBinding, CsrError> {
        let signature = signature.ok_or(CsrError::NotBound)?;
        let text = request.binding_text(&self.serial);
        let key = PublicKey::parse(&self.key)?;
        key.verify(text.as_bytes(), signature).map_err(|_| CsrError::NotBound)?;
        Ok(KeyBinding::new(self.serial, request.sha256, signature))
    }

    /// What the record says of the renewal of this certificate.
    pub(super) fn renewal(
        &self,
        entry: &AgentEntry,
        attested: &ModelHash,
        (score, band): (Score, Band),
    ) -> Renewal {
        let (old, new) = (&self.claims, &entry.row.agent.spec);
        let lacking = |of: &ScopeSet, here: &ScopeSet| -> Vec<Scope> {
            of.iter().filter(|scope| !here.as_slice().contains(scope)).cloned().collect()
        };
        let pinned = new.constraints.as_ref().map(Document::sha256);
        let changed = [
            ("model_hash", old.model_hash != new.model_hash),
            ("environment", old.environment != new.environment),
            ("constraints", old.constraints != pinned),
        ];
        Renewal {
            replaces: self.serial,
            attested: *attested,
            approved: self.approves.then(|| new.scope.clone()),
            added: lacking(&new.scope, &old.scope),
            removed: lacking(&old.scope, &new.scope),
            changed: changed
                .into_iter()
                .filter(|(_, differs)| *differs)
                .map(|(name, _)| name.to_owned())
                .collect(),
            score,
            band,
            unused: entry.usage.unused(&old.scope),
            refused: Vec::new(),
            refused_more: 0,
            until: None,
        }
    }
}

/// The longest life a renewal gives to an agent in that band.
pub(super) const fn longest(band: Band) -> Profile {
    match band {
        Band::Low => Profile::Standard,
        Band::Medium => Profile::Elevated,
        Band::Warning | Band::Revoke => Profile::HighRisk,
    }
}
