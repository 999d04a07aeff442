//! How rows of state are written.

use crate::error::StoreError;
use crate::store::state::{Change, Kind};

/// A change that sets `value` as JSON.
pub(crate) fn set(kind: Kind, key: Vec<u8>, value: &impl serde::Serialize) -> Result<Change, StoreError> {
    let octets = serde_json::to_vec(value).map_err(StoreError::unavailable)?;
    Ok(Change { kind, key, value: Some(octets) })
}
