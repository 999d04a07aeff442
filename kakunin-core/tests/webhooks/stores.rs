//! Stores that fail while deliveries are under way.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::LogId;
use kakunin_core::revoke::Cause;
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::{Change, Kind, StateStore, StateView, Touched};
use kakunin_core::time::{HOUR, SECOND};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::parts;
use crate::world::{Does as Receives, URL, World, world, world_over};

/// What becomes of what is written of deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Well,
    Full,
    Gone,
    /// It is written, and nobody is told.
    Lost,
}

#[derive(Debug)]
struct Odd(MemoryStore, Mutex<Does>);

#[async_trait]
impl StateStore for Odd {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        StateStore::apply(&self.0, log, index, changes).await
    }
    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        StateStore::applied(&self.0, log).await
    }
    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        self.0.swap(log, expected, change).await
    }
    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        let is_ours = changes.iter().any(|change| change.kind == Kind::Delivery);
        let does = if is_ours { *self.1.lock().unwrap() } else { Does::Well };
        match does {
            Does::Well => self.0.put(log, changes).await,
            Does::Full => Err(StoreError::Full),
            Does::Gone => Err(StoreError::unavailable("gone")),
            Does::Lost => self.0.put(log, changes).await.and(Err(StoreError::unavailable("gone"))),
        }
    }
    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(log, kind, key).await
    }
    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.0.scan(log, kind, after, limit).await
    }
    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        self.0.view(log).await
    }
    async fn touched(&self) -> Result<Touched, StoreError> {
        self.0.touched().await
    }
}

fn odd() -> (World, Arc<Odd>) {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    let state = Arc::new(Odd(MemoryStore::new(), Mutex::new(Does::Well)));
    parts.state = state.clone();
    (world_over(parts, clock), state)
}

fn ids(w: &World) -> Vec<String> {
    w.receivers.taken(URL).iter().map(|got| got.id()).collect()
}

#[test]
fn a_full_store_costs_no_delivery_and_doubles_none() {
    let (w, state) = odd();
    let (facts, _) = w.endpoint(URL);
    let (bad, _) = w.agent("bad");
    w.receivers.about(&bad, Receives::Says(500));
    w.deliver();
    *state.1.lock().unwrap() = Does::Full;
    for n in 0..40 {
        w.at(n * SECOND);
        w.agent(&format!("desk-{n}"));
        assert!(block_on(w.kakunin.deliver_due()).is_ok());
    }
    assert_eq!(ids(&w).len(), 40, "each once, though nothing of it can be stored");
    w.receivers.about(&bad, Receives::Says(200));
    *state.1.lock().unwrap() = Does::Well;
    w.at(HOUR);
    w.deliver();
    assert_eq!(w.deliveries(&facts.id).len(), 41);
    let w = w.restarted();
    w.deliver();
    assert_eq!((ids(&w).len(), ids(&w).iter().collect::<BTreeSet<_>>().len()), (41, 41));
}

#[test]
fn what_a_store_forgot_is_sent_again_under_the_same_identifier_and_nothing_is_lost() {
    for does in [Does::Gone, Does::Lost] {
        let (w, state) = odd();
        w.endpoint(URL);
        *state.1.lock().unwrap() = does;
        let (agent, serial) = w.agent("desk-7");
        block_on(w.acme.revoke(&serial, Cause::KeyCompromise)).unwrap();
        assert_eq!(block_on(w.kakunin.deliver_due()).unwrap_err().code(), "storage_unavailable");
        let before = ids(&w);
        assert!(!before.is_empty(), "{does:?}");
        *state.1.lock().unwrap() = Does::Well;
        let w = w.restarted();
        w.deliver();
        let (after, all): (Vec<_>, BTreeSet<_>) = (ids(&w), ids(&w).into_iter().collect());
        assert_eq!(all.len(), 2, "{does:?}: two things happened: {after:?}");
        assert!(before.iter().all(|id| all.contains(id)), "{does:?}");
        let mut kinds: Vec<_> = w.receivers.taken(URL).iter().map(|got| got.kind()).collect();
        assert!(w.receivers.taken(URL).iter().all(|got| got.agent() == agent.to_string()));
        kinds.dedup();
        assert_eq!(kinds.last().unwrap(), "certificate.revoked");
        w.deliver();
        assert_eq!(ids(&w).len(), after.len(), "{does:?}: and then no more");
    }
}

#[test]
fn a_row_that_somebody_else_wrote_is_not_believed() {
    let w = world();
    let (facts, _) = w.endpoint(URL);
    w.receivers.set(URL, Receives::Fails);
    w.agent("desk-7");
    w.deliver();
    let log = LogId::Tenant(w.acme.id().clone());
    let rows = block_on(w.parts.state.scan(&log, Kind::Delivery, None, 10)).unwrap();
    let (key, mut value) = rows.into_iter().find(|(key, _)| key[16] == b'q').unwrap();
    let last = value.len() - 1;
    value[last] ^= 1;
    block_on(w.parts.state.put(&log, &[Change { kind: Kind::Delivery, key, value: Some(value) }])).unwrap();
    let w = w.restarted();
    w.receivers.set(URL, Receives::Says(200));
    w.at(HOUR);
    w.deliver();
    assert!(w.kakunin.damage().count > 0);
    // It is told by hand, for who knows of it.
    let (message, _) = w.deliveries(&facts.id).remove(0);
    block_on(w.acme.redeliver(&facts.id, &message)).unwrap();
    w.deliver();
    assert_eq!(ids(&w), [message]);
}
