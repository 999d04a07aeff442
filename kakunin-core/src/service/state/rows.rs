//! How rows of state are written.

use crate::error::StoreError;
use crate::store::state::{Change, Kind};

/// A change that sets `value` as JSON.
pub(crate) fn set(kind: Kind, key: Vec<u8>, value: &impl serde::Serialize) -> Result<Change, StoreError> {
    Ok(Change { kind, key, value: Some(octets(value)?) })
}

/// What a row keeps of `value`.
pub(crate) fn octets(value: &impl serde::Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(StoreError::unavailable)
}
