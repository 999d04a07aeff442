//! A store's sink that writes, or does not, as a test tells it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::{Entry, LogId};
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
pub struct Sink(Arc<MemoryStore>, Mutex<Does>, AtomicUsize, AtomicUsize);

impl Sink {
    /// Over a store of its own, in place of that of `parts`.
    pub fn beneath(parts: &mut Parts) -> Arc<Self> {
        let store = Arc::new(MemoryStore::new());
        let sink =
            Arc::new(Self(store.clone(), Mutex::new(Does::Well), AtomicUsize::new(0), AtomicUsize::new(0)));
        (parts.sink, parts.state, parts.revocations) = (sink.clone(), store.clone(), store);
        sink
    }

    pub fn does(&self, what: Does) {
        *self.1.lock().unwrap() = what;
    }

    /// How often it was told to append.
    pub fn appends(&self) -> usize {
        self.2.load(Ordering::SeqCst)
    }

    /// How often it was asked for a head.
    pub fn heads(&self) -> usize {
        self.3.load(Ordering::SeqCst)
    }

    fn now(&self) -> Does {
        *self.1.lock().unwrap()
    }
}

#[async_trait]
impl AuditSink for Sink {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.2.fetch_add(1, Ordering::SeqCst);
        while matches!(self.now(), Does::Waits) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let gone = || StoreError::unavailable("the connection was lost");
        match self.now() {
            Does::Well | Does::Waits => self.0.append(appends).await,
            Does::Full | Does::Scarce => Err(StoreError::Full),
            Does::Gone => Err(gone()),
            Does::Lost => self.0.append(appends).await.and(Err(gone())),
            Does::Silent => {
                self.0.append(appends).await?;
                std::future::pending().await
            }
        }
    }
    async fn room(&self) -> Room {
        match self.now() {
            Does::Scarce => Room { full: true, reserve: 0 },
            _ => self.0.room().await,
        }
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.3.fetch_add(1, Ordering::SeqCst);
        self.0.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.read(log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
}
