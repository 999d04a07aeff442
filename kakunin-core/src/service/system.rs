//! The system log's state: the deployment's record, its certificate authorities, its tenants.

use super::deployment::Parts;
use super::error::Error;
use super::projection::set;
use crate::error::StoreError;
use crate::key::KeyRef;
use crate::log::record::{Body, CaRole, Control, Record};
use crate::log::sink::LogId;
use crate::state::{Change, Kind};
use crate::x509::ca::Issuer;
use crate::x509::pem;

/// Rows of the system log's state.
pub(super) const DEPLOYMENT: &[u8] = b"deployment";
pub(super) const ROOT: &[u8] = b"root";
pub(super) const ISSUING: &[u8] = b"issuing";

/// Rows that follow from one record of the system log.
pub(super) fn changes(record: &Record) -> Result<Vec<Change>, StoreError> {
    let Body::Control(control) = &record.body else {
        return Ok(Vec::new());
    };
    Ok(match &**control {
        Control::DeploymentCreated { .. } => vec![set(Kind::Certificate, DEPLOYMENT.to_vec(), control)?],
        Control::CaCreated { role: CaRole::Root, .. } => {
            vec![set(Kind::Certificate, ROOT.to_vec(), control)?]
        }
        Control::CaCreated { role: CaRole::Issuing, .. } => {
            vec![set(Kind::Certificate, ISSUING.to_vec(), control)?]
        }
        Control::TenantCreated { tenant } => {
            vec![set(Kind::Agent, tenant.as_str().as_bytes().to_vec(), tenant)?]
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
            rows.extend(changes(&Record::open(entry)?)?);
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

pub(super) async fn ca(parts: &Parts, key: &[u8]) -> Result<(KeyRef, Issuer), Error> {
    let Control::CaCreated { key, certificate, .. } = row(parts, key).await? else {
        return Err(StoreError::Corrupt("a certificate authority's record is of another kind".into()).into());
    };
    let der = pem::decode(pem::CERTIFICATE, &certificate).ok().and_then(|mut all| all.pop());
    let der = der.ok_or_else(|| StoreError::Corrupt("a CA certificate does not decode".into()))?;
    Ok((key, Issuer::from_der(der)?))
}
