//! The certificate authorities on record: roots, and which issuing CA follows which.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::StoreError;
use crate::id::{IssuerId, TenantId};
use crate::key::KeyRef;
use crate::log::record::{CaRole, Control};
use crate::x509::ca::Issuer;
use crate::x509::pem;

/// A certificate authority as it is on record.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) role: CaRole,
    /// Its key, unless that is kept elsewhere.
    pub(crate) key: Option<KeyRef>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) issuer: Arc<Issuer>,
}

/// A root, and its key if that is here.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) key: Option<KeyRef>,
}

/// Every authority on record, in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Authorities {
    pub(crate) roots: Vec<Root>,
    pub(crate) issuing: Vec<Authority>,
    /// The newest for each tenant that has its own, and under `None` for all others.
    current: HashMap<Option<TenantId>, IssuerId>,
}

impl Authority {
    /// The one that a record made; `None` if the record is another.
    pub(crate) fn made_by(control: &Control) -> Result<Option<Self>, StoreError> {
        let corrupt = || StoreError::Corrupt("a certificate authority's record does not decode".into());
        let Control::CaCreated { role, key, certificate, tenant } = control else {
            return Ok(None);
        };
        let der = pem::decode(pem::CERTIFICATE, certificate).ok().and_then(|mut all| all.pop());
        let issuer = Issuer::from_der(der.ok_or_else(corrupt)?).map_err(|_| corrupt())?;
        let (key, tenant, issuer) = (key.clone(), tenant.clone(), Arc::new(issuer));
        Ok(Some(Self { role: *role, key, tenant, issuer }))
    }
}

impl Authorities {
    pub(super) fn created(&mut self, control: &Control) -> Result<(), StoreError> {
        match Authority::made_by(control)? {
            Some(Authority { role: CaRole::Root, issuer, key, .. }) => self.roots.push(Root { issuer, key }),
            Some(issuing) => {
                self.current.insert(issuing.tenant.clone(), issuing.issuer.id());
                self.issuing.push(issuing);
            }
            None => {}
        }
        Ok(())
    }

    /// The newest that issues for this tenant alone, or with `None` for all without their own.
    pub(crate) fn current(&self, tenant: Option<&TenantId>) -> Option<IssuerId> {
        self.current.get(&tenant.cloned()).copied()
    }

    /// Whether it issues now, and none followed it.
    pub(crate) fn is_current(&self, ca: &Authority) -> bool {
        self.current.get(&ca.tenant) == Some(&ca.issuer.id())
    }

    /// The newest issuing CA for all tenants without their own.
    pub(crate) fn shared(&self) -> Option<&Authority> {
        self.issuing.iter().rfind(|ca| ca.tenant.is_none())
    }

    pub(crate) fn has(&self, id: &IssuerId) -> bool {
        self.issuing.iter().any(|ca| ca.issuer.id() == *id)
    }

    pub(crate) fn has_root(&self, root: &Issuer) -> bool {
        self.roots.iter().any(|known| known.issuer.as_der() == root.as_der())
    }
}

impl PartialEq for Authority {
    fn eq(&self, other: &Self) -> bool {
        let of = |ca: &Self| (ca.role, ca.key.clone(), ca.tenant.clone(), ca.issuer.as_der().to_vec());
        of(self) == of(other)
    }
}

impl PartialEq for Root {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.issuer.as_der() == other.issuer.as_der()
    }
}
