//! Streams of inboxes: each reads for itself what is new, when its tenant's inbox says that something is.

use std::sync::Arc;

use axum::body::Bytes;
use kakunin_core::id::TenantId;
use kakunin_core::service::{Error, Kakunin, Notification, Tenant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::caller::Caller;
use super::compat::notification::NotificationBody;
use super::error::{ApiError, chain};
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

/// The streams of this server.
#[derive(Debug)]
pub(crate) struct Inboxes {
    room: Arc<Semaphore>,
    places: Tally<TenantId>,
    ended: watch::Receiver<bool>,
}

impl Inboxes {
    pub(crate) fn new(ended: watch::Receiver<bool>) -> Self {
        Self { room: Arc::new(Semaphore::new(STREAMS)), places: Tally::default(), ended }
    }

    /// Everything from the cursor on, then what comes, as it comes.
    pub(crate) async fn subscribe(
        &self,
        kakunin: Kakunin,
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
        let tenant = kakunin.tenant(caller.tenant());
        let end = tenant.inbox_end().await?;
        // A cursor from before the store was restored is ahead of what there is.
        let cursor = cursor.unwrap_or(end).min(end);
        let (out, stream) = mpsc::channel(1);
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
