//! Who may read what was revoked: everybody, unless a tenant with an issuing CA of its own keeps it to itself.

use crate::feed::Visibility;
use crate::id::{IssuerId, TenantId};
use crate::service::effects::running::Kakunin;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;

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
}

impl Tenant {
    /// Who may read what a tenant's own issuing CAs revoked.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such tenant.
    pub async fn visibility(&self) -> Result<Visibility, Error> {
        if !self.inner.known.has_tenant(&self.id) {
            return Err(Error::NotFound("tenant"));
        }
        Ok(self.inner.cas.visibility(&self.id))
    }
}
