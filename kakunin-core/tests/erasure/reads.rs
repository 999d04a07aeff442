//! What is read of logs, and how much of it needs keys.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::service::Parts;
use kakunin_core::store::MemoryStore;
use kakunin_core::store::guard::Guard;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::sink::Sink;
use crate::world::{event, over};

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
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let sink = Sink::beneath(&mut parts);
    parts.guard = Some(Arc::new(Pocket::default()));
    let mut w = over(parts);
    let (_, serial) = w.agent("one");
    for batch in 0..5 {
        let events = (batch * 1_000..(batch + 1) * 1_000).map(|number| event(serial, number)).collect();
        block_on(w.kakunin.tenant(&w.acme).observe_all(events)).unwrap();
    }
    block_on(w.kakunin.snapshot()).unwrap();
    block_on(w.kakunin.tend()).unwrap();
    let before = sink.records();
    w.restart();
    let read = sink.records() - before;
    assert!((1..100).contains(&read), "{read} of 5,000 records");
}
