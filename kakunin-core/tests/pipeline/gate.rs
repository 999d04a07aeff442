//! A store that writes when it is told to, and how a test says; and callers that go on when they are told to.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::event::{Event, Outcome, StreamSeq};
use kakunin_core::id::{AgentId, Entropy, EntropyError, Serial, SystemEntropy, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::record::{Body, Record};
use kakunin_core::service::{Kakunin, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::store::vault::{Kept, StateVault, Vault};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, P256, config, deployment, parts};

/// How an append ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    Well,
    /// Nothing is written, and that is known.
    Full,
    /// Nothing is written, and nobody knows.
    Gone,
    /// It is written, and nobody knows.
    Lost,
    /// It came before its turn.
    Conflict,
}

/// A store whose appends wait at a gate, once it is shut.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    store: MemoryStore,
    shut: Mutex<Option<Vec<Option<Ends>>>>,
}

impl Gate {
    pub(crate) fn shut(&self) {
        *self.shut.lock().unwrap() = Some(Vec::new());
    }

    /// Whatever waits is written, and whatever comes.
    pub(crate) fn open(&self) {
        *self.shut.lock().unwrap() = None;
    }

    /// Appends that came to the gate.
    pub(crate) fn begun(&self) -> usize {
        self.shut.lock().unwrap().as_ref().map_or(0, Vec::len)
    }

    /// Lets the append through that came so many after the first.
    pub(crate) fn let_through(&self, number: usize, ends: Ends) {
        self.shut.lock().unwrap().as_mut().unwrap()[number] = Some(ends);
    }

    fn place(&self) -> usize {
        let mut shut = self.shut.lock().unwrap();
        shut.as_mut().map_or(0, |waiting| {
            waiting.push(None);
            waiting.len() - 1
        })
    }

    fn ends(&self, place: usize) -> Option<Ends> {
        self.shut
            .lock()
            .unwrap()
            .as_ref()
            .map_or(Some(Ends::Well), |waiting| waiting.get(place).copied().flatten())
    }
}

#[async_trait]
impl AuditSink for Gate {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let place = self.place();
        let ends = poll_fn(|_| self.ends(place).map_or(Poll::Pending, Poll::Ready)).await;
        let gone = || StoreError::unavailable("the connection was lost");
        match ends {
            Ends::Well => self.store.append(appends).await,
            Ends::Full => Err(StoreError::Full),
            Ends::Gone => Err(gone()),
            Ends::Conflict => Err(StoreError::Conflict),
            Ends::Lost => self.store.append(appends).await.and(Err(gone())),
        }
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

/// Secrets among the rows of a store, which may be out of reach.
#[derive(Debug)]
pub(crate) struct Safe(StateVault, AtomicBool);

impl Safe {
    pub(crate) fn shut(&self, shut: bool) {
        self.1.store(shut, Ordering::SeqCst);
    }

    fn open(&self) -> Result<&StateVault, StoreError> {
        match self.1.load(Ordering::SeqCst) {
            true => Err(StoreError::unavailable("the safe is shut")),
            false => Ok(&self.0),
        }
    }
}

#[async_trait]
impl Vault for Safe {
    async fn put(&self, name: &[u8], secret: &[u8]) -> Result<(), StoreError> {
        self.open()?.put(name, secret).await
    }
    async fn put_new(&self, name: &[u8], secret: &[u8]) -> Result<bool, StoreError> {
        self.open()?.put_new(name, secret).await
    }
    async fn put_all(&self, secrets: &[Kept]) -> Result<(), StoreError> {
        self.open()?.put_all(secrets).await
    }
    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.open()?.get(name).await
    }
    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.open()?.get_all(names).await
    }
    async fn remove(&self, names: &[Vec<u8>]) -> Result<(), StoreError> {
        self.open()?.remove(names).await
    }
    async fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<Kept>, StoreError> {
        self.open()?.list(prefix, limit).await
    }
}

/// Randomness that counts how often it is drawn: once for all records of an append.
#[derive(Debug, Default)]
pub(crate) struct Drawn(AtomicUsize);

impl Entropy for Drawn {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        SystemEntropy.fill(out)
    }
}

