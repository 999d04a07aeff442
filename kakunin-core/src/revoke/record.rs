//! What is on record of a revocation.

use super::reason::Cause;
use crate::agent::Note;
use crate::id::{AgentId, IssuerId, Serial};
use crate::time::UnixTime;

/// What whoever ordered it had to say, beside the cause: kept as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Said {
    /// The word or number that named the cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Note>,
    /// A sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<Note>,
}

/// One identity that is no longer accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Revocation {
    /// Who issued the certificate.
    pub issuer: IssuerId,
    /// Which certificate.
    pub serial: Serial,
    /// Whose it was.
    pub agent: AgentId,
    /// When, by the log's time.
    pub at: UnixTime,
    /// Why.
    pub cause: Cause,
    /// When the certificate would have expired: until then the serial stays on CRLs.
    pub expires: UnixTime,
    /// Which of the issuer's CRL shards it stands on.
    pub shard: u16,
}

/// One change of the revocation state, as an issuer's revocation log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum RevocationChange {
    /// The certificate is revoked or held.
    Revoked(Revocation),
    /// A hold was released: the certificate is accepted again.
    Released {
        /// Who issued the certificate.
        issuer: IssuerId,
        /// Which certificate.
        serial: Serial,
    },
}

impl RevocationChange {
    /// Which certificate changed.
    #[must_use]
    pub const fn serial(&self) -> (IssuerId, Serial) {
        match self {
            Self::Revoked(r) => (r.issuer, r.serial),
            Self::Released { issuer, serial } => (*issuer, *serial),
        }
    }
}
