//! The system log's state: the deployment's record, its certificate authorities, its tenants.

use std::collections::HashSet;

use super::crl;
use super::deployment::Parts;
use super::error::Error;
use super::projection::set;
use crate::error::StoreError;
use crate::feed::Visibility;
use crate::id::TenantId;
use crate::key::KeyRef;
use crate::log::record::{Body, CaRole, Control, Record};
use crate::log::sink::LogId;
use crate::state::{Change, Kind};
use crate::x509::ca::Issuer;
use crate::x509::pem;

/// Rows of the system log's state.
pub(super) const DEPLOYMENT: &[u8] = b"deployment";
/// What keys of rows of certificate authorities begin with; their records' indices follow, in hex.
const CA: &str = "ca/";
/// What keys of rows begin with that name a tenant whose revocations are private.
const PRIVATE: &str = "private/";
/// Rows read at once; also the most there can be of a kind.
const MAX_ROWS: usize = 100_000;

/// Rows that follow from the record of the system log at `index`.
pub(super) fn changes(index: u64, record: &Record) -> Result<Vec<Change>, StoreError> {
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
        Control::CrlPublished { issuer, shard, number, this_update, .. } => {
            // Before it was kept, it was that of the record or earlier.
            let mark = crl::Mark { number: *number, this_update: this_update.unwrap_or(record.time) };
            vec![crl::mark_row(issuer, *shard, mark)]
        }
        _ => Vec::new(),
    })
}

/// Applies what the system log has and its state lacks.
pub(super) async fn level(parts: &Parts) -> Result<(), Error> {
    let mut index = parts.state.applied(&LogId::System).await?;
    loop {
        let entries = parts.sink.read(&LogId::System, index, 4_096).await?;
        if entries.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::new();
        for entry in &entries {
            rows.extend(changes(index, &Record::open(entry)?)?);
            index += 1;
        }
        parts.state.apply(&LogId::System, index, &rows).await?;
    }
}

pub(super) async fn row(parts: &Parts, key: &[u8]) -> Result<Control, Error> {
    let row = parts.state.get(&LogId::System, Kind::Certificate, key).await?;
    let row = row.ok_or_else(|| StoreError::Corrupt("the deployment's record is missing".into()))?;
    Ok(serde_json::from_slice(&row)
        .map_err(|_| StoreError::Corrupt("the deployment's record does not decode".into()))?)
}

/// A certificate authority as it is on record.
pub(super) struct CaRow {
    pub(super) role: CaRole,
    pub(super) key: Option<KeyRef>,
    pub(super) tenant: Option<TenantId>,
    pub(super) issuer: Issuer,
}

/// Every certificate authority, in the order in which they were made.
pub(super) async fn authorities(parts: &Parts) -> Result<Vec<CaRow>, Error> {
    rows(parts, CA).await?.iter().map(|row| authority(row)).collect()
}

/// Tenants whose revocations are private.
pub(super) async fn private_tenants(parts: &Parts) -> Result<HashSet<TenantId>, Error> {
    let corrupt = |_| StoreError::Corrupt("a tenant's visibility does not decode".into());
    let tenant = |row: &Vec<u8>| Ok(serde_json::from_slice(row).map_err(corrupt)?);
    rows(parts, PRIVATE).await?.iter().map(tenant).collect()
}

/// Rows whose keys begin with `prefix`.
async fn rows(parts: &Parts, prefix: &str) -> Result<Vec<Vec<u8>>, Error> {
    let after = Some(prefix.as_bytes());
    let rows = parts.state.scan(&LogId::System, Kind::Certificate, after, MAX_ROWS).await?;
    let ours = rows.into_iter().take_while(|(key, _)| key.starts_with(prefix.as_bytes()));
    Ok(ours.map(|(_, value)| value).collect())
}

fn authority(row: &[u8]) -> Result<CaRow, Error> {
    let corrupt = || StoreError::Corrupt("a certificate authority's record does not decode".into());
    let control: Control = serde_json::from_slice(row).map_err(|_| corrupt())?;
    let Control::CaCreated { role, key, certificate, tenant } = control else {
        return Err(corrupt().into());
    };
    let der = pem::decode(pem::CERTIFICATE, &certificate).ok().and_then(|mut all| all.pop());
    Ok(CaRow { role, key, tenant, issuer: Issuer::from_der(der.ok_or_else(corrupt)?)? })
}
