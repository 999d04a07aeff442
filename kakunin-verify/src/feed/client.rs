//! Fetches feeds over HTTP: a snapshot for the beginning, then the stream, and again when it ends.

use std::collections::hash_map::RandomState;
use std::error::Error as StdError;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kakunin_core::feed::MAX_SNAPSHOT_LEN;
use kakunin_core::id::IssuerId;
use kakunin_core::log::note::NoteError;
use kakunin_core::time::{Clock, UnixTime};
use reqwest::header::ACCEPT;
use reqwest::{Certificate, Client, Response};
use tokio::task::JoinSet;

use super::events::{Events, TooLong};
use super::follower::{FollowError, Followed, Follower};
use crate::revocation::RevocationHandle;

/// A server says something every 5 s; after more than two silences it is taken for gone.
const SILENCE: Duration = Duration::from_secs(12);
const CONNECT: Duration = Duration::from_secs(5);
/// Between two attempts, at most: random parts of these, so that those who were cut off together do not come
/// back together.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(4);
/// Frames that cover less than the checkpoint, in a row, before the connection is taken for a stuck one.
const PATIENCE: u32 = 100_000;

/// What to follow, and whom to believe.
#[derive(Clone, Debug)]
pub struct FeedOptions {
    /// URL of the server, such as `https://kakunin.example`.
    pub url: String,
    /// Verifier key of the feed key; it ships with the anchors.
    pub feed_verifier: String,
    /// The issuing CAs whose certificates are verified here.
    pub issuers: Vec<IssuerId>,
    /// Certificates, PEM, that the server's TLS certificate may lead to beside those of the system.
    pub ca_pem: Option<Vec<u8>>,
}

/// Why a client is not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeedSetupError {
    /// Not the verifier key of a feed.
    #[error(transparent)]
    Key(#[from] NoteError),
    /// TLS cannot be set up with these certificates.
    #[error("the feed's HTTP client cannot be set up: {0}")]
    Http(String),
}

/// How it goes with one issuing CA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedState {
    /// Which.
    pub issuer: IssuerId,
    /// How many records are known.
    pub size: u64,
    /// As of when that is complete.
    pub as_of: UnixTime,
    /// Why nothing more arrives now, if nothing does.
    pub error: Option<String>,
}

