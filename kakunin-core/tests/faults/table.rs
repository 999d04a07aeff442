//! Each step of an append fails, in this process: before it is done, or after, so that nobody knows. Whoever looks after it
//! meets a second fault.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::id::{IssuerId, Serial};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::revoke::{Cause, Revocation, RevocationChange};
use kakunin_core::service::Parts;
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::revocations::RevocationStore;
use kakunin_core::store::state::{Change, Kind, StateStore, StateView, Touched};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::check::Witness;
use crate::world::{World, event};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It is not done.
    Failed,
    /// It is done, and nobody is told.
    Done,
}

/// Which calls fail: the n-th that writes, and then, if any, the n-th after that of any kind.
#[derive(Clone, Debug)]
struct Plan {
    first: (usize, Fault),
    second: Option<(usize, Fault)>,
    /// What failed.
    came: Vec<String>,
}

#[derive(Debug, Default)]
struct Hand {
    plan: Mutex<Option<Plan>>,
    calls: AtomicUsize,
}

impl Hand {
    fn fault(&self, call: &str, writes: bool) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap();
        let plan = plan.as_mut()?;
        let (at, fault) =
            if plan.came.is_empty() { Some(plan.first).filter(|_| writes)? } else { plan.second? };
        if plan.came.len() > 1 || self.calls.fetch_add(1, Ordering::SeqCst) != at {
            return None;
        }
        self.calls.store(0, Ordering::SeqCst);
        plan.came.push(format!("{call} {fault:?}"));
        Some(fault)
    }

    async fn around<T>(
        &self,
        call: &str,
        writes: bool,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::unavailable("the connection was lost");
        match self.fault(call, writes) {
            None => done.await,
            Some(Fault::Failed) => Err(gone()),
            Some(Fault::Done) => done.await.and_then(|_| Err(gone())),
        }
    }
}

#[derive(Debug)]
struct Held(Arc<MemoryStore>, Arc<Hand>);

#[async_trait]
impl AuditSink for Held {
    async fn room(&self) -> Room {
        self.0.room().await
    }
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.1.around("append", true, self.0.append(appends)).await
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.1.around("head", false, self.0.head(log)).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.1.around("read", false, self.0.read(log, from, limit)).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
}

#[async_trait]
impl StateStore for Held {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        self.1.around("state", true, StateStore::apply(&*self.0, log, index, changes)).await
    }
    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        self.1.around("state level", false, StateStore::applied(&*self.0, log)).await
    }
    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        self.1.around("swap", true, self.0.swap(log, expected, change)).await
    }
    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        self.1.around("put", true, self.0.put(log, changes)).await
    }
    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.1.around("get", false, self.0.get(log, kind, key)).await
    }
    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.1.around("scan", false, self.0.scan(log, kind, after, limit)).await
    }
    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        self.1.around("view", false, self.0.view(log)).await
    }
    async fn touched(&self) -> Result<Touched, StoreError> {
        self.0.touched().await
    }
}

#[async_trait]
impl RevocationStore for Held {
    async fn apply(&self, issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<(), StoreError> {
        self.1.around("revocations", true, RevocationStore::apply(&*self.0, issuer, changes)).await
    }
    async fn applied(&self, issuer: &IssuerId) -> Result<u64, StoreError> {
        self.1.around("revocations level", false, RevocationStore::applied(&*self.0, issuer)).await
    }
    async fn find(&self, issuer: &IssuerId, serial: &Serial) -> Result<Option<Revocation>, StoreError> {
        self.0.find(issuer, serial).await
    }
    async fn after(
        &self,
        issuer: &IssuerId,
        cursor: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Revocation)>, StoreError> {
        self.1.around("revocations read", false, self.0.after(issuer, cursor, limit)).await
    }
    async fn replace(
        &self,
        issuer: &IssuerId,
        applied: u64,
        standing: &[(u64, Revocation)],
    ) -> Result<(), StoreError> {
        self.1.around("revocations replaced", true, self.0.replace(issuer, applied, standing)).await
    }
}

/// An event, a revocation, and an event after it, each tried again until it is acknowledged.
fn acts(w: &World, (first, spare): (Serial, Serial), witness: &mut Witness) {
    let tenant = w.kakunin.tenant(&w.acme);
    for seq in 0..2 {
        let observed = (0..5).find_map(|_| block_on(tenant.observe(event(first, 1, seq))).ok());
        let seen = observed.expect("two faults cost no more than two answers");
        witness.hears(&format!("event 1 {seq} {}", seen.index.unwrap()));
        if seq == 0 {
            let revoked = (0..5).find_map(|_| block_on(tenant.revoke(&spare, Cause::KeyCompromise)).ok());
            assert_eq!(revoked.expect("as above").serial, spare);
            witness.hears(&format!("revoked {spare}"));
        }
    }
}

/// Says what failed; nothing if the plan's first call never came.
fn happens(first: (usize, Fault), second: Option<(usize, Fault)>) -> Vec<String> {
    let _context = crate::Context(format!("{first:?}, then {second:?}"));
    let (store, hand) = (Arc::new(MemoryStore::new()), Arc::<Hand>::default());
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let held = Arc::new(Held(store, hand.clone()));
    (parts.sink, parts.state, parts.revocations) = (held.clone(), held.clone(), held);
    let w = World::over(parts).unwrap();
    let serials = (w.populate(), w.agent("spare").unwrap());
    let mut witness = Witness::default();
    *hand.plan.lock().unwrap() = Some(Plan { first, second, came: Vec::new() });
    acts(&w, serials, &mut witness);
    let plan = hand.plan.lock().unwrap().take().unwrap();
    // In the process that met it, and in the next one.
    witness.check(&w);
    let next = World::over(w.parts.clone()).unwrap();
    witness.check(&next);
    witness.afresh().check(&next);
    plan.came
}

#[test]
fn whichever_step_fails_and_whatever_fails_after_it_nothing_acknowledged_is_lost() {
    let faults = [Fault::Failed, Fault::Done];
    let mut met = std::collections::BTreeMap::<String, usize>::new();
    for at in 0.. {
        let mut came = false;
        for first in faults {
            let after = [0, 1, 2, 4].into_iter().flat_map(|at| faults.map(|fault| Some((at, fault))));
            for second in after.chain([None]) {
                let failed = happens((at, first), second);
                came |= !failed.is_empty();
                failed.into_iter().for_each(|failed| *met.entry(failed).or_default() += 1);
            }
        }
        if !came {
            break;
        }
    }
    println!("{met:?}");
    for call in
        ["append Failed", "append Done", "state Failed", "state Done", "revocations Failed", "head Failed"]
    {
        assert!(met.contains_key(call), "{call}: {met:?}");
    }
}
