//! What records are made of.

use base64ct::{Base64, Encoding};

use crate::id::{Serial, hex_encode};
use crate::policy::Mode;
use crate::risk::{Band, Family, ModelId, Score};
use crate::scope::{Action, Scope, ScopeSet};
use crate::time::UnixTime;
use crate::words::words;
use crate::x509::extensions::ModelHash;

/// What a key provider is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyAction {
    /// To refuse to sign, for now.
    Disable,
    /// To sign again.
    Enable,
    /// To refuse for ever, and to delete.
    Retire,
    /// To retire whatever was made under a planned identifier.
    Sweep,
    /// To end what it granted to others of a key.
    Ungrant,
    /// To sign the receipt of a stop, with the CA's key.
    Receipt,
}

words! {
    /// Which certificate authority.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    pub enum CaRole {
        /// The trust anchor.
        Root = "root",
        /// The one that issues to agents.
        Issuing = "issuing",
    }
}

/// How near the end of a certificate authority is that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Far.
    Far,
    /// Within 90 days, or the last tenth of its life if that is shorter: time to plan what follows.
    Near,
    /// Within 30 days, or the last thirtieth.
    Urgent,
    /// It is over, and nothing is issued.
    Ended,
}

/// That a log goes on from an older copy, under another origin.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Recovery {
    /// The last part of the origin from here on.
    pub epoch: u64,
    /// The checkpoint that the copy ended with.
    pub from: String,
    /// The newest checkpoint that is known of the log it was copied from, if that had grown: what lies between is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// What a decision about behaviour rests on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Evidence {
    /// The score that crossed.
    pub score: Score,
    /// The threshold of revocation.
    pub threshold: Score,
    /// The model.
    pub model: ModelId,
    /// Index of the event in this log.
    pub event: u64,
    /// What each family contributes, strongest first.
    pub families: Vec<(Family, Score)>,
    /// Index of the record that put the policy in force under which it was decided; `None` if the tenant had said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<u64>,
    /// What follows from a score under it.
    #[serde(default)]
    pub mode: Mode,
}

/// The word of a certificate's key for the key that follows it: its signature over
/// [`crate::x509::csr::Proven::binding_text`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KeyBinding {
    /// The certificate whose key signed.
    pub serial: Serial,
    /// SHA-256 of the request, hex.
    pub request: String,
    /// The signature, base64.
    pub signature: String,
}

impl KeyBinding {
    pub(crate) fn new(serial: Serial, request: [u8; 32], signature: &[u8]) -> Self {
        Self { serial, request: hex_encode(&request), signature: Base64::encode_string(signature) }
    }
}

/// What was attested, approved and seen when a certificate was renewed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Renewal {
    /// The certificate that is replaced.
    pub replaces: Serial,
    /// The model that the agent runs, as whoever ordered the renewal attests.
    pub attested: ModelHash,
    /// The scope that whoever ordered the renewal approves; `None` when the agent renewed by itself.
    pub approved: Option<ScopeSet>,
    /// Scopes that the replaced certificate did not have.
    pub added: Vec<Scope>,
    /// Scopes that only the replaced certificate has.
    pub removed: Vec<Scope>,
    /// Which of `model_hash`, `environment`, `constraints` are not those of the replaced certificate.
    pub changed: Vec<String>,
    /// The agent's score.
    pub score: Score,
    /// Its band, which bounds the profile.
    pub band: Band,
    /// Scopes of the replaced certificate that were never used; `None` if too many actions were.
    pub unused: Option<Vec<Scope>>,
    /// Actions that were refused since a person last approved, in their order; of many those are left out
    /// that [`Renewal::refused_more`] counts.
    pub refused: Vec<Action>,
    /// How many more there were, where one that came again after it was left out counts again.
    #[serde(default)]
    pub refused_more: u64,
    /// Until when the replaced certificate stands beside the new one, unless that is used before; it is superseded
    /// in the same append if this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixTime>,
}

impl Renewal {
    /// Whether a person approved it, who saw what was refused.
    #[must_use]
    pub const fn is_approved(&self) -> bool {
        self.approved.is_some()
    }
}
