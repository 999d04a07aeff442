//! Rows that follow from the system log: the deployment's record, its certificate authorities, tenants and API keys; and
//! the state as it is read back from them.

use super::fold::SystemState;
use crate::access::Role;
use crate::error::StoreError;
use crate::feed::Visibility;
use crate::id::{ApiKeyId, TenantId};
use crate::log::record::{Body, Control, Record};
use crate::service::state::crl_mark::{Mark, mark_row};
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};

/// Rows of [`Kind::Deployment`]: how it was made,
const MADE: &[u8] = b"made";
/// that state is believed under a seal alone,
const SEALED: &[u8] = b"sealed";
/// and the newest admin key, whatever became of it.
const ADMIN: &[u8] = b"admin-key";
/// What stands before a tenant's name in the key of the model that it was made with.
const MODEL: &[u8] = b"model/";

/// Tables whose rows follow from the system log, and the state is read back from.
pub(crate) const TABLES: [Kind; 5] =
    [Kind::Deployment, Kind::Authority, Kind::Tenant, Kind::ApiKey, Kind::ApiKeyCommitment];

/// Rows that follow from the record of the system log at `index`.
pub(crate) fn changes(index: u64, record: &Record) -> Result<Vec<Change>, StoreError> {
    let Body::Control(control) = &record.body else {
        return Ok(Vec::new());
    };
    Ok(match &**control {
        Control::DeploymentCreated { .. } => vec![set(Kind::Deployment, MADE.to_vec(), control)?],
        Control::CaCreated { .. } => {
            vec![set(Kind::Authority, index.to_be_bytes().to_vec(), control)?]
        }
        Control::TenantCreated { tenant, model } => {
            let mut rows = vec![set(Kind::Tenant, name_of(tenant), &Visibility::Public)?];
            if let Some(model) = model {
                rows.push(set(Kind::Deployment, [MODEL, &name_of(tenant)].concat(), model)?);
            }
            rows
        }
        Control::VisibilityChanged { tenant, visibility } => {
            vec![set(Kind::Tenant, name_of(tenant), visibility)?]
        }
        Control::DeploymentSealed { .. } => vec![set(Kind::Deployment, SEALED.to_vec(), control)?],
        Control::ApiKeyCreated(facts) => {
            let mut rows = vec![set(Kind::ApiKey, id_of(&facts.id), facts)?];
            if facts.role == Role::Admin {
                rows.push(set(Kind::Deployment, ADMIN.to_vec(), &facts.id)?);
            }
            rows
        }
        Control::ApiKeyCommitted { id, commitment } => {
            vec![set(Kind::ApiKeyCommitment, id_of(id), commitment)?]
        }
        Control::ApiKeyRevoked { id } => [Kind::ApiKey, Kind::ApiKeyCommitment]
            .map(|kind| Change { kind, key: id_of(id), value: None })
            .to_vec(),
        Control::CrlPublished { issuer, shard, number, this_update, .. } => {
            // Before it was kept, it was that of the record or earlier.
            let mark = Mark { number: *number, this_update: this_update.unwrap_or(record.time) };
            vec![mark_row(issuer, *shard, mark)]
        }
        _ => Vec::new(),
    })
}

fn id_of(id: &ApiKeyId) -> Vec<u8> {
    id.to_string().into_bytes()
}

fn name_of(tenant: &TenantId) -> Vec<u8> {
    tenant.as_str().as_bytes().to_vec()
}

impl SystemState {
    /// The state as the rows have it that follow from the records below `next`; in the order of their keys, each kind.
    pub(crate) fn restored(rows: &[(Kind, Vec<u8>, Vec<u8>)], next: u64) -> Result<Self, StoreError> {
        let mut state = Self { next, ..Self::default() };
        for (kind, key, value) in rows {
            state.restore(*kind, key, value)?;
        }
        Ok(state)
    }

    fn restore(&mut self, kind: Kind, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        match kind {
            Kind::Authority => self.authorities.created(&read(value)?)?,
            Kind::Tenant => {
                let tenant: TenantId = named(key)?;
                self.tenants.created(tenant.clone());
                self.tenants.changed(&tenant, read(value)?);
            }
            Kind::ApiKey => self.keys.restored(read(value)?),
            Kind::ApiKeyCommitment => self.keys.committed(named(key)?, read(value)?),
            Kind::Deployment if key.starts_with(MODEL) => {
                let tenant = named(key.get(MODEL.len()..).unwrap_or_default())?;
                self.tenants.made_with(tenant, read(value)?);
            }
            Kind::Deployment if key == ADMIN => self.keys.had_admin(read(value)?),
            Kind::Deployment if key == SEALED => match read(value)? {
                Control::DeploymentSealed { secret } => self.sealed = Some(secret),
                _ => return Err(corrupt()),
            },
            // How it was made is read from the log.
            _ => {}
        }
        Ok(())
    }
}

fn named<T: core::str::FromStr>(key: &[u8]) -> Result<T, StoreError> {
    str::from_utf8(key).ok().and_then(|name| name.parse().ok()).ok_or_else(corrupt)
}

fn read<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|_| corrupt())
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("a row of the system log's state does not decode".into())
}
