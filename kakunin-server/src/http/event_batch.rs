//! Many events at once, each with an answer of its own.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::event::Event;
use kakunin_core::policy::Policy;
use kakunin_core::service::{Error as ServiceError, EventStatus, MAX_EVENTS, Observed, Tenant};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app::App;
use super::auth::{Caller, Reporter};
use super::compat::event::EventBody;
use super::compat::recorded::{ObservedBody, Sent};
use super::error::{ApiError, ErrorBody};
use super::events::shown;
use super::json::{self, Data};
use super::page::Params;
use super::parts::{self, Content};
use super::proofs::{LeafProof, LevelQuery, RangeBody};
use super::salvage;
use super::subjects::Subjects;

/// Events in the order in which they happened.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "the description, and what is wrong with content that is not like it")]
pub(crate) struct BatchBody {
    #[serde(deserialize_with = "super::json::object::list")]
    #[schema(min_items = 1, max_items = 1000)]
    events: Vec<EventBody>,
    /// Whether one that is refused keeps the others from being recorded.
    atomic: Option<bool>,
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// Of each event, in their order.
    results: Vec<ResultBody>,
    /// How many were refused.
    refused: usize,
    /// Signed note (C2SP) over the tenant's log with these events in it: that of the append that recorded them.
    checkpoint: Option<String>,
    /// Proof that what was recorded just now is in the log by that checkpoint, with nothing missing from the first to the
    /// last. Null if all of it was recorded before.
    proof: Option<RangeBody>,
}

/// What became of one event of a batch.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum ResultBody {
    /// It is on record.
    Recorded(Box<ObservedBody>),
    /// It is not, and says why.
    Refused(RefusedBody),
}

/// An event that is not on record.
#[derive(Serialize, ToSchema)]
struct RefusedBody {
    /// Which event, from 0.
    index: usize,
    /// `refused`; `not_recorded` if nothing is wrong with it, in a batch that is all or nothing.
    status: String,
    /// What is wrong, as a code that stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The same as a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Which member of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// Records up to 1,000 events. One that is refused costs nothing but itself, unless `atomic` is true. The answer proves
/// what was recorded by the hashes of the leaves; at the level `proved` it has the leaves themselves, and of each event
/// that was recorded before its own proof.
#[utoipa::path(
    operation_id = "reportEvents",
    post, path = "/api/v1/events/batch", tag = "events", params(LevelQuery), request_body = BatchBody,
    responses(
        (status = 201, description = "Recorded, each with what became of it.", body = Data<BatchAnswer>),
        (status = 207, description = "Not all as they were sent: look into `results`, each with a status, or a code and a field.",
            body = Data<BatchAnswer>),
        (status = "4XX", description = "Nothing was recorded; `results` says why of each event, if it came so far.", body = ErrorBody),
    ),
)]
pub(crate) async fn batch(
    State(app): State<App>,
    Reporter(caller): Reporter,
    Params(query): Params<LevelQuery>,
    Content(body): Content,
) -> Result<Response, ApiError> {
    let (texts, atomic) = envelope(&body)?;
    let mut subjects = Subjects::new(&app, caller.tenant());
    let (mut sent, mut events) = (Vec::with_capacity(texts.len()), Vec::with_capacity(texts.len()));
    for text in texts {
        sent.push(match salvage::take(&mut subjects, text).await {
            Ok(taken) => {
                let (one, event) = Sent::of(taken);
                events.push(event);
                Ok(one)
            }
            Err(error) if error.is_ours() => return Err(error),
            Err(error) => Err(error),
        });
    }
    if atomic && let Some(at) = sent.iter().position(Result::is_err) {
        let errors = sent.into_iter().map(Result::err).collect();
        return Err(nothing(errors, at));
    }
    // Before: what is on record is not answered with an error because of this.
    let tenant = app.kakunin.tenant(caller.tenant());
    let policy = tenant.policy().await?.policy;
    let observed = observe(&app, &caller, events, atomic).await?;
    answer((&tenant, &policy), sent, observed, query.proves()).await
}

