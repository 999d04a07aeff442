//! Clocks that disagree: relying parties that are behind, and a server whose clock is set back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kakunin_core::agent::NewAgent;
use kakunin_core::id::TenantId;
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{HOUR, MINUTE, ManualClock, SECOND, UnixTime};
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);
const P256: KeySource<'_> = KeySource::Provider(KeyAlgorithm::P256);

struct World {
    kakunin: Kakunin,
    clock: Arc<ManualClock>,
    acme: TenantId,
}

fn world() -> World {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    parts.clock = clock.clone();
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let kakunin = block_on(Kakunin::open(config, parts)).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    World { kakunin, clock, acme }
}

impl World {
    fn issue(&self) -> Certificate {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let spec = NewAgent::new(&name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.register(&self.acme, spec)).unwrap().id;
        block_on(self.kakunin.certify(&self.acme, &agent, Profile::Standard, P256)).unwrap()
    }

    fn reason(&self, of: &Certificate) -> Option<Reason> {
        self.kakunin.revocations().reason(&of.facts.issuer, &of.facts.serial).unwrap()
    }

    /// Whether openssl accepts a certificate with the full CRL as it stands, by a clock that says `at`.
    fn openssl(&self, leaf: &Certificate, at: UnixTime) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        let crl = block_on(self.kakunin.published_crl(&leaf.facts.issuer, None)).unwrap();
        write("root", pem::encode(pem::CERTIFICATE, self.kakunin.root().as_der()));
        write("issuing", pem::encode(pem::CERTIFICATE, self.kakunin.issuer().as_der()));
        write("leaf", pem::encode(pem::CERTIFICATE, &leaf.der));
        write("crl", pem::encode(pem::CRL, &crl.der));
        let line = "verify -x509_strict -crl_check -CAfile root -untrusted issuing -CRLfile crl -attime";
        let mut openssl = Command::new("openssl");
        openssl.args(line.split(' ')).arg(at.secs().to_string()).arg("leaf").current_dir(dir.path());
        openssl.output().unwrap().status.success()
    }
}

#[test]
fn relying_parties_that_are_minutes_behind_accept_what_is_fresh() {
    let w = world();
    // The CAs are older than the skew, as they are in practice.
    w.clock.set(NOW.plus(HOUR));
    let leaf = w.issue();
    let now = NOW.plus(HOUR);
    assert!(w.openssl(&leaf, now) && w.openssl(&leaf, now.minus(4 * MINUTE)));
    assert!(!w.openssl(&leaf, now.minus(6 * MINUTE)), "no more than was said");
}

#[test]
fn a_clock_that_is_set_back_revives_nothing_and_lengthens_nothing() {
    let w = world();
    let (revoked, stands) = (w.issue(), w.issue());
    let spec = NewAgent::new("two", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.register(&w.acme, spec)).unwrap().id;
    w.clock.set(NOW.plus(HOUR));
    block_on(w.kakunin.revoke(&w.acme, &revoked.facts.serial, Cause::KeyCompromise)).unwrap();
    let before = block_on(w.kakunin.published_crl(&revoked.facts.issuer, None)).unwrap();
    w.clock.set(NOW);
    let made = w.kakunin.create_join_token(&w.acme, &agent, Profile::Standard, MINUTE);
    let (facts, _) = block_on(made).unwrap();
    // Counted from the log's time, which never goes back.
    assert_eq!(facts.expires_at, NOW.plus(HOUR + MINUTE));
    assert_eq!((w.reason(&revoked), w.reason(&stands)), (Some(Reason::KeyCompromise), None));
    let late = w.issue();
    block_on(w.kakunin.revoke(&w.acme, &late.facts.serial, Cause::Superseded)).unwrap();
    w.clock.set(NOW.plus(31 * SECOND));
    let after = block_on(w.kakunin.published_crl(&revoked.facts.issuer, None)).unwrap();
    assert!(after.number > before.number, "a clock that was wrong keeps no revocation off the CRL");
    // thisUpdate grows with the number, past a clock that was set back (ADR 16): until then nobody is accepted.
    for (leaf, good) in [(&stands, true), (&revoked, false), (&late, false)] {
        assert!(!w.openssl(leaf, NOW.plus(MINUTE)));
        assert_eq!(w.openssl(leaf, NOW.plus(HOUR)), good);
    }
    let records = block_on(w.kakunin.records(&w.acme, None, 100, |_| true)).unwrap().items;
    assert!(records.is_sorted_by(|newer, older| newer.record.time >= older.record.time));
}
