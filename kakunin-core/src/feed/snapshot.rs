//! Snapshots: what stands revoked at one size of the log, for those who do not want to read it all.

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use super::{FeedError, Origin, open_checkpoint};
use crate::brand::SNAPSHOT_LABEL;
use crate::id::Serial;
use crate::log::checkpoint::Checkpoint;
use crate::log::cosignature::CosignerKey;
use crate::log::merkle::{Frontier, Hash};
use crate::revoke::Reason;
use crate::time::UnixTime;

/// Most octets of a snapshot that is looked at: ten million revocations.
pub const MAX_SNAPSHOT_LEN: usize = 256 * 1024 * 1024;
/// A serial and a reason code.
const ENTRY_LEN: usize = 17;
const HASH_LEN: usize = 32;

/// A snapshot as it travels.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// The feed key's word, with a time, that the body is what stands at that size of that log.
    pub statement: String,
    /// The log's checkpoint at that size, cosigned with a time.
    pub checkpoint: String,
    /// What stands, base64: see [`Standing`].
    pub body: String,
}

/// A snapshot as the API answers it.
#[derive(serde::Deserialize)]
struct Answer {
    data: Snapshot,
}

/// What stands revoked at one size of a log, and what appending to the log needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The log's size and subtree roots.
    pub frontier: Frontier,
    /// Serials that are revoked or held. Those that have expired may be missing.
    pub revoked: Vec<(Serial, Reason)>,
}

impl Standing {
    /// The body of a snapshot: the size (eight octets, the greatest first), the subtree roots, then serial and
    /// reason code of each revocation.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let roots = self.frontier.roots();
        let mut out = Vec::with_capacity(8 + roots.len() * HASH_LEN + self.revoked.len() * ENTRY_LEN);
        out.extend_from_slice(&self.frontier.size().to_be_bytes());
        out.extend_from_slice(roots.as_flattened());
        for (serial, reason) in &self.revoked {
            out.extend_from_slice(serial.as_bytes());
            out.push(reason.code());
        }
        out
    }

    /// Decodes a body.
    ///
    /// # Errors
    /// [`FeedError::Malformed`].
    pub fn decode(octets: &[u8]) -> Result<Self, FeedError> {
        let (size, rest) = octets.split_first_chunk::<8>().ok_or(FeedError::Malformed)?;
        let size = u64::from_be_bytes(*size);
        let roots_len = usize::try_from(size.count_ones()).unwrap_or(usize::MAX).saturating_mul(HASH_LEN);
        let (roots, entries) = rest.split_at_checked(roots_len).ok_or(FeedError::Malformed)?;
        let roots: Vec<Hash> = roots.as_chunks::<HASH_LEN>().0.to_vec();
        let frontier = Frontier::from_parts(size, roots).ok_or(FeedError::Malformed)?;
        let (entries, rest) = entries.as_chunks::<ENTRY_LEN>();
        if !rest.is_empty() {
            return Err(FeedError::Malformed);
        }
        let revoked = entries.iter().map(entry).collect::<Option<_>>().ok_or(FeedError::Malformed)?;
        Ok(Self { frontier, revoked })
    }
}

fn entry(octets: &[u8; ENTRY_LEN]) -> Option<(Serial, Reason)> {
    let (serial, code) = octets.split_first_chunk::<16>()?;
    Some((Serial::from_bytes(*serial)?, Reason::from_code(*code.first()?)?))
}

impl Snapshot {
    /// The text of the feed key's statement over a body.
    #[must_use]
    pub fn statement_text(origin: &str, size: u64, body: &[u8]) -> String {
        format!("{SNAPSHOT_LABEL}\n{origin}\n{size}\n{}\n", Base64::encode_string(&Sha256::digest(body)))
    }

    /// Parses a snapshot as the API answers it, `{"data": ...}`, and looks at it: statement and checkpoint are
    /// the feed key's word about this log, and the body is the one that both speak of.
    ///
    /// # Errors
    /// [`FeedError`].
    pub fn open(
        octets: &[u8],
        key: &CosignerKey,
        origin: &Origin,
    ) -> Result<(Checkpoint, UnixTime, Standing), FeedError> {
        if octets.len() > MAX_SNAPSHOT_LEN {
            return Err(FeedError::Malformed);
        }
        let answer: Answer = serde_json::from_slice(octets).map_err(|_| FeedError::Malformed)?;
        let snapshot = answer.data;
        let (checkpoint, time) = open_checkpoint(&snapshot.checkpoint, key, origin)?;
        let body = Base64::decode_vec(&snapshot.body).map_err(|_| FeedError::Malformed)?;
        let (statement, _) = key.open(&snapshot.statement)?;
        if statement != Self::statement_text(&checkpoint.origin, checkpoint.size, &body) {
            return Err(FeedError::Altered);
        }
        let standing = Standing::decode(&body)?;
        let frontier = &standing.frontier;
        if frontier.size() == checkpoint.size && frontier.root() == checkpoint.root {
            Ok((checkpoint, time, standing))
        } else {
            Err(FeedError::Altered)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_back_and_nothing_else_is() {
        let mut frontier = Frontier::default();
        (0..7).for_each(|n| frontier.push([n; 32]));
        let serial = |n| Serial::from_bytes([n; 16]).unwrap();
        let revoked = vec![(serial(1), Reason::KeyCompromise), (serial(2), Reason::CertificateHold)];
        let standing = Standing { frontier, revoked };
        let octets = standing.encode();
        assert_eq!(octets.len(), 8 + 3 * 32 + 2 * 17);
        assert_eq!(Standing::decode(&octets), Ok(standing));
        assert_eq!(Standing::decode(&[0; 8]), Ok(Standing::default()));
        assert!(Standing::decode(&octets[..octets.len() - 1]).is_err());
        let unused = [&octets[..octets.len() - 1], &[7]].concat();
        assert!(Standing::decode(&unused).is_err(), "reason 7 is unused");
        assert!(Standing::decode(&[0xff; 40]).is_err(), "roots are missing");
    }
}
