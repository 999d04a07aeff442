//! Events that are on record, as they are shown.

use std::fmt::Display;

use kakunin_core::event::{Event, EventKind, Name, ShortName};
use kakunin_core::id::{AgentId, Serial};
use kakunin_core::log::record::{Body, Record};
use kakunin_core::risk::Thresholds;
use kakunin_core::scope::Action;
use kakunin_core::service::{Observed, Recorded};
use kakunin_core::time::UnixTime;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::band::{CoarseBand, number};
use super::event::Reported;
use crate::http::error::ApiError;
use crate::http::proofs::LeafProof;
use crate::http::salvage::Taken;

/// What became of an event. It is on disk, with its place in the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct ObservedBody {
    /// Its index in the tenant's log; of a duplicate, that of the event that was recorded, or null if the number of its
    /// stream is so old that it is not known any more which event had it.
    #[schema(value_type = Option<String>)]
    event_id: Option<Text<u64>>,
    /// The same, as others call it.
    #[schema(value_type = Option<String>)]
    id: Option<Text<u64>>,
    /// `scored`, `unattributed`, `not_accepted` or `duplicate`.
    status: &'static str,
    #[schema(value_type = String)]
    agent_id: Text<AgentId>,
    #[schema(value_type = String)]
    certificate_serial: Text<Serial>,
    #[schema(value_type = String)]
    action: Text<Action>,
    /// `low`, `medium`, `warning` or `revoke`.
    band: &'static str,
    /// The same in three: `low`, `medium` or `high`.
    risk_band: &'static str,
    /// 0 to 1.
    risk_score: f64,
    action_type: &'static str,
    /// Families of evidence that contribute, strongest first.
    factors: Vec<&'static str>,
    #[schema(value_type = String)]
    occurred_at: Text<UnixTime>,
    /// Whether this event took the identity away.
    revoked: bool,
    /// Whether it would have, and the breaker holds the identity instead, until a person looks.
    held: bool,
    /// As `revoked`, as others call it: revocation has happened, it is not queued.
    revocation_check_queued: bool,
    /// Which event of a batch, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    #[serde(flatten)]
    proof: LeafProof,
    /// Which member was cut or left out because it is not as it should be: a refusal is recorded all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// What was wrong with it, as a code that stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The same as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What an answer says of an event as it was sent, whatever becomes of it.
pub(crate) struct Sent {
    agent: AgentId,
    serial: Serial,
    action: Action,
    kind: EventKind,
    pub(crate) occurred_at: Option<UnixTime>,
    /// Whether it named no certificate.
    pub(crate) unnamed: bool,
    /// What of it is not as it was sent.
    pub(crate) altered: Option<ApiError>,
}

impl Sent {
    /// Parts an event that is recorded from what is said of it.
    pub(crate) fn of(taken: Taken) -> (Self, Event) {
        let Taken { reported: Reported { agent, event, .. }, altered } = taken;
        let (serial, action, kind) = (event.serial, event.action.clone(), event.kind);
        let (occurred_at, unnamed) = (event.occurred_at, event.unnamed);
        (Self { agent, serial, action, kind, occurred_at, unnamed, altered }, event)
    }
}

/// Written as it is shown.
struct Text<T>(T);

impl<T: Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl ObservedBody {
    pub(crate) fn new(sent: &Sent, observed: &Observed, thresholds: &Thresholds) -> Self {
        let altered = sent.altered.as_ref();
        Self {
            id: observed.index.map(Text),
            event_id: observed.index.map(Text),
            status: observed.status.as_str(),
            agent_id: Text(sent.agent),
            certificate_serial: Text(sent.serial),
            action: Text(sent.action.clone()),
            band: observed.band.as_str(),
            risk_band: CoarseBand::of(observed.score, thresholds).as_str(),
            risk_score: number(observed.score),
            action_type: sent.kind.as_str(),
            factors: Vec::new(),
            occurred_at: Text(sent.occurred_at.unwrap_or(observed.at)),
            revoked: observed.revoked,
            held: observed.held,
            revocation_check_queued: observed.revoked,
            index: None,
            proof: LeafProof::NONE,
            field: altered.and_then(ApiError::field).map(str::to_owned),
            code: altered.map(|error| error.code().to_owned()),
            error: altered.map(|error| error.sentence().to_owned()),
        }
    }

