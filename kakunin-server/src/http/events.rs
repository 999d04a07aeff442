//! What agents did: reported, and read back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::event::{Event, Name, ShortName};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::log::leaf::Act;
use kakunin_core::log::record::{Body, Record};
use kakunin_core::risk::{Family, Score, Thresholds};
use kakunin_core::service::{EventStatus, Observed, Recorded};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::auth::{Caller, Reader, Reporter};
use super::compat::client::CoarseBand;
use super::compat::event::{EventBody, Reported};
use super::compat::event_words::{is_word, no_word};
use super::error::{ApiError, ErrorBody};
use super::json::Data;
use super::page::{self, PageBody, Pagination, Params};
use super::parts::Content;
use super::salvage::{self, Taken};
use super::subjects::Subjects;

/// What became of an event. It is on disk, with its place in the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct ObservedBody {
    /// Its index in the tenant's log; of a duplicate, that of the event that was recorded, or null if the number of its
    /// stream is so old that it is not known any more which event had it.
    event_id: Option<String>,
    /// The same, as others call it.
    id: Option<String>,
    /// `scored`, `unattributed`, `not_accepted` or `duplicate`.
    status: String,
    agent_id: String,
    certificate_serial: String,
    action: String,
    /// `low`, `medium`, `warning` or `revoke`.
    band: String,
    /// The same in three: `low`, `medium` or `high`.
    risk_band: String,
    /// 0 to 1.
    risk_score: f64,
    action_type: String,
    /// Families of evidence that contribute, strongest first.
    factors: Vec<String>,
    occurred_at: String,
    /// Whether this event took the identity away.
    revoked: bool,
    /// The same, as others call it: revocation has happened, it is not queued.
    revocation_check_queued: bool,
    /// Which event of a batch, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
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

/// A score as a number.
pub(crate) fn number(score: Score) -> f64 {
    f64::from(score.millionths()) / 1_000_000.0
}

impl ObservedBody {
    pub(crate) fn new(app: &App, taken: &Taken, observed: &Observed, factors: Vec<String>) -> Self {
        let Reported { agent, event, .. } = &taken.reported;
        let id = observed.index.map(|index| index.to_string());
        let altered = taken.altered.as_ref();
        Self {
            id: id.clone(),
            event_id: id,
            status: observed.status.as_str().to_owned(),
            agent_id: agent.to_string(),
            certificate_serial: event.serial.to_string(),
            action: event.action.as_str().to_owned(),
            band: observed.band.as_str().to_owned(),
            risk_band: CoarseBand::of(observed.score, &app.kakunin.thresholds()).as_str().to_owned(),
            risk_score: number(observed.score),
            action_type: event.kind.as_str().to_owned(),
            factors,
            occurred_at: event.occurred_at.unwrap_or(observed.at).to_string(),
            revoked: observed.revoked,
            revocation_check_queued: observed.revoked,
            index: None,
            field: altered.and_then(ApiError::field).map(str::to_owned),
            code: altered.map(|error| error.code().to_owned()),
            error: altered.map(|error| error.sentence().to_owned()),
        }
    }

    /// The same, of a duplicate: with what was recorded, where that may be another than what came now.
    pub(crate) async fn with_what_was_recorded(
        self,
        app: &App,
        tenant: &TenantId,
        event: &Event,
        observed: &Observed,
    ) -> Result<Self, ApiError> {
        let differs = event.unnamed || event.occurred_at.is_none();
        let Some(index) = observed.index.filter(|_| differs && observed.status == EventStatus::Duplicate)
        else {
            return Ok(self);
        };
        let page = app.kakunin.records(tenant, Some(index.saturating_add(1)), 1, |_| true).await?;
        let Some(Recorded { record, .. }) = page.items.into_iter().find(|item| item.index == index) else {
            return Ok(self);
        };
        Ok(Self {
            certificate_serial: record.serial.map_or(self.certificate_serial, |serial| serial.to_string()),
            occurred_at: event.occurred_at.unwrap_or(record.time).to_string(),
            ..self
        })
    }

    /// The same, as one of many.
    pub(crate) const fn numbered(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }
}

