//! An issuance that is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, SignError, Signer};
use kakunin_core::log::record::Record;
use kakunin_core::revoke::Reason;
use kakunin_core::service::Kakunin;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{Hand, Keys};
use crate::world::{MODEL, P256, acme, config, parts};

/// The signatures of CAs stop coming while it is told to.
struct Dying(AtomicBool);

impl Hand for Dying {
    fn sign<'m>(&self, _: &dyn Signer, message: &'m [u8]) -> Result<&'m [u8], SignError> {
        Ok(message)
    }

    // Checkpoints go on.
    fn hangs(&self, key: &dyn Signer) -> bool {
        self.0.load(Ordering::Relaxed) && key.algorithm() == KeyAlgorithm::P256
    }

    // It says so, and waits all the same: the plan is then on record before the signature.
    fn is_here(&self) -> bool {
        true
    }
}

#[test]
fn an_issuance_that_was_cut_off_leaves_a_serial_that_is_refused_and_no_key() {
    let (mut parts, _) = parts();
    let dying = Arc::new(Dying(AtomicBool::new(false)));
    let keys = Arc::new(Keys(LocalKeys::ephemeral(), dying.clone()));
    parts.keys = keys.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let one =
        block_on(kakunin.tenant(&acme()).register(NewAgent::new("one", MODEL, ["read:a"]).unwrap())).unwrap();
    let before = block_on(keys.list()).unwrap().len();
    dying.0.store(true, Ordering::Relaxed);
    {
        // Polled until it waits for the signature, and dropped there, as a process that dies does.
        let acme = acme();
        let tenant = kakunin.tenant(&acme);
        let mut certify = std::pin::pin!(tenant.certify(&one.id, Profile::Standard, P256));
        let waker = std::task::Waker::noop();
        assert!(certify.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    assert_eq!(block_on(keys.list()).unwrap().len(), before + 1, "planned, made, and bound");
    drop(kakunin);
    dying.0.store(false, Ordering::Relaxed);
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    assert_eq!(block_on(kakunin.tenant(&acme()).agent(&one.id)).unwrap().state, AgentState::Pending);
    assert_eq!(block_on(keys.list()).unwrap().len(), before, "the orphan was retired");
    let planned = block_on(kakunin.tenant(&acme()).entries(0, 100)).unwrap();
    let serial = planned.iter().find_map(|e| Record::open(e).unwrap().serial).unwrap();
    let reason = kakunin.revocations().reason(&kakunin.issuer().id(), &serial).unwrap();
    assert_eq!(reason, Some(Reason::CessationOfOperation));
    block_on(kakunin.tenant(&acme()).certify(&one.id, Profile::Standard, P256)).unwrap();
}
