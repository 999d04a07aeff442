//! One issuing CA's revocation log, followed: what arrives is believed if the feed key cosigned a checkpoint
//! that it leads to.

use kakunin_core::feed::{FeedError, Frame, Snapshot as Newcomer, open_checkpoint, origin};
use kakunin_core::id::IssuerId;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::cosignature::CosignerKey;
use kakunin_core::log::merkle::Frontier;
use kakunin_core::log::note::NoteError;
use kakunin_core::revoke::RevokedSet;
use kakunin_core::time::{MINUTE, UnixTime};

use crate::revocation::{RevocationHandle, Snapshot};

/// How far the feed's clock may be ahead of ours.
const MAX_AHEAD: u64 = MINUTE;

/// Why something of a feed is not taken over. What was known before stays, and grows old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// It is not the feed's, or was altered.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// Records are missing between what is known and what arrived; to be asked for from what is known.
    #[error("the feed goes on at record {from}, and {known} are known")]
    Gap {
        /// Where it goes on.
        from: u64,
        /// How many are known.
        known: u64,
    },
    /// The records do not lead to the checkpoint.
    #[error("the records do not lead to the checkpoint; they were altered on the way, or the log was")]
    Mismatch,
    /// A checkpoint from before the last one: held back, or replayed.
    #[error("the checkpoint is older than the last one")]
    Replayed,
    /// A checkpoint from the future.
    #[error("the checkpoint is from the future; check the clocks of both machines")]
    Future,
    /// The feed key signed two logs that cannot both be true. Nothing of this feed is believed any more:
    /// somebody has to look.
    #[error(
        "the feed key cosigned two different logs; nothing of it is believed until an operator has looked"
    )]
    Forked,
}

impl FollowError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Feed(error) => error.code(),
            Self::Gap { .. } => "feed_gap",
            Self::Mismatch => "feed_mismatch",
            Self::Replayed => "feed_replayed",
            Self::Future => "feed_from_future",
            Self::Forked => "feed_forked",
        }
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// All that is known is confirmed as of this time, and published.
    Confirmed(UnixTime),
    /// Taken down; the checkpoint covers more, which is yet to come.
    More,
}

/// Follows one issuing CA. Publishes into a [`RevocationHandle`]; several followers may share one.
#[derive(Debug)]
pub struct Follower {
    issuer: IssuerId,
    key: CosignerKey,
    origin: String,
    handle: RevocationHandle,
    confirmed: State,
    /// What arrived since, without a checkpoint that it leads to.
    pending: Option<State>,
    as_of: UnixTime,
    forked: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    frontier: Frontier,
    set: RevokedSet,
}

impl Follower {
    /// Follows `issuer` at the word of the feed key, by its verifier key as the deployment hands it out with
    /// its anchors (C2SP, `name+hash+key`).
    ///
    /// # Errors
    /// [`NoteError::Key`] if this is not the verifier key of a feed.
    pub fn new(feed_verifier: &str, issuer: IssuerId, handle: RevocationHandle) -> Result<Self, NoteError> {
        let key = CosignerKey::parse(feed_verifier)?;
        let origin = origin(&key, &issuer)?;
        let (confirmed, pending) = (State::default(), None);
        Ok(Self {
            issuer,
            key,
            origin,
            handle,
            confirmed,
            pending,
            as_of: UnixTime::default(),
            forked: false,
        })
    }

    /// Whose revocations these are.
    #[must_use]
    pub const fn issuer(&self) -> &IssuerId {
        &self.issuer
    }

    /// How many records are known and confirmed: the index to go on from.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.confirmed.frontier.size()
    }

    /// As of when that is complete; the beginning of time if nothing was confirmed yet.
    #[must_use]
    pub const fn as_of(&self) -> UnixTime {
        self.as_of
    }

    /// Forgets what arrived and was not confirmed: to be called when a connection ends.
    pub fn interrupted(&mut self) {
        self.pending = None;
    }

    /// Takes a snapshot over in place of the records up to its size.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn snapshot(&mut self, octets: &[u8], now: UnixTime) -> Result<UnixTime, FollowError> {
        let (checkpoint, time, standing) = Newcomer::open(octets, &self.key, &self.origin)?;
        self.timely(time, now)?;
        self.no_fork(&checkpoint)?;
        let set = RevokedSet::from_entries(standing.revoked);
        self.confirm(State { frontier: standing.frontier, set }, time);
        Ok(time)
    }

    /// Takes a frame over: records, and a checkpoint.
    ///
    /// # Errors
    /// [`FollowError`]; what arrived since the last confirmation is forgotten then.
    pub fn frame(&mut self, octets: &[u8], now: UnixTime) -> Result<Followed, FollowError> {
        let before = self.pending.take();
        let frame = Frame::parse(octets)?;
        let (checkpoint, time) = open_checkpoint(&frame.checkpoint, &self.key, &self.origin)?;
        self.timely(time, now)?;
        self.no_fork(&checkpoint)?;
        let state = self.after(before.unwrap_or_else(|| self.confirmed.clone()), &frame)?;
        let size = state.frontier.size();
        if checkpoint.size > size {
            self.pending = Some(state);
            return Ok(Followed::More);
        }
        if checkpoint.size < size || checkpoint.root != state.frontier.root() {
            return Err(FollowError::Mismatch);
        }
        self.confirm(state, time);
        Ok(Followed::Confirmed(time))
    }

    /// The state after the records of a frame; those that are known already are passed over.
    fn after(&self, mut state: State, frame: &Frame) -> Result<State, FollowError> {
        let known = state.frontier.size();
        let Some(again) = known.checked_sub(frame.from) else {
            return Err(FollowError::Gap { from: frame.from, known });
        };
        let again = usize::try_from(again).unwrap_or(usize::MAX);
        for entry in frame.entries.iter().skip(again) {
            let opened = entry.open(&self.issuer)?;
            state.frontier.push(opened.hash);
            if let Some(change) = opened.change {
                state.set = state.set.with(&change);
            }
        }
        Ok(state)
    }

    fn timely(&self, time: UnixTime, now: UnixTime) -> Result<(), FollowError> {
        if self.forked {
            return Err(FollowError::Forked);
        }
        if time < self.as_of {
            return Err(FollowError::Replayed);
        }
        if time > now.plus(MAX_AHEAD) { Err(FollowError::Future) } else { Ok(()) }
    }

    /// A log only grows: a later checkpoint is of the same log only if it is at least as long.
    fn no_fork(&mut self, checkpoint: &Checkpoint) -> Result<(), FollowError> {
        let known = &self.confirmed.frontier;
        let same = checkpoint.size == known.size() && checkpoint.root != known.root();
        self.forked = checkpoint.size < known.size() || same;
        if self.forked { Err(FollowError::Forked) } else { Ok(()) }
    }

    fn confirm(&mut self, state: State, time: UnixTime) {
        self.handle.publish(Snapshot::new(time).with(self.issuer, state.set.clone()));
        (self.confirmed, self.as_of) = (state, time);
    }
}
