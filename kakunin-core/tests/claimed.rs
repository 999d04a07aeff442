//! That a public key belongs to one agent, and to nobody while nothing of it is on record; and that what was given for it
//! is given again, also where there is no room.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::agent::NewAgent;
use kakunin_core::error::StoreError;
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::service::{Config, Error, Kakunin, KeySource, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};
use kakunin_core::x509::csr::RequestToSign;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

const WELL: u8 = 0;
/// Nothing is written, and that is known.
const FULL: u8 = 1;
/// Nothing is written, and nobody knows.
const GONE: u8 = 2;
/// It is written, and nobody knows.
const LOST: u8 = 3;
/// It is known beforehand that nothing can be written.
const SCARCE: u8 = 4;

/// A store that writes or not, as it is told to.
#[derive(Debug)]
struct Odd(Arc<MemoryStore>, AtomicU8);

#[async_trait]
impl AuditSink for Odd {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let gone = || StoreError::unavailable("the connection was lost");
        match self.1.load(Ordering::Relaxed) {
            FULL => Err(StoreError::Full),
            GONE => Err(gone()),
            LOST => self.0.append(appends).await.and(Err(gone())),
            _ => self.0.append(appends).await,
        }
    }
    async fn room(&self) -> Room {
        match self.1.load(Ordering::Relaxed) {
            SCARCE => Room { full: true, reserve: 0 },
            _ => self.0.room().await,
        }
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.0.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.read(log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
}

struct World {
    kakunin: Kakunin,
    store: Arc<Odd>,
    own: LocalKeys,
    made: Mutex<u8>,
}

fn world() -> World {
    let memory = Arc::new(MemoryStore::new());
    let store = Arc::new(Odd(memory.clone(), AtomicU8::new(WELL)));
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    (parts.sink, parts.state, parts.revocations) = (store.clone(), memory.clone(), memory);
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let kakunin = block_on(Kakunin::open(config, parts)).unwrap();
    for tenant in ["acme", "bolt"] {
        block_on(kakunin.create_tenant(&tenant.parse().unwrap())).unwrap();
    }
    World { kakunin, store, own: LocalKeys::ephemeral(), made: Mutex::default() }
}

impl World {
    /// A certification request for a new key.
    fn request(&self) -> Vec<u8> {
        let mut made = self.made.lock().unwrap();
        *made += 1;
        let key = block_on(self.own.generate(&PlannedKeyId::new([*made; 16]), KeyAlgorithm::P256)).unwrap();
        let key = block_on(self.own.open(&key)).unwrap();
        let request = RequestToSign::new(key.public_key());
        let signature = block_on(key.sign(request.to_be_signed())).unwrap();
        request.assemble(&signature)
    }

    fn agent(&self, tenant: &str, name: &str) -> (TenantId, AgentId) {
        let tenant = tenant.parse().unwrap();
        let spec = NewAgent::new(name, MODEL, ["read:a"]).unwrap();
        let agent = block_on(self.kakunin.register(&tenant, spec)).unwrap();
        (tenant, agent.id)
    }

    fn certify(&self, (tenant, agent): &(TenantId, AgentId), request: &[u8]) -> Result<Certificate, Error> {
        let source = KeySource::Request(request);
        block_on(self.kakunin.certify(tenant, agent, Profile::Standard, source))
    }

    fn does(&self, what: u8) {
        self.store.1.store(what, Ordering::Relaxed);
    }
}

#[test]
fn a_key_of_which_nothing_could_be_recorded_belongs_to_nobody() {
    let w = world();
    let (one, two, other) = (w.agent("acme", "one"), w.agent("acme", "two"), w.agent("bolt", "other"));
    for (failure, code) in [(FULL, "storage_full"), (GONE, "storage_unavailable")] {
        let request = w.request();
        w.does(failure);
        assert_eq!(w.certify(&one, &request).unwrap_err().code(), code);
        w.does(WELL);
        let next = if failure == FULL { &other } else { &two };
        w.certify(next, &request).unwrap();
        assert_eq!(w.certify(&one, &request).unwrap_err().code(), "key_in_use");
    }
}

#[test]
fn a_key_that_was_recorded_though_nobody_heard_of_it_is_its_agents() {
    let w = world();
    let (one, two, other) = (w.agent("acme", "one"), w.agent("acme", "two"), w.agent("bolt", "other"));
    let request = w.request();
    w.does(LOST);
    assert_eq!(w.certify(&one, &request).unwrap_err().code(), "storage_unavailable");
    w.does(WELL);
    for next in [&other, &two] {
        assert_eq!(w.certify(next, &request).unwrap_err().code(), "key_in_use");
    }
    // To whom it belongs it answers, with what was made.
    w.certify(&one, &request).unwrap();
    assert_eq!(w.certify(&other, &request).unwrap_err().code(), "key_in_use");
}

#[test]
fn the_same_request_gets_the_same_answer_where_there_is_no_room() {
    let w = world();
    let (one, two) = (w.agent("acme", "one"), w.agent("acme", "two"));
    let (request, other) = (w.request(), w.request());
    let given = w.certify(&one, &request).unwrap();
    w.does(SCARCE);
    assert_eq!(w.certify(&one, &request).unwrap().der, given.der);
    assert_eq!(w.certify(&one, &other).unwrap_err().code(), "storage_full");
    assert_eq!(w.certify(&two, &request).unwrap_err().code(), "storage_full");
    w.does(WELL);
    assert_eq!(w.certify(&two, &request).unwrap_err().code(), "key_in_use");
}