    /// The same, with what the agent's score is made of.
    pub(crate) fn because_of(self, factors: Vec<&'static str>) -> Self {
        Self { factors, ..self }
    }

    /// The same, of a duplicate, with what was recorded.
    pub(crate) fn with_recorded(self, sent: &Sent, record: &Record) -> Self {
        Self {
            certificate_serial: record.serial.map_or(self.certificate_serial, Text),
            occurred_at: Text(sent.occurred_at.unwrap_or(record.time)),
            ..self
        }
    }

    /// The same, with the proof of it.
    pub(crate) fn proved(self, proof: LeafProof) -> Self {
        Self { proof, ..self }
    }

    /// The same, as one of many.
    pub(crate) const fn numbered(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }
}

/// An event as it was recorded.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecordedEvent {
    id: String,
    agent_id: Option<String>,
    certificate_serial: Option<String>,
    action: String,
    /// Its kind.
    action_type: String,
    /// The `action_type` that it was reported with, if it was.
    action_type_given: Option<String>,
    /// `ok`, `error` or `denied`.
    outcome: String,
    out_of_scope: bool,
    auth_failure: bool,
    /// `signed`, `possession` or `asserted`.
    attribution: String,
    tool: Option<String>,
    /// A trace or chain that it belongs to.
    correlation: Option<String>,
    session_id: Option<String>,
    /// Whether it moved the score.
    scored: bool,
    /// The score after it; 0 if it was not scored.
    risk_score: f64,
    /// `low`, `medium` or `high`.
    risk_band: String,
    /// When it was recorded.
    created_at: String,
    /// When it happened, by its reporter's clock; when it was recorded, if that did not say.
    occurred_at: String,
    /// What was reported beside it.
    #[schema(value_type = Option<Object>)]
    details: Option<Box<RawValue>>,
    /// Whether what was reported beside its record was erased.
    erased: bool,
    /// Index of the record that says so, in the tenant's log.
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_by: Option<String>,
}

pub(crate) fn recorded(item: &Recorded, thresholds: &Thresholds) -> Option<RecordedEvent> {
    let record = &item.record;
    let Body::Event(act, event) = &record.body else { return None };
    let details = event.as_ref().and_then(|e| e.details.as_ref());
    let word = |of: fn(&Event) -> Option<&str>| event.as_deref().and_then(of).map(str::to_owned);
    Some(RecordedEvent {
        id: item.index.to_string(),
        agent_id: record.agent.map(|id| id.to_string()),
        certificate_serial: record.serial.map(|serial| serial.to_string()),
        action: act.action.as_str().to_owned(),
        action_type: act.facts.kind.as_str().to_owned(),
        action_type_given: word(|e| e.word.as_ref().map(ShortName::as_str)),
        outcome: act.facts.outcome.as_str().to_owned(),
        out_of_scope: act.facts.out_of_scope,
        auth_failure: act.facts.auth_failure,
        attribution: act.attribution.as_str().to_owned(),
        tool: act.tool.clone(),
        correlation: act.correlation.clone(),
        session_id: word(|e| e.session.as_ref().map(Name::as_str)),
        scored: act.score.is_some(),
        risk_score: act.score.map_or(0.0, number),
        risk_band: CoarseBand::of(act.score.unwrap_or_default(), thresholds).as_str().to_owned(),
        created_at: record.time.to_string(),
        occurred_at: event.as_ref().and_then(|e| e.occurred_at).unwrap_or(record.time).to_string(),
        // To the digit; what an embedder gave may be no JSON, and is a text then.
        details: details
            .and_then(|d| serde_json::from_str(d.as_str()).or_else(|_| to_raw_value(d.as_str())).ok()),
        erased: item.erased.is_some(),
        erased_by: item.erased.map(|record| record.to_string()),
    })
}
