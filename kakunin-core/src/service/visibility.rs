//! Who may read what was revoked: everybody, unless a tenant with an issuing CA of its own keeps it to itself.

use super::error::Error;
use super::{Kakunin, system};
use crate::feed::Visibility;
use crate::id::{IssuerId, TenantId};
use crate::log::record::Control;

/// Who reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader<'a> {
    /// Somebody who did not say who they are.
    Anybody,
    /// Somebody who belongs to this tenant.
    Of(&'a TenantId),
    /// The operator of the deployment, or code that embeds it.
    Deployment,
}

impl Kakunin {
    /// Whether `reader` may read what this CA revoked as a whole: feed, snapshot and CRLs. Those of roots, and of
    /// CAs that issue for many tenants, are for everybody; so is what there is not.
    #[must_use]
    pub fn may_read_revocations(&self, issuer: &IssuerId, reader: Reader<'_>) -> bool {
        let cas = &self.inner.cas;
        let owner = cas.get(issuer).and_then(|ca| ca.tenant.clone());
        match (owner.filter(|tenant| cas.is_private(tenant)), reader) {
            (None, _) | (_, Reader::Deployment) => true,
            (Some(_), Reader::Anybody) => false,
            (Some(owner), Reader::Of(tenant)) => owner == *tenant,
        }
    }

    /// Who may read what a tenant's own issuing CAs revoked.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such tenant.
    pub async fn visibility(&self, tenant: &TenantId) -> Result<Visibility, Error> {
        if !self.inner.tenants.read().await.contains_key(tenant) {
            return Err(Error::NotFound("tenant"));
        }
        Ok(self.inner.cas.visibility(tenant))
    }

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
