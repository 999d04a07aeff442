//! Whether a log is what was signed, an entry and a head at a time. Nothing is read here, and nothing believed: who
//! reads hands over what it found.

use super::checkpoint::Checkpoint;
use super::entry::Entry;
use super::leaf::{Leaf, LeafError};
use super::merkle::{Frontier, Hash, leaf_hash};
use super::note::{NoteError, VerifierKey};
use super::record::{Control, EVENT, Record};
use crate::time::UnixTime;

/// A head as an append left it, and as it lies in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// The size that the append began at, where the store keeps that.
    pub before: Option<u64>,
    /// Number of leaves.
    pub size: u64,
    /// Subtree roots, the largest first.
    pub roots: Vec<Hash>,
    /// Root of the tree.
    pub root: Hash,
    /// Time of the last record.
    pub time: UnixTime,
    /// The signed note over size and root.
    pub checkpoint: String,
}

/// What does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is no entry.
    #[error("it is missing")]
    Missing,
    /// The leaf is none.
    #[error("its leaf: {0}")]
    Leaf(#[from] LeafError),
    /// A kind that this program does not know, and must.
    #[error("it is of the unknown kind {0}; use the program that wrote it, or update this one")]
    Kind(u16),
    /// Time went back.
    #[error("its time is before that of the record before it")]
    Time,
    /// The payload is gone.
    #[error("its payload is gone, or its key in the vault is, and no record says that it was erased")]
    PayloadGone,
    /// The payload is another one.
    #[error("its payload is not what its leaf commits to")]
    PayloadOther,
    /// There is a payload, and there should be none.
    #[error("a payload lies beside it, and its leaf commits to none")]
    PayloadExtra,
    /// Leaf and payload are those that were written, and do not make a record.
    #[error("its payload does not say what its leaf says")]
    Record,
    /// The leaves do not lead to the head.
    #[error("its leaves do not lead to the root that was stored with them")]
    Root,
    /// The checkpoint is about something else.
    #[error("the checkpoint stored with it signs another size or root")]
    Checkpoint,
    /// Nobody who counts signed the checkpoint.
    #[error("the checkpoint stored with it is not by the log key: {0}")]
    Unsigned(NoteError),
    /// The origin is another log's, or goes back.
    #[error("the checkpoint stored with it is of another log")]
    Origin,
    /// The head says another time than the last record.
    #[error("the time stored with it is not that of the last record")]
    HeadTime,
    /// Heads do not join.
    #[error("the appends before and after it do not join: one is missing, or was put in")]
    Gap,
    /// A checkpoint that somebody kept is of another past.
    #[error("the checkpoint that was kept elsewhere has another root for this size")]
    Kept,
    /// A checkpoint that somebody kept is of more.
    #[error("the end is missing: the checkpoint that was kept elsewhere is ahead of the log")]
    CutOff,
}

impl Fault {
    /// Stable code of what does not fit.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing => "record_missing",
            Self::Leaf(_) => "leaf_malformed",
            Self::Kind(_) => "kind_unknown",
            Self::Time => "time_went_back",
            Self::PayloadGone => "payload_missing",
            Self::PayloadOther => "payload_altered",
            Self::PayloadExtra => "payload_added",
            Self::Record => "record_malformed",
            Self::Root => "root_differs",
            Self::Checkpoint => "checkpoint_differs",
            Self::Unsigned(_) => "checkpoint_unsigned",
            Self::Origin => "checkpoint_of_another_log",
            Self::HeadTime => "head_time_differs",
            Self::Gap => "append_missing",
            Self::Kept => "kept_checkpoint_differs",
            Self::CutOff => "log_cut_off",
        }
    }
}

/// What lies beside a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing, as the leaf says.
    Nothing,
    /// What the leaf commits to.
    Payload,
    /// Nothing, although the leaf commits to something.
    Gone,
}

/// Whether what lies beside a leaf is what it commits to.
///
/// # Errors
/// [`Fault`].
pub fn look(entry: &Entry) -> Result<(Leaf, Beside), Fault> {
    let leaf = Leaf::decode(&entry.leaf)?;
    let beside = match (&entry.payload, leaf.commitment) {
        (Some(payload), Some(commitment)) if payload.commitment() == commitment => Beside::Payload,
        (None, None) => Beside::Nothing,
        (None, Some(_)) => Beside::Gone,
        (Some(_), Some(_)) => return Err(Fault::PayloadOther),
        (Some(_), None) => return Err(Fault::PayloadExtra),
    };
    Ok((leaf, beside))
}

