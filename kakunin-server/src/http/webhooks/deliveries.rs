//! Pings, what became of deliveries, and one of them once more.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::service::{Attempt, Delivery, DeliveryState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::webhook_id;
use crate::http::app::App;
use crate::http::auth::{Operator, Reader};
use crate::http::error::{ApiError, ErrorBody};
use crate::http::json::{Data, Nothing};
use crate::http::page::{self, PageBody, Pagination, Params};

/// Which deliveries.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryQuery {
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    before: Option<String>,
}

/// What became of a delivery.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryBody {
    /// Identifier of the message, as the receiver reads it.
    id: String,
    webhook_id: String,
    event: String,
    agent_id: Option<String>,
    /// Index in the tenant's log of the record that it tells.
    log_index: u64,
    /// `delivered`, `retrying` or `failed`.
    status: String,
    /// How often it was tried.
    attempt_count: u32,
    /// The last of these, oldest first.
    attempts: Vec<AttemptBody>,
    /// When it is tried again.
    next_attempt_at: Option<String>,
    /// The beginning of the last answer's body: up to 1 kB.
    response_body: Option<String>,
}

/// One attempt.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptBody {
    at: String,
    duration_ms: u64,
    /// The HTTP status, if there was an answer.
    status: Option<u16>,
    /// Why there was none, as a code that stays.
    code: Option<String>,
    /// The same, as a sentence.
    error: Option<String>,
}

impl AttemptBody {
    fn new(attempt: Attempt) -> Self {
        let Attempt { at, took, status, code, error } = attempt;
        Self { at: at.to_string(), duration_ms: took, status, code, error }
    }
}

impl DeliveryBody {
    fn new(webhook: &str, id: String, delivery: Delivery) -> Self {
        Self {
            id,
            webhook_id: webhook.to_owned(),
            event: delivery.event.as_str().to_owned(),
            agent_id: delivery.agent.map(|agent| agent.to_string()),
            log_index: delivery.index,
            status: delivery.state.as_str().to_owned(),
            attempt_count: delivery.count,
            attempts: delivery.attempts.into_iter().map(AttemptBody::new).collect(),
            next_attempt_at: delivery
                .next
                .filter(|_| delivery.state == DeliveryState::Retrying)
                .map(|next| next.to_string()),
            response_body: Some(delivery.answer).filter(|answer| !answer.is_empty()),
        }
    }
}

/// How long whoever sends a ping waits for the receiver: less than a delivery does, since somebody waits for this answer.
const PING_PATIENCE: Duration = Duration::from_secs(5);

/// What became of deliveries to an endpoint, newest first: the last 1,000 of the last 30 days. What was not tried yet is not
/// among them.
#[utoipa::path(
    operation_id = "listDeliveries",
    get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.", format = "uuid"), DeliveryQuery),
    responses(
        (status = 200, description = "Deliveries.", body = PageBody<DeliveryBody>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    Params(query): Params<DeliveryQuery>,
) -> Result<Response, ApiError> {
    let (limit, before) = (page::limit(query.limit)?, page::before(query.before.as_deref())?);
    let webhook = webhook_id(&id)?;
    let (tenant, kakunin) = (caller.tenant().clone(), app.kakunin.clone());
    let work = async move {
        // One more than asked for says whether more follow.
        let mut all = kakunin.tenant(&tenant).deliveries(&webhook, before, limit + 1).await?;
        let more = all.len() > limit;
        all.truncate(limit);
        let next = all.last().map(|(_, delivery)| delivery.index).filter(|_| more);
        let data = all.into_iter().map(|(message, one)| DeliveryBody::new(&id, message, one));
        let body = PageBody { data: data.collect::<Vec<_>>(), pagination: Pagination::new(limit, next) };
        Ok(axum::Json(body).into_response())
    };
    app.listing(caller.tenant(), work).await
}

/// A message that is delivered once more.
#[derive(Serialize, ToSchema)]
pub(crate) struct Redelivered {
    id: String,
    /// `queued`
    status: String,
}

/// Delivers a message once more, under the same identifier: at once, and again if it fails. Of one that waits for another
/// attempt that is made now. Earlier ones of the same agent that wait go first.
#[utoipa::path(
    operation_id = "redeliver",
    post, path = "/api/v1/webhooks/{id}/deliveries/{delivery}/redeliver", tag = "webhooks",
    params(
        ("id" = String, Path, description = "The endpoint.", format = "uuid"),
        ("delivery" = String, Path, description = "The message.", pattern = "^msg_[0-9a-f]{32}_[0-9]{1,19}$"),
    ),
    responses(
        (status = 202, description = "It is about to be sent.", body = Data<Redelivered>),
        (status = "4XX", description = "Refused; 409 if the endpoint is disabled.", body = ErrorBody),
    ),
)]
pub(crate) async fn redeliver(
    State(app): State<App>,
    Operator(caller): Operator,
    Path((id, delivery)): Path<(String, String)>,
    _: Nothing,
) -> Result<Response, ApiError> {
    caller.kakunin(&app).tenant(caller.tenant()).redeliver(&webhook_id(&id)?, &delivery).await?;
    let data = Redelivered { id: delivery, status: "queued".to_owned() };
    Ok((StatusCode::ACCEPTED, Data { data }).into_response())
}

/// What came of a ping.
#[derive(Serialize, ToSchema)]
pub(crate) struct PingBody {
    /// Identifier of the message.
    id: String,
    /// Whether the receiver took it: a status of 200 to 299.
    delivered: bool,
    #[serde(flatten)]
    attempt: AttemptBody,
    /// The beginning of the answer's body: up to 1 kB.
    response_body: Option<String>,
}

/// Sends a `ping` to an endpoint, and waits for the answer: 10 s at the most. It is tried once.
#[utoipa::path(
    operation_id = "pingWebhook",
    post, path = "/api/v1/webhooks/{id}/ping", tag = "webhooks",
    params(("id" = String, Path, description = "The endpoint.", format = "uuid")),
    responses(
        (status = 200, description = "What came of it.", body = Data<PingBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn ping(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Data<PingBody>, ApiError> {
    let patience = tokio::time::sleep(PING_PATIENCE);
    let pinged =
        caller.kakunin(&app).tenant(caller.tenant()).ping_webhook(&webhook_id(&id)?, patience).await?;
    let data = PingBody {
        id: pinged.id,
        delivered: pinged.delivered,
        attempt: AttemptBody::new(pinged.attempt),
        response_body: Some(pinged.answer).filter(|answer| !answer.is_empty()),
    };
    Ok(Data { data })
}
