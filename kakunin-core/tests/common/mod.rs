//! What tests of the service share: a deployment of one tenant, by a clock that stands still, and keys that a test has a
//! hand in.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    reason = "each test binary uses its own part of this"
)]

pub mod sink;
pub mod state;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kakunin_core::id::TenantId;
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};
use kakunin_core::service::{Config, Kakunin, KeySource, Parts, Rebuild, rebuild};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

pub const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// 2026-11-23T08:00:00Z
pub const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);
pub const P256: KeySource<'_> = KeySource::Provider(KeyAlgorithm::P256);

/// With keys that are quickly made.
pub fn config() -> Config {
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    config
}

/// In memory, at [`NOW`].
pub fn parts(keys: impl KeyProvider + 'static) -> (Parts, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(keys));
    parts.clock = clock.clone();
    (parts, clock)
}

/// A new one, and its tenant.
pub fn deployment(config: Config, parts: &Parts) -> (Kakunin, TenantId) {
    let kakunin = block_on(Kakunin::open(config, parts.clone())).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    (kakunin, acme)
}

/// What is stored is what the logs say, in every table.
pub fn assert_folded(config: &Config, parts: &Parts) {
    let rebuilt = block_on(rebuild(config.clone(), parts.clone(), Rebuild::Compare, None)).unwrap();
    let differing: Vec<_> = rebuilt.tables.iter().filter(|table| table.differs).collect();
    assert!(rebuilt.is_equal() && differing.is_empty(), "{differing:?} {:?}", rebuilt.unsealed);
}

/// After a restart, which leaves nothing that is not what the logs say.
pub fn reopened(config: Config, parts: &Parts) -> Kakunin {
    let kakunin = block_on(Kakunin::open(config.clone(), parts.clone())).unwrap();
    block_on(kakunin.load()).unwrap();
    assert_folded(&config, parts);
    kakunin
}

/// A hand in what keys do.
pub trait Hand: Send + Sync + 'static {
    /// Before one is made.
    fn generate(&self) {}

    /// What is signed in place of the message, or why nothing is.
    fn sign<'m>(&self, key: &dyn Signer, message: &'m [u8]) -> Result<&'m [u8], SignError>;

    /// Whether this signature never comes.
    fn hangs(&self, _: &dyn Signer) -> bool {
        false
    }

    /// Whether they are in this process, as [`Signer::is_in_process`] says it.
    fn is_here(&self) -> bool {
        false
    }
}

/// Software keys, in a hand.
pub struct Keys<H>(pub LocalKeys, pub Arc<H>);

struct Key<H>(Arc<dyn Signer>, Arc<H>);

impl<H> fmt::Debug for Keys<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl<H> fmt::Debug for Key<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[async_trait]
impl<H: Hand> Signer for Key<H> {
    fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm()
    }

    fn public_key(&self) -> &Spki {
        self.0.public_key()
    }

    fn is_in_process(&self) -> bool {
        self.1.is_here()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let message = self.1.sign(&*self.0, message)?;
        if self.1.hangs(&*self.0) {
            std::future::pending::<()>().await;
        }
        self.0.sign(message).await
    }
}

#[async_trait]
impl<H: Hand> KeyProvider for Keys<H> {
    fn is_near(&self) -> bool {
        true
    }

    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        self.1.generate();
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
