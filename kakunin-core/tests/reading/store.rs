//! A store that counts what it is asked, and breaks what a test wants broken.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::state::{Change, Kind, StateStore, StateView, Touched};

#[derive(Debug, Default)]
pub(crate) struct Counting {
    pub(crate) store: MemoryStore,
    pub(crate) reads: AtomicUsize,
    /// Entries that were read.
    pub(crate) entries: AtomicUsize,
    /// Writes beside the log: rows of the index alone, and others.
    pub(crate) indexing: AtomicUsize,
    pub(crate) rows: AtomicUsize,
    /// Each so many writes of the index fail, one before it is done and one after it; 0 for none.
    pub(crate) fails: AtomicUsize,
    /// How often somebody else wrote.
    pub(crate) foreign: AtomicU64,
    /// Records of tenants' logs whose leaves are broken.
    pub(crate) broken: Mutex<BTreeSet<u64>>,
}

impl Counting {
    fn read_once(&self) {
        self.reads.fetch_add(1, Ordering::SeqCst);
    }

    /// How many reads, and entries read, this takes.
    pub(crate) fn cost<T>(&self, what: impl FnOnce() -> T) -> (T, usize, usize) {
        let before = [&self.reads, &self.entries].map(|count| count.load(Ordering::SeqCst));
        let done = what();
        let after = [&self.reads, &self.entries].map(|count| count.load(Ordering::SeqCst));
        (done, after[0] - before[0], after[1] - before[1])
    }

    /// All rows of the index of a log.
    pub(crate) fn index(&self, log: &LogId) -> Vec<(Vec<u8>, Vec<u8>)> {
        pollster::block_on(self.store.scan(log, Kind::Index, None, usize::MAX)).unwrap()
    }

    /// Sets a row, as somebody else would.
    pub(crate) fn set(&self, log: &LogId, kind: Kind, key: &[u8], value: Option<Vec<u8>>) {
        let change = Change { kind, key: key.to_vec(), value };
        self.foreign.fetch_add(1, Ordering::SeqCst);
        pollster::block_on(self.store.put(log, &[change])).unwrap();
    }
}

/// The store as deployments have it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared(pub(crate) Arc<Counting>);

#[async_trait]
impl AuditSink for Shared {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let has = |append: &Append| append.changes.iter().any(|change| change.kind == Kind::Index);
        assert!(!appends.iter().any(has), "an append writes no index");
        self.0.store.append(appends).await
    }
    async fn room(&self) -> Room {
        self.0.store.room().await
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.0.read_once();
        self.0.store.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.read_once();
        let mut entries = AuditSink::read(&self.0.store, log, from, limit).await?;
        self.0.entries.fetch_add(entries.len(), Ordering::SeqCst);
        if matches!(log, LogId::Tenant(_)) {
            for index in self.0.broken.lock().unwrap().range(from..) {
                if let Some(entry) = entries.get_mut(usize::try_from(index - from).unwrap()) {
                    entry.leaf = vec![0xff];
                }
            }
        }
        Ok(entries)
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.store.logs().await
    }
}

#[async_trait]
impl StateStore for Shared {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        StateStore::apply(&self.0.store, log, index, changes).await
    }
    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        StateStore::applied(&self.0.store, log).await
    }
    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        self.0.store.swap(log, expected, change).await
    }
    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        if !changes.iter().any(|change| change.kind == Kind::Index) {
            self.0.rows.fetch_add(1, Ordering::SeqCst);
            return self.0.store.put(log, changes).await;
        }
        let (n, fails) =
            (self.0.indexing.fetch_add(1, Ordering::SeqCst), self.0.fails.load(Ordering::SeqCst));
        match n.checked_rem(fails) {
            Some(0) => Err(StoreError::unavailable("gone")),
            Some(1) => self.0.store.put(log, changes).await.and(Err(StoreError::unavailable("gone"))),
            _ => self.0.store.put(log, changes).await,
        }
    }
    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.read_once();
        self.0.store.get(log, kind, key).await
    }
    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.0.read_once();
        self.0.store.scan(log, kind, after, limit).await
    }
    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        self.0.store.view(log).await
    }
    async fn touched(&self) -> Result<Touched, StoreError> {
        Ok(Touched { writes: self.0.foreign.load(Ordering::SeqCst), structure: Vec::new() })
    }
}