/// Follows the feeds of one deployment.
pub struct FeedClient {
    http: Client,
    base: String,
    clock: Arc<dyn Clock>,
    handle: RevocationHandle,
    followers: Vec<Mutex<Follower>>,
    states: Mutex<Vec<FeedState>>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error("{}", chain(.0))]
    Http(#[from] reqwest::Error),
    #[error("the server answered {0}")]
    Status(u16),
    #[error(transparent)]
    Event(#[from] TooLong),
    #[error("the server ended the stream")]
    Over,
    #[error("the stream never reaches its checkpoint")]
    Stuck,
}

impl FeedClient {
    /// A client that has fetched nothing yet: verifiers deny until [`FeedClient::run`] was run for a moment.
    ///
    /// # Errors
    /// [`FeedSetupError`].
    pub fn new(options: &FeedOptions, clock: Arc<dyn Clock>) -> Result<Self, FeedSetupError> {
        let handle = RevocationHandle::default();
        let http = |error: reqwest::Error| FeedSetupError::Http(chain(&error));
        let mut builder = Client::builder().connect_timeout(CONNECT).read_timeout(SILENCE);
        for certificate in options
            .ca_pem
            .as_deref()
            .map(Certificate::from_pem_bundle)
            .transpose()
            .map_err(http)?
            .unwrap_or_default()
        {
            builder = builder.add_root_certificate(certificate);
        }
        let (mut followers, mut states) = (Vec::new(), Vec::new());
        for issuer in &options.issuers {
            followers.push(Mutex::new(Follower::new(&options.feed_verifier, *issuer, handle.clone())?));
            states.push(FeedState { issuer: *issuer, size: 0, as_of: UnixTime::default(), error: None });
        }
        let base = options.url.trim_end_matches('/').to_owned();
        Ok(Self {
            http: builder.build().map_err(http)?,
            base,
            clock,
            handle,
            followers,
            states: Mutex::new(states),
        })
    }

    /// Where verifiers look: [`crate::Verifier::builder`] takes it.
    #[must_use]
    pub fn revocations(&self) -> RevocationHandle {
        self.handle.clone()
    }

    /// How it goes, for each issuing CA: to be watched.
    #[must_use]
    pub fn states(&self) -> Vec<FeedState> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The age of what is known, of the issuing CA that is most behind, in milliseconds.
    #[must_use]
    pub fn age(&self) -> u64 {
        let now = self.clock.now();
        self.states().iter().map(|state| now.since(state.as_of)).max().unwrap_or_default()
    }

    /// Follows every issuing CA, until the future is dropped: to be spawned on a tokio runtime. A feed that
    /// forked is asked again, and not believed.
    pub async fn run(self: Arc<Self>) {
        let mut all = JoinSet::new();
        for n in 0..self.followers.len() {
            let this = self.clone();
            all.spawn(async move { this.follow(n).await });
        }
        while all.join_next().await.is_some() {}
    }

    async fn follow(&self, n: usize) {
        let Some(follower) = self.followers.get(n) else { return };
        let mut wait = FIRST_WAIT;
        loop {
            let before = self.states().get(n).map(|state| state.as_of);
            let ended = self.once(n, follower).await;
            lock(follower).interrupted();
            self.note(n, follower, Some(ended.to_string()));
            let advanced = self.states().get(n).map(|state| state.as_of) > before;
            wait = if advanced { FIRST_WAIT } else { (wait * 2).min(LAST_WAIT) };
            tokio::time::sleep(wait.mul_f64(random())).await;
        }
    }

    /// One connection, to its end.
    async fn once(&self, n: usize, follower: &Mutex<Follower>) -> Ended {
        let outcome = async {
            let issuer = *lock(follower).issuer();
            if lock(follower).as_of() == UnixTime::default() {
                let answer = self.get(&format!("/api/v1/feed/{issuer}/snapshot"), "application/json").await?;
                let octets = whole(answer).await?;
                lock(follower).snapshot(&octets, self.clock.now())?;
                self.note(n, follower, None);
            }
            let after = lock(follower).size();
            let path = format!("/api/v1/feed/{issuer}/stream?after={after}");
            let mut answer = self.get(&path, "text/event-stream").await?;
            let (mut events, mut short) = (Events::default(), 0);
            while let Some(octets) = answer.chunk().await? {
                for data in events.push(&octets)? {
                    let followed = lock(follower).frame(&data, self.clock.now())?;
                    short = if followed == Followed::More { short + 1 } else { 0 };
                    if short > PATIENCE {
                        return Err(Ended::Stuck);
                    }
                    self.note(n, follower, None);
                }
            }
            Err(Ended::Over)
        };
        let outcome: Result<(), Ended> = outcome.await;
        outcome.err().unwrap_or(Ended::Over)
    }

    async fn get(&self, path: &str, accept: &str) -> Result<Response, Ended> {
        let answer = self.http.get(format!("{}{path}", self.base)).header(ACCEPT, accept).send().await?;
        if answer.status().as_u16() == 200 {
            Ok(answer)
        } else {
            Err(Ended::Status(answer.status().as_u16()))
        }
    }

    fn note(&self, n: usize, follower: &Mutex<Follower>, error: Option<String>) {
        let (size, as_of) = {
            let follower = lock(follower);
            (follower.size(), follower.as_of())
        };
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get_mut(n) {
            (state.size, state.as_of, state.error) = (size, as_of, error);
        }
    }
}

impl fmt::Debug for FeedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeedClient({}, {:?})", self.base, self.states())
    }
}

fn lock(follower: &Mutex<Follower>) -> std::sync::MutexGuard<'_, Follower> {
    follower.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn whole(mut answer: Response) -> Result<Vec<u8>, Ended> {
    let mut octets = Vec::new();
    while let Some(some) = answer.chunk().await? {
        if octets.len() + some.len() > MAX_SNAPSHOT_LEN {
            return Err(TooLong.into());
        }
        octets.extend_from_slice(&some);
    }
    Ok(octets)
}

/// From 0 to 1; a hasher of the standard library is keyed at random.
fn random() -> f64 {
    let half = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(half).unwrap_or_default()) / f64::from(u32::MAX)
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
