//! What is kept of a key: its ARN.

use kakunin_core::key::{KeyRef, SignError};

const SCHEME: &str = "awskms:";

pub(super) fn arn(key: &KeyRef) -> Result<String, SignError> {
    let arn = key.as_str().strip_prefix(SCHEME).filter(|arn| arn.starts_with("arn:"));
    arn.map(str::to_owned).ok_or_else(|| SignError::NotFound(key.clone()))
}

pub(super) fn reference(arn: &str) -> KeyRef {
    KeyRef::new(format!("{SCHEME}{arn}"))
}
