//! Frames: records from one index on, and a checkpoint that is at least as long.

use base64ct::{Base64, Encoding};

use super::FeedError;
use crate::id::IssuerId;
use crate::log::leaf::{Leaf, commitment};
use crate::log::merkle::{Hash, leaf_hash};
use crate::revoke::RevocationChange;

/// Most records in one frame.
pub const MAX_ENTRIES: usize = 1_000;
/// Most octets of a frame that is looked at.
pub const MAX_FRAME_LEN: usize = 4 * 1024 * 1024;
/// Kind code of changes of the revocation state.
const REVOCATION_CHANGED: u16 = 48;
/// Kind code of the record that begins another epoch: whoever reads it has seen so by the origin of its checkpoint.
const LOG_RECOVERED: u16 = 68;

/// A part of a revocation log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Frame {
    /// Index of the first record; the size that the follower has, if there is none.
    pub from: u64,
    /// Records in the order of the log.
    pub entries: Vec<FrameEntry>,
    /// The log's checkpoint, cosigned with a time by the feed key. It may cover more than these records.
    pub checkpoint: String,
}

/// One record: its leaf, and what it commits to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FrameEntry {
    /// The leaf as it is hashed, base64.
    leaf: String,
    /// The salt of the commitment, base64.
    salt: String,
    /// What the leaf commits to, base64.
    payload: String,
}

/// A record that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Hash of its leaf.
    pub hash: Hash,
    /// What changed; `None` if this is of a kind that may be passed over.
    pub change: Option<RevocationChange>,
}

/// The payload, as far as followers read it.
#[derive(serde::Deserialize)]
struct Recorded {
    record: Kind,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    RevocationChanged(RevocationChange),
}

impl Frame {
    /// Parses a frame: JSON.
    ///
    /// # Errors
    /// [`FeedError::Malformed`], also if it is longer than frames are.
    pub fn parse(octets: &[u8]) -> Result<Self, FeedError> {
        if octets.len() > MAX_FRAME_LEN {
            return Err(FeedError::Malformed);
        }
        let frame: Self = serde_json::from_slice(octets).map_err(|_| FeedError::Malformed)?;
        if frame.entries.len() > MAX_ENTRIES { Err(FeedError::Malformed) } else { Ok(frame) }
    }

    /// The frame as it travels.
    ///
    /// # Errors
    /// [`FeedError::Malformed`] if it does not encode; a fault of this crate.
    pub fn to_json(&self) -> Result<Vec<u8>, FeedError> {
        serde_json::to_vec(self).map_err(|_| FeedError::Malformed)
    }

    /// Index after the last record.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.from.saturating_add(u64::try_from(self.entries.len()).unwrap_or(u64::MAX))
    }
}

impl FrameEntry {
    /// A record with its leaf, salt and payload.
    #[must_use]
    pub fn new(leaf: &[u8], salt: &[u8; 32], payload: &[u8]) -> Self {
        let encode = Base64::encode_string;
        Self { leaf: encode(leaf), salt: encode(salt), payload: encode(payload) }
    }

    /// Looks at the record: its payload is the one that the leaf commits to, and it is of this issuer.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn open(&self, issuer: &IssuerId) -> Result<Opened, FeedError> {
        let decode = |text: &str| Base64::decode_vec(text).map_err(|_| FeedError::Malformed);
        let octets = decode(&self.leaf)?;
        let (hash, leaf) = (leaf_hash(&octets), Leaf::decode(&octets).map_err(|_| FeedError::Malformed)?);
        let salt = decode(&self.salt)?.try_into().map_err(|_| FeedError::Malformed)?;
        let payload = decode(&self.payload)?;
        if leaf.commitment != Some(commitment(&salt, &payload)) {
            return Err(FeedError::Altered);
        }
        if leaf.kind != REVOCATION_CHANGED {
            return if leaf.is_critical() && leaf.kind != LOG_RECOVERED {
                Err(FeedError::UnknownKind)
            } else {
                Ok(Opened { hash, change: None })
            };
        }
        let recorded: Recorded = serde_json::from_slice(&payload).map_err(|_| FeedError::UnknownKind)?;
        let Kind::RevocationChanged(change) = recorded.record;
        let (of, serial) = change.serial();
        if of != *issuer || leaf.serial != Some(serial) {
            return Err(FeedError::OtherLog);
        }
        Ok(Opened { hash, change: Some(change) })
    }
}
