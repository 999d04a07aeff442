//! Certificates are renewed.

use std::sync::Arc;

use super::certify::KeySource;
use crate::agent::{Agent, AgentError, AgentState};
use crate::id::{AgentId, Serial};
use crate::issue::{Certificate, Profile};
use crate::service::command::alert::RefuseSelfRenewal;
use crate::service::command::certify::Order;
use crate::service::command::renewal::Replaced;
use crate::service::effects::running::Running;
use crate::service::effects::tenant::Tenant;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::service::state::certificates::Certificates;
use crate::x509::extensions::ModelHash;

impl Tenant {
    /// Gives an active agent a new certificate in place of the one it has, which is superseded when the new one is
    /// first used, or after [`Config::renewal_grace`](crate::service::Config::renewal_grace). The same request for a key of the
    /// workload's is answered with the same certificate for [`REPEATABLE`](crate::service::REPEATABLE). Its evidence stays. Whoever asks attests which model the agent runs, and
    /// approves the registered scope; the record says both, and what changed, was unused and was refused.
    ///
    /// In the medium band the profile is at most [`Profile::Elevated`], above it [`Profile::HighRisk`].
    ///
    /// # Errors
    /// [`Error::Agent`] if the attested model is not the registered one, or the agent is not active;
    /// [`Error::Csr`] if a request is not bound to the current key; else as [`Tenant::certify`].
    pub async fn renew(
        &self,
        agent: &AgentId,
        attested: &ModelHash,
        profile: Profile,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let inner = &self.inner;
        let serial = {
            let committed = inner.committed(&tenant).await?;
            let entry = committed.agents.get(agent).ok_or(Error::NotFound("agent"))?;
            let Agent { state, certificate, .. } = entry.row.agent;
            let serial = certificate.filter(|_| state == AgentState::Active);
            serial.ok_or(AgentError::State { state, step: "renew its certificate" })?
        };
        self.renew_in_place_of(tenant, (*agent, serial), attested, profile, source).await
    }

    /// As [`Tenant::renew`], for whoever says which certificate is replaced: so the same request can be told although the
    /// provider makes the key, and is answered with the same certificate for [`REPEATABLE`](crate::service::REPEATABLE).
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such certificate; [`Error::Agent`] if it is not the agent's newest; else as
    /// [`Tenant::renew`].
    pub async fn renew_certificate(
        &self,
        serial: &Serial,
        attested: &ModelHash,
        profile: Profile,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let agent = {
            let committed = self.inner.committed(&tenant).await?;
            let certificate = committed.certificates.get(serial);
            certificate.ok_or(Error::NO_CERTIFICATE)?.facts.agent
        };
        self.renew_in_place_of(tenant, (agent, *serial), attested, profile, source).await
    }

    async fn renew_in_place_of(
        &self,
        tenant: Arc<TenantLog>,
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
        tenant: &TenantLog,
        order: Order,
        source: KeySource<'_>,
    ) -> Result<Certificate, Error> {
        self.fulfil(tenant, &Arc::new(order), source).await
    }

    /// Tells an agent's owner, once a day.
    pub(crate) async fn tell_of_refused_renewal(
        &self,
        tenant: &TenantLog,
        agent: AgentId,
    ) -> Result<(), Error> {
        self.decide(tenant, None, RefuseSelfRenewal { agent }).await
    }

    /// What a certificate says that is or was replaced.
    pub(crate) async fn replaced(
        &self,
        tenant: &TenantLog,
        serial: Serial,
        approves: bool,
    ) -> Result<Replaced, Error> {
        let der = self.stored_certificate(tenant, &serial).await?;
        Replaced::read(serial, &der, &self.place.arc, approves)
    }
}
