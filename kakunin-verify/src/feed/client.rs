//! The client: a snapshot, then the stream, and again whenever it is cut.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kakunin_core::id::IssuerId;
use kakunin_core::log::cosignature::CosignerKey;
use kakunin_core::time::{Clock, SystemClock, UnixTime};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::backoff::Backoff;
use super::events::{Events, TooLong};
use super::follower::{FollowError, Follower, Progress};
use super::transport::{FetchError, Transport};
use crate::revocation::RevocationHandle;

/// Why a client cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedSetupError {
    /// Not the URL of a deployment.
    #[error("this is not http(s)://host[:port][/path] without a slash at its end")]
    Url,
    /// Not the verifier key of a feed.
    #[error("this is not a feed's verifier key; `GET /api/v1/ca` names it as `feed_verifier`")]
    Key,
    /// No roots for TLS.
    #[error("the roots that TLS is to trust cannot be used")]
    Roots,
}

/// What a client does about one issuing CA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum FeedState {
    /// Connects, or waits before it connects again.
    #[default]
    Connecting,
    /// Reads the stream; what it lacks is on its way.
    CatchingUp,
    /// Knows everything.
    Following,
    /// The feed key confirmed two different logs: nothing is believed any more, and it has stopped.
    Forked,
}

/// How it stands with one issuing CA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedStatus {
    /// What the client does.
    pub state: FeedState,
    /// As of when everything is known.
    pub as_of: Option<UnixTime>,
    /// How many records are known.
    pub size: u64,
    /// What went wrong last, and its stable code.
    pub last_error: Option<(&'static str, String)>,
    /// How often something went wrong.
    pub errors: u64,
}

/// Follows the revocation feed of a deployment, for a verifier that looks into the same
/// [`RevocationHandle`].
#[derive(Debug)]
pub struct FeedClient {
    url: String,
    key: Arc<CosignerKey>,
    issuers: Vec<IssuerId>,
    roots: Vec<Vec<u8>>,
    handle: RevocationHandle,
    clock: Arc<dyn Clock>,
}

impl FeedClient {
    /// A client of the deployment at `url`. `feed_verifier` is its feed key, handed out with the anchors.
    ///
    /// # Errors
    /// [`FeedSetupError::Key`].
    pub fn new(url: &str, feed_verifier: &str, handle: RevocationHandle) -> Result<Self, FeedSetupError> {
        let key = CosignerKey::parse(feed_verifier).map_err(|_| FeedSetupError::Key)?;
        let url = url.to_owned();
        Ok(Self {
            url,
            key: Arc::new(key),
            issuers: Vec::new(),
            roots: Vec::new(),
            handle,
            clock: Arc::new(SystemClock),
        })
    }

    /// Follows one more issuing CA.
    #[must_use]
    pub fn issuer(mut self, issuer: IssuerId) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// TLS trusts this root, DER, and those named like this alone, instead of the system's.
    #[must_use]
    pub fn tls_root(mut self, der: &[u8]) -> Self {
        self.roots.push(der.to_vec());
        self
    }

    /// Tells the time by another clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Begins to follow, on the runtime of the caller.
    ///
    /// # Errors
    /// [`FeedSetupError`].
    pub fn start(self) -> Result<Following, FeedSetupError> {
        let transport = Transport::new(&self.url, &self.roots)?;
        let board = Board::default();
        let mut tasks = Vec::with_capacity(self.issuers.len());
        for issuer in &self.issuers {
            let follower = Follower::new(*issuer, self.key.clone(), self.handle.clone());
            let follow = Follow {
                transport: transport.clone(),
                follower: follower.map_err(|_| FeedSetupError::Key)?,
                clock: self.clock.clone(),
                board: board.clone(),
                backoff: Backoff::new(),
            };
            board.change(issuer, |_| ());
            tasks.push(tokio::spawn(follow.run()));
        }
        Ok(Following { board, tasks })
    }
}

/// A client at work; it stops when this is dropped.
#[derive(Debug)]
pub struct Following {
    board: Board,
    tasks: Vec<JoinHandle<()>>,
}

