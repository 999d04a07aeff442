//! A store's sink that writes, or does not, as a test tells it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::merkle::Frontier;
use kakunin_core::service::Parts;
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};

/// What a sink does with the next append.
#[derive(Clone, Copy, Debug)]
pub enum Does {
    /// It writes.
    Well,
    /// Nothing is written, and that is known.
    Full,
    /// Nothing is written, and nobody knows.
    Gone,
    /// It is written, and nobody knows.
    Lost,
    /// It is written, and nobody is ever told.
    Silent,
    /// It waits until it is told what to do.
    Waits,
    /// It is known beforehand that nothing can be written.
    Scarce,
}

/// A sink in a hand.
#[derive(Debug)]
pub struct Sink {
    store: Arc<MemoryStore>,
    does: Mutex<Does>,
    appends: AtomicUsize,
    heads: AtomicUsize,
    records: AtomicUsize,
}

impl Sink {
    /// Over a store of its own, in place of that of `parts`.
    pub fn beneath(parts: &mut Parts) -> Arc<Self> {
        let store = Arc::new(MemoryStore::new());
        let sink = Self::over(store.clone());
        (parts.sink, parts.state, parts.revocations) = (sink.clone(), store.clone(), store);
        sink
    }

    pub fn over(store: Arc<MemoryStore>) -> Arc<Self> {
        let (appends, heads, records) = <(AtomicUsize, AtomicUsize, AtomicUsize)>::default();
        Arc::new(Self { store, does: Mutex::new(Does::Well), appends, heads, records })
    }

    pub fn does(&self, what: Does) {
        *self.does.lock().unwrap() = what;
    }

    /// How often it was told to append.
    pub fn appends(&self) -> usize {
        self.appends.load(Ordering::SeqCst)
    }

    /// How often it was asked for a head.
    pub fn heads(&self) -> usize {
        self.heads.load(Ordering::SeqCst)
    }

    /// How many records were read of it.
    pub fn records(&self) -> usize {
        self.records.load(Ordering::SeqCst)
    }

    fn now(&self) -> Does {
        *self.does.lock().unwrap()
    }
}

#[async_trait]
impl AuditSink for Sink {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.appends.fetch_add(1, Ordering::SeqCst);
        while matches!(self.now(), Does::Waits) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let gone = || StoreError::unavailable("the connection was lost");
        match self.now() {
            Does::Well | Does::Waits => self.store.append(appends).await,
            Does::Full | Does::Scarce => Err(StoreError::Full),
            Does::Gone => Err(gone()),
            Does::Lost => self.store.append(appends).await.and(Err(gone())),
            Does::Silent => {
                self.store.append(appends).await?;
                std::future::pending().await
            }
        }
    }
    async fn room(&self) -> Room {
        match self.now() {
            Does::Scarce => Room { full: true, reserve: 0 },
            _ => self.store.room().await,
        }
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.heads.fetch_add(1, Ordering::SeqCst);
        self.store.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = self.store.read(log, from, limit).await?;
        self.records.fetch_add(entries.len(), Ordering::SeqCst);
        Ok(entries)
    }
    async fn frontier(&self, log: &LogId, size: u64) -> Result<Frontier, StoreError> {
        self.store.frontier(log, size).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.store.logs().await
    }
}
