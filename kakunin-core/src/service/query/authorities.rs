//! Authorities as their operator sees them: who issues, and under which root.

use std::sync::Arc;

use crate::feed::Visibility;
use crate::id::TenantId;
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

    /// How many issuing CAs there have been: whoever keeps a copy of [`Kakunin::authorities`] makes it anew when this
    /// grew.
    #[must_use]
    pub fn authorities_made(&self) -> u32 {
        self.inner.cas.count()
    }
}
