//! The revocation feed as it travels: frames with records of one issuing CA's revocation log, and snapshots
//! for newcomers. Whoever follows believes the feed key, and nothing else.

mod frame;
mod snapshot;

pub use frame::{Frame, FrameEntry, MAX_ENTRIES, MAX_FRAME_LEN, Opened};
pub use snapshot::{MAX_SNAPSHOT_LEN, Snapshot, Standing};

use crate::id::IssuerId;
use crate::log::checkpoint::Checkpoint;
use crate::log::cosignature::CosignerKey;
use crate::log::note::NoteError;
use crate::time::UnixTime;
use crate::words::words;

const FEED: &str = "feed";

words! {
    /// Who may read what an issuing CA revoked, as a whole: feed, snapshot and CRLs. Whoever knows the serial of a
    /// certificate may always ask for that one.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    pub enum Visibility {
        /// Anybody.
        #[default]
        Public = "public",
        /// The tenant that has this issuing CA for itself.
        Private = "private",
    }
}

/// Why something of the feed is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedError {
    /// Not what travels on a feed.
    #[error("this is not of a revocation feed of this version")]
    Malformed,
    /// Not the feed key's word.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The feed key's word about another log.
    #[error("this is the feed of another issuing CA, or of another deployment")]
    OtherLog,
    /// A payload that is not the one its leaf commits to.
    #[error("a record does not match its leaf; it was altered on the way")]
    Altered,
    /// A record that must not be passed over, and is not known here.
    #[error("the feed has records of a later version; update the reader")]
    UnknownKind,
}

impl FeedError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "feed_malformed",
            Self::Note(e) => e.code(),
            Self::OtherLog => "feed_other_log",
            Self::Altered => "feed_altered",
            Self::UnknownKind => "feed_unknown_kind",
        }
    }
}

/// Name of a deployment's feed key, from the host of its public URL.
#[must_use]
pub fn feed_name(host: &str) -> String {
    format!("{host}/{FEED}")
}

/// What origins of an issuing CA's revocation log begin with, by the deployment's feed key.
///
/// # Errors
/// [`NoteError::Key`] if this is not the name of a feed key.
pub fn origin(key: &CosignerKey, issuer: &IssuerId) -> Result<Origin, NoteError> {
    let host = key.name().strip_suffix(FEED).and_then(|rest| rest.strip_suffix('/'));
    let host = host.ok_or(NoteError::Key)?;
    // As the log's identifier is written.
    Ok(Origin(format!("{host}/_revocations-{issuer}/")))
}

/// Names a revocation log, whichever epoch it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// As checkpoints of that epoch name it.
    #[must_use]
    pub fn in_epoch(&self, epoch: u64) -> String {
        format!("{}{epoch}", self.0)
    }

    /// Which epoch of this log a checkpoint speaks of: the first is 1, and each recovery begins the next, whose log need
    /// not follow from the one before.
    #[must_use]
    pub fn epoch(&self, checkpoint: &Checkpoint) -> Option<u64> {
        let epoch = checkpoint.origin.strip_prefix(&self.0)?.parse().ok()?;
        (epoch > 0 && self.in_epoch(epoch) == checkpoint.origin).then_some(epoch)
    }
}

/// Opens a checkpoint that the feed key cosigned: what the log was in which epoch, and as of when.
///
/// # Errors
/// [`FeedError`].
pub fn open_checkpoint(
    note: &str,
    key: &CosignerKey,
    origin: &Origin,
) -> Result<(Checkpoint, UnixTime), FeedError> {
    let (text, time) = key.open(note)?;
    let checkpoint = Checkpoint::parse(text)?;
    if origin.epoch(&checkpoint).is_some() { Ok((checkpoint, time)) } else { Err(FeedError::OtherLog) }
}
