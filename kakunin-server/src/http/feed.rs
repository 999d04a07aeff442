//! The revocation feed, for anybody unless a tenant keeps it to itself: pages, a snapshot for newcomers, and a stream.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use kakunin_core::feed::MAX_ENTRIES;
use kakunin_core::id::IssuerId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::anonymous;
use super::app::App;
use super::error::{ApiError, ErrorBody};
use super::event_stream::{NO_STORE, resumed, streamed};
use super::json::Data;
use super::page::Params;
use super::shared;
use super::validator::{tag_of, validated};
use super::viewer::Viewer;

const PAGE_AGE: HeaderValue = HeaderValue::from_static("public, max-age=1");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// From where on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// How many records are known already.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64, default = 0)]
    after: Option<u64>,
    /// How many records at most.
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<u16>,
}

/// From where on.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// How many records are known already; `Last-Event-ID` wins over it.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64, default = 0)]
    after: Option<u64>,
}

/// Part of a revocation log.
#[derive(Serialize, ToSchema)]
pub(crate) struct FrameBody {
    /// Index of the first record.
    from: u64,
    /// Records in the order of the log.
    entries: Vec<FrameRecord>,
    /// Checkpoint (C2SP) of the log, cosigned with a time by the feed key; it may cover more than these records.
    checkpoint: String,
}

/// One record.
#[derive(Serialize, ToSchema)]
pub(crate) struct FrameRecord {
    /// The leaf as it is hashed, base64.
    leaf: String,
    /// Salt of the leaf's commitment, base64.
    salt: String,
    /// What the leaf commits to, base64: JSON.
    payload: String,
}

/// What stands revoked.
#[derive(Serialize, ToSchema)]
pub(crate) struct SnapshotBody {
    /// The feed key's word for the body: a note (C2SP) with origin, size and SHA-256, cosigned with a time.
    statement: String,
    /// Checkpoint (C2SP) of the log at that size, cosigned with a time by the feed key.
    checkpoint: String,
    /// Size, subtree roots, then serial and reason code of each revocation, base64.
    body: String,
}

/// The revocation log of an issuing CA from a cursor on. A checkpoint that covers more says that there is more.
#[utoipa::path(
    operation_id = "getFeed",
    get, path = "/api/v1/feed/{issuer}", tag = "public", security((), ("api_key" = [])),
    params(
        ("issuer" = String, Path, description = "Key identifier of the issuing CA, hex.", pattern = "^[0-9a-f]{40}$"),
        PageQuery,
    ),
    responses(
        (status = 200, description = "The records.", body = Data<FrameBody>),
        (status = "4XX", description = "No such issuer, or not a cursor.", body = ErrorBody),
    ),
)]
pub(crate) async fn page(
    State(app): State<App>,
    _: anonymous::Page,
    Path(issuer): Path<String>,
    viewer: Viewer,
    Params(query): Params<PageQuery>,
) -> Result<Response, ApiError> {
    let limit = query.limit.map_or(MAX_ENTRIES, usize::from);
    if limit == 0 || limit > MAX_ENTRIES {
        return Err(ApiError::bad_request(
            "limit_invalid",
            format!("`limit` is {limit}: write 1 to {MAX_ENTRIES}"),
        ));
    }
    let issuer = issuer_of(&app, issuer)?;
    let admitted = viewer.admit(&app, &issuer)?;
    let page = app.kakunin.feed(&issuer, query.after.unwrap_or(0), limit).await?;
    admitted.publish(&app, &issuer, Data { data: page.frame }.into_response(), PAGE_AGE)
}

/// What stands revoked by an issuing CA, for whoever begins to follow; at most 5 s old.
#[utoipa::path(
    operation_id = "getFeedSnapshot",
    get, path = "/api/v1/feed/{issuer}/snapshot", tag = "public", security((), ("api_key" = [])),
    params(("issuer" = String, Path, description = "Key identifier of the issuing CA, hex.", pattern = "^[0-9a-f]{40}$")),
    responses(
        (status = 200, description = "The snapshot.", body = Data<SnapshotBody>),
        (status = "4XX", description = "No such issuer.", body = ErrorBody),
    ),
)]
pub(crate) async fn snapshot(
    State(app): State<App>,
    _: anonymous::Snapshot,
    Path(issuer): Path<String>,
    viewer: Viewer,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let issuer = issuer_of(&app, issuer)?;
    let admitted = viewer.admit(&app, &issuer)?;
    let snapshot = app.feeds.snapshot(issuer).await?;
    // Its statement names size, hash and time, under a signature.
    let response = validated(&headers, &tag_of(snapshot.statement.as_bytes()), None, || {
        let render = || serde_json::to_vec(&Data { data: &*snapshot });
        let octets = app.renderings.get(&format!("snapshot/{issuer}"), &snapshot.statement, render);
        octets.map(|octets| shared::answer(octets, JSON)).map_err(|_| ApiError::internal())
    })?;
    admitted.publish(&app, &issuer, response, PAGE_AGE)
}

/// The revocation log of an issuing CA from a cursor on, and then as it grows: server-sent events, whose data are
/// frames and whose id is the size that is reached. There is a frame every 5 s although nothing changes.
#[utoipa::path(
    operation_id = "streamFeed",
    get, path = "/api/v1/feed/{issuer}/stream", tag = "public", security((), ("api_key" = [])),
    params(
        ("issuer" = String, Path, description = "Key identifier of the issuing CA, hex.", pattern = "^[0-9a-f]{40}$"),
        StreamQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Where a stream that was cut had come to.", pattern = "^[0-9]{1,15}$"),
    ),
    responses(
        (status = 200, description = "The stream.", content((String = "text/event-stream"))),
        (status = "4XX", description = "No such issuer, or not a cursor.", body = ErrorBody),
        (status = 503, description = "As many subscribers as this server takes.", body = ErrorBody),
    ),
)]
pub(crate) async fn stream(
    State(app): State<App>,
    _: anonymous::Stream,
    Path(issuer): Path<String>,
    viewer: Viewer,
    Params(query): Params<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let issuer = issuer_of(&app, issuer)?;
    let admitted = viewer.admit(&app, &issuer)?;
    let cursor = resumed(&headers)?.or(query.after).unwrap_or(0);
    let subscription = app.feeds.subscribe(issuer, cursor, admitted.clone())?;
    let response = Body::new(subscription).into_response();
    Ok(streamed(admitted.publish(&app, &issuer, response, NO_STORE)?))
}

fn issuer_of(app: &App, text: String) -> Result<IssuerId, ApiError> {
    let all = app.kakunin.authorities();
    let ours = IssuerId::try_from(text).ok().filter(|id| all.iter().any(|ca| ca.issuer.id() == *id));
    ours.ok_or_else(|| ApiError::not_found("issuing CA"))
}