/// A walk along one log.
#[derive(Debug)]
pub struct Walk {
    /// The log's name up to the epoch: `<host>/<log>/`.
    place: String,
    key: VerifierKey,
    epoch: u64,
    frontier: Frontier,
    /// Up to where a head that was signed confirms it.
    signed: u64,
    time: UnixTime,
}

impl Walk {
    /// Begins before the first record. `key` is the log key under any name, `place` the log's origin without its epoch,
    /// `<host>/<log>/`.
    ///
    /// # Errors
    /// [`NoteError::Key`] if no key can have that name.
    pub fn new(place: &str, key: &VerifierKey) -> Result<Self, NoteError> {
        let key = key.named(&format!("{place}1"))?;
        let (frontier, time) = (Frontier::default(), UnixTime::default());
        Ok(Self { place: place.to_owned(), key, epoch: 1, frontier, signed: 0, time })
    }

    /// Goes on at a head, which is believed for its signature.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn skip_to(&mut self, head: &SignedHead) -> Result<(), Fault> {
        self.frontier = Frontier::from_parts(head.size, head.roots.clone()).ok_or(Fault::Root)?;
        (self.time, self.signed) = (head.time, head.before.unwrap_or_default());
        self.head(head)
    }

    /// Number of leaves that were looked at, or skipped.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Up to where a signed head confirms it.
    #[must_use]
    pub const fn signed(&self) -> u64 {
        self.signed
    }

    /// Root of what was looked at.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Takes the next entry, and says what lies beside its leaf.
    ///
    /// # Errors
    /// [`Fault`]; the walk ends there.
    pub fn entry(&mut self, entry: &Entry) -> Result<(Leaf, Beside), Fault> {
        let (leaf, beside) = look(entry)?;
        if leaf.time < self.time {
            return Err(Fault::Time);
        }
        let known = leaf.kind == EVENT || Control::is_known(leaf.kind);
        if !known && leaf.is_critical() {
            return Err(Fault::Kind(leaf.kind));
        }
        if known && beside != Beside::Gone && Record::open(entry).is_err() {
            return Err(Fault::Record);
        }
        self.time = leaf.time;
        self.frontier.push(leaf_hash(&entry.leaf));
        Ok((leaf, beside))
    }

    /// Takes the head over everything so far.
    ///
    /// # Errors
    /// [`Fault`]; the walk ends there.
    pub fn head(&mut self, head: &SignedHead) -> Result<(), Fault> {
        if head.before.is_some_and(|before| before != self.signed) {
            return Err(Fault::Gap);
        }
        if head.size != self.frontier.size()
            || head.roots != self.frontier.roots()
            || head.root != self.root()
        {
            return Err(Fault::Root);
        }
        let (epoch, signed) = self.open(&head.checkpoint)?;
        if epoch < self.epoch {
            return Err(Fault::Origin);
        }
        if signed.size != head.size || signed.root != head.root {
            return Err(Fault::Checkpoint);
        }
        if head.time != self.time {
            return Err(Fault::HeadTime);
        }
        (self.signed, self.epoch) = (head.size, epoch);
        Ok(())
    }

    /// What a checkpoint of this log says, and of which epoch it is.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn open(&self, note: &str) -> Result<(u64, Checkpoint), Fault> {
        let origin = note.lines().next().unwrap_or_default();
        let epoch = origin.strip_prefix(&self.place).and_then(|epoch| epoch.parse().ok());
        let epoch = epoch.filter(|epoch: &u64| *epoch > 0 && format!("{}{epoch}", self.place) == origin);
        let epoch = epoch.ok_or(Fault::Origin)?;
        let signed = match origin == self.key.name() {
            true => Checkpoint::open(note, &self.key),
            false => self.key.named(origin).and_then(|key| Checkpoint::open(note, &key)),
        };
        Ok((epoch, signed.map_err(Fault::Unsigned)?))
    }
}
