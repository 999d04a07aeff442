//! Proof of a stop.

use kakunin_core::id::AgentId;
use kakunin_core::revoke::{Halt, Receipt};
use serde::Serialize;
use utoipa::ToSchema;

/// Proof of a stop, by the issuing CA.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HaltReceipt {
    pub(crate) agent_id: String,
    pub(crate) certificate_serial: Option<String>,
    pub(crate) halted_at: String,
    pub(crate) halt_event_id: String,
    reason: String,
    /// Base64 of the signature over `{agent_id}:{serial, or no-cert}:{halted_at}:{halt_event_id}`; null while the CA
    /// cannot sign: `GET /api/v1/verify/{serial}` has it once it can.
    pub(crate) receipt_signature: Option<String>,
    /// Serial number and algorithm are in the certificate at `/api/v1/ca`.
    signed_by_ca: bool,
    audit_logged: bool,
}

/// The receipt of a stop, signed or not yet.
pub(crate) fn receipt(agent: &AgentId, halt: &Halt, signed: Option<&Receipt>) -> HaltReceipt {
    HaltReceipt {
        agent_id: agent.to_string(),
        certificate_serial: halt.serial.map(|serial| serial.to_string()),
        halted_at: halt.at.to_string(),
        halt_event_id: halt.id.to_string(),
        reason: halt.cause.as_str().to_owned(),
        receipt_signature: signed.map(|receipt| receipt.signature.clone()),
        signed_by_ca: signed.is_some(),
        audit_logged: true,
    }
}
