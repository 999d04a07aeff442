//! What is believed of a feed: what the feed key confirmed with a time, and what its records lead to.

use std::sync::Arc;

use kakunin_core::feed::{self, FeedError, Frame, Origin};
use kakunin_core::id::IssuerId;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::cosignature::CosignerKey;
use kakunin_core::log::merkle::{Frontier, Hash};
use kakunin_core::log::note::NoteError;
use kakunin_core::revoke::RevokedSet;
use kakunin_core::time::{MINUTE, UnixTime};

use crate::revocation::{RevocationHandle, Snapshot};

/// How far ahead of ours the feed's clock may be.
const AHEAD: u64 = MINUTE;
/// How many records are read one by one; whoever lacks more begins with a snapshot.
const MAX_BEHIND: u64 = 100_000;

/// Why something that the feed sent is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// It is not the feed key's word about this issuer's log.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// It is confirmed as of a time that has not come.
    #[error("the feed's time is more than a minute ahead of this machine's; set the clocks")]
    Ahead,
    /// Something that was confirmed before what is known: a recording, or a cache.
    #[error("the feed sent something older than what is known")]
    Replayed,
    /// Records are missing, or come twice.
    #[error("the feed goes on at record {found} instead of {expected}")]
    Gap {
        /// Where it should go on.
        expected: u64,
        /// Where it does.
        found: u64,
    },
    /// A frame with more records than its checkpoint covers.
    #[error("the feed sent records that no checkpoint confirms")]
    Unconfirmed,
    /// The records do not lead to the root that the feed key confirmed. Either they were altered on the way, or
    /// the log was changed after the fact; nothing is believed that does not follow from what is known.
    #[error("the feed's records do not lead to its checkpoint; they were altered, or the log was forked")]
    OtherRoot,
    /// The feed key confirmed two logs that cannot both be true. Nothing of it is believed any more.
    #[error(
        "the feed key confirmed two different logs; ask the deployment's operator, and trust nothing of it"
    )]
    Forked,
    /// The deployment went on from an older copy of its log, under the next origin. What was revoked stays so here, and
    /// a snapshot says what is revoked besides.
    #[error("the deployment recovered its logs from an older copy; beginning again with a snapshot")]
    Recovered,
    /// A frame before there is a snapshot to add it to.
    #[error("there is no snapshot to go on from")]
    NoSnapshot,
}

impl FollowError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Feed(e) => e.code(),
            Self::Ahead => "feed_ahead",
            Self::Replayed => "feed_replayed",
            Self::Gap { .. } => "feed_gap",
            Self::Unconfirmed => "feed_unconfirmed",
            Self::OtherRoot => "feed_other_root",
            Self::Forked => "feed_forked",
            Self::Recovered => "feed_recovered",
            Self::NoSnapshot => "feed_no_snapshot",
        }
    }
}

impl From<NoteError> for FollowError {
    fn from(error: NoteError) -> Self {
        FeedError::from(error).into()
    }
}

/// What a frame led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything is known that was appended by then, and verifiers know it.
    Confirmed(UnixTime),
    /// So many records are missing still.
    Behind(u64),
}

/// Follows the revocation log of one issuing CA, and tells verifiers what the feed key confirmed.
#[derive(Debug)]
pub struct Follower {
    issuer: IssuerId,
    origin: Origin,
    key: Arc<CosignerKey>,
    handle: RevocationHandle,
    /// The newest that was confirmed.
    confirmed: Option<Confirmed>,
    /// What came since, and is not confirmed yet.
    pending: Option<(Frontier, RevokedSet)>,
    /// Records that did not lead to their checkpoint were seen, and none since that did.
    doubtful: bool,
    forked: bool,
    /// Whether the log was seen in a later epoch than the one that is known.
    recovered: bool,
}

#[derive(Clone, Debug)]
struct Confirmed {
    epoch: u64,
    frontier: Frontier,
    root: Hash,
    set: Arc<RevokedSet>,
    at: UnixTime,
}

impl Follower {
    /// Follows the log of `issuer` by the word of the feed key, and publishes to `handle`, to which nobody else
    /// publishes what concerns this issuer.
    ///
    /// # Errors
    /// If `key` is not named as feed keys are.
    pub fn new(
        issuer: IssuerId,
        key: Arc<CosignerKey>,
        handle: RevocationHandle,
    ) -> Result<Self, FollowError> {
        let origin = feed::origin(&key, &issuer)?;
        Ok(Self {
            issuer,
            origin,
            key,
            handle,
            confirmed: None,
            pending: None,
            doubtful: false,
            forked: false,
            recovered: false,
        })
    }

    /// The issuing CA.
    #[must_use]
    pub const fn issuer(&self) -> &IssuerId {
        &self.issuer
    }

