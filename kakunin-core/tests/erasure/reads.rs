//! What is read of logs, and how much of it needs keys.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::merkle::Frontier;
use kakunin_core::service::Parts;
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::guard::Guard;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::world::{event, over};

/// A store that keeps subtree roots, and counts the records that are read of it.
#[derive(Debug)]
struct Counting(Arc<MemoryStore>, AtomicUsize);

#[async_trait]
impl AuditSink for Counting {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.0.append(appends).await
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.0.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let entries = AuditSink::read(&*self.0, log, from, limit).await?;
        self.1.fetch_add(entries.len(), Ordering::SeqCst);
        Ok(entries)
    }
    async fn frontier(&self, log: &LogId, size: u64) -> Result<Frontier, StoreError> {
        self.0.frontier(log, size).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
    async fn room(&self) -> Room {
        self.0.room().await
    }
}

/// A guard in memory.
#[derive(Debug, Default)]
struct Pocket(Mutex<Option<Vec<u8>>>);

#[async_trait]
impl Guard for Pocket {
    async fn read(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().clone())
    }
    async fn write(&self, value: &[u8]) -> Result<(), StoreError> {
        *self.0.lock().unwrap() = Some(value.to_vec());
        Ok(())
    }
}

#[test]
fn a_start_beside_a_guard_reads_no_whole_log() {
    let store = Arc::new(MemoryStore::new());
    let sink = Arc::new(Counting(store.clone(), AtomicUsize::new(0)));
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    (parts.sink, parts.state, parts.revocations) = (sink.clone(), store.clone(), store);
    parts.guard = Some(Arc::new(Pocket::default()));
    let mut w = over(parts);
    let (_, serial) = w.agent("one");
    for batch in 0..5 {
        let events = (batch * 1_000..(batch + 1) * 1_000).map(|number| event(serial, number)).collect();
        block_on(w.kakunin.tenant(&w.acme).observe_all(events)).unwrap();
    }
    block_on(w.kakunin.snapshot()).unwrap();
    block_on(w.kakunin.tend()).unwrap();
    sink.1.store(0, Ordering::SeqCst);
    w.restart();
    let read = sink.1.load(Ordering::SeqCst);
    assert!((1..100).contains(&read), "{read} of 5,000 records");
}
