//! The inbox: what people should know, and what they have read of it.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use kakunin_core::service::{InboxFilter, InboxItem, NotificationKind, Severity};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::auth::Reader;
use super::compat::notification::NotificationBody;
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json, Nothing};
use super::page::{self, Pagination, Params};
use super::schema::{NotificationWord, SeverityWord};
use super::text::shown;

/// Which notifications.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NotificationQuery {
    /// Only those about this agent.
    #[param(format = "uuid")]
    agent_id: Option<String>,
    /// Only those of this kind.
    #[param(inline, value_type = Option<NotificationWord>)]
    kind: Option<NotificationKind>,
    /// Only those that ask for so much.
    #[param(inline, value_type = Option<SeverityWord>)]
    severity: Option<Severity>,
    /// `true`: only those that the person whose API key asks has not read.
    #[param(default = false)]
    unread: Option<bool>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    before: Option<String>,
}

/// Part of an inbox.
#[derive(Serialize, ToSchema)]
pub(crate) struct InboxBody {
    data: Vec<NotificationBody>,
    pagination: Pagination,
    /// How many notifications the person whose API key asks has not read, of all.
    unread_count: u64,
    /// Sent as `after` to `/api/v1/notifications/stream`, that begins with the first notification which came too late for
    /// this answer.
    stream_cursor: String,
}

/// The inbox, newest first. A filter that fits little is answered with a short page, or an empty one, and a cursor: each
/// request looks at 2,048 notifications at the most. What is read is kept for each API key.
#[utoipa::path(
    operation_id = "listNotifications",
    get, path = "/api/v1/notifications", tag = "events", params(NotificationQuery),
    responses(
        (status = 200, description = "Notifications.", body = InboxBody),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    Params(query): Params<NotificationQuery>,
) -> Result<Response, ApiError> {
    let (limit, before) = (page::limit(query.limit)?, page::before(query.before.as_deref())?);
    let filter = InboxFilter {
        kind: query.kind,
        severity: query.severity,
        agent: page::agent("agent_id", "agent_id_malformed", query.agent_id.as_deref())?,
        unread: query.unread.unwrap_or_default(),
    };
    let tenant = caller.kakunin(&app).tenant(caller.tenant());
    let work = async move {
        let page = tenant.inbox(&filter, before, limit).await?;
        let shown = |one: &InboxItem| NotificationBody::new(one.index, &one.item, Some(one.read));
        let body = InboxBody {
            data: page.items.iter().map(shown).collect(),
            pagination: Pagination::new(limit, page.next),
            unread_count: page.unread,
            stream_cursor: page.end.to_string(),
        };
        Ok(axum::Json(body).into_response())
    };
    app.listing(caller.tenant(), work).await
}

/// What is left to read.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReadBody {
    /// How many notifications the person whose API key asks has not read.
    unread_count: u64,
}

/// Marks one notification as read, for the API key that asks. Twice is once.
#[utoipa::path(
    operation_id = "readNotification",
    post, path = "/api/v1/notifications/{id}/read", tag = "events",
    params(("id" = String, Path, description = "The notification.", pattern = "^[0-9]{1,19}$")),
    responses(
        (status = 200, description = "It is read.", body = Data<ReadBody>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = 409, description = "`too_many_marks`: 1,000 are marked one by one; mark all up to one.", body = ErrorBody),
        (status = "4XX", description = "Refused; 404 if there is no such notification.", body = ErrorBody),
    ),
)]
pub(crate) async fn mark(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Data<ReadBody>, ApiError> {
    let id = page::before(Some(&id)).ok().flatten().ok_or_else(|| ApiError::not_found("notification"))?;
    let tenant = caller.kakunin(&app).tenant(caller.tenant());
    let work = async move { Ok(ReadBody { unread_count: tenant.mark_read(id).await? }) };
    Ok(Data { data: app.listing(caller.tenant(), work).await? })
}

/// Which notifications were read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadUpTo {
    /// `id` of the newest that was read.
    #[schema(pattern = "^[0-9]{1,19}$")]
    up_to: String,
}

/// Marks a notification and all that are older as read, for the API key that asks. One that is newer than all that there
/// are is the newest: what comes afterwards is unread.
#[utoipa::path(
    operation_id = "readNotifications",
    post, path = "/api/v1/notifications/read", tag = "events", request_body = ReadUpTo,
    responses(
        (status = 200, description = "They are read.", body = Data<ReadBody>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn mark_up_to(
    State(app): State<App>,
    Reader(caller): Reader,
    Json(body): Json<ReadUpTo>,
) -> Result<Data<ReadBody>, ApiError> {
    let malformed = || {
        let sentence = format!("`up_to` is `{}`: write the `id` of a notification", shown(&body.up_to));
        ApiError::unprocessable("up_to_malformed", sentence).about("up_to")
    };
    let up_to = page::before(Some(&body.up_to)).ok().flatten().ok_or_else(malformed)?;
    let tenant = caller.kakunin(&app).tenant(caller.tenant());
    let work = async move { Ok(ReadBody { unread_count: tenant.mark_read_up_to(up_to).await? }) };
    Ok(Data { data: app.listing(caller.tenant(), work).await? })
}
