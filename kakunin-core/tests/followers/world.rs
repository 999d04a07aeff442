//! A deployment whose key provider is far and can fail or hang, and a thread that runs its followers.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kakunin_core::agent::NewAgent;
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::service::{FollowerState, FollowerStatus, Kakunin, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, NOW, P256, config, deployment};

/// Software keys that are far: their administration fails or hangs as a test wants it, and is counted.
#[derive(Debug)]
pub(crate) struct Far {
    keys: LocalKeys,
    pub(crate) fails: AtomicBool,
    /// Calls never end, not even once this is over.
    pub(crate) hangs: AtomicBool,
    pub(crate) calls: AtomicUsize,
    /// The CA's key signs nothing.
    pub(crate) mute: Arc<AtomicBool>,
    /// How often it was asked to while it does not.
    pub(crate) refused: Arc<AtomicUsize>,
    pub(crate) retired: Mutex<BTreeMap<KeyRef, usize>>,
}

impl Far {
    async fn told(&self, key: &KeyRef) -> Result<(), SignError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        match self.fails.load(Ordering::SeqCst) {
            true => Err(SignError::unavailable("disable", key, "connection refused")),
            false => Ok(()),
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A key that may be mute, unless it is the log's or the feed's.
#[derive(Debug)]
struct Key {
    key: Arc<dyn Signer>,
    mute: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

#[async_trait]
impl Signer for Key {
    fn algorithm(&self) -> KeyAlgorithm {
        self.key.algorithm()
    }

    fn public_key(&self) -> &Spki {
        self.key.public_key()
    }

    fn is_in_process(&self) -> bool {
        false
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        if self.mute.load(Ordering::SeqCst) && self.algorithm() != KeyAlgorithm::Ed25519 {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(SignError::unavailable("sign", "the CA's", "throttled"));
        }
        self.key.sign(message).await
    }
}

#[async_trait]
impl KeyProvider for Far {
    fn is_near(&self) -> bool {
        false
    }

    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        self.keys.generate(planned, algorithm).await
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        let (key, mute, refused) = (self.keys.open(key).await?, self.mute.clone(), self.refused.clone());
        Ok(Arc::new(Key { key, mute, refused }))
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.told(key).await?;
        self.keys.disable(key).await
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.told(key).await?;
        self.keys.enable(key).await
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        self.told(key).await?;
        *self.retired.lock().unwrap().entry(key.clone()).or_default() += 1;
        self.keys.retire(key).await
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        self.keys.list().await
    }
}

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) keys: Arc<Far>,
    pub(crate) acme: TenantId,
    agents: AtomicUsize,
}

pub(crate) fn world() -> World {
    let clock = Arc::new(ManualClock::at(NOW));
    let keys = Arc::new(Far {
        keys: LocalKeys::ephemeral(),
        fails: AtomicBool::default(),
        hangs: AtomicBool::default(),
        calls: AtomicUsize::default(),
        mute: Arc::default(),
        refused: Arc::default(),
        retired: Mutex::default(),
    });
    let mut parts = Parts::new(MemoryStore::new(), keys.clone());
    parts.clock = clock.clone();
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, keys, acme, agents: AtomicUsize::default() }
}

impl World {
    /// An agent, its certificate and its key.
    pub(crate) fn agent(&self, tenant: &TenantId) -> (AgentId, Serial, KeyRef) {
        let name = format!("agent-{}", self.agents.fetch_add(1, Ordering::SeqCst));
        let spec = NewAgent::new(&name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.tenant(tenant).register(spec)).unwrap().id;
        let issued = block_on(self.kakunin.tenant(tenant).certify(&agent, Profile::Standard, P256)).unwrap();
        let all = block_on(self.kakunin.tenant(tenant).certificates(&agent)).unwrap();
        (agent, issued.facts.serial, all.last().unwrap().key.clone().unwrap())
    }

