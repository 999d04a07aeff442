//! Tenants are loaded when they are first asked for, and what a crash cut off is ended then.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::running::{Kakunin, Running};
use crate::error::StoreError;
use crate::id::{AgentId, TenantId};
use crate::service::command::abandon::Abandon;
use crate::service::engine::tenant::Tenant;
use crate::service::error::Error;

impl Kakunin {
    /// Loads every tenant, so that the first question about one does not wait for it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load(&self) -> Result<(), Error> {
        for id in self.inner.tenant_ids() {
            self.inner.tenant(&id).await?;
        }
        Ok(())
    }
}

impl Running {
    /// A tenant, loaded when it is first asked for.
    pub(crate) async fn tenant(&self, id: &TenantId) -> Result<Arc<Tenant>, Error> {
        if let Some(tenant) = self.loaded.read().await.get(id) {
            return Ok(tenant.clone());
        }
        if !self.known.has_tenant(id) {
            return Err(Error::NotFound("tenant"));
        }
        let mut loaded = self.loaded.write().await;
        if let Some(tenant) = loaded.get(id) {
            return Ok(tenant.clone());
        }
        let tenant = Arc::new(Tenant::load(self, id.clone()).await?);
        self.sweep(&tenant).await?;
        loaded.insert(id.clone(), tenant.clone());
        Ok(tenant)
    }

    /// Ends what a crash cut off: issuances under way, and keys that were to be disabled.
    async fn sweep(&self, tenant: &Tenant) -> Result<(), Error> {
        let cut_off: Vec<_> = {
            let committed = tenant.committed.read();
            let planned = committed.agents.iter().filter(|(_, e)| e.row.plan.is_some());
            planned.map(|(id, _)| *id).collect()
        };
        for agent in cut_off {
            match self.abandon(tenant, agent).await {
                // The next start, or whoever certifies the agent, does it: nobody else has to wait for room.
                Err(Error::Store(StoreError::Full)) => break,
                abandoned => abandoned?,
            };
        }
        // Neither a store that is full nor a provider that is down must keep the tenant from being served: both are
        // tried again, by whoever tends.
        let _ = self.end_due_graces(tenant).await;
        self.run_key_tasks(tenant).await;
        if tenant.has_tasks.load(Ordering::Acquire) {
            // How many is known once they were looked at: nobody should take it for none until then.
            self.tended.lock().unwrap_or_else(PoisonError::into_inner).left += 1;
        }
        Ok(())
    }

    /// Gives up what was planned for an agent: the key is retired, the serial refused for ever.
    /// Says whether there was anything.
    pub(crate) async fn abandon(&self, tenant: &Tenant, agent: AgentId) -> Result<bool, Error> {
        let planned = self.decide(tenant, None, Abandon { agent }).await?;
        self.run_key_tasks(tenant).await;
        Ok(planned)
    }
}
