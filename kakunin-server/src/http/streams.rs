//! Streams of the revocation feed: each frame is made once for all who listen, and whoever is behind reads what
//! it missed from the store, so that a slow one holds nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body, Frame};
use kakunin_core::feed::{MAX_ENTRIES, Snapshot};
use kakunin_core::id::IssuerId;
use kakunin_core::service::{Error, FeedPage, Kakunin};
use kakunin_core::time::UnixTime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::admitted::Admitted;
use super::error::{ApiError, chain};
use super::places::{Place, Places};

/// How often there is a frame although nothing changed.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a subscriber may take to accept a frame.
pub(super) const STALL: Duration = Duration::from_secs(20);
/// Most records of a frame that is made for one subscriber alone: a few of them wait for it in memory.
const STEP: usize = 200;
/// Frames that are kept for subscribers a little behind.
const KEPT: usize = 16;
/// When to come back, if there is no room.
const RETRY_AFTER: u64 = 5;

/// The streams of this server.
#[derive(Debug)]
pub(crate) struct Feeds {
    kakunin: Kakunin,
    room: Arc<Semaphore>,
    snapshots: Arc<Semaphore>,
    places: Places,
    hubs: Hubs,
    ended: watch::Receiver<bool>,
}

/// Where frames of each issuing CA are sent to, while somebody listens.
#[derive(Clone, Debug, Default)]
struct Hubs(Arc<Mutex<HashMap<IssuerId, broadcast::Sender<Rendered>>>>);

/// A frame as an event of a stream.
#[derive(Clone, Debug)]
struct Rendered {
    from: u64,
    end: u64,
    /// Size of the log by its checkpoint, and as of when.
    size: u64,
    at: UnixTime,
    octets: Bytes,
}

impl Rendered {
    fn new(page: &FeedPage) -> Result<Self, Error> {
        let frame = page.frame.to_json().map_err(Error::from)?;
        let end = page.frame.end();
        let octets = [format!("id: {end}\ndata: ").as_bytes(), &frame, b"\n\n"].concat().into();
        Ok(Self { from: page.frame.from, end, size: page.size, at: page.at, octets })
    }
}

impl Feeds {
    /// Streams for at most `subscribers`: at most `per_address` of one address that show no key, and at most half of
    /// all for one tenant.
    pub(crate) fn new(
        kakunin: Kakunin,
        (subscribers, per_address): (usize, usize),
        ended: watch::Receiver<bool>,
    ) -> Self {
        let room = Arc::new(Semaphore::new(subscribers.min(Semaphore::MAX_PERMITS)));
        let places = Places::new(per_address, subscribers.div_ceil(2));
        let snapshots = Arc::new(Semaphore::new(1));
        Self { kakunin, room, snapshots, places, hubs: Hubs::default(), ended }
    }

    /// Everything from the cursor on, then what is appended, as it is appended.
    pub(crate) fn subscribe(
        &self,
        issuer: IssuerId,
        cursor: u64,
        admitted: Admitted,
    ) -> Result<Subscription, ApiError> {
        let full =
            || ApiError::busy("feed_full", "this server has all the subscribers it takes", RETRY_AFTER);
        let place = self.places.take(admitted.holder())?;
        let room = self.room.clone().try_acquire_owned().map_err(|_| full())?;
        let (out, stream) = mpsc::channel(1);
        let subscriber = Subscriber {
            kakunin: self.kakunin.clone(),
            issuer,
            cursor,
            at: UnixTime::default(),
            frames: self.listen(issuer),
            out,
            admitted,
            _room: (room, place),
        };
        tokio::spawn(until(self.ended.clone(), subscriber.run()));
        Ok(Subscription(stream))
    }

    /// What stands revoked. All of it is read, so on a thread of its own, and one at a time.
    pub(crate) async fn snapshot(&self, issuer: IssuerId) -> Result<Arc<Snapshot>, ApiError> {
        let Ok(turn) = self.snapshots.clone().acquire_owned().await else { return Err(ApiError::internal()) };
        let kakunin = self.kakunin.clone();
        let made = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            pollster::block_on(kakunin.feed_snapshot(&issuer))
        });
        Ok(made.await.map_err(|_| ApiError::internal())??)
    }

    fn listen(&self, issuer: IssuerId) -> broadcast::Receiver<Rendered> {
        let mut hubs = self.hubs.lock();
        let start = || {
            let sender = broadcast::Sender::new(KEPT);
            let hub = hub(self.kakunin.clone(), issuer, sender.clone(), self.hubs.clone());
            tokio::spawn(until(self.ended.clone(), hub));
            sender
        };
        hubs.entry(issuer).or_insert_with(start).subscribe()
    }
}

