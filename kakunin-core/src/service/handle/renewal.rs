//! Certificates are renewed.

use std::sync::Arc;

use super::certify::KeySource;
use crate::agent::{Agent, AgentError, AgentState};
use crate::id::{AgentId, Serial, TenantId};
use crate::issue::{Certificate, Profile};
use crate::log::record::Control;
use crate::service::command::certify::Order;
use crate::service::command::draft::known;
use crate::service::command::renewal::Replaced;
use crate::service::effects::running::{Kakunin, Running};
use crate::service::engine::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::certificates::Certificates;
use crate::x509::extensions::ModelHash;

impl Kakunin {
    /// Gives an active agent a new certificate in place of the one it has, which is superseded when the new one is
    /// first used, or after [`Config::renewal_grace`](crate::service::Config::renewal_grace). The same request for a key of the
    /// workload's is answered with the same certificate for [`REPEATABLE`](crate::service::REPEATABLE). Its evidence stays. Whoever asks attests which model the agent runs, and
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
    /// provider makes the key, and is answered with the same certificate for [`REPEATABLE`](crate::service::REPEATABLE).
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
        let order = Order { agent, profile, by: self.by.clone(), renews, join: None };
        self.inner.renew(&tenant, order, source).await
    }
}

impl Running {
    pub(crate) async fn renew(
        &self,
        tenant: &Tenant,
        order: Order,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        self.fulfil(tenant, &Arc::new(order), source).await
    }

    /// Tells an agent's owner, once a day.
    pub(crate) async fn tell_of_refused_renewal(&self, tenant: &Tenant, agent: AgentId) -> Result<(), Error> {
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
    pub(crate) async fn replaced(
        &self,
        tenant: &Tenant,
        serial: Serial,
        approves: bool,
    ) -> Result<Replaced, Error> {
        let der = self.stored_certificate(tenant, &serial).await?;
        Replaced::read(serial, &der, &self.place.arc, approves)
    }
}