    pub(crate) fn signs(&self, key: &KeyRef) -> bool {
        block_on(self.keys.open(key)).is_ok_and(|signer| block_on(signer.sign(b"m")).is_ok())
    }

    pub(crate) fn status(&self, name: &str) -> FollowerStatus {
        self.kakunin.followers().into_iter().find(|follower| follower.name == name).unwrap()
    }

    pub(crate) fn is_level(&self, name: &str) -> bool {
        self.status(name).state == FollowerState::Level
    }

    /// How many CRLs are on record.
    pub(crate) fn published(&self) -> usize {
        let system = block_on(self.kakunin.read_log(&LogId::System, 0, 10_000)).unwrap();
        let is_crl = |body: Body| match body {
            Body::Control(control) => matches!(*control, Control::CrlPublished { .. }),
            Body::Event(..) => false,
        };
        system.iter().filter(|entry| is_crl(Record::open(entry).unwrap().body)).count()
    }

    /// After a restart, with nothing loaded.
    pub(crate) fn restarted(self) -> Self {
        let kakunin = block_on(Kakunin::open(config(), self.parts.clone())).unwrap();
        Self { kakunin, ..self }
    }

    pub(crate) fn at(&self, millis: u64) -> UnixTime {
        let now = NOW.plus(millis);
        self.clock.set(now);
        now
    }
}

/// Waits until it is so, for at most ten seconds.
pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// It stays so for a while.
pub(crate) fn stays(what: &str, mut is: impl FnMut() -> bool) {
    for _ in 0..50 {
        assert!(is(), "not any more: {what}");
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// Ends once it is told to, or after a time.
#[derive(Default)]
struct Bell(Mutex<(bool, Option<Waker>)>);

impl Bell {
    fn ring(&self) {
        let mut bell = self.0.lock().unwrap();
        bell.0 = true;
        bell.1.take().into_iter().for_each(Waker::wake);
    }

    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut bell = self.0.lock().unwrap();
        bell.1 = Some(context.waker().clone());
        if bell.0 { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// How the followers' timer goes.
#[derive(Clone, Copy)]
pub(crate) enum Timer {
    /// Each wait is over after two milliseconds, so that the clock alone says whose turn it is.
    Quick,
    /// Waits of less than a second end in time, and others never: what happens then was woken.
    Never,
}

pub(crate) type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Timer {
    fn sleep(self, wait: Duration, slept: &Arc<AtomicUsize>) -> Sleep {
        slept.fetch_add(1, Ordering::SeqCst);
        let (bell, wait) = (
            Arc::new(Bell::default()),
            match self {
                Self::Quick => Some(Duration::from_millis(2)),
                Self::Never => (wait < Duration::from_secs(1)).then_some(wait),
            },
        );
        if let Some(wait) = wait {
            let bell = bell.clone();
            std::thread::spawn(move || {
                std::thread::sleep(wait);
                bell.ring();
            });
        }
        Box::pin(async move { poll_fn(|context| bell.poll(context)).await })
    }
}

/// A thread that runs the followers until it is dropped, and what it was doing with it.
pub(crate) struct Running {
    stop: Arc<Bell>,
    pub(crate) slept: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn run(kakunin: &Kakunin, timer: Timer) -> Running {
    let (stop, slept) = (Arc::new(Bell::default()), Arc::new(AtomicUsize::default()));
    let (kakunin, stopped, naps) = (kakunin.clone(), stop.clone(), slept.clone());
    let thread = std::thread::spawn(move || {
        let mut run = pin!(kakunin.run(move |wait| timer.sleep(wait, &naps)));
        block_on(poll_fn(|context| match (stopped.poll(context), run.as_mut().poll(context)) {
            (Poll::Ready(()), _) => Poll::Ready(()),
            (Poll::Pending, Poll::Ready(never)) => match never {},
            (Poll::Pending, Poll::Pending) => Poll::Pending,
        }));
    });
    Running { stop, slept, thread: Some(thread) }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.ring();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the followers panicked");
    }
}
