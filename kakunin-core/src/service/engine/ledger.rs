//! The head of one log, and how records become an append to it.

use std::sync::Arc;

use super::origins::Origins;
use super::seal::{Rows, SealKey};
use crate::error::StoreError;
use crate::id::Entropy;
use crate::issue::IssueError;
use crate::key::Signer;
use crate::log::checkpoint::Checkpoint;
use crate::log::entry::LogId;
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::note::VerifierKey;
use crate::log::record::Record;
use crate::revoke::RevocationChange;
use crate::service::error::Error;
use crate::store::audit::{Append, AuditSink, Head};
use crate::store::bound::Binding;
use crate::time::UnixTime;
use crate::x509::ca::AssembleError;

/// Where a log ended, and what the clock said then.
pub(crate) type Place = (Head, UnixTime);

/// One log as its sequencer knows it.
#[derive(Debug)]
pub(crate) struct Ledger {
    log: LogId,
    key: VerifierKey,
    signer: Arc<dyn Signer>,
    head: Head,
    /// What the clock said when the head's time last grew.
    clock: UnixTime,
    /// Its rows that count in its seal; loaded by whoever keeps them in memory.
    pub(crate) rows: Rows,
    /// Whether what is in memory may not be what the store has: see [`Ledger::unsettled`].
    stale: bool,
}

impl Ledger {
    /// Opens a log; its checkpoint must be the log key's, over the stored head.
    pub(crate) async fn open(
        log: LogId,
        origins: &Origins,
        signer: Arc<dyn Signer>,
        seal_key: &SealKey,
        sink: &dyn AuditSink,
    ) -> Result<Self, Error> {
        let key = VerifierKey::new(&origins.of(&log), signer.public_key())?;
        let rows = Rows::new(seal_key.clone(), log.clone());
        let (head, clock) = (Head::default(), UnixTime::MAX_X509);
        let mut ledger = Self { log, key, signer, head, clock, rows, stale: true };
        ledger.reload(sink).await?;
        Ok(ledger)
    }

    /// Reads the head anew.
    pub(crate) async fn reload(&mut self, sink: &dyn AuditSink) -> Result<(), Error> {
        let (head, checkpoint) = sink.head(&self.log).await?;
        if let Some(note) = &checkpoint {
            let signed = Checkpoint::open(note, &self.key).map_err(|_| {
                Error::Deployment(format!("the checkpoint of log {} is not by its log key", self.log))
            })?;
            if signed.size != head.frontier.size() || signed.root != head.frontier.root() {
                return Err(StoreError::Corrupt(format!(
                    "log {} is not what its checkpoint signed",
                    self.log
                ))
                .into());
            }
        } else if head.frontier.size() > 0 {
            return Err(StoreError::Corrupt(format!("log {} has no checkpoint", self.log)).into());
        }
        if head.time != self.head.time {
            // Whether time went by since is not known.
            self.clock = UnixTime::MAX_X509;
        }
        (self.head, self.stale) = (head, false);
        Ok(())
    }

    /// Signs under the names of another epoch from here on.
    pub(crate) fn rename(&mut self, origins: &Origins) -> Result<(), Error> {
        self.key = VerifierKey::new(&origins.of(&self.log), self.signer.public_key())?;
        Ok(())
    }

    pub(crate) const fn log(&self) -> &LogId {
        &self.log
    }

    pub(crate) const fn is_stale(&self) -> bool {
        self.stale
    }

    pub(crate) const fn size(&self) -> u64 {
        self.head.frontier.size()
    }

    pub(crate) const fn frontier(&self) -> &Frontier {
        &self.head.frontier
    }

    pub(crate) const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// The time of the next record: the clock's, but never before the last one. Where the last one is ahead of the
    /// clock the log goes on at half the clock's pace, so that what is counted by time is not all at one moment, and
    /// the clock catches up.
    pub(crate) fn time(&self, now: UnixTime) -> UnixTime {
        now.max(self.last_time().plus(now.since(self.clock) / 2))
    }

    /// The time of the last record.
    pub(crate) const fn last_time(&self) -> UnixTime {
        self.head.time
    }

    /// Seals the records, and signs the head after them. What follows for the state is added by the caller.
    pub(crate) async fn prepare(
        &self,
        records: &[Record],
        revocations: &[RevocationChange],
        entropy: &dyn Entropy,
    ) -> Result<Append, Error> {
        let entries = Record::seal_all(records, entropy)?;
        let mut next = self.head.clone();
        for (record, entry) in records.iter().zip(&entries) {
            next.time = next.time.max(record.time);
            next.frontier.push(leaf_hash(&entry.leaf));
        }
        let text = Checkpoint {
            origin: self.key.name().to_owned(),
            size: next.frontier.size(),
            root: next.frontier.root(),
        };
        let signature = self.signer.sign(text.to_text().as_bytes()).await?;
        let checkpoint = text.to_note(&self.key, signature.as_bytes());
        // Once it is written, everything after it leans on it (ADR 9).
        if !self.signer.is_in_process() {
            self.key.open(&checkpoint).map_err(|_| IssueError::from(AssembleError))?;
        }
        let indices = self.size()..;
        Ok(Append {
            log: self.log.clone(),
            expected: self.head.clone(),
            checkpoint,
            next,
            entries,
            changes: Arc::default(),
            bindings: records.iter().filter_map(Binding::of).collect(),
            revocations: indices.zip(revocations.iter().copied()).collect(),
            reserved: false,
        })
    }

    /// Marks memory as possibly not what the store has: until [`Ledger::settled`], whoever comes next
    /// reloads. So a call that fails, or is dropped while it waits, leaves nothing wrong behind.
    pub(crate) const fn unsettled(&mut self) {
        self.stale = true;
    }

    /// The append was acknowledged: this is the head now. Projections may still lack it.
    pub(crate) fn appended(&mut self, head: Head, now: UnixTime) {
        // A clock that was set back counts from where it is now.
        if head.time > self.head.time || now < self.clock {
            self.clock = now;
        }
        self.head = head;
    }

    /// Where it ends.
    pub(crate) fn place(&self) -> Place {
        (self.head.clone(), self.clock)
    }

    /// What was to come after it was not written.
    pub(crate) fn back_to(&mut self, (head, clock): Place) {
        (self.head, self.clock) = (head, clock);
    }

    /// Memory is what the store has.
    pub(crate) const fn settled(&mut self) {
        self.stale = false;
    }
}
