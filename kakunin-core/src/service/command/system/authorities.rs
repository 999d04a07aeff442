//! Authorities are made, and follow others.

use std::sync::Arc;

use super::order::{SystemOrder, known_tenant};
use crate::id::TenantId;
use crate::key::KeyRef;
use crate::log::record::{CaRole, Control};
use crate::service::error::Error;
use crate::service::state::system::authorities::Root;
use crate::service::state::system::fold::SystemState;
use crate::service::state::system::known::Closed;
use crate::x509::ca::Issuer;
use crate::x509::pem;

/// Has an issuing CA follow the one before, of one tenant or of all that have none of their own; and its root become an
/// anchor, if it is none yet.
#[derive(Debug)]
pub(crate) struct InstallAuthority {
    pub(crate) root: Root,
    pub(crate) key: KeyRef,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) tenant: Option<TenantId>,
}

impl SystemOrder for InstallAuthority {
    fn decide(&self, state: &SystemState) -> Result<Vec<Control>, Error> {
        let (root, tenant) = (&self.root, self.tenant.as_ref());
        tenant.map_or(Ok(()), |tenant| known_tenant(state, tenant))?;
        if state.authorities.has(&self.issuer.id()) {
            return Err(Error::Exists("another call installed an issuing CA; look whether that is enough"));
        }
        let anchor = || created(CaRole::Root, root.key.as_ref(), &root.issuer, None);
        let anchor = (!state.authorities.has_root(&root.issuer)).then(anchor);
        let issuing = created(CaRole::Issuing, Some(&self.key), &self.issuer, tenant);
        Ok(anchor.into_iter().chain([issuing]).collect())
    }

    fn closes(&self) -> Option<Closed> {
        None
    }
}

/// The record of an authority.
pub(crate) fn created(
    role: CaRole,
    key: Option<&KeyRef>,
    issuer: &Issuer,
    tenant: Option<&TenantId>,
) -> Control {
    let certificate = pem::encode(pem::CERTIFICATE, issuer.as_der());
    Control::CaCreated { role, key: key.cloned(), certificate, tenant: tenant.cloned() }
}
