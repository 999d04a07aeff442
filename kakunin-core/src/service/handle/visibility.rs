//! A tenant keeps to itself what its own issuing CAs revoked, or tells everybody.

use crate::feed::Visibility;
use crate::service::command::system::tenants::SetVisibility;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;

impl Tenant {
    /// Says who may read what a tenant's own issuing CAs revoked, those to come included. What a shared CA issued
    /// to the tenant before stays on that one's CRLs and feed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::SharedIssuer`] if it is to be private and the tenant has no CA of its own.
    pub async fn set_visibility(&self, visibility: Visibility) -> Result<(), Error> {
        let order = SetVisibility { tenant: self.id.clone(), visibility };
        self.inner.order(&order, self.by.as_ref()).await
    }
}
