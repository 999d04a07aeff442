//! A key provider that signs something else than it was asked to, with the right key: nothing of it is handed out or
//! leaned on, and all goes on once it signs again what it is given.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::note::VerifierKey;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, Error, Kakunin, KeySource, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{MINUTE, ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

/// What is signed, by how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A certificate or a CRL.
    Der,
    Receipt,
    Checkpoint,
    Cosignature,
}

fn kind(message: &[u8]) -> Kind {
    let text = String::from_utf8_lossy(message);
    if matches!(message, [0x30, length, ..] if *length >= 0x80) {
        Kind::Der
    } else if text.starts_with("cosignature/v1\n") {
        Kind::Cosignature
    } else if text.get(..36).is_some_and(|id| id.parse::<AgentId>().is_ok()) {
        Kind::Receipt
    } else {
        Kind::Checkpoint
    }
}

/// What it is wrong about now.
type Misled = Arc<Mutex<Option<Kind>>>;

struct Keys(LocalKeys, Misled);

struct Key(Arc<dyn Signer>, Misled);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[async_trait]
impl Signer for Key {
    fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm()
    }

    fn public_key(&self) -> &Spki {
        self.0.public_key()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let misled = *self.1.lock().unwrap() == Some(kind(message));
        self.0.sign(if misled { b"something else" } else { message }).await
    }
}

#[async_trait]
impl KeyProvider for Keys {
    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        self.0.generate(planned, algorithm).await
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        Ok(Arc::new(Key(self.0.open(key).await?, self.1.clone())))
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.disable(key).await
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.enable(key).await
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.retire(key).await
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        self.0.list().await
    }
}

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    misled: Misled,
    acme: TenantId,
}

fn config() -> Config {
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    config
}

fn world() -> World {
    let (clock, misled) = (Arc::new(ManualClock::at(NOW)), Misled::default());
    let keys = Arc::new(Keys(LocalKeys::ephemeral(), misled.clone()));
    let mut parts = Parts::new(MemoryStore::new(), keys);
    parts.clock = clock.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    World { kakunin, parts, clock, misled, acme }
}

impl World {
    fn about(&self, kind: impl Into<Option<Kind>>) {
        *self.misled.lock().unwrap() = kind.into();
    }

    fn agent(&self) -> AgentId {
        let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
        block_on(self.kakunin.register(&self.acme, spec)).unwrap().id
    }

    fn certify(&self, agent: &AgentId) -> Result<Certificate, Error> {
        let source = KeySource::Provider(KeyAlgorithm::P256);
        block_on(self.kakunin.certify(&self.acme, agent, Profile::Standard, source))
    }

    fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.agent(&self.acme, agent)).unwrap().state
    }
}

#[test]
fn certificates_and_crls_are_checked_before_anybody_gets_them() {
    let w = world();
    let agent = w.agent();
    w.about(Kind::Der);
    assert_eq!(w.certify(&agent).unwrap_err().code(), "signature_foreign");
    assert_eq!(w.state(&agent), AgentState::Pending);
    let left = block_on(w.kakunin.certificates(&w.acme, &agent)).unwrap();
    assert!(left.iter().all(|c| c.revocation.is_some_and(|r| r.cause == Cause::Abandoned)));
    assert_eq!(block_on(w.kakunin.crl(None)).unwrap_err().code(), "crl");
    w.about(None);
    let serial = w.certify(&agent).unwrap().facts.serial;
    w.about(Kind::Der);
    block_on(w.kakunin.revoke(&w.acme, &serial, Cause::KeyCompromise)).unwrap();
    assert_ne!(block_on(w.kakunin.publish_due()).left, 0, "in force, and yet to be published");
    w.about(None);
    w.clock.set(NOW.plus(5 * MINUTE));
    assert_eq!(block_on(w.kakunin.publish_due()).left, 0);
}

#[test]
fn a_receipt_of_a_stop_is_checked_before_it_is_kept() {
    let w = world();
    let agent = w.agent();
    let serial = w.certify(&agent).unwrap().facts.serial;
    w.about(Kind::Receipt);
    let halt = block_on(w.kakunin.halt(&w.acme, &agent, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!(w.state(&agent), AgentState::Suspended, "stopped all the same");
    let receipt = || block_on(w.kakunin.halt_receipt(&w.acme, &agent, &halt));
    assert_eq!(receipt().unwrap_err().code(), "signature_foreign");
    assert_eq!(block_on(w.kakunin.find(&serial)).unwrap().receipt, None);
    w.about(None);
    w.clock.set(NOW.plus(5 * MINUTE));
    assert_eq!(block_on(w.kakunin.tend()).unwrap().left, 0);
    assert_eq!(block_on(w.kakunin.find(&serial)).unwrap().receipt, Some(receipt().unwrap()));
}

#[test]
fn a_checkpoint_is_checked_before_anything_is_written() {
    let w = world();
    let agent = w.agent();
    let before = block_on(w.kakunin.entries(&w.acme, 0, 100)).unwrap().len();
    w.about(Kind::Checkpoint);
    assert_eq!(w.certify(&agent).unwrap_err().code(), "signature_foreign");
    w.about(None);
    assert_eq!(block_on(w.kakunin.entries(&w.acme, 0, 100)).unwrap().len(), before, "nothing of it");
    w.certify(&agent).unwrap();
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    let key = VerifierKey::parse(&block_on(again.log_verifier(&w.acme)).unwrap()).unwrap();
    let note = block_on(again.checkpoint(&w.acme)).unwrap().unwrap();
    assert!(usize::try_from(Checkpoint::open(&note, &key).unwrap().size).unwrap() > before);
}

#[test]
fn the_word_of_the_feed_is_checked_before_it_is_sent() {
    let w = world();
    let issuer = w.kakunin.issuer().id();
    w.about(Kind::Cosignature);
    assert_eq!(block_on(w.kakunin.feed(&issuer, 0, 9)).unwrap_err().code(), "signature_foreign");
    assert_eq!(block_on(w.kakunin.feed_snapshot(&issuer)).unwrap_err().code(), "signature_foreign");
    w.about(None);
    assert!(
        block_on(w.kakunin.feed(&issuer, 0, 9)).is_ok() && block_on(w.kakunin.feed_snapshot(&issuer)).is_ok()
    );
}
