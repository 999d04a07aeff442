//! A tenant keeps to itself what its own issuing CAs revoked, or tells everybody.

use crate::feed::Visibility;
use crate::id::TenantId;
use crate::log::record::Control;
use crate::service::effects::running::Kakunin;
use crate::service::engine::system;
use crate::service::error::Error;

impl Kakunin {
    /// Says who may read what a tenant's own issuing CAs revoked, those to come included. What a shared CA issued
    /// to the tenant before stays on that one's CRLs and feed.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::SharedIssuer`] if it is to be private and the tenant has no CA of its own.
    pub async fn set_visibility(&self, tenant: &TenantId, visibility: Visibility) -> Result<(), Error> {
        let inner = &self.inner;
        let mut system = inner.system.lock().await;
        inner.settle_system(&mut system).await?;
        self.visibility(tenant).await?;
        let private = visibility == Visibility::Private;
        // What is on record decides: a call before this one may have failed half way.
        if system::private_tenants(&inner.parts).await?.contains(tenant) == private {
            inner.cas.set_private(tenant, private);
            return Ok(());
        }
        if private && inner.cas.own(tenant).is_none() {
            return Err(Error::SharedIssuer);
        }
        // Closed before it is on record, opened after: a call that is cut off errs on the side of silence.
        inner.cas.set_private(tenant, true);
        let record = Control::VisibilityChanged { tenant: tenant.clone(), visibility };
        inner.append_system(&mut system, record, self.by.clone()).await?;
        inner.cas.set_private(tenant, private);
        Ok(())
    }
}
