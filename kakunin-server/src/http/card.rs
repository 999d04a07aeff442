//! What is said of a certificate: the answer, and answers that were made before.

use std::sync::Arc;

use axum::body::Bytes;
use kakunin_core::id::{IssuerId, Serial};
use kakunin_core::revoke::Reason;
use kakunin_core::time::UnixTime;
use quick_cache::sync::Cache;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::compat::halt_receipt::HaltReceipt;

/// Answers that are kept rendered.
const CARDS: usize = 16_384;

/// A certificate, and whether it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct VerifyBody {
    pub(crate) serial_number: String,
    /// The same, as others call it.
    pub(crate) serial: String,
    /// `active`, `suspended`, `revoked` or `expired`.
    pub(crate) status: String,
    /// The same, as others call it.
    pub(crate) certificate_status: String,
    pub(crate) valid: bool,
    pub(crate) issued_at: String,
    pub(crate) expires_at: String,
    pub(crate) valid_from: String,
    pub(crate) valid_until: String,
    /// Key identifier of the issuing CA.
    pub(crate) issuer: String,
    pub(crate) spiffe_id: Option<String>,
    pub(crate) agent_id: String,
    pub(crate) agent_name: String,
    pub(crate) operator_org: Option<String>,
    pub(crate) permitted_actions: Vec<String>,
    pub(crate) model_hash: String,
    /// The document whose SHA-256 the certificate pins.
    #[schema(value_type = Option<Object>)]
    pub(crate) financial_scope: Option<Box<RawValue>>,
    pub(crate) revoked_at: Option<String>,
    /// `issuer_revoked` if its issuing CA is on its root's CRL.
    pub(crate) revocation_reason: Option<String>,
    pub(crate) halt_receipt: Option<HaltReceipt>,
    pub(crate) agent: VerifiedAgentBody,
}

/// The agent, as its certificate says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct VerifiedAgentBody {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Not in certificates: always null.
    pub(crate) model: Option<String>,
    pub(crate) model_hash: String,
    /// Not in certificates: always null.
    pub(crate) version: Option<String>,
    pub(crate) tenant: String,
    pub(crate) environment: String,
    pub(crate) fleet: Option<String>,
    pub(crate) operator_org: Option<String>,
    pub(crate) permitted_actions: Vec<String>,
    /// The document whose SHA-256 the certificate pins.
    #[schema(value_type = Option<Object>)]
    pub(crate) financial_scope: Option<Box<RawValue>>,
}

/// An answer as it is sent, and as long as what it says of the status holds.
#[derive(Debug)]
pub(crate) struct Card {
    pub(super) body: VerifyBody,
    pub(super) json: Bytes,
    /// Entity tags of the JSON and of the page.
    pub(super) tags: (String, String),
    pub(super) issuer: IssuerId,
    pub(super) reason: Option<Reason>,
    pub(super) until: UnixTime,
}

impl Card {
    pub(crate) const fn body(&self) -> &VerifyBody {
        &self.body
    }
}

/// Answers that were made before.
#[derive(Debug)]
pub(crate) struct Cards(pub(super) Cache<Serial, Arc<Card>>);

impl Default for Cards {
    fn default() -> Self {
        Self(Cache::new(CARDS))
    }
}