impl Following {
    /// How it stands with an issuing CA; `None` if it is not followed.
    #[must_use]
    pub fn status(&self, issuer: &IssuerId) -> Option<FeedStatus> {
        self.board.lock().get(issuer).cloned()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Where everybody can see how it stands.
#[derive(Clone, Debug, Default)]
struct Board(Arc<Mutex<HashMap<IssuerId, FeedStatus>>>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, HashMap<IssuerId, FeedStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, issuer: &IssuerId, change: impl FnOnce(&mut FeedStatus)) {
        change(self.lock().entry(*issuer).or_default());
    }
}

/// Why a stream is not read on.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// So much is missing that a snapshot is shorter.
    #[error("a snapshot is shorter")]
    Snapshot,
}

impl Cut {
    const fn code(&self) -> &'static str {
        match self {
            Self::Fetch(FetchError::Refused { .. }) => "feed_refused",
            Self::Fetch(_) => "feed_unreachable",
            Self::Follow(e) => e.code(),
            Self::TooLong(_) => "feed_malformed",
            Self::Snapshot => "feed_snapshot",
        }
    }

    const fn patience(&self) -> Duration {
        match self {
            Self::Fetch(FetchError::Refused { retry_after, .. }) => *retry_after,
            _ => Duration::ZERO,
        }
    }
}

/// Follows one issuing CA.
struct Follow {
    transport: Transport,
    follower: Follower,
    clock: Arc<dyn Clock>,
    board: Board,
    backoff: Backoff,
}

impl Follow {
    async fn run(mut self) {
        let mut newcomer = self.follower.needs_snapshot();
        loop {
            let Err(cut) = self.once(newcomer).await;
            newcomer = matches!(cut, Cut::Snapshot) || self.follower.needs_snapshot();
            if matches!(cut, Cut::Snapshot) {
                continue;
            }
            let forked = matches!(cut, Cut::Follow(FollowError::Forked));
            self.tell(&cut, forked);
            if forked {
                return;
            }
            sleep(self.backoff.next(cut.patience())).await;
        }
    }

    /// Reads until it is cut.
    async fn once(&mut self, newcomer: bool) -> Result<core::convert::Infallible, Cut> {
        let path = format!("/api/v1/feed/{}", self.follower.issuer());
        if newcomer {
            let snapshot = self.transport.get(&format!("{path}/snapshot")).await?;
            self.follower.snapshot(&snapshot, self.clock.now())?;
            self.seen(FeedState::CatchingUp);
        }
        let cursor = self.follower.cursor();
        let mut stream = self.transport.open(&format!("{path}/stream"), Some(cursor)).await?;
        let mut events = Events::default();
        while let Some(piece) = stream.next().await? {
            for frame in events.push(&piece)? {
                match self.follower.frame(&frame, self.clock.now())? {
                    Progress::Confirmed(_) => {
                        self.backoff.reset();
                        self.seen(FeedState::Following);
                    }
                    Progress::Behind(n) if self.follower.prefers_snapshot(n) => return Err(Cut::Snapshot),
                    Progress::Behind(_) => self.seen(FeedState::CatchingUp),
                }
            }
        }
        Err(FetchError::Ended.into())
    }

    fn seen(&self, state: FeedState) {
        let (size, as_of) = (self.follower.cursor(), self.follower.as_of());
        self.board.change(self.follower.issuer(), |status| {
            (status.state, status.size, status.as_of) = (state, size, as_of);
        });
    }

    fn tell(&self, cut: &Cut, forked: bool) {
        let (issuer, code) = (self.follower.issuer(), cut.code());
        if forked {
            tracing::error!(%issuer, code, "{cut}");
        } else {
            tracing::warn!(%issuer, code, "{cut}; trying again");
        }
        self.board.change(issuer, |status| {
            status.state = if forked { FeedState::Forked } else { FeedState::Connecting };
            status.last_error = Some((code, cut.to_string()));
            status.errors += 1;
        });
    }
}