impl Drawn {
    pub(crate) fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A tenant with an agent over such a store.
pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) acme: TenantId,
    pub(crate) agent: AgentId,
    pub(crate) serial: Serial,
    pub(crate) gate: Arc<Gate>,
    pub(crate) drawn: Arc<Drawn>,
    pub(crate) safe: Arc<Safe>,
    pub(crate) parts: Parts,
}

impl World {
    pub(crate) fn new() -> Self {
        let (mut parts, _) = parts(LocalKeys::ephemeral());
        let (gate, drawn) = (Arc::<Gate>::default(), Arc::<Drawn>::default());
        let store = Arc::new(MemoryStore::new());
        (parts.sink, parts.entropy) = (gate.clone(), drawn.clone());
        let safe = Arc::new(Safe(StateVault(store.clone()), AtomicBool::new(false)));
        let vault: Arc<dyn Vault> = safe.clone();
        (parts.state, parts.revocations, parts.vault) = (store.clone(), store, Some(vault));
        let (kakunin, acme) = deployment(config(), &parts);
        let (agent, serial) = certified(&kakunin, &acme, "one");
        // What is new of an agent changes more than its history.
        block_on(kakunin.tenant(&acme).observe(event(serial, 0))).unwrap();
        Self { kakunin, acme, agent, serial, gate, drawn, safe, parts }
    }

    /// A caller with this event of a stream.
    pub(crate) fn observes(&self, seq: u64) -> Caller<'_, kakunin_core::service::Observed> {
        let (kakunin, acme, event) = (self.kakunin.clone(), self.acme.clone(), event(self.serial, seq));
        Caller::of(async move { kakunin.tenant(&acme).observe(event).await })
    }

    /// Number of the stream and index of each event in the log.
    pub(crate) fn recorded(&self) -> Vec<(u64, u64)> {
        let log = LogId::Tenant(self.acme.clone());
        let entries = block_on(self.kakunin.read_log(&log, 0, usize::MAX)).unwrap();
        let seq = |(index, entry): (u64, &Entry)| match Record::open(entry).unwrap().body {
            Body::Event(act, _) => Some((act.stream.unwrap().1, index)),
            Body::Control(_) => None,
        };
        (0..).zip(&entries).filter_map(seq).collect()
    }

    /// What is known of the agent is what a restart makes of the log, which is opened by its checkpoint.
    pub(crate) fn assert_level(&self) {
        let known = block_on(self.kakunin.tenant(&self.acme).risk(&self.agent)).unwrap();
        let again = block_on(Kakunin::open(config(), self.parts.clone())).unwrap();
        assert_eq!(block_on(again.tenant(&self.acme).risk(&self.agent)).unwrap(), known);
        let folded: u64 = known.days.iter().map(|day| u64::from(day.events)).sum();
        assert_eq!(folded, u64::try_from(self.recorded().len()).unwrap());
    }
}

pub(crate) fn certified(kakunin: &Kakunin, tenant: &TenantId, name: &str) -> (AgentId, Serial) {
    let spec = kakunin_core::agent::NewAgent::new(name, MODEL, ["read:a"]).unwrap();
    let agent = block_on(kakunin.tenant(tenant).register(spec)).unwrap();
    let certificate = block_on(kakunin.tenant(tenant).certify(&agent.id, Profile::Standard, P256)).unwrap();
    (agent.id, certificate.facts.serial)
}

pub(crate) fn event(serial: Serial, seq: u64) -> Event {
    let mut event = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    event.stream = Some(StreamSeq { stream: 1, seq });
    event
}

type Called<'c, T> = Pin<Box<dyn Future<Output = Result<T, kakunin_core::service::Error>> + 'c>>;

/// A call that goes on when it is polled.
pub(crate) struct Caller<'c, T>(Called<'c, T>);

impl<'c, T> Caller<'c, T> {
    pub(crate) fn of(call: impl Future<Output = Result<T, kakunin_core::service::Error>> + 'c) -> Self {
        Self(Box::pin(call))
    }

    /// What it is told, if it is told anything by now.
    pub(crate) fn told(&mut self) -> Option<Result<T, kakunin_core::service::Error>> {
        match self.0.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(told) => Some(told),
            Poll::Pending => None,
        }
    }
}
