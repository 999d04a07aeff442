//! Tenants are made.

use crate::id::TenantId;
use crate::service::command::system::tenants::CreateTenant;
use crate::service::effects::running::Kakunin;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;

impl Kakunin {
    /// Makes a tenant, if it is not there yet; see [`Kakunin::tenant`] for one that is.
    ///
    /// # Errors
    /// What the store says.
    pub async fn create_tenant(&self, tenant: &TenantId) -> Result<Tenant, Error> {
        // None is ever taken away.
        if !self.inner.known.has_tenant(tenant) {
            let model = self.inner.models.first().clone();
            let order = CreateTenant { tenant: tenant.clone(), model };
            self.inner.order(&order, self.by.as_ref()).await?;
        }
        Ok(self.tenant(tenant))
    }
}
