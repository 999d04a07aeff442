//! A message to be verified, and the answer.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::json::Free;

/// A message, and who is said to have signed it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageBody {
    /// What was signed: an object of I-JSON (RFC 7493), in its canonical form (RFC 8785).
    #[schema(value_type = Object)]
    pub(crate) payload: Free,
    /// Base64, in the form X.509 has for the key.
    #[schema(min_length = 1, max_length = 1024)]
    pub(crate) signature: String,
    #[serde(alias = "certificateSerial")]
    #[schema(pattern = "^[0-7][0-9A-F]{31}$")]
    pub(crate) certificate_serial: String,
    /// If given, the certificate must be this agent's.
    #[serde(alias = "agentId")]
    #[schema(format = "uuid")]
    pub(crate) agent_id: Option<String>,
}

/// Whether it holds.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageAnswer {
    /// Whether the signature is by the certificate's key, and the certificate stands.
    pub(crate) valid: bool,
    /// Whether the signature is by the certificate's key.
    pub(crate) signature_valid: bool,
    pub(crate) certificate_status: String,
    pub(crate) agent_id: String,
    pub(crate) agent_name: String,
    pub(crate) model_hash: String,
    pub(crate) certificate_serial: String,
    pub(crate) expires_at: String,
    pub(crate) revoked_at: Option<String>,
}
