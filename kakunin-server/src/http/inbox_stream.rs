//! New items of the inbox, as they come: server-sent events, for whoever has an API key of the tenant.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use kakunin_core::id::TenantId;
use kakunin_core::service::{Error, Kakunin, Notification, Tenant};
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use utoipa::IntoParams;

use super::app::App;
use super::auth::{Caller, Reader};
use super::compat::notification::NotificationBody;
use super::error::{ApiError, ErrorBody, chain};
use super::page::Params;
use super::streams::{HEARTBEAT, STALL, Subscription, until};
use super::tally::{Share, Tally};

/// Streams of all tenants at once.
const STREAMS: usize = 512;
/// Of these, those of one tenant.
const OF_ONE: usize = 64;
/// When to come back, if there is no place.
const RETRY_AFTER: u64 = 30;
/// Says that nothing came, and that somebody is there.
const NOTHING_NEW: Bytes = Bytes::from_static(b":\n\n");

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const LAST_EVENT_ID: &str = "last-event-id";

/// The streams of this server.
#[derive(Debug)]
pub(crate) struct Inboxes {
    room: Arc<Semaphore>,
    places: Tally<TenantId>,
    ended: watch::Receiver<bool>,
}

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
/// `/api/v1/notifications` has, and whose id is the cursor to go on with. The first event has an id alone. A comment
/// comes every 5 s although nothing is new. The stream ends when its API key is revoked, and when the server does.
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
    let resumed = headers.get(LAST_EVENT_ID).map(cursor_of).transpose()?;
    let subscription = app.inboxes.subscribe(&app, caller, resumed.or(query.after)).await?;
    let mut response = Body::new(subscription).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENTS);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    // nginx would wait for a buffer to fill.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

fn cursor_of(value: &HeaderValue) -> Result<u64, ApiError> {
    let wrong =
        || ApiError::bad_request("cursor_malformed", "`Last-Event-ID` is the id of an event of this stream");
    value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(wrong)
}

impl Inboxes {
    pub(crate) fn new(ended: watch::Receiver<bool>) -> Self {
        Self { room: Arc::new(Semaphore::new(STREAMS)), places: Tally::default(), ended }
    }

    /// Everything from the cursor on, then what comes, as it comes.
    async fn subscribe(
        &self,
        app: &App,
        caller: Caller,
        cursor: Option<u64>,
    ) -> Result<Subscription, ApiError> {
        let full = |sentence| ApiError::busy("inbox_full", sentence, RETRY_AFTER);
        let mut place = self.places.share(caller.tenant().clone());
        if !place.grow(1, OF_ONE) {
            return Err(full("this tenant has all the streams of its inbox that it may have"));
        }
        let room = self.room.clone().try_acquire_owned();
        let room = room.map_err(|_| full("this server has all the streams of inboxes that it takes"))?;
        let tenant = app.kakunin.tenant(caller.tenant());
        let end = tenant.inbox_end().await?;
        // A cursor from before the store was restored is ahead of what there is.
        let cursor = cursor.unwrap_or(end).min(end);
        let (out, stream) = mpsc::channel(1);
        let kakunin = app.kakunin.clone();
        let subscriber = Subscriber { kakunin, tenant, caller, cursor, out, _room: (room, place) };
        tokio::spawn(until(self.ended.clone(), subscriber.run()));
        Ok(Subscription(stream))
    }
}

/// One who listens.
struct Subscriber {
    kakunin: Kakunin,
    tenant: Tenant,
    caller: Caller,
    cursor: u64,
    out: mpsc::Sender<Bytes>,
    _room: (OwnedSemaphorePermit, Share<TenantId>),
}

/// It hung up, takes too long, or may not read any more.
struct Gone;

impl Subscriber {
    async fn run(mut self) {
        let out = self.out.clone();
        tokio::select! {
            () = out.closed() => {}
            Gone = self.follow() => {}
        }
    }

    async fn follow(&mut self) -> Gone {
        let mut octets = Bytes::from(format!("id: {}\n\n", self.cursor));
        loop {
            if let Err(gone) = self.send(octets).await {
                return gone;
            }
            octets = match self.next().await {
                Ok(octets) => octets,
                Err(error) => {
                    tracing::error!(code = error.code(), error = %chain(&error), "an inbox could not be read");
                    return Gone;
                }
            };
        }
    }

    /// What comes next: some items, or the word that there are none.
    async fn next(&mut self) -> Result<Bytes, Error> {
        loop {
            let (items, next) = self.tenant.notifications_from(self.cursor).await?;
            self.cursor = self.cursor.max(next);
            if !items.is_empty() {
                return Ok(items.iter().flat_map(|(index, item)| event(*index, item)).collect());
            }
            match timeout(HEARTBEAT, self.tenant.inbox_reaches(self.cursor)).await {
                Ok(reached) => reached?,
                Err(_) => return Ok(NOTHING_NEW),
            }
        }
    }

    async fn send(&mut self, octets: Bytes) -> Result<(), Gone> {
        if !self.caller.stands(&self.kakunin) {
            return Err(Gone);
        }
        self.out.send_timeout(octets, STALL).await.map_err(|_| Gone)
    }
}

fn event(index: u64, item: &Notification) -> Vec<u8> {
    // What is serialized here has no maps with keys that are no strings, and cannot fail.
    let data = serde_json::to_string(&NotificationBody::new(index, item, None)).unwrap_or_default();
    format!("id: {}\nevent: notification\ndata: {data}\n\n", index + 1).into_bytes()
}