    /// How many records are known: where the feed is to go on.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        let pending = self.pending.as_ref().map(|(frontier, _)| frontier.size());
        pending.unwrap_or_else(|| self.confirmed.as_ref().map_or(0, |known| known.frontier.size()))
    }

    /// As of when everything is known.
    #[must_use]
    pub fn as_of(&self) -> Option<UnixTime> {
        self.confirmed.as_ref().map(|known| known.at)
    }

    /// Whether a snapshot is needed before frames can be taken.
    #[must_use]
    pub const fn needs_snapshot(&self) -> bool {
        self.confirmed.is_none() || self.recovered
    }

    /// Whether so much is missing that a snapshot is shorter. Never while records do not lead to their
    /// checkpoint: a snapshot would hide that the log was changed after the fact.
    #[must_use]
    pub const fn prefers_snapshot(&self, behind: u64) -> bool {
        behind > MAX_BEHIND && !self.doubtful
    }

    /// Begins with a snapshot, or goes on with one: as the API answers it.
    ///
    /// # Errors
    /// [`FollowError`]; what was known stays known.
    pub fn snapshot(&mut self, octets: &[u8], now: UnixTime) -> Result<UnixTime, FollowError> {
        self.whole()?;
        let (checkpoint, at, standing) = feed::Snapshot::open(octets, &self.key, &self.origin)?;
        let epoch = self.timely(&checkpoint, at, now)?;
        // What the copy never knew to be revoked is not accepted again.
        let kept = self.confirmed.as_ref().filter(|known| known.epoch < epoch);
        let set = RevokedSet::from_entries(standing.revoked);
        let set =
            Arc::new(kept.map_or_else(|| set.clone(), |known| (*known.set).clone().joined(set.clone())));
        self.confirm(Confirmed { epoch, frontier: standing.frontier, root: checkpoint.root, set, at });
        Ok(at)
    }

    /// Takes a frame of the stream, or of a page.
    ///
    /// # Errors
    /// [`FollowError`]; what was confirmed stays known, and what was not is forgotten: go on from
    /// [`Follower::cursor`]. After [`FollowError::Forked`] nothing is believed any more.
    pub fn frame(&mut self, octets: &[u8], now: UnixTime) -> Result<Progress, FollowError> {
        self.whole()?;
        let pending = self.pending.take();
        let frame = Frame::parse(octets)?;
        let (checkpoint, at) = feed::open_checkpoint(&frame.checkpoint, &self.key, &self.origin)?;
        let epoch = self.timely(&checkpoint, at, now)?;
        let known = self.confirmed.clone().ok_or(FollowError::NoSnapshot)?;
        if epoch > known.epoch {
            self.recovered = true;
            return Err(FollowError::Recovered);
        }
        if pending.is_none() && frame.entries.is_empty() && checkpoint.size == known.frontier.size() {
            expect(known.frontier.size(), frame.from)?;
            self.confirm(Confirmed { at, ..known });
            return Ok(Progress::Confirmed(at));
        }
        let (frontier, set) = pending.unwrap_or_else(|| (known.frontier, (*known.set).clone()));
        let (frontier, set) = self.appended(&frame, frontier, set)?;
        if frontier.size() > checkpoint.size {
            return Err(FollowError::Unconfirmed);
        }
        let behind = checkpoint.size - frontier.size();
        if behind > 0 {
            self.pending = Some((frontier, set));
            return Ok(Progress::Behind(behind));
        }
        if frontier.root() != checkpoint.root {
            self.doubtful = true;
            return Err(FollowError::OtherRoot);
        }
        self.confirm(Confirmed { epoch, frontier, root: checkpoint.root, set: Arc::new(set), at });
        Ok(Progress::Confirmed(at))
    }

    fn appended(
        &self,
        frame: &Frame,
        mut frontier: Frontier,
        mut set: RevokedSet,
    ) -> Result<(Frontier, RevokedSet), FollowError> {
        expect(frontier.size(), frame.from)?;
        for entry in &frame.entries {
            let opened = entry.open(&self.issuer)?;
            frontier.push(opened.hash);
            if let Some(change) = &opened.change {
                set = set.with(change);
            }
        }
        Ok((frontier, set))
    }

    const fn whole(&self) -> Result<(), FollowError> {
        if self.forked { Err(FollowError::Forked) } else { Ok(()) }
    }

    /// Whether a checkpoint may follow what is known: of another log it never does, of another time not now. Gives its
    /// epoch.
    fn timely(&mut self, checkpoint: &Checkpoint, at: UnixTime, now: UnixTime) -> Result<u64, FollowError> {
        let epoch = self.origin.epoch(checkpoint).ok_or(FeedError::OtherLog)?;
        if at.since(now) > AHEAD {
            return Err(FollowError::Ahead);
        }
        let Some(known) = &self.confirmed else { return Ok(epoch) };
        if epoch != known.epoch {
            // Of two epochs the later one counts, and neither follows from the other.
            return if epoch < known.epoch || at < known.at { Err(FollowError::Replayed) } else { Ok(epoch) };
        }
        let size = known.frontier.size();
        let other = checkpoint.size == size && checkpoint.root != known.root;
        let shrunk = checkpoint.size < size && at > known.at;
        if other || shrunk {
            self.forked = true;
            return Err(FollowError::Forked);
        }
        // Within one second the longer log is the newer.
        if at < known.at || checkpoint.size < size { Err(FollowError::Replayed) } else { Ok(epoch) }
    }

    fn confirm(&mut self, confirmed: Confirmed) {
        self.handle.publish(Snapshot::new(confirmed.at).with(self.issuer, confirmed.set.clone()));
        self.confirmed = Some(confirmed);
        (self.pending, self.doubtful, self.recovered) = (None, false, false);
    }
}

const fn expect(expected: u64, found: u64) -> Result<(), FollowError> {
    if expected == found { Ok(()) } else { Err(FollowError::Gap { expected, found }) }
}
