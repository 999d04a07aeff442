//! An issuance that is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::issue::Profile;
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};
use kakunin_core::log::record::Record;
use kakunin_core::revoke::Reason;
use kakunin_core::service::Kakunin;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::world::{MODEL, P256, acme, config, parts};

/// Keys whose signers stop answering while they are told to.
#[derive(Debug)]
struct Dying(LocalKeys, Arc<AtomicBool>);

#[derive(Debug)]
struct DyingSigner(Arc<dyn Signer>, Arc<AtomicBool>);

#[async_trait]
impl Signer for DyingSigner {
    fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm()
    }
    fn public_key(&self) -> &Spki {
        self.0.public_key()
    }
    // It says so, and waits all the same: the plan is then on record before the signature.
    fn is_in_process(&self) -> bool {
        true
    }
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        // Checkpoints go on; the certificate's signature never comes.
        if self.1.load(Ordering::Relaxed) && self.algorithm() == KeyAlgorithm::P256 {
            std::future::pending::<()>().await;
        }
        self.0.sign(message).await
    }
}

#[async_trait]
impl KeyProvider for Dying {
    fn is_near(&self) -> bool {
        true
    }

    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        self.0.generate(planned, algorithm).await
    }
    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        Ok(Arc::new(DyingSigner(self.0.open(key).await?, self.1.clone())))
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

#[test]
fn an_issuance_that_was_cut_off_leaves_a_serial_that_is_refused_and_no_key() {
    let (mut parts, _) = parts();
    let dead = Arc::new(AtomicBool::new(false));
    let keys = Arc::new(Dying(LocalKeys::ephemeral(), dead.clone()));
    parts.keys = keys.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let one = block_on(kakunin.register(&acme(), NewAgent::new("one", MODEL, ["read:a"]).unwrap())).unwrap();
    let before = block_on(keys.list()).unwrap().len();
    dead.store(true, Ordering::Relaxed);
    {
        // Polled until it waits for the signature, and dropped there, as a process that dies does.
        let acme = acme();
        let mut certify = std::pin::pin!(kakunin.certify(&acme, &one.id, Profile::Standard, P256));
        let waker = std::task::Waker::noop();
        assert!(certify.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    assert_eq!(block_on(keys.list()).unwrap().len(), before + 1, "planned, made, and bound");
    drop(kakunin);
    dead.store(false, Ordering::Relaxed);
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    assert_eq!(block_on(kakunin.agent(&acme(), &one.id)).unwrap().state, AgentState::Pending);
    assert_eq!(block_on(keys.list()).unwrap().len(), before, "the orphan was retired");
    let planned = block_on(kakunin.entries(&acme(), 0, 100)).unwrap();
    let serial = planned.iter().find_map(|e| Record::open(e).unwrap().serial).unwrap();
    let reason = kakunin.revocations().reason(&kakunin.issuer().id(), &serial).unwrap();
    assert_eq!(reason, Some(Reason::CessationOfOperation));
    block_on(kakunin.certify(&acme(), &one.id, Profile::Standard, P256)).unwrap();
}
