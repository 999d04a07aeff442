//! A tenant keeps to itself what its own issuing CAs revoked, or tells everybody.

use crate::feed::Visibility;
use crate::id::TenantId;
use crate::service::command::system::tenants::SetVisibility;
use crate::service::effects::running::Kakunin;
use crate::service::error::Error;

impl Kakunin {
    /// Says who may read what a tenant's own issuing CAs revoked, those to come included. What a shared CA issued
    /// to the tenant before stays on that one's CRLs and feed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::SharedIssuer`] if it is to be private and the tenant has no CA of its own.
    pub async fn set_visibility(&self, tenant: &TenantId, visibility: Visibility) -> Result<(), Error> {
        let order = SetVisibility { tenant: tenant.clone(), visibility };
        self.inner.order(&order, self.by.as_ref()).await
    }
}