async fn answer(
    (tenant, policy): (&Tenant, &Policy),
    sent: Vec<Result<Sent, ApiError>>,
    observed: Vec<Result<Observed, ApiError>>,
    proves: bool,
) -> Result<Response, ApiError> {
    let mut observed = observed.into_iter();
    let mut results = Vec::with_capacity(sent.len());
    let (mut errors, mut altered, mut indices) = (Vec::new(), false, Vec::with_capacity(sent.len()));
    for (index, sent) in sent.into_iter().enumerate() {
        let seen = sent.and_then(|sent| {
            let seen = observed.next().ok_or_else(|| ApiError::not_found("event"))??;
            Ok((sent, seen))
        });
        let (sent, seen) = match seen {
            Ok(both) => both,
            Err(error) => {
                results.push(ResultBody::Refused(RefusedBody::new(index, Some(&error))));
                errors.push(Some(error));
                continue;
            }
        };
        altered |= sent.altered.is_some();
        let mut body = shown(tenant, policy, &sent, &seen).await?.numbered(index);
        match seen.index {
            // What was recorded before is somewhere else.
            Some(_) if seen.status == EventStatus::Duplicate && proves => {
                body = body.proved(LeafProof::of(tenant, seen.index).await);
            }
            Some(at) if seen.status != EventStatus::Duplicate => indices.push(at),
            _ => {}
        }
        results.push(ResultBody::Recorded(Box::new(body)));
        errors.push(None);
    }
    let refused = errors.iter().flatten().count();
    if refused == results.len() {
        return Err(nothing(errors, 0));
    }
    let status = if refused > 0 || altered { StatusCode::MULTI_STATUS } else { StatusCode::CREATED };
    let proof = RangeBody::of(tenant, &indices, proves).await;
    let checkpoint = match &proof {
        Some(proof) => Some(proof.checkpoint.clone()),
        None => tenant.checkpoint().await?,
    };
    Ok((status, Data { data: BatchAnswer { results, refused, checkpoint, proof } }).into_response())
}

/// Of each event that could be taken, in their order; or an error, if nothing was recorded.
async fn observe(
    app: &App,
    caller: &Caller,
    events: Vec<Event>,
    atomic: bool,
) -> Result<Vec<Result<Observed, ApiError>>, ApiError> {
    let (kakunin, count) = (caller.kakunin(app), events.len());
    if !atomic {
        let each = kakunin.tenant(caller.tenant()).observe_all(events).await?;
        return Ok(each.into_iter().map(|seen| seen.map_err(ApiError::from)).collect());
    }
    match kakunin.tenant(caller.tenant()).observe_all_or_none(events).await {
        Ok(all) => Ok(all.into_iter().map(Ok).collect()),
        Err(ServiceError::OneOfMany { index, error }) => {
            let mut errors = vec![None; count];
            if let Some(at) = errors.get_mut(index) {
                *at = Some(ApiError::from(*error));
            }
            Err(nothing(errors, index))
        }
        Err(error) => Err(error.into()),
    }
}

/// Nothing was recorded, because of the event at `at`, and perhaps of others.
fn nothing(errors: Vec<Option<ApiError>>, at: usize) -> ApiError {
    let results: Vec<_> =
        errors.iter().enumerate().map(|(index, error)| RefusedBody::new(index, error.as_ref())).collect();
    let because = errors.into_iter().nth(at).flatten();
    let because = because.unwrap_or_else(|| ApiError::unprocessable("event_invalid", "an event is refused"));
    because.of_event(at, serde_json::to_value(results).unwrap_or_default())
}

impl RefusedBody {
    fn new(index: usize, error: Option<&ApiError>) -> Self {
        Self {
            index,
            status: if error.is_some() { "refused" } else { "not_recorded" }.to_owned(),
            code: error.map(|error| error.code().to_owned()),
            error: error.map(|error| error.sentence().to_owned()),
            field: error.and_then(ApiError::field).map(str::to_owned),
        }
    }
}

/// The events as they were sent, and whether they are to be recorded all or none.
fn envelope(body: &[u8]) -> Result<(Vec<&[u8]>, bool), ApiError> {
    // What is not an envelope is one that a parser refuses: it says why.
    let events_and_mode = || {
        let (mut events, mut atomic) = (None, None);
        parts::each_member(body, |name, rest| {
            match name.as_str() {
                "events" if events.is_none() => events = Some(rest.array()?),
                "atomic" if atomic.is_none() => atomic = Some(serde_json::from_slice(rest.value()?).ok()?),
                _ => return None,
            }
            Some(())
        })?;
        Some((events?, atomic.flatten().unwrap_or(false)))
    };
    let Some((events, atomic)) = events_and_mode() else {
        json::parse::<IgnoredAny>(body)?;
        let sentence = "the content is no object with the members `events` and `atomic`";
        let other = || ApiError::unprocessable("body_invalid", sentence);
        return Err(json::parse::<BatchBody>(body).err().unwrap_or_else(other));
    };
    match events.len() {
        0 => Err(ApiError::unprocessable("events_missing", "send 1 to 1000 events")),
        n if n > MAX_EVENTS => Err(ApiError::unprocessable("too_many_events", "send 1 to 1000 events")),
        _ => Ok((events, atomic)),
    }
}
