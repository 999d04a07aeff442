//! Whose acts are reported: looked up once for all events of a request.

use std::collections::HashMap;

use kakunin_core::id::{AgentId, Serial, TenantId};

use super::app::App;
use super::error::ApiError;

/// Certificates and agents of one tenant that a request names.
pub(crate) struct Subjects<'a> {
    app: &'a App,
    tenant: &'a TenantId,
    holders: HashMap<Serial, AgentId>,
    newest: HashMap<AgentId, Serial>,
}

impl<'a> Subjects<'a> {
    pub(crate) fn new(app: &'a App, tenant: &'a TenantId) -> Self {
        Self { app, tenant, holders: HashMap::new(), newest: HashMap::new() }
    }

    /// Whose certificate it is. Foreign ones do not exist.
    pub(crate) async fn holder(&mut self, serial: &Serial) -> Result<AgentId, ApiError> {
        if let Some(agent) = self.holders.get(serial) {
            return Ok(*agent);
        }
        let agent = self.app.kakunin.tenant(self.tenant).holder(serial).await?;
        self.holders.insert(*serial, agent);
        Ok(agent)
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
