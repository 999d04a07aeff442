//! Authorities as their operator sees them: who issues, and under which root.

use std::sync::Arc;

use crate::feed::Visibility;
use crate::id::{IssuerId, TenantId};
use crate::revoke::Reason;
use crate::service::effects::running::Kakunin;
use crate::service::engine::cas;
use crate::x509::ca::Issuer;

/// An issuing CA.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Its certificate.
    pub issuer: Arc<Issuer>,
    /// The root above it.
    pub root: Arc<Issuer>,
    /// The tenant that it issues for, if not for every tenant without its own.
    pub tenant: Option<TenantId>,
    /// Whether it issues now. One that was replaced still publishes CRLs, until it expires.
    pub current: bool,
    /// Who may read what it revoked.
    pub visibility: Visibility,
}

impl Kakunin {
    /// The root above [`Kakunin::issuer`].
    #[must_use]
    pub fn root(&self) -> Arc<Issuer> {
        self.inner.cas.current().root.clone()
    }

    /// Every root of this deployment, in the order in which they were made.
    #[must_use]
    pub fn roots(&self) -> Vec<Arc<Issuer>> {
        self.inner.cas.roots().into_iter().map(|root| root.issuer).collect()
    }

    /// The CA that issues to agents of tenants that have none of their own.
    #[must_use]
    pub fn issuer(&self) -> Arc<Issuer> {
        self.inner.cas.current().issuer.clone()
    }

    /// Every issuing CA that has not ended, and whoever issues now, in the order in which they were made.
    #[must_use]
    pub fn authorities(&self) -> Vec<Authority> {
        let cas = &self.inner.cas;
        let authority = |ca: Arc<cas::Ca>| {
            let now = match &ca.tenant {
                Some(tenant) => cas.own(tenant),
                None => Some(cas.current()),
            };
            let current = now.is_some_and(|now| now.issuer.id() == ca.issuer.id());
            Authority {
                issuer: ca.issuer.clone(),
                root: ca.root.clone(),
                tenant: ca.tenant.clone(),
                current,
                visibility: ca
                    .tenant
                    .as_ref()
                    .map_or_else(Visibility::default, |tenant| cas.visibility(tenant)),
            }
        };
        cas.all().into_iter().map(authority).collect()
    }

    /// Those that issue now and that their root has revoked: the CRL of a root that is kept offline says so, once it is
    /// installed. They issue nothing more, and nobody accepts what they issued.
    #[must_use]
    pub fn revoked_authorities(&self) -> Vec<Authority> {
        let revoked = |ca: &Authority| self.inner.revoked_above(&ca.root, &ca.issuer).is_some();
        self.authorities().into_iter().filter(|ca| ca.current && revoked(ca)).collect()
    }

    /// Why an issuing CA is on the CRL of its root, if it is: nothing that it issued is valid.
    #[must_use]
    pub fn authority_revoked(&self, issuer: &IssuerId) -> Option<Reason> {
        self.inner.cas.get(issuer).and_then(|ca| self.inner.revoked_above(&ca.root, &ca.issuer))
    }

    /// How many issuing CAs there have been: whoever keeps a copy of [`Kakunin::authorities`] makes it anew when this
    /// grew.
    #[must_use]
    pub fn authorities_made(&self) -> u32 {
        self.inner.cas.count()
    }
}
