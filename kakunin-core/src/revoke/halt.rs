//! Stops that somebody ordered, and the proof of one.

use super::reason::Cause;
use crate::id::{AgentId, HaltId, IssuerId, Serial};
use crate::key::KeyAlgorithm;
use crate::time::UnixTime;

/// A stop that somebody ordered, as its receipt says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Halt {
    /// Identifier of this stop.
    pub id: HaltId,
    /// Why.
    pub cause: Cause,
    /// The certificate it took away, if the agent had one.
    pub serial: Option<Serial>,
    /// When, by the log's time.
    pub at: UnixTime,
}

/// The proof of a stop: an issuing CA's signature over [`Halt::receipt_text`]. Made once, at the stop.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    /// Key identifier of the CA that signed.
    pub issuer: IssuerId,
    /// The algorithm of its key; PKCS#1 v1.5 with SHA-256 for RSA.
    pub algorithm: KeyAlgorithm,
    /// The signature, in X.509 form, base64.
    pub signature: String,
}

impl Halt {
    /// What its receipt signs: `{agent}:{serial, or no-cert}:{when, RFC 3339}:{id of the stop}`.
    #[must_use]
    pub fn receipt_text(&self, agent: &AgentId) -> String {
        let serial = self.serial.map_or_else(|| "no-cert".to_owned(), |serial| serial.to_string());
        format!("{agent}:{serial}:{}:{}", self.at, self.id)
    }
}
