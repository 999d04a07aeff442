//! New items of the inbox, as they come: server-sent events, for whoever has an API key of the tenant.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::app::App;
use super::auth::Reader;
use super::error::{ApiError, ErrorBody};
use super::event_stream::{NO_STORE, resumed, streamed};
use super::page::Params;

/// From where on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InboxStreamQuery {
    /// `stream_cursor` of a page, or 0 for everything; `Last-Event-ID` wins over it. Without either, what comes from now on.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    after: Option<u64>,
}

/// Notifications as they come: server-sent events of the type `notification`, oldest first, whose data are what
/// `/api/v1/notifications` has, and whose id is the cursor to go on with: the notification's plus 1. The first event has
/// an id alone. A comment comes every 5 s although nothing is new. The stream ends when its API key is revoked, and when
/// the server does.
#[utoipa::path(
    operation_id = "streamNotifications",
    get, path = "/api/v1/notifications/stream", tag = "events",
    params(
        InboxStreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Where a stream that was cut had come to.", pattern = "^[0-9]{1,15}$"),
    ),
    responses(
        (status = 200, description = "The stream.", content((String = "text/event-stream"))),
        (status = "4XX", description = "Refused, or not a cursor.", body = ErrorBody),
        (status = 503, description = "`inbox_full`: as many streams as a tenant has, or this server takes.", body = ErrorBody),
    ),
)]
pub(crate) async fn stream(
    State(app): State<App>,
    Reader(caller): Reader,
    Params(query): Params<InboxStreamQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let after = resumed(&headers)?.or(query.after);
    let subscription = app.inboxes.subscribe(app.kakunin.clone(), caller, after).await?;
    let response = ([(header::CACHE_CONTROL, NO_STORE)], Body::new(subscription));
    Ok(streamed(response.into_response()))
}
