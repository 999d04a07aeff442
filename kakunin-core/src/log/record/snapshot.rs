//! What a log's records amount to, put on record: see `docs/AUDIT-LOG.md` for how it is computed.

use crate::id::{IssuerId, hex_decode, hex_encode};
use crate::risk::ModelId;

/// A SHA-256, in hex.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sha256Hash(pub [u8; 32]);

/// What stands in one table, or what is folded: how many rows, and the hash of all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RowsHash {
    /// How many rows.
    pub rows: u64,
    /// SHA-256 of the rows in the order of their keys, each with its lengths before it.
    pub sha256: Sha256Hash,
}

/// A table that follows from the log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TableHash {
    /// Its name.
    pub table: String,
    /// What stands in it.
    #[serde(flatten)]
    pub hash: RowsHash,
}

/// Risk histories, as a model of this name and version folds them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HistoriesHash {
    /// Which model.
    pub model: ModelId,
    /// The histories of all agents.
    #[serde(flatten)]
    pub hash: RowsHash,
}

/// Standing revocations of an issuing CA.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RevocationsHash {
    /// Whose.
    pub issuer: IssuerId,
    /// From how many records of its revocation log they follow.
    pub size: u64,
    /// The revocations, in the order of their records.
    #[serde(flatten)]
    pub hash: RowsHash,
}

/// What the first records of a log amount to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StateSnapshot {
    /// How many records: all below this index.
    pub size: u64,
    /// Every table that follows from them.
    pub tables: Vec<TableHash>,
    /// Risk histories; in logs of tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histories: Option<HistoriesHash>,
    /// Standing revocations of issuing CAs; in the system log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocations: Vec<RevocationsHash>,
}

impl From<Sha256Hash> for String {
    fn from(hash: Sha256Hash) -> Self {
        hex_encode(&hash.0)
    }
}

impl TryFrom<String> for Sha256Hash {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex_decode(&text).map(Self).ok_or("a SHA-256 has 64 hex digits")
    }
}

impl core::fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&hex_encode(&self.0))
    }
}

impl core::fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}
