//! Which log, and one entry of it.

use core::fmt;

use super::leaf::commitment;
use crate::error::StoreError;
use crate::id::{IssuerId, TenantId};

/// Names a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogId {
    /// The deployment's own records.
    System,
    /// One tenant's.
    Tenant(TenantId),
    /// The revocations of one issuing CA, copied from every tenant's log.
    Revocations(IssuerId),
}

/// `_system`, the tenant id, or `_revocations-<issuer>`: unique, because tenant ids never begin with `_`.
impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("_system"),
            Self::Tenant(tenant) => fmt::Display::fmt(tenant, f),
            Self::Revocations(issuer) => write!(f, "_revocations-{issuer}"),
        }
    }
}

/// As it is displayed.
impl core::str::FromStr for LogId {
    type Err = StoreError;

    fn from_str(name: &str) -> Result<Self, StoreError> {
        let unknown = || StoreError::Corrupt("a log has an unknown name".to_owned());
        match name.strip_prefix("_revocations-") {
            Some(issuer) => issuer.to_owned().try_into().map(Self::Revocations).map_err(|_| unknown()),
            None if name == "_system" => Ok(Self::System),
            None => name.parse().map(Self::Tenant).map_err(|_| unknown()),
        }
    }
}

/// One entry: the leaf as it is hashed, and what lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The leaf.
    pub leaf: Vec<u8>,
    /// What the leaf commits to.
    pub payload: Option<Payload>,
}

/// What a leaf commits to: erasable, so it lies beside the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// 32 random octets.
    pub salt: [u8; 32],
    /// The payload.
    pub octets: Vec<u8>,
}

impl Payload {
    /// The commitment that the leaf must hold.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        commitment(&self.salt, &self.octets)
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.octets.len())
    }
}
