//! What a record is told as: its type, its identifier, and the octets of its body.

use serde_json::{Value, json};

use super::event::WebhookEvent;
use super::facts::WebhookId;
use super::scheme::Scheme;
use super::told::{Told, number};
use super::vendor;
use crate::id::{TenantId, hex_encode};
use crate::log::record::{Body, Control, Evidence, Record};
use crate::revoke::{Revocation, Said};
use crate::risk::{Band, Score};
use crate::time::{SECOND, UnixTime};

/// Whether a leaf of this kind may be told: the record has to be read to know.
pub(crate) const fn may_be_told(kind: u16) -> bool {
    matches!(kind, 17 | 22..=25 | 27 | 33 | 49 | 50 | 64)
}

/// What a record is told as, if it is.
pub(crate) fn event_of(record: &Record) -> Option<WebhookEvent> {
    let Body::Control(control) = &record.body else { return None };
    Some(match &**control {
        Control::AgentRetired => WebhookEvent::AgentRetired,
        Control::CertificateIssued { renewal: Some(_), .. } => WebhookEvent::CertificateRenewed,
        Control::CertificateIssued { .. } => WebhookEvent::CertificateIssued,
        Control::CertificateRevoked { .. } => WebhookEvent::CertificateRevoked,
        Control::CertificateExpiring { .. } => WebhookEvent::CertificateExpiring,
        Control::CertificateHeld { .. } => WebhookEvent::AgentHeld,
        Control::CertificateReleased { .. } => WebhookEvent::AgentReleased,
        Control::AgentHalted { .. } => WebhookEvent::AgentHalted,
        Control::BandChanged { from, to: Band::Warning, .. } if *from < Band::Warning => {
            WebhookEvent::RiskWarning
        }
        Control::BandChanged { to: Band::Revoke, .. } => WebhookEvent::RiskAlert,
        Control::PolicyChanged(_) => WebhookEvent::PolicyChanged,
        Control::BreakerTripped(_) => WebhookEvent::BreakerTripped,
        _ => return None,
    })
}

/// Identifier of a message: the same whoever makes it, and whenever, so that a receiver knows it again.
pub(crate) fn message_id(webhook: &WebhookId, index: u64) -> String {
    format!("msg_{}_{index}", hex_encode(webhook.as_bytes()))
}

/// The index of the record that a message of this endpoint tells.
pub(crate) fn index_of(webhook: &WebhookId, message: &str) -> Option<u64> {
    let index = message.strip_prefix("msg_")?.split_once('_')?.1.parse().ok()?;
    (message_id(webhook, index) == message).then_some(index)
}

/// The octets that are sent.
pub(crate) fn body(scheme: Scheme, id: &str, told: &Told<'_>) -> Vec<u8> {
    let data = if scheme == Scheme::Standard { data(told) } else { vendor::data(told) };
    written(scheme, id, told.event, told.record.time, data)
}

/// What is sent where somebody tries an endpoint.
pub(crate) fn ping(
    scheme: Scheme,
    id: &str,
    (tenant, webhook): (&TenantId, &WebhookId),
    at: UnixTime,
) -> Vec<u8> {
    let data = json!({ "tenant_id": tenant, "webhook_id": webhook });
    written(scheme, id, WebhookEvent::Ping, at, data)
}

/// The members in their usual order, those alone that the scheme has.
#[derive(serde::Serialize)]
struct Written<'w> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'w str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<WebhookEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<WebhookEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<String>,
    data: Value,
}

fn written(scheme: Scheme, id: &str, event: WebhookEvent, at: UnixTime, data: Value) -> Vec<u8> {
    let (standard, docs) = (scheme == Scheme::Standard, scheme == Scheme::VendorDocs);
    let body = Written {
        id: docs.then_some(id),
        kind: standard.then_some(event),
        event: (!standard).then_some(event),
        timestamp: standard.then(|| at.to_string()),
        created_at: docs.then(|| at.to_string()),
        data,
    };
    // Of texts and numbers alone: it always encodes.
    serde_json::to_vec(&body).unwrap_or_default()
}

/// What happened, with the place where it is on record.
fn data(told: &Told<'_>) -> Value {
    let Told { tenant, public_url, index, record, .. } = *told;
    let mut data = json!({
        "tenant_id": tenant,
        "agent_id": record.agent,
        "serial_number": record.serial,
        "by": record.by,
        "log_index": index,
        // The record, its hash, and the signed head of the log.
        "proof": format!("{public_url}/api/v1/audit-log?before={}&limit=1", index + 1),
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut data, details(&record.body, public_url)) {
        all.extend(more);
    }
    if let Value::Object(all) = &mut data {
        all.retain(|_, value| !value.is_null());
    }
    data
}

fn details(body: &Body, public_url: &str) -> Value {
    let Body::Control(control) = body else { return Value::Null };
    match &**control {
        Control::CertificateIssued { facts, renewal, .. } => json!({
            "issuer": facts.issuer,
            "issued_at": facts.not_before.to_string(),
            "expires_at": facts.not_after.to_string(),
            "replaces": renewal.as_ref().map(|renewal| renewal.replaces),
            "verify": format!("{public_url}/api/v1/verify/{}", facts.serial),
        }),
        Control::CertificateRevoked { revocation, evidence, said } => {
            with(taken(revocation, said, "revoked_at", public_url), evidence.as_ref().map(because))
        }
        Control::CertificateHeld { hold, said, braked } => with(
            taken(hold, said, "held_at", public_url),
            braked.as_ref().map(|braked| because(&braked.evidence)),
        ),
        Control::CertificateExpiring { not_after } => json!({ "expires_at": not_after.to_string() }),
        Control::AgentHalted { halt, said } => json!({
            "halt_id": halt.id,
            "serial_number": halt.serial,
            "cause": halt.cause,
            "reason": said.reason,
            "halted_at": halt.at.to_string(),
        }),
        Control::BandChanged { from, to, evidence } => {
            with(json!({ "band": to, "previous_band": from }), Some(because(evidence)))
        }
        Control::PolicyChanged(change) => json!({
            "before": change.before, "after": change.after, "replaces": change.replaces, "reason": change.reason,
        }),
        Control::BreakerTripped(tripped) => {
            json!({ "in_common": tripped.in_common, "window_seconds": tripped.window / SECOND })
        }
        _ => json!({}),
    }
}

fn taken(revocation: &Revocation, said: &Said, when: &str, public_url: &str) -> Value {
    json!({
        "issuer": revocation.issuer,
        "cause": revocation.cause,
        "reason_code": revocation.cause.reason().code(),
        "reason": said.reason,
        when: revocation.at.to_string(),
        "verify": format!("{public_url}/api/v1/verify/{}", revocation.serial),
    })
}

fn because(evidence: &Evidence) -> Value {
    let of = |(family, score): &(_, Score)| json!({ "family": family, "score": number(*score) });
    json!({
        "score": number(evidence.score),
        "threshold": number(evidence.threshold),
        "model": evidence.model,
        "event_index": evidence.event,
        "evidence": evidence.families.iter().map(of).collect::<Vec<_>>(),
    })
}

fn with(mut value: Value, more: Option<Value>) -> Value {
    if let (Value::Object(all), Some(Value::Object(more))) = (&mut value, more) {
        all.extend(more);
    }
    value
}
