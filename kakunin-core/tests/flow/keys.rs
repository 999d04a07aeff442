//! Keys: out of requests, and of a provider that fails.

use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, SignError};
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::world::{MODEL, P256, world};

#[test]
fn a_request_gives_its_key_and_nothing_else() {
    let w = world();
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.tenant(&w.acme).register(spec)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let openssl = |args: &[&str]| {
        let done = std::process::Command::new("openssl").args(args).current_dir(dir.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&[
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "k",
        "-out",
        "csr",
        "-subj",
        "/CN=root of all",
    ]);
    let request = std::fs::read(dir.path().join("csr")).unwrap();
    for garbage in [
        &b""[..],
        b"garbage",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n",
        &request[..request.len() / 2],
        &[0x30; 20_000],
    ] {
        let refused = block_on(w.kakunin.tenant(&w.acme).certify(
            &agent.id,
            Profile::Standard,
            KeySource::Request(garbage),
        ));
        assert_eq!(refused.unwrap_err().code(), "csr_malformed");
    }
    let certificate = block_on(w.kakunin.tenant(&w.acme).certify(
        &agent.id,
        Profile::Standard,
        KeySource::Request(&request),
    ))
    .unwrap();
    let text = String::from_utf8_lossy(&certificate.der).into_owned();
    assert!(text.contains("one") && !text.contains("root of all"));
    openssl(&[
        "req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", "k", "-out", "weak", "-subj", "/CN=x",
    ]);
    let weak = std::fs::read(dir.path().join("weak")).unwrap();
    let refused =
        block_on(w.kakunin.tenant(&w.acme).certify(&agent.id, Profile::Standard, KeySource::Request(&weak)));
    assert_eq!(refused.unwrap_err().code(), "key_weak");
}

/// A provider that fails where it is told to.
#[derive(Debug)]
struct Failing(LocalKeys, std::sync::atomic::AtomicBool);

#[async_trait::async_trait]
impl KeyProvider for Failing {
    fn is_near(&self) -> bool {
        true
    }

    async fn generate(
        &self,
        planned: &kakunin_core::key::PlannedKeyId,
        algorithm: KeyAlgorithm,
    ) -> Result<kakunin_core::key::KeyRef, SignError> {
        let made = self.0.generate(planned, algorithm).await;
        // The worst case: the key was made, and its maker never heard of it.
        if self.1.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(SignError::unavailable("sign", "k", "timeout"));
        }
        made
    }
    async fn open(
        &self,
        key: &kakunin_core::key::KeyRef,
    ) -> Result<Arc<dyn kakunin_core::key::Signer>, SignError> {
        self.0.open(key).await
    }
    async fn disable(&self, key: &kakunin_core::key::KeyRef) -> Result<(), SignError> {
        self.0.disable(key).await
    }
    async fn enable(&self, key: &kakunin_core::key::KeyRef) -> Result<(), SignError> {
        self.0.enable(key).await
    }
    async fn retire(&self, key: &kakunin_core::key::KeyRef) -> Result<(), SignError> {
        self.0.retire(key).await
    }
    async fn list(&self) -> Result<Vec<kakunin_core::key::HeldKey>, SignError> {
        self.0.list().await
    }
}

#[test]
fn a_key_whose_maker_never_answered_is_swept() {
    let keys = Arc::new(Failing(LocalKeys::ephemeral(), false.into()));
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let kakunin = block_on(Kakunin::open(config, Parts::new(MemoryStore::new(), keys.clone()))).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    let agent =
        block_on(kakunin.tenant(&acme).register(NewAgent::new("one", MODEL, ["read:a"]).unwrap())).unwrap();
    let before = block_on(keys.list()).unwrap().len();
    keys.1.store(true, std::sync::atomic::Ordering::Relaxed);
    let failed = block_on(kakunin.tenant(&acme).certify(&agent.id, Profile::Standard, P256)).unwrap_err();
    assert_eq!(failed.code(), "key_unavailable");
    assert_eq!(block_on(keys.list()).unwrap().len(), before, "the orphan was retired");
    keys.1.store(false, std::sync::atomic::Ordering::Relaxed);
    block_on(kakunin.tenant(&acme).certify(&agent.id, Profile::Standard, P256)).unwrap();
}
