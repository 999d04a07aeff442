//! Rows that follow from the system log: the deployment's record, its certificate authorities, tenants and API keys; and
//! the state as it is read back from them.

use super::fold::SystemState;
use crate::access::Role;
use crate::error::StoreError;
use crate::feed::Visibility;
use crate::id::ApiKeyId;
use crate::log::record::{Body, Control, Record};
use crate::service::state::crl_mark::{Mark, mark_row};
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};

/// Rows of the system log's state.
const DEPLOYMENT: &[u8] = b"deployment";
/// What keys of rows of certificate authorities begin with; their records' indices follow, in hex.
const CA: &str = "ca/";
/// The row that says that state is believed under a seal alone.
const SEALED: &[u8] = b"sealed";
/// The newest admin key, whatever became of it.
const ADMIN: &[u8] = b"admin-key";
/// What keys of rows of API keys begin with, and those of what commits to the hashes of old ones.
const API_KEY: &str = "api-key/";
const API_KEY_COMMITMENT: &str = "api-key-commitment/";
/// What keys of rows begin with that name a tenant whose revocations are private.
const PRIVATE: &str = "private/";

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
fn named(what: &str, id: &ApiKeyId) -> Vec<u8> {
    format!("{what}{id}").into_bytes()
}

impl SystemState {
    /// The state as the rows have it that follow from the records below `next`; in the order of their keys, each kind.
    pub(crate) fn restored(rows: &[(Kind, Vec<u8>, Vec<u8>)], next: u64) -> Result<Self, StoreError> {
        let mut state = Self { next, ..Self::default() };
        for (kind, key, value) in rows {
            match kind {
                Kind::Agent => state.tenants.created(read(value)?),
                Kind::Certificate => state.restore(key, value)?,
                // Marks of CRLs.
                _ => {}
            }
        }
        Ok(state)
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let of = |what: &str| key.starts_with(what.as_bytes());
        if of(CA) {
            self.authorities.created(&read(value)?)?;
        } else if of(PRIVATE) {
            self.tenants.changed(&read(value)?, Visibility::Private);
        } else if of(API_KEY_COMMITMENT) {
            let id = key.get(API_KEY_COMMITMENT.len()..).and_then(|id| str::from_utf8(id).ok()?.parse().ok());
            self.keys.committed(id.ok_or_else(corrupt)?, read(value)?);
        } else if of(API_KEY) {
            self.keys.restored(read(value)?);
        } else if key == ADMIN {
            self.keys.had_admin(read(value)?);
        } else if key == SEALED {
            match read(value)? {
                Control::DeploymentSealed { secret } => self.sealed = Some(secret),
                _ => return Err(corrupt()),
            }
        }
        Ok(())
    }
}

fn read<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|_| corrupt())
}

fn corrupt() -> StoreError {
    StoreError::Corrupt("a row of the system log's state does not decode".into())
}
