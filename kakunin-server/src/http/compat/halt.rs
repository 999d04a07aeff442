//! A stop: how it is ordered, and answered.

use kakunin_core::agent::Note;
use kakunin_core::id::AgentId;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::reason::ReasonError;
use kakunin_core::revoke::{Cause, Halt, Receipt, Said};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::halt_receipt::{HaltReceipt, receipt};
use super::reason::{RawReason, invalid, to_stop};
use crate::http::error::ApiError;
use crate::http::schema::NoteText;

/// A stop.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HaltBody {
    /// `kill_switch_activated`, `risk_threshold_exceeded`, `regulatory_order`, `operator_initiated`, which it is if
    /// not given, or a word or number of RFC 5280 but `certificateHold`: a stop is for good. A sentence, with
    /// blanks in it, counts as `operator_initiated`, and is kept as the note.
    #[schema(schema_with = to_stop, required = false)]
    reason: Option<RawReason>,
    #[schema(value_type = Option<NoteText>)]
    operator_note: Option<String>,
}

/// An agent that was stopped.
#[derive(Serialize, ToSchema)]
pub(crate) struct HaltAnswer {
    halt_receipt: HaltReceipt,
    agent_id: String,
    halt_event_id: String,
    certificate_serial: Option<String>,
    halted_at: String,
    /// The receipt's signature; null while the CA cannot sign.
    signature: Option<String>,
    /// Its algorithm.
    algorithm: Option<String>,
}

impl HaltBody {
    /// Why, and in which words. A stop is not to fail for its wording: a sentence will do, which is how a client of the
    /// vendor's sends it. A single word that is not understood is likely another's code, and is refused.
    pub(crate) fn ordered(self) -> Result<(Cause, Said), ApiError> {
        let note = self.operator_note.map(Note::try_from).transpose()?;
        let Some(reason) = self.reason else {
            return Ok((Cause::OperatorInitiated, Said { reason: None, note }));
        };
        let sent = reason.text()?;
        match reason.cause() {
            Ok(Cause::Hold) => {
                let sentence = "`reason`: a stop is for good; to suspend the agent, hold its certificate";
                Err(ApiError::unprocessable("reason_invalid", sentence))
            }
            Ok(cause) => Ok((cause, Said { reason: Some(sent), note })),
            Err(ReasonError::Unknown) if sent.as_str().trim().contains(char::is_whitespace) => {
                let note = note.or_else(|| Some(sent.clone()));
                Ok((Cause::OperatorInitiated, Said { reason: Some(sent), note }))
            }
            Err(error) => Err(invalid(error)),
        }
    }
}

impl HaltAnswer {
    pub(crate) fn new(agent: &AgentId, halted: &Halt, signed: Option<&Receipt>) -> Self {
        let receipt = receipt(agent, halted, signed);
        Self {
            agent_id: receipt.agent_id.clone(),
            halt_event_id: receipt.halt_event_id.clone(),
            certificate_serial: receipt.certificate_serial.clone(),
            halted_at: receipt.halted_at.clone(),
            signature: receipt.receipt_signature.clone(),
            algorithm: signed.map(|receipt| algorithm_name(receipt.algorithm).to_owned()),
            halt_receipt: receipt,
        }
    }
}

/// As the vendor's key service calls them.
pub(crate) fn algorithm_name(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::P256 => "ECDSA_SHA_256",
        KeyAlgorithm::Ed25519 => "ED25519",
        _ => "RSASSA_PKCS1_V1_5_SHA_256",
    }
}
