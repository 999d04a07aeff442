//! A key provider that signs something else than it was asked to, with the right key: nothing of it is handed out or
//! leaned on, and all goes on once it signs again what it is given.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::{Arc, Mutex};

use common::{Hand, Keys, MODEL, NOW, config, deployment, parts};
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, SignError, Signer};
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::note::VerifierKey;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Error, Kakunin, KeySource, Parts};
use kakunin_core::time::{MINUTE, ManualClock};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

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
type Misled = Mutex<Option<Kind>>;

impl Hand for Misled {
    fn sign<'m>(&self, _: &dyn Signer, message: &'m [u8]) -> Result<&'m [u8], SignError> {
        let misled = *self.lock().unwrap() == Some(kind(message));
        Ok(if misled { b"something else" } else { message })
    }
}

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    misled: Arc<Misled>,
    acme: TenantId,
}

fn world() -> World {
    let misled = Arc::new(Misled::default());
    let (parts, clock) = parts(Keys(LocalKeys::ephemeral(), misled.clone()));
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, misled, acme }
}

impl World {
    fn about(&self, kind: impl Into<Option<Kind>>) {
        *self.misled.lock().unwrap() = kind.into();
    }

    fn agent(&self) -> AgentId {
        let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
        block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id
    }

    fn certify(&self, agent: &AgentId) -> Result<Certificate, Error> {
        let source = KeySource::Provider(KeyAlgorithm::P256);
        block_on(self.kakunin.tenant(&self.acme).certify(agent, Profile::Standard, source))
    }

    fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.tenant(&self.acme).agent(agent)).unwrap().state
    }
}

#[test]
fn certificates_and_crls_are_checked_before_anybody_gets_them() {
    let w = world();
    let agent = w.agent();
    w.about(Kind::Der);
    assert_eq!(w.certify(&agent).unwrap_err().code(), "signature_foreign");
    assert_eq!(w.state(&agent), AgentState::Pending);
    let left = block_on(w.kakunin.tenant(&w.acme).certificates(&agent)).unwrap();
    assert!(left.iter().all(|c| c.revocation.is_some_and(|r| r.cause == Cause::Abandoned)));
    assert_eq!(block_on(w.kakunin.crl(None)).unwrap_err().code(), "crl");
    w.about(None);
    let serial = w.certify(&agent).unwrap().facts.serial;
    w.about(Kind::Der);
    block_on(w.kakunin.tenant(&w.acme).revoke(&serial, Cause::KeyCompromise)).unwrap();
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
    let halt = block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!(w.state(&agent), AgentState::Suspended, "stopped all the same");
    let receipt = || block_on(w.kakunin.tenant(&w.acme).halt_receipt(&agent, &halt));
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
    let before = block_on(w.kakunin.tenant(&w.acme).entries(0, 100)).unwrap().len();
    w.about(Kind::Checkpoint);
    assert_eq!(w.certify(&agent).unwrap_err().code(), "signature_foreign");
    w.about(None);
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).entries(0, 100)).unwrap().len(), before, "nothing of it");
    w.certify(&agent).unwrap();
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    let key = VerifierKey::parse(&block_on(again.tenant(&w.acme).log_verifier()).unwrap()).unwrap();
    let note = block_on(again.tenant(&w.acme).checkpoint()).unwrap().unwrap();
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
