//! Authorities that were signed elsewhere: whether they may be used here.

use super::config::OfflineRoot;
use crate::id::TenantId;
use crate::key::{KeyAlgorithm, Spki};
use crate::time::UnixTime;
use crate::x509::ca::{CaError, Issuer};
use crate::x509::oid;

impl OfflineRoot {
    /// Both certificates, if the root signed the other for `key`, and both are valid now.
    pub(crate) fn checked(&self, key: &Spki, now: UnixTime) -> Result<(Issuer, Issuer), CaError> {
        let root = Issuer::from_der(self.root.clone())?;
        let issuer = Issuer::from_der(self.issuing.clone())?;
        root.check_issued_by(&root)?;
        issuer.check_issued_by(&root)?;
        let valid = |ca: &Issuer| ca.not_before() <= now && now <= ca.not_after();
        let algorithm = [&root, &issuer].iter().any(|ca| ca.algorithm() == KeyAlgorithm::Ed25519);
        if algorithm {
            return Err(CaError::Algorithm);
        }
        if issuer.key().spki() != key || root.id() == issuer.id() {
            return Err(CaError::OtherKey);
        }
        if !valid(&root) || !valid(&issuer) {
            return Err(CaError::NotValid);
        }
        Ok((root, issuer))
    }
}

/// Refuses a CA whose certificate binds it to another tenant than this one.
pub(crate) fn bound_to(issuer: &Issuer, tenant: Option<&TenantId>, arc: &oid::Arc) -> Result<(), CaError> {
    match issuer.tenant(arc)? {
        Some(bound) if Some(&bound) != tenant => Err(CaError::OtherTenant(bound)),
        _ => Ok(()),
    }
}
