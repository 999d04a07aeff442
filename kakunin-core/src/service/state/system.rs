//! Rows that follow from the system log: the deployment's record, its certificate authorities, tenants and API keys.

use super::crl_mark::{Mark, mark_row};
use super::rows::set;
use crate::access::Role;
use crate::error::StoreError;
use crate::feed::Visibility;
use crate::id::{ApiKeyId, TenantId};
use crate::key::KeyRef;
use crate::log::record::{Body, CaRole, Control, Record};
use crate::service::error::Error;
use crate::store::state::{Change, Kind};
use crate::x509::ca::Issuer;
use crate::x509::pem;

/// Rows of the system log's state.
pub(crate) const DEPLOYMENT: &[u8] = b"deployment";
/// What keys of rows of certificate authorities begin with; their records' indices follow, in hex.
pub(crate) const CA: &str = "ca/";
/// The row that says that state is believed under a seal alone.
pub(crate) const SEALED: &[u8] = b"sealed";
/// The newest admin key, whatever became of it.
pub(crate) const ADMIN: &[u8] = b"admin-key";
/// What keys of rows of API keys begin with, and those of what commits to the hashes of old ones.
pub(crate) const API_KEY: &str = "api-key/";
pub(crate) const API_KEY_COMMITMENT: &str = "api-key-commitment/";
/// What keys of rows begin with that name a tenant whose revocations are private.
pub(crate) const PRIVATE: &str = "private/";

/// Rows that follow from the record of the system log at `index`.
pub(crate) fn changes(index: u64, record: &Record) -> Result<Vec<Change>, StoreError> {
    let Body::Control(control) = &record.body else {
        return Ok(Vec::new());
    };
    Ok(match &**control {
        Control::DeploymentCreated { .. } => vec![set(Kind::Certificate, DEPLOYMENT.to_vec(), control)?],
        Control::CaCreated { .. } => {
            vec![set(Kind::Certificate, format!("{CA}{index:016x}").into_bytes(), control)?]
        }
        Control::TenantCreated { tenant } => {
            vec![set(Kind::Agent, tenant.as_str().as_bytes().to_vec(), tenant)?]
        }
        Control::VisibilityChanged { tenant, visibility } => {
            let key = [PRIVATE, tenant.as_str()].concat().into_bytes();
            let change = set(Kind::Certificate, key, tenant)?;
            vec![Change { value: change.value.filter(|_| *visibility == Visibility::Private), ..change }]
        }
        Control::DeploymentSealed { .. } => vec![set(Kind::Certificate, SEALED.to_vec(), control)?],
        Control::ApiKeyCreated(facts) => {
            let mut rows = vec![set(Kind::Certificate, named(API_KEY, &facts.id), facts)?];
            if facts.role == Role::Admin {
                rows.push(set(Kind::Certificate, ADMIN.to_vec(), &facts.id)?);
            }
            rows
        }
        Control::ApiKeyCommitted { id, commitment } => {
            vec![set(Kind::Certificate, named(API_KEY_COMMITMENT, id), commitment)?]
        }
        Control::ApiKeyRevoked { id } => [API_KEY, API_KEY_COMMITMENT]
            .map(|what| Change { kind: Kind::Certificate, key: named(what, id), value: None })
            .to_vec(),
        Control::CrlPublished { issuer, shard, number, this_update, .. } => {
            // Before it was kept, it was that of the record or earlier.
            let mark = Mark { number: *number, this_update: this_update.unwrap_or(record.time) };
            vec![mark_row(issuer, *shard, mark)]
        }
        _ => Vec::new(),
    })
}

/// The row of an API key.
pub(crate) fn named(what: &str, id: &ApiKeyId) -> Vec<u8> {
    format!("{what}{id}").into_bytes()
}

/// A certificate authority as it is on record.
pub(crate) struct CaRow {
    pub(crate) role: CaRole,
    pub(crate) key: Option<KeyRef>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) issuer: Issuer,
}

pub(crate) fn authority(row: &[u8]) -> Result<CaRow, Error> {
    let corrupt = || StoreError::Corrupt("a certificate authority's record does not decode".into());
    let control: Control = serde_json::from_slice(row).map_err(|_| corrupt())?;
    let Control::CaCreated { role, key, certificate, tenant } = control else {
        return Err(corrupt().into());
    };
    let der = pem::decode(pem::CERTIFICATE, &certificate).ok().and_then(|mut all| all.pop());
    Ok(CaRow { role, key, tenant, issuer: Issuer::from_der(der.ok_or_else(corrupt)?)? })
}
