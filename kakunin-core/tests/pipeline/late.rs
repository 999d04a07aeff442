//! A store with a queue, in which the append of a caller who went away is still to be written.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Error, Kakunin, Observed, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::state::State;
use crate::common::{config, deployment, parts};
use crate::gate::{Caller, certified, event};

/// Writes appends one after the other, and answers in their order; while it is held nothing gets through.
#[derive(Debug)]
struct Late {
    store: Arc<MemoryStore>,
    held: AtomicBool,
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
            let done = self.store.append(appends).await;
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
        AuditSink::read(&*self.store, log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.store.logs().await
    }
}

/// A tenant with an agent over such a store.
struct World {
    kakunin: Kakunin,
    acme: TenantId,
    agent: AgentId,
    serial: Serial,
    late: Arc<Late>,
    parts: Parts,
}

impl World {
    /// Whether a look goes by the queue.
    fn new(looks: bool) -> Self {
        let (mut parts, _) = parts(LocalKeys::ephemeral());
        let state = State::well();
        let (held, came, queue, done) = Default::default();
        let late = Arc::new(Late { store: state.store.clone(), held, came, queue, done });
        if looks {
            let late = late.clone();
            state.before_a_look(move || {
                let late = late.clone();
                Box::pin(async move { late.work().await })
            });
        }
        (parts.sink, parts.state) = (late.clone(), state);
        let (kakunin, acme) = deployment(config(), &parts);
        let (agent, serial) = certified(&kakunin, &acme, "one");
        block_on(kakunin.tenant(&acme).observe(event(serial, 0))).unwrap();
        Self { kakunin, acme, agent, serial, late, parts }
    }

    fn hold(&self, held: bool) {
        self.late.held.store(held, Ordering::SeqCst);
    }

    fn waiting(&self) -> usize {
        self.late.queue.lock().unwrap().len()
    }

    /// A caller with these events of a stream.
    fn observes(&self, numbers: Range<u64>) -> Caller<'static, Vec<Result<Observed, Error>>> {
        let (tenant, serial) = (self.kakunin.tenant(&self.acme), self.serial);
        Caller::of(async move { tenant.observe_all(numbers.map(|seq| event(serial, seq)).collect()).await })
    }

    /// Where these events are.
    fn indices(&self, numbers: Range<u64>) -> Vec<u64> {
        indices(self.observes(numbers).told().unwrap().unwrap())
    }
}

fn indices(told: Vec<Result<Observed, Error>>) -> Vec<u64> {
    told.into_iter().map(|one| one.unwrap().index.unwrap()).collect()
}

/// The caller of some events is gone while their append is in the queue; then an agent is halted.
#[test]
fn an_append_that_a_caller_left_behind_keeps_nobody_from_halting() {
    for looks in [true, false] {
        let w = World::new(looks);
        w.hold(true);
        let mut gone = w.observes(1..3);
        assert!(gone.told().is_none());
        drop(gone);
        assert_eq!(w.waiting(), 1, "it is still to be written");
        w.hold(false);
        block_on(w.kakunin.tenant(&w.acme).halt(&w.agent, Cause::KillSwitchActivated, None)).unwrap();
        assert_eq!(w.waiting(), 0);
        let entries = block_on(w.kakunin.read_log(&LogId::Tenant(w.acme.clone()), 0, 1_000)).unwrap();
        let indices = w.indices(0..3);
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
        let w = World::new(true);
        let tenant = w.kakunin.tenant(&w.acme);
        w.hold(true);
        let mut callers = [w.observes(1..3), w.observes(3..5)].map(Some);
        assert!(callers.iter_mut().flatten().all(|caller| caller.told().is_none()));
        assert_eq!(w.waiting(), 2, "both are at the store");
        for (caller, stays) in callers.iter_mut().zip(stays) {
            *caller = caller.take().filter(|_| stays);
        }
        let mut halt = Caller::of(tenant.halt(&w.agent, Cause::KillSwitchActivated, None));
        assert!(!halts || halt.told().is_none());
        w.hold(false);
        let told = callers.map(|caller| caller.map(|mut caller| indices(caller.told().unwrap().unwrap())));
        if halts {
            halt.told().unwrap().unwrap();
        }
        let all = w.indices(0..5);
        assert!(all.is_sorted_by(|one, next| one < next), "{stays:?}: {all:?}");
        for (told, expected) in told.into_iter().zip([&all[1..3], &all[3..]]) {
            assert!(told.is_none_or(|told| told == expected), "{stays:?}: {all:?}");
        }
        let known = block_on(tenant.risk(&w.agent)).unwrap();
        let again = block_on(Kakunin::open(config(), w.parts)).unwrap();
        assert_eq!(block_on(again.tenant(&w.acme).risk(&w.agent)).unwrap(), known, "{stays:?}");
    }
}
