//! Each request has an identifier, which its answer and the server's log name.

use kakunin_core::id::{SystemEntropy, hex_encode, uuid_v7};
use kakunin_core::time::{Clock, SystemClock};

/// A UUIDv7 without hyphens.
#[derive(Debug)]
pub(crate) struct RequestId(String);

impl RequestId {
    pub(crate) fn new() -> Self {
        Self(uuid_v7(SystemClock.now(), &SystemEntropy).map(|id| hex_encode(&id)).unwrap_or_default())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
