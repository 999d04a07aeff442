//! What happened, in the hosted vendor's words.

use serde_json::{Value, json};

use super::told::{Told, number};
use crate::log::record::{Body, Control};
use crate::risk::Band;

/// The members that the vendor sends; what it has no form for is in ours.
pub(super) fn data(told: &Told<'_>) -> Value {
    let record = told.record;
    let (agent, serial) = (&record.agent, &record.serial);
    let Body::Control(control) = &record.body else { return Value::Null };
    match &**control {
        Control::CertificateIssued { facts, .. } => json!({
            "certificate_id": facts.serial,
            "agent_id": agent,
            "serial_number": facts.serial,
            "issued_at": facts.not_before.to_string(),
            "expires_at": facts.not_after.to_string(),
        }),
        Control::CertificateRevoked { revocation, .. }
        | Control::CertificateHeld { hold: revocation, .. } => json!({
            "certificate_id": revocation.serial,
            "agent_id": agent,
            "serial_number": revocation.serial,
            "reason": revocation.cause,
            "revoked_at": revocation.at.to_string(),
        }),
        Control::BandChanged { to, evidence, .. } => json!({
            "agent_id": agent,
            "event_id": evidence.event.to_string(),
            // A score is over many acts; the strongest family of evidence says of what kind.
            "action_type": evidence.families.first().map(|(family, _)| family),
            "risk_score": number(evidence.score),
            "risk_band": coarse(*to),
            "occurred_at": record.time.to_string(),
        }),
        Control::CertificateExpiring { not_after } => json!({
            "certificate_id": serial,
            "agent_id": agent,
            "serial_number": serial,
            "expires_at": not_after.to_string(),
        }),
        Control::AgentHalted { halt, .. } => json!({
            "agent_id": agent,
            "certificate_serial": halt.serial,
            "halt_event_id": halt.id,
            "reason": halt.cause,
            "halted_at": halt.at.to_string(),
        }),
        _ => json!({ "agent_id": agent, "serial_number": serial, "occurred_at": record.time.to_string() }),
    }
}

/// The vendor has three bands.
const fn coarse(band: Band) -> &'static str {
    match band {
        Band::Low => "low",
        Band::Medium | Band::Warning => "medium",
        Band::Revoke => "high",
    }
}
