//! What the guard keeps: the newest checkpoint of each log. The store is held against it before anything is signed.

use std::collections::BTreeMap;

use super::inner::Inner;
use super::yielding::yield_now;
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::checkpoint::Checkpoint;
use crate::log::entry::LogId;
use crate::log::merkle::{Frontier, leaf_hash};
use crate::log::note::VerifierKey;
use crate::service::error::Error;
use crate::store::guard::GuardError;
use crate::store::state::{Change, Kind};

/// Row that says that there is a guard.
const ROW: &[u8] = b"guard";
const FORMAT: u32 = 1;
/// Records read at once.
const STEP: usize = 4_096;

/// What is kept: JSON.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Kept {
    format: u32,
    /// Whether a recovery was begun and is not done.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub(crate) recovering: bool,
    /// What the copy knew before that recovery began.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) known: Knowns,
    /// The newest signed note of each log, by the log's name.
    pub(crate) checkpoints: BTreeMap<String, String>,
}

/// What a copy knows by itself of what an issuing CA revoked: evidence that is older tells of less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Known {
    /// Epoch of its revocation log.
    pub(crate) epoch: u64,
    /// Size of its revocation log.
    pub(crate) size: u64,
    /// Number of its last full CRL; 0 if there is none.
    pub(crate) crl: u64,
}

/// By issuing CA.
pub(crate) type Knowns = BTreeMap<IssuerId, Known>;

impl Default for Kept {
    fn default() -> Self {
        Self { format: FORMAT, recovering: false, known: Knowns::new(), checkpoints: BTreeMap::new() }
    }
}

impl Kept {
    pub(crate) fn parse(octets: &[u8]) -> Result<Self, GuardError> {
        let kept: Self = serde_json::from_slice(octets).map_err(|_| GuardError::Foreign)?;
        if kept.format == FORMAT { Ok(kept) } else { Err(GuardError::Foreign) }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        serde_json::to_vec_pretty(self).map_err(StoreError::unavailable)
    }
}

/// A checkpoint that the log key signed, in whichever epoch.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) log: LogId,
    pub(crate) epoch: u64,
    pub(crate) checkpoint: Checkpoint,
}

impl Inner {
    /// What the guard keeps; nothing if there is none, or nothing in it.
    pub(crate) async fn guarded(&self) -> Result<Option<Kept>, Error> {
        let Some(guard) = &self.parts.guard else { return Ok(None) };
        Ok(guard.read().await?.map(|octets| Kept::parse(&octets)).transpose()?)
    }

    /// Refuses a store that is behind its guard, or another one.
    pub(crate) async fn check_guard(&self) -> Result<(), Error> {
        if self.parts.guard.is_none() {
            return Ok(());
        }
        let Some(kept) = self.guarded().await? else {
            return if self.had_guard().await? { Err(GuardError::Missing.into()) } else { Ok(()) };
        };
        if kept.recovering {
            return Err(GuardError::Unfinished.into());
        }
        for note in kept.checkpoints.values() {
            self.hold_against(&self.signed(note)?).await?;
        }
        Ok(())
    }

    /// A note that the log key signed over a log of this deployment.
    pub(crate) fn signed(&self, note: &str) -> Result<Signed, GuardError> {
        let origin = note.lines().next().unwrap_or_default();
        let (log, epoch) = self.origins.read(origin).ok_or(GuardError::Foreign)?;
        let key = VerifierKey::new(origin, self.log_signer.public_key()).map_err(|_| GuardError::Foreign)?;
        let checkpoint = Checkpoint::open(note, &key).map_err(|_| GuardError::Foreign)?;
        Ok(Signed { log, epoch, checkpoint })
    }

    async fn hold_against(&self, signed: &Signed) -> Result<(), Error> {
        let Signed { log, epoch, checkpoint } = signed;
        let found = self.origins.epoch();
        if *epoch > found {
            return Err(GuardError::OldEpoch { found, kept: *epoch }.into());
        }
        // What was lost in a recovery is on record with it.
        if *epoch < found {
            return Ok(());
        }
        let (head, _) = self.parts.sink.head(log).await?;
        let (size, log) = (head.frontier.size(), log.to_string());
        if size < checkpoint.size {
            return Err(GuardError::RolledBack { log, found: size, kept: checkpoint.size }.into());
        }
        let leads = self.leads(&signed.log, checkpoint, &head.frontier).await?;
        if leads { Ok(()) } else { Err(GuardError::OtherLog { log, size: checkpoint.size }.into()) }
    }

    /// Whether the log was what was signed, and grew from there to its head.
    async fn leads(&self, log: &LogId, from: &Checkpoint, head: &Frontier) -> Result<bool, Error> {
        let mut frontier = self.parts.sink.frontier(log, from.size).await?;
        if frontier.root() != from.root {
            return Ok(false);
        }
        while frontier.size() < head.size() {
            let left = usize::try_from(head.size() - frontier.size()).unwrap_or(usize::MAX);
            let entries = self.parts.sink.read_leaves(log, frontier.size(), left.min(STEP)).await?;
            if entries.is_empty() {
                return Ok(false);
            }
            entries.iter().for_each(|entry| frontier.push(leaf_hash(&entry.leaf)));
            yield_now().await;
        }
        Ok(frontier == *head)
    }

    /// Whether there ever was a guard.
    async fn had_guard(&self) -> Result<bool, Error> {
        Ok(self.parts.state.get(&LogId::System, Kind::Cursor, ROW).await?.is_some())
    }

    /// Has it known from now on that there is a guard.
    pub(crate) async fn has_guard(&self) -> Result<(), Error> {
        if self.had_guard().await? {
            return Ok(());
        }
        let row = Change { kind: Kind::Cursor, key: ROW.to_vec(), value: Some(Vec::new()) };
        Ok(self.parts.state.put(&LogId::System, &[self.seal_key.tagged(&LogId::System, row)]).await?)
    }
}
