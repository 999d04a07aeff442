//! Where logs are kept: the one durable write.

use core::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::{Frontier, Hash, leaf_hash};
use crate::revoke::RevocationChange;
use crate::store::bound::Binding;
use crate::store::state::Change;
use crate::time::UnixTime;

/// Entries read at once.
const STEP: usize = 4_096;

/// The state of a log that its next append depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Size and subtree roots.
    pub frontier: Frontier,
    /// Time of the last record.
    pub time: UnixTime,
}

/// Records to append to one log, and what follows from them.
#[derive(Clone, Debug)]
pub struct Append {
    /// Which log.
    pub log: LogId,
    /// The head they were made for.
    pub expected: Head,
    /// The head after them.
    pub next: Head,
    /// The entries, at least one.
    pub entries: Vec<Entry>,
    /// Signed note over `next`.
    pub checkpoint: String,
    /// Changes of the state projection. A sink that keeps the projections too applies them in the same
    /// transaction; every caller applies them again, and they are idempotent by index.
    pub changes: Arc<[Change]>,
    /// Changes of the revocation projection, with their indices; only in revocation logs.
    pub revocations: Vec<(u64, RevocationChange)>,
    /// Keys that become agents' with it, as its records say: see [`AuditSink::append`].
    pub bindings: Vec<Binding>,
    /// Whether it takes trust away, or tells of that: then it may use what is set aside for when there is no room.
    pub reserved: bool,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Whether there is none: nothing is appended but what may use what is set aside.
    pub full: bool,
    /// Octets that are set aside, in a store that does that.
    pub reserve: u64,
}

/// Keeps logs.
///
/// * Atomicity: one call is one transaction over all logs it names: all of it, or nothing.
/// * Durability: on return of [`AuditSink::append`] every record survives a crash and a power cut.
/// * Concurrency: any number of calls at once; an append whose expected head is not the log's head is
///   refused with [`StoreError::Conflict`] and changes nothing, so that a log never forks; of two that bind one key to two agents, one is refused.
///   Two calls for one log may be under way, the later from the head that the earlier one leads to: a store that takes them
///   in order is the quicker one.
/// * Idempotence: none; a caller that does not know the outcome reads the head.
#[async_trait]
pub trait AuditSink: fmt::Debug + Send + Sync {
    /// Appends to one or more logs. In the same transaction each key that is named becomes its agent's, for good, over
    /// all logs: a key that is another agent's already is refused with [`StoreError::KeyTaken`], and nothing is appended.
    /// The same binding again is none.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was appended.
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError>;

    /// Head of a log, and the signed checkpoint over it; a log nobody wrote to is empty and has none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError>;

    /// Up to `limit` entries from index `from`, in order; fewer only at the end of the log.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if an index is missing.
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// As [`AuditSink::read`], for who needs leaves, and records that are no events: payloads of events may be left out, so
    /// that a sink that keeps them encrypted needs no key of theirs.
    ///
    /// # Errors
    /// As those of [`AuditSink::read`].
    async fn read_leaves(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.read(log, from, limit).await
    }

    /// Size and subtree roots as they were at `size`, which the log reaches. This reads all entries below; a sink that
    /// keeps them answers at once.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if an index below is missing.
    async fn frontier(&self, log: &LogId, size: u64) -> Result<Frontier, StoreError> {
        frontier_of(self, log, size).await
    }

    /// The logs that have records.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn logs(&self) -> Result<Vec<LogId>, StoreError>;

    /// How much room there is, as far as that is known: asked for before each decision, so it costs next to nothing while
    /// there is enough, and looks again while there is not.
    async fn room(&self) -> Room;

    /// Waits until it is this caller's turn to go on from the head of a log, where several processes do, each after the
    /// other. A turn may last several appends. It is dropped as soon as nothing waits to be appended, and after
    /// [`TURN`] at the latest where anything does, so that others have theirs. What keeps a log from forking is the head that an append expects; a turn keeps
    /// those who want to append from deciding in vain.
    ///
    /// A store of one process has nobody to wait for.
    ///
    /// # Errors
    /// [`StoreError::NotWritten`] if it does not come in time.
    async fn turn(&self, log: &LogId) -> Result<Box<dyn Turn>, StoreError> {
        let _ = log;
        Ok(Box::new(NobodyElse))
    }

    /// Waits until other processes appended, and says to which logs, with the size of each; a log may be named again. What
    /// nobody hears is named later: whoever has appended once hears of every log that grew since. A store that asks
    /// somebody far away also says, about once a second, that it was answered, with no log at all.
    ///
    /// Where there are no others it never ends.
    async fn grown(&self) -> Vec<(LogId, u64)> {
        core::future::pending().await
    }
}

/// How long a turn is kept where others may wait, in milliseconds.
pub const TURN: u64 = 25;

/// The right to go on from the head of a log, until it is dropped: see [`AuditSink::turn`].
pub trait Turn: fmt::Debug + Send + Sync {
    /// How many records the log had when the turn began, if others may have appended.
    fn size(&self) -> Option<u64>;
}

/// The turn where nobody else appends.
#[derive(Clone, Copy, Debug)]
pub struct NobodyElse;

impl Turn for NobodyElse {
    fn size(&self) -> Option<u64> {
        None
    }
}

/// The frontier that the entries of a log lead to.
pub(super) async fn frontier_of<S: AuditSink + ?Sized>(
    sink: &S,
    log: &LogId,
    size: u64,
) -> Result<Frontier, StoreError> {
    let mut frontier = Frontier::default();
    while frontier.size() < size {
        let left = usize::try_from(size - frontier.size()).unwrap_or(usize::MAX);
        let entries = sink.read_leaves(log, frontier.size(), left.min(STEP)).await?;
        if entries.is_empty() {
            let at = frontier.size();
            return Err(StoreError::Corrupt(format!("index {at} of log {log} is missing")));
        }
        entries.iter().for_each(|entry| frontier.push(leaf_hash(&entry.leaf)));
    }
    Ok(frontier)
}

impl Append {
    /// Whether this append is what it says: entries lead from one head to the other.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let mut frontier = self.expected.frontier.clone();
        self.entries.iter().for_each(|e| frontier.push(leaf_hash(&e.leaf)));
        !self.entries.is_empty() && frontier == self.next.frontier && self.expected.time <= self.next.time
    }

    /// Root after this append.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.next.frontier.root()
    }
}
