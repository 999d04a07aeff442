//! Whose acts are reported: looked up once for all events of a request.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::extensions::AgentClaims;

use super::app::App;
use super::error::ApiError;

/// Certificates and agents of one tenant that a request names.
pub(crate) struct Subjects<'a> {
    app: &'a App,
    tenant: &'a TenantId,
    claims: HashMap<Serial, AgentClaims>,
    newest: HashMap<AgentId, Serial>,
}

impl<'a> Subjects<'a> {
    pub(crate) fn new(app: &'a App, tenant: &'a TenantId) -> Self {
        Self { app, tenant, claims: HashMap::new(), newest: HashMap::new() }
    }

    /// What a certificate says. Foreign ones do not exist.
    pub(crate) async fn claims(&mut self, serial: &Serial) -> Result<&AgentClaims, ApiError> {
        let entry = match self.claims.entry(*serial) {
            Entry::Occupied(known) => return Ok(known.into_mut()),
            Entry::Vacant(entry) => entry,
        };
        let der = self.app.kakunin.tenant(self.tenant).certificate(serial).await?;
        let view = CertificateView::parse(&der, &self.app.kakunin.place().arc).ok();
        let claims = view.and_then(|view| view.extensions.agent.to_owned());
        Ok(entry.insert(claims.ok_or_else(|| ApiError::not_found("certificate"))?))
    }

    /// The newest certificate of an agent. Foreign ones do not exist.
    pub(crate) async fn newest(&mut self, agent: &AgentId) -> Result<Serial, ApiError> {
        if let Some(serial) = self.newest.get(agent) {
            return Ok(*serial);
        }
        let serial =
            self.app.kakunin.tenant(self.tenant).agent(agent).await?.certificate.ok_or_else(|| {
                ApiError::unprocessable("certificate_missing", "the agent has no certificate yet; certify it")
            })?;
        self.newest.insert(*agent, serial);
        Ok(serial)
    }
}
