//! Who issues, and whether its root still stands by it.

use std::sync::Arc;

use super::cas::Ca;
use super::inner::Inner;
use crate::id::TenantId;
use crate::issue::IssueError;
use crate::revoke::Reason;
use crate::service::error::Error;
use crate::x509::ca::Issuer;

impl Inner {
    /// The one that issues for this tenant now.
    ///
    /// # Errors
    /// As [`Cas::of`](super::cas::Cas::of); [`Error::Issue`] if its root has revoked it.
    pub(crate) fn issuing_for(&self, tenant: &TenantId) -> Result<Arc<Ca>, Error> {
        let ca = self.cas.of(tenant, self.now())?;
        self.is_not_revoked(&ca.root, &ca.issuer)?;
        Ok(ca)
    }

    /// That the root's CRL, if there is one here, does not name this authority, revoked or held.
    pub(crate) fn is_not_revoked(&self, root: &Issuer, issuer: &Issuer) -> Result<(), IssueError> {
        self.revoked_above(root, issuer).map_or(Ok(()), |_| Err(IssueError::IssuerRevoked(issuer.id())))
    }

    pub(crate) fn revoked_above(&self, root: &Issuer, issuer: &Issuer) -> Option<Reason> {
        self.live.reason(&root.id(), &issuer.serial_number()?).ok().flatten()
    }
}
