//! What is kept of a key: the identifier that it was planned under.

use kakunin_core::key::{KeyRef, PlannedKeyId, SignError};

const SCHEME: &str = "pkcs11:";

pub(super) fn reference(planned: &PlannedKeyId) -> KeyRef {
    KeyRef::new(format!("{SCHEME}{planned}"))
}

pub(super) fn planned(key: &KeyRef) -> Result<PlannedKeyId, SignError> {
    let planned = key.as_str().strip_prefix(SCHEME).and_then(PlannedKeyId::parse);
    planned.ok_or_else(|| SignError::NotFound(key.clone()))
}
