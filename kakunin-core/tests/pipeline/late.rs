//! A store with a queue, in which the append of a caller who went away is still to be written.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::event::Event;
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::revoke::Cause;
use kakunin_core::service::Kakunin;
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::state::{Change, Kind, StateStore, StateView, Touched};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{config, deployment, parts};
use crate::gate::{Caller, certified, event};

/// Writes appends one after the other, and answers in their order; while it is held nothing gets through.
#[derive(Debug, Default)]
struct Late {
    store: MemoryStore,
    held: AtomicBool,
    /// Whether a look goes by the queue.
    looks: AtomicBool,
    came: AtomicUsize,
    queue: Mutex<VecDeque<(usize, Vec<Append>)>>,
    done: Mutex<BTreeMap<usize, Result<(), StoreError>>>,
}

impl Late {
    /// Writes what waits.
    async fn work(&self) {
        poll_fn(|_| if self.held.load(Ordering::SeqCst) { Poll::Pending } else { Poll::Ready(()) }).await;
        loop {
            let next = self.queue.lock().unwrap().pop_front();
            let Some((number, appends)) = next else { return };
            let done = AuditSink::append(&self.store, appends).await;
            self.done.lock().unwrap().insert(number, done);
        }
    }
}

#[async_trait]
impl AuditSink for Late {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let number = self.came.fetch_add(1, Ordering::SeqCst);
        self.queue.lock().unwrap().push_back((number, appends));
        self.work().await;
        self.done.lock().unwrap().remove(&number).unwrap()
    }
    async fn room(&self) -> Room {
        self.store.room().await
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.store.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        AuditSink::read(&self.store, log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.store.logs().await
    }
}

#[async_trait]
impl StateStore for Late {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        StateStore::apply(&self.store, log, index, changes).await
    }
    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        StateStore::applied(&self.store, log).await
    }
    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        self.store.put(log, changes).await
    }
    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(log, kind, key).await
    }
    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.store.scan(log, kind, after, limit).await
    }
    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        self.store.view(log).await
    }
    async fn touched(&self) -> Result<Touched, StoreError> {
        if self.looks.load(Ordering::SeqCst) {
            self.work().await;
        }
        self.store.touched().await
    }
}

/// The caller of some events is gone while their append is in the queue; then an agent is halted.
#[test]
fn an_append_that_a_caller_left_behind_keeps_nobody_from_halting() {
    for looks in [true, false] {
        let (mut parts, _) = parts(LocalKeys::ephemeral());
        let late = Arc::new(Late { looks: looks.into(), ..Late::default() });
        (parts.sink, parts.state) = (late.clone(), late.clone());
        let (kakunin, acme) = deployment(config(), &parts);
        let (agent, serial) = certified(&kakunin, &acme, "one");
        let tenant = kakunin.tenant(&acme);
        block_on(tenant.observe(event(serial, 0))).unwrap();
        let observes = |events: Vec<Event>| {
            let tenant = kakunin.tenant(&acme);
            Caller::of(async move { tenant.observe_all(events).await })
        };
        late.held.store(true, Ordering::SeqCst);
        let mut gone = observes(vec![event(serial, 1), event(serial, 2)]);
        assert!(gone.told().is_none());
        drop(gone);
        assert_eq!(late.queue.lock().unwrap().len(), 1, "it is still to be written");
        late.held.store(false, Ordering::SeqCst);
        block_on(tenant.halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
        assert!(late.queue.lock().unwrap().is_empty());
        let entries = block_on(kakunin.read_log(&LogId::Tenant(acme.clone()), 0, 1_000)).unwrap();
        let again = observes((0..3).map(|seq| event(serial, seq)).collect()).told().unwrap().unwrap();
        let indices: Vec<_> = again.into_iter().map(|one| one.unwrap().index.unwrap()).collect();
        assert!(indices.is_sorted() && indices[2] < u64::try_from(entries.len()).unwrap(), "{indices:?}");
    }
}

/// Events are at the store behind others when the callers of these, of those, or of both go away: each is there once, and
/// whoever stayed is told the index that it has.
#[test]
fn of_two_appends_in_the_queue_either_may_be_left_behind() {
    for (stays, halts) in
        [([false, true], false), ([true, false], false), ([false, false], false), ([false, true], true)]
    {
        let (mut parts, _) = parts(LocalKeys::ephemeral());
        let late = Arc::new(Late { looks: true.into(), ..Late::default() });
        (parts.sink, parts.state) = (late.clone(), late.clone());
        let (kakunin, acme) = deployment(config(), &parts);
        let (agent, serial) = certified(&kakunin, &acme, "one");
        let tenant = kakunin.tenant(&acme);
        block_on(tenant.observe(event(serial, 0))).unwrap();
        let observes = |events: Vec<Event>| {
            let tenant = kakunin.tenant(&acme);
            Caller::of(async move { tenant.observe_all(events).await })
        };
        late.held.store(true, Ordering::SeqCst);
        let [first, second] = [[1, 2], [3, 4]].map(|all| observes(all.map(|seq| event(serial, seq)).into()));
        let mut callers = [first, second].map(Some);
        assert!(callers.iter_mut().flatten().all(|caller| caller.told().is_none()));
        assert_eq!(late.queue.lock().unwrap().len(), 2, "both are at the store");
        for (caller, stays) in callers.iter_mut().zip(stays) {
            *caller = caller.take().filter(|_| stays);
        }
        let mut halt = Caller::of(tenant.halt(&agent, Cause::KillSwitchActivated, None));
        assert!(!halts || halt.told().is_none());
        late.held.store(false, Ordering::SeqCst);
        let told = callers.map(|caller| caller.map(|mut caller| caller.told().unwrap().unwrap()));
        if halts {
            halt.told().unwrap().unwrap();
        }
        let again = observes((0..5).map(|seq| event(serial, seq)).collect()).told().unwrap().unwrap();
        let indices: Vec<_> = again.into_iter().map(|one| one.unwrap().index.unwrap()).collect();
        assert!(indices.is_sorted_by(|one, next| one < next), "{stays:?}: {indices:?}");
        for (told, expected) in told.into_iter().zip([&indices[1..3], &indices[3..]]) {
            let told =
                told.map(|all| all.into_iter().map(|one| one.unwrap().index.unwrap()).collect::<Vec<_>>());
            assert!(told.is_none_or(|told| told == expected), "{stays:?}: {indices:?}");
        }
        let known = block_on(tenant.risk(&agent)).unwrap();
        let again = block_on(Kakunin::open(config(), parts)).unwrap();
        assert_eq!(block_on(again.tenant(&acme).risk(&agent)).unwrap(), known, "{stays:?}");
    }
}
