//! What a deployment runs on when it is only looked at: it reads what is there, and writes to memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::Frontier;
use crate::service::engine::parts::Parts;
use crate::service::engine::telling::Nobody;
use crate::store::MemoryStore;
use crate::store::audit::{Append, AuditSink, Head, Room};
use crate::store::vault::{Kept, Vault};

/// Who is told how many records of a log were read, of about how many.
pub type RebuildProgress = Arc<dyn Fn(&LogId, u64, u64) + Send + Sync>;

/// These parts, with `state` in place of what they keep of the logs: nothing is appended, no secret is kept or removed,
/// nobody is told anything.
pub(super) fn aside(parts: &Parts, state: Arc<MemoryStore>, progress: Option<RebuildProgress>) -> Parts {
    Parts {
        sink: Arc::new(ReadLog { sink: parts.sink.clone(), progress, read: Mutex::default() }),
        vault: Some(Arc::new(ReadVault(parts.vault()))),
        revocations: state.clone(),
        state,
        webhooks: None,
        listener: Arc::new(Nobody),
        ..parts.clone()
    }
}

/// Logs that are only read.
struct ReadLog {
    sink: Arc<dyn AuditSink>,
    progress: Option<RebuildProgress>,
    read: Mutex<HashMap<LogId, u64>>,
}

impl ReadLog {
    /// Tells how far it has come.
    async fn tell(&self, log: &LogId, count: usize) -> Result<(), StoreError> {
        if let Some(progress) = &self.progress {
            // Once to see that they lead to the signed head, and once to fold them.
            let of = self.sink.head(log).await?.0.frontier.size().saturating_mul(2);
            let mut all = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            let read = all.entry(log.clone()).or_default();
            *read = read.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)).min(of);
            progress(log, *read, of);
        }
        Ok(())
    }
}

impl core::fmt::Debug for ReadLog {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("ReadLog").field(&self.sink).finish()
    }
}

fn only_read() -> StoreError {
    StoreError::unavailable("the deployment is only looked at; nothing of it is written")
}

#[async_trait]
impl AuditSink for ReadLog {
    async fn append(&self, _: Vec<Append>) -> Result<(), StoreError> {
        Err(only_read())
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.sink.head(log).await
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = self.sink.read(log, from, limit).await?;
        self.tell(log, entries.len()).await?;
        Ok(entries)
    }

    async fn read_leaves(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = self.sink.read_leaves(log, from, limit).await?;
        self.tell(log, entries.len()).await?;
        Ok(entries)
    }

    async fn frontier(&self, log: &LogId, size: u64) -> Result<Frontier, StoreError> {
        self.sink.frontier(log, size).await
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.sink.logs().await
    }

    async fn room(&self) -> Room {
        self.sink.room().await
    }
}

/// Secrets that are only read.
#[derive(Debug)]
struct ReadVault(Arc<dyn Vault>);

#[async_trait]
impl Vault for ReadVault {
    async fn put(&self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        Err(only_read())
    }

    async fn put_new(&self, _: &[u8], _: &[u8]) -> Result<bool, StoreError> {
        Err(only_read())
    }

    async fn put_all(&self, _: &[Kept]) -> Result<(), StoreError> {
        Err(only_read())
    }

    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(name).await
    }

    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.0.get_all(names).await
    }

    async fn remove(&self, _: &[Vec<u8>]) -> Result<(), StoreError> {
        // Whoever opens it in earnest removes them.
        Ok(())
    }

    async fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<Kept>, StoreError> {
        self.0.list(prefix, limit).await
    }
}
