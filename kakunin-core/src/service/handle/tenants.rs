//! Tenants are made.

use crate::id::TenantId;
use crate::log::record::Control;
use crate::service::effects::running::Kakunin;
use crate::service::error::Error;

impl Kakunin {
    /// Makes a tenant, if it is not there yet.
    ///
    /// # Errors
    /// What the store says.
    pub async fn create_tenant(&self, tenant: &TenantId) -> Result<(), Error> {
        let inner = &self.inner;
        let mut system = inner.system.lock().await;
        if inner.tenants.read().await.contains_key(tenant) {
            return Ok(());
        }
        inner.settle_system(&mut system).await?;
        let control = Control::TenantCreated { tenant: tenant.clone() };
        inner.append_system(&mut system, control, self.by.clone()).await?;
        inner.tenants.write().await.insert(tenant.clone(), None);
        Ok(())
    }
}
