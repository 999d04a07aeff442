//! What agents did: reported, and read back.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::event::Event;
use kakunin_core::log::leaf::Act;
use kakunin_core::log::record::{Body, Record};
use kakunin_core::policy::Policy;
use kakunin_core::risk::Family;
use kakunin_core::service::{EventStatus, Observed, Recorded, Tenant};
use serde::Deserialize;
use utoipa::IntoParams;

use super::app::App;
use super::auth::{Reader, Reporter};
use super::compat::band::CoarseBand;
use super::compat::event::EventBody;
use super::compat::event_words::no_word;
use super::compat::recorded::{ObservedBody, RecordedEvent, recorded};
use super::error::{ApiError, ErrorBody};
use super::json::Data;
use super::page::{self, PageBody, Pagination, Params};
use super::parts::Content;
use super::salvage::{self, Taken};
use super::subjects::Subjects;
use super::text::is_word;

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
    // Before: what is on record is not answered with an error because of this.
    let tenant = app.kakunin.tenant(caller.tenant());
    let policy = tenant.policy().await?.policy;
    let observed = caller.kakunin(&app).tenant(caller.tenant()).observe(taken.reported.event.clone()).await?;
    if observed.status == EventStatus::NotAccepted {
        let sentence = "the agent's certificate is revoked or suspended, or was replaced or ran out more than a \
            day ago; the event is on record, and not scored";
        return Err(ApiError::unprocessable("agent_not_active", sentence));
    }
    let ranked = Family::ranked(&observed.evidence);
    let factors = ranked.iter().map(|(family, _)| family.as_str().to_owned()).collect();
    let duplicate = observed.status == EventStatus::Duplicate;
    let status = if duplicate { StatusCode::OK } else { StatusCode::CREATED };
    let data = shown(&tenant, &policy, &taken, &observed).await?.because_of(factors);
    Ok((status, Data { data }).into_response())
}

/// What became of an event, in the bands of this policy; of a duplicate, with what was recorded, where that may be another than
/// what came now.
pub(crate) async fn shown(
    tenant: &Tenant,
    policy: &Policy,
    taken: &Taken,
    observed: &Observed,
) -> Result<ObservedBody, ApiError> {
    let event = &taken.reported.event;
    let body = ObservedBody::new(taken, observed, &policy.thresholds);
    let differs = event.unnamed || event.occurred_at.is_none();
    let Some(index) = observed.index.filter(|_| differs && observed.status == EventStatus::Duplicate) else {
        return Ok(body);
    };
    let page = tenant.records(Some(index.saturating_add(1)), 1, |_| true).await?;
    let before = page.items.into_iter().find(|item| item.index == index);
    Ok(match before {
        Some(Recorded { record, .. }) => body.with_recorded(event, &record),
        None => body,
    })
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
    let policy = app.kakunin.tenant(caller.tenant()).policy().await?.policy;
    let (band, thresholds) = (query.band, policy.thresholds);
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
        let page = kakunin.tenant(&tenant).records(before, limit, wanted).await?;
        let data: Vec<_> = page.items.iter().filter_map(|item| recorded(item, &thresholds)).collect();
        Ok(axum::Json(PageBody { data, pagination: Pagination::new(limit, page.next) }).into_response())
    };
    app.listing(caller.tenant(), work).await
}

// Its kind, or the word that it was reported with, which is gone when its details are erased.
fn is_called(word: &str, act: &Act, event: Option<&Event>) -> bool {
    act.facts.kind.as_str() == word || event.and_then(|e| e.word.as_ref()).is_some_and(|w| w.as_str() == word)
}