impl Hubs {
    fn lock(&self) -> MutexGuard<'_, HashMap<IssuerId, broadcast::Sender<Rendered>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a hub may end: nobody listens, and whoever comes next starts another.
    fn leave(&self, issuer: &IssuerId, sender: &broadcast::Sender<Rendered>) -> bool {
        let mut hubs = self.lock();
        let alone = sender.receiver_count() == 0;
        if alone {
            hubs.remove(issuer);
        }
        alone
    }
}

/// Makes the frames of one issuing CA, for as long as somebody listens.
async fn hub(kakunin: Kakunin, issuer: IssuerId, frames: broadcast::Sender<Rendered>, hubs: Hubs) {
    let mut size = None;
    loop {
        if let Some(known) = size {
            // What is appended while a frame is made goes into the next one, all of it.
            let _ = timeout(HEARTBEAT, kakunin.revocations_above(&issuer, known)).await;
        }
        // The first one only says how long the log is: subscribers read what came before by themselves.
        let made = kakunin.feed(&issuer, size.unwrap_or(u64::MAX), MAX_ENTRIES).await;
        match made.and_then(|page| Ok((page.size, Rendered::new(&page)?))) {
            Ok((known, _)) if size.is_none() => size = Some(known),
            Ok((_, frame)) => {
                size = Some(frame.end);
                let _ = frames.send(frame);
            }
            Err(error) => {
                tracing::error!(code = error.code(), error = %chain(&error), "the feed could not be made");
                sleep(Duration::from_secs(1)).await;
            }
        }
        if hubs.leave(&issuer, &frames) {
            return;
        }
    }
}

/// Runs until it is done, or the server ends.
pub(super) async fn until(mut ended: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    let end = async {
        if ended.wait_for(|ended| *ended).await.is_err() {
            // Nobody is left who could end it.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = work => {}
        () = end => {}
    }
}

/// One who listens.
struct Subscriber {
    kakunin: Kakunin,
    issuer: IssuerId,
    cursor: u64,
    /// As of when the last frame was: time never goes back within a stream.
    at: UnixTime,
    frames: broadcast::Receiver<Rendered>,
    out: mpsc::Sender<Bytes>,
    admitted: Admitted,
    _room: (OwnedSemaphorePermit, Place),
}

/// It hung up, takes too long, may not read any more, or there is nothing to give.
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
        if let Err(gone) = self.catch_up().await {
            return gone;
        }
        loop {
            let done = match self.frames.recv().await {
                Ok(frame) if frame.from == self.cursor && frame.at >= self.at => self.send(frame).await,
                Ok(frame) if frame.end <= self.cursor => Ok(()),
                Ok(_) | Err(RecvError::Lagged(_)) => self.catch_up().await,
                Err(RecvError::Closed) => Err(Gone),
            };
            if let Err(gone) = done {
                return gone;
            }
        }
    }

    /// Sends what the store has from the cursor on; at least one frame.
    async fn catch_up(&mut self) -> Result<(), Gone> {
        loop {
            let page = self.kakunin.feed(&self.issuer, self.cursor, STEP).await;
            let frame = page.and_then(|page| Rendered::new(&page)).map_err(|error| {
                tracing::error!(code = error.code(), error = %chain(&error), "the feed could not be read");
                Gone
            })?;
            let last = frame.end >= frame.size;
            self.send(frame).await?;
            if last {
                return Ok(());
            }
        }
    }

    async fn send(&mut self, frame: Rendered) -> Result<(), Gone> {
        if !self.admitted.still(&self.kakunin, &self.issuer) {
            return Err(Gone);
        }
        (self.cursor, self.at) = (frame.end, frame.at);
        self.out.send_timeout(frame.octets, STALL).await.map_err(|_| Gone)
    }
}

/// What a subscriber reads: server-sent events.
#[derive(Debug)]
pub(crate) struct Subscription(pub(super) mpsc::Receiver<Bytes>);

impl Body for Subscription {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|octets| octets.map(|octets| Ok(Frame::data(octets))))
    }
}
