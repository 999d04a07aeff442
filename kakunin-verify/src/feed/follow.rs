//! Follows one issuing CA: a snapshot, then the stream, and again whenever it is cut.

use std::sync::Arc;
use std::time::Duration;

use kakunin_core::time::Clock;
use tokio::time::sleep;

use super::backoff::Backoff;
use super::board::{Board, FeedState};
use super::events::{Events, TooLong};
use super::follower::{FollowError, Follower, Progress};
use super::transport::{FetchError, Transport};

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
pub(super) struct Follow {
    pub(super) transport: Transport,
    pub(super) follower: Follower,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) board: Board,
    pub(super) backoff: Backoff,
}

impl Follow {
    pub(super) async fn run(mut self) {
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
        let mut stream = self.transport.open(&format!("{path}/stream"), cursor).await?;
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