/// Records one event of an agent of this tenant, scores it, and revokes if the score says so.
#[utoipa::path(
    operation_id = "reportEvent",
    post, path = "/api/v1/events", tag = "events", request_body = EventBody,
    responses(
        (status = 201, description = "Recorded; 200 for a duplicate.", body = Data<ObservedBody>),
        (status = 200, description = "Recorded before: what was recorded.", body = Data<ObservedBody>),
        (status = 409, description = "`client_id_reused`, `stream_number_reused`: that is on record with another event.",
            body = ErrorBody),
        (status = "4XX", description = "Refused; 422 with `agent_not_active` if it was recorded, and the agent's certificate does not stand.",
            body = ErrorBody),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Reporter(caller): Reporter,
    Content(body): Content,
) -> Result<Response, ApiError> {
    let taken = salvage::take(&mut Subjects::new(&app, caller.tenant()), &body).await?;
    let observed = caller.kakunin(&app).observe(caller.tenant(), taken.reported.event.clone()).await?;
    if observed.status == EventStatus::NotAccepted {
        let sentence = "the agent's certificate is revoked or suspended, or was replaced or ran out more than a \
            day ago; the event is on record, and not scored";
        return Err(ApiError::unprocessable("agent_not_active", sentence));
    }
    let factors = factors(&app, &caller, &taken.reported.agent).await?;
    let duplicate = observed.status == EventStatus::Duplicate;
    let status = if duplicate { StatusCode::OK } else { StatusCode::CREATED };
    let body = ObservedBody::new(&app, &taken, &observed, factors);
    let data = body.with_what_was_recorded(&app, caller.tenant(), &taken.reported.event, &observed).await?;
    Ok((status, Data { data }).into_response())
}

async fn factors(app: &App, caller: &Caller, agent: &AgentId) -> Result<Vec<String>, ApiError> {
    let risk = app.kakunin.risk(caller.tenant(), agent).await?;
    Ok(risk.evidence.iter().map(|(family, _): &(Family, Score)| family.as_str().to_owned()).collect())
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// Only those of this agent.
    #[param(format = "uuid")]
    agent_id: Option<String>,
    /// Only those of this kind, such as `api_call`, and those that were reported with this word, such as
    /// `transaction_initiated`.
    #[param(pattern = "^[a-z][a-z0-9_]{0,39}$")]
    action_type: Option<String>,
    /// Only those after which the score was in this band.
    #[param(inline)]
    band: Option<CoarseBand>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    before: Option<String>,
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
}

/// Lists events, newest first. A filter that fits little is answered with a short page, or an empty one, and a
/// cursor: each request looks at 2,048 records at the most.
#[utoipa::path(
    operation_id = "listEvents",
    get, path = "/api/v1/events", tag = "events", params(EventQuery),
    responses(
        (status = 200, description = "Events.", body = PageBody<RecordedEvent>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    Params(query): Params<EventQuery>,
) -> Result<Response, ApiError> {
    let (limit, before) = (page::limit(query.limit)?, page::before(query.before.as_deref())?);
    let agent = page::agent("agent_id", "agent_id_malformed", query.agent_id.as_deref())?;
    let kind = query.action_type;
    if let Some(kind) = kind.as_deref().filter(|kind| !is_word(kind)) {
        let sentence = no_word(kind);
        return Err(ApiError::bad_request("action_type_invalid", sentence));
    }
    let (band, thresholds) = (query.band, app.kakunin.thresholds());
    let wanted = move |record: &Record| match &record.body {
        Body::Event(act, event) => {
            agent.is_none_or(|a| record.agent == Some(a))
                && kind.as_ref().is_none_or(|k| is_called(k, act, event.as_deref()))
                && band.is_none_or(|band| act.score.is_some_and(|s| CoarseBand::of(s, &thresholds) == band))
        }
        Body::Control(_) => false,
    };
    let (tenant, kakunin) = (caller.tenant().clone(), app.kakunin.clone());
    let work = async move {
        let page = kakunin.records(&tenant, before, limit, wanted).await?;
        let data: Vec<_> = page.items.iter().filter_map(|item| recorded(item, &thresholds)).collect();
        Ok(axum::Json(PageBody { data, pagination: Pagination::new(limit, page.next) }).into_response())
    };
    app.listing(caller.tenant(), work).await
}

// Its kind, or the word that it was reported with, which is gone when its details are erased.
fn is_called(word: &str, act: &Act, event: Option<&Event>) -> bool {
    act.facts.kind.as_str() == word || event.and_then(|e| e.word.as_ref()).is_some_and(|w| w.as_str() == word)
}

fn recorded(item: &Recorded, thresholds: &Thresholds) -> Option<RecordedEvent> {
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
    })
}
