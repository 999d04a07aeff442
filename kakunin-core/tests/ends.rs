//! Authorities that end: they are told of in time, what needs no signature goes on after it, and whoever replaces them
//! can do so exactly then.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{MODEL, NOW, P256, config, deployment, parts, reopened};
use kakunin_core::agent::NewAgent;
use kakunin_core::feed::Visibility;
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{CaRole, Stage};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Config, Error, Kakunin, NotificationKind, OfflineRoot, Parts, Reader};
use kakunin_core::store::state::{Change, Kind};
use kakunin_core::time::{DAY, MINUTE, ManualClock, SECOND, UnixTime};
use kakunin_core::x509::ca::{CaError, SignCaError, sign_issuing, sign_root};
use kakunin_core::x509::csr::Proven;
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const YEAR: u64 = 365 * DAY;

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
}

fn world_of(offline: impl FnOnce(&Parts) -> Option<OfflineRoot>) -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let begun = Config { offline: offline(&parts), ..config() };
    let (kakunin, acme) = deployment(begun, &parts);
    World { kakunin, parts, clock, acme }
}

fn world() -> World {
    world_of(|_| None)
}

impl World {
    /// The same at another time, as a process that starts then finds it.
    fn reopened_at(&mut self, now: UnixTime) {
        self.clock.set(now);
        self.kakunin = reopened(config(), &self.parts);
    }

    fn register(&self) -> AgentId {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let spec = NewAgent::new(&name, MODEL, ["read:accounts"]).unwrap();
        block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id
    }

    fn certify(&self, agent: &AgentId) -> Result<Certificate, Error> {
        block_on(self.kakunin.tenant(&self.acme).certify(agent, Profile::Standard, P256))
    }

    fn keys(&self) -> usize {
        block_on(self.parts.keys.list()).unwrap().len()
    }

    fn stages(&self) -> Vec<(CaRole, Stage)> {
        self.kakunin.endings().iter().map(|ending| (ending.role, ending.stage)).collect()
    }
}

/// Whether openssl accepts a certificate at that time, below these roots and with their authorities' CRLs.
fn openssl(kakunin: &Kakunin, leaf: &Certificate, at: UnixTime) -> String {
    let dir = tempfile::tempdir().unwrap();
    let all =
        |label, ders: Vec<Vec<u8>>| -> String { ders.iter().map(|der| pem::encode(label, der)).collect() };
    let crls = block_on(kakunin.chain_crls(Reader::Deployment)).unwrap();
    let (roots, authorities) = (kakunin.roots(), kakunin.authorities());
    for (name, text) in [
        ("roots", all(pem::CERTIFICATE, roots.iter().map(|ca| ca.as_der().to_vec()).collect())),
        (
            "issuing",
            all(pem::CERTIFICATE, authorities.iter().map(|ca| ca.issuer.as_der().to_vec()).collect()),
        ),
        ("crls", all(pem::CRL, crls.iter().map(|crl| crl.der.clone()).collect())),
        ("leaf", all(pem::CERTIFICATE, vec![leaf.der.clone()])),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let line = "verify -x509_strict -crl_check_all -CAfile roots -untrusted issuing -CRLfile crls -attime";
    let mut openssl = Command::new("openssl");
    openssl.args(line.split(' ')).arg(at.secs().to_string()).arg("leaf").current_dir(dir.path());
    let done = openssl.output().unwrap();
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}

#[test]
fn an_end_is_told_of_a_tenth_before_and_is_urgent_a_thirtieth_before() {
    let mut w = world();
    let end = w.kakunin.issuer().not_after();
    assert_eq!(end, NOW.plus(3 * YEAR));
    let both = |issuing| vec![(CaRole::Issuing, issuing), (CaRole::Root, Stage::Far)];
    for (left, stage) in [
        (90 * DAY, Stage::Far),
        (90 * DAY - 1, Stage::Near),
        (30 * DAY, Stage::Near),
        (30 * DAY - 1, Stage::Urgent),
        (DAY, Stage::Urgent),
        (0, Stage::Urgent),
    ] {
        w.clock.set(end.minus(left));
        assert_eq!(w.stages(), both(stage), "{left} before");
        assert_eq!(w.kakunin.endings().first().unwrap().left, left);
    }
    w.clock.set(end.plus(SECOND));
    assert_eq!(w.stages(), both(Stage::Ended));
    // One that was replaced is in nobody's way.
    w.reopened_at(end.minus(DAY));
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    assert_eq!(w.stages(), both(Stage::Far));
    // A short life is told of late: a CA of ten days that a root elsewhere ends.
    let short = world();
    short.clock.set(NOW.plus(14 * YEAR + 355 * DAY - YEAR));
    block_on(short.kakunin.rotate_issuing(None)).unwrap();
    let life = 10 * DAY + YEAR;
    let end = short.kakunin.issuer().not_after();
    assert_eq!(end, short.kakunin.root().not_after(), "it ends with its root at the latest");
    short.clock.set(end.minus((life + 5 * MINUTE) / 10 + SECOND));
    let issuing = |w: &World| w.stages().into_iter().find(|(role, _)| *role == CaRole::Issuing).unwrap().1;
    assert_eq!(issuing(&short), Stage::Far);
    short.clock.set(end.minus(life / 10));
    assert_eq!(issuing(&short), Stage::Near);
    short.clock.set(end.minus(life / 30));
    assert_eq!(issuing(&short), Stage::Urgent);
}

#[test]
fn what_needs_no_signature_goes_on_after_the_end_and_the_ca_is_replaced_then() {
    let mut w = world();
    let old = w.kakunin.issuer();
    let (one, two) = (w.register(), w.register());
    let (before, other) = (w.certify(&one).unwrap(), w.certify(&two).unwrap());
    let after = old.not_after().plus(DAY);
    w.reopened_at(after);
    assert_eq!(w.kakunin.issuer().id(), old.id());
    assert_eq!(block_on(w.kakunin.check_signing()).unwrap_err().code(), "issuer_expired");
    let keys = w.keys();
    let refused = w.certify(&two).unwrap_err();
    assert_eq!(refused.code(), "issuer_expired");
    assert!(refused.to_string().ends_with("; replace it"), "{refused}");
    assert_eq!(w.keys(), keys, "no key is made for what is refused");
    // Halts, revocations, the log, the CRLs, the feed.
    block_on(w.kakunin.tenant(&w.acme).halt(&one, Cause::KeyCompromise, None)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).revoke(&other.facts.serial, Cause::KeyCompromise)).unwrap();
    let reason = |of: &Certificate| w.kakunin.revocations().reason(&of.facts.issuer, &of.facts.serial);
    assert_eq!(reason(&other), Ok(Some(Reason::KeyCompromise)));
    assert!(!block_on(w.kakunin.tenant(&w.acme).records(None, 100, |_| true)).unwrap().items.is_empty());
    block_on(w.kakunin.published_crl(&old.id(), None)).unwrap();
    assert!(block_on(w.kakunin.publish_due()).failing.is_empty());
    let next = block_on(w.kakunin.rotate_issuing(None)).unwrap();
    block_on(w.kakunin.check_signing()).unwrap();
    let issued = w.certify(&w.register()).unwrap();
    assert_eq!(issued.facts.issuer, next.id());
    assert!(openssl(&w.kakunin, &issued, after).contains("leaf: OK"));
    // Once replaced it is gone with the next start, and what it issued can be revoked all the same.
    w.reopened_at(after.plus(DAY));
    assert_eq!(w.kakunin.authorities().len(), 1);
    block_on(w.kakunin.tenant(&w.acme).revoke(&before.facts.serial, Cause::Superseded)).unwrap();
    let status = block_on(w.kakunin.find(&before.facts.serial)).unwrap();
    assert_eq!(status.revocation.map(|revocation| revocation.serial), Some(before.facts.serial));
    block_on(w.kakunin.tenant(&w.acme).retire(&one)).unwrap();
    assert!(openssl(&w.kakunin, &issued, after.plus(DAY)).contains("leaf: OK"));
}

#[test]
fn one_that_has_ended_and_whose_key_is_gone_does_not_keep_a_deployment_from_starting() {
    let mut w = world();
    let old = w.kakunin.issuer();
    for held in block_on(w.parts.keys.list()).unwrap() {
        let signer = block_on(w.parts.keys.open(&held.key)).unwrap();
        if signer.public_key() == old.key().spki() {
            block_on(w.parts.keys.retire(&held.key)).unwrap();
        }
    }
    w.reopened_at(old.not_after().plus(DAY));
    let agent = w.register();
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KeyCompromise, None)).unwrap();
    block_on(w.kakunin.chain_crls(Reader::Deployment)).unwrap();
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    w.certify(&w.register()).unwrap();
}

#[test]
fn a_tenants_own_ca_that_has_ended_is_not_quietly_followed_by_the_shared_one() {
    let mut w = world();
    let own = block_on(w.kakunin.rotate_issuing(Some(&w.acme))).unwrap();
    w.clock.set(NOW.plus(2 * YEAR));
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    let after = own.not_after().plus(DAY);
    for started in [false, true] {
        if started {
            w.reopened_at(after);
        } else {
            w.clock.set(after);
        }
        let agent = w.register();
        assert_eq!(w.certify(&agent).unwrap_err().code(), "issuer_expired", "{started}");
        block_on(w.kakunin.check_signing()).unwrap();
        let ended = w.kakunin.endings().into_iter().next().unwrap();
        assert_eq!((ended.issuer, ended.stage, ended.tenant), (own.id(), Stage::Ended, Some(w.acme.clone())));
        // Whoever wants nobody else to read what is revoked is told what that takes.
        block_on(w.kakunin.tenant(&w.acme).set_visibility(Visibility::Private)).unwrap();
        assert!(matches!(w.certify(&agent), Err(Error::SharedIssuer)));
        block_on(w.kakunin.tenant(&w.acme).set_visibility(Visibility::Public)).unwrap();
    }
    let next = block_on(w.kakunin.rotate_issuing(Some(&w.acme))).unwrap();
    assert_eq!(w.certify(&w.register()).unwrap().facts.issuer, next.id());
}

#[test]
fn a_root_that_is_about_to_end_is_followed_by_another_with_the_next_issuing_ca() {
    let mut w = world();
    let first = w.kakunin.root();
    assert_eq!(first.not_after(), NOW.plus(15 * YEAR));
    for (at, roots) in [(13 * YEAR, 1), (14 * YEAR + DAY, 2)] {
        w.reopened_at(NOW.plus(at));
        let issuing = block_on(w.kakunin.rotate_issuing(None)).unwrap();
        assert_eq!(w.kakunin.roots().len(), roots);
        assert!(issuing.not_after() <= w.kakunin.root().not_after());
    }
    // As many years later as if nobody had looked since.
    let mut w = world();
    let after = NOW.plus(15 * YEAR + DAY);
    w.reopened_at(after);
    assert_eq!(w.certify(&w.register()).unwrap_err().code(), "issuer_expired");
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    assert_eq!((w.kakunin.roots().len(), w.kakunin.authorities().len()), (2, 2));
    let issued = w.certify(&w.register()).unwrap();
    assert!(openssl(&w.kakunin, &issued, after).contains("leaf: OK"));
    assert!(w.kakunin.endings().iter().all(|ending| ending.stage == Stage::Far));
    let root = w.kakunin.root().as_der().to_vec();
    w.reopened_at(after.plus(DAY));
    assert_eq!((w.kakunin.root().as_der(), w.kakunin.authorities().len()), (&root[..], 1));
    assert!(openssl(&w.kakunin, &issued, after.plus(DAY)).contains("leaf: OK"));
    // The next has another key again.
    w.reopened_at(after.plus(15 * YEAR));
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    let ids: std::collections::HashSet<_> = w.kakunin.roots().iter().map(|root| root.id()).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn an_offline_root_that_has_ended_is_replaced_by_another_one() {
    let keys = LocalKeys::ephemeral();
    let elsewhere = |n: u8, now| {
        let key = block_on(keys.generate(&PlannedKeyId::new([n; 16]), KeyAlgorithm::P256)).unwrap();
        let signer = block_on(keys.open(&key)).unwrap();
        (block_on(sign_root(&*signer, &Serial::from_bytes([n; 16]).unwrap(), None, now)).unwrap(), signer)
    };
    let below = Serial::from_bytes([0x21; 16]).unwrap();
    let sign = |(root, key): &(kakunin_core::x509::ca::Issuer, Arc<dyn kakunin_core::key::Signer>),
                request: &[u8],
                now| {
        let request = Proven::read(request).unwrap();
        let issuing = block_on(sign_issuing(root, &**key, &request.key, &below, None, None, now))?;
        Ok::<_, SignCaError>(OfflineRoot { root: root.as_der().to_vec(), issuing: issuing.as_der().to_vec() })
    };
    let first = elsewhere(1, NOW);
    let mut w = world_of(|parts| {
        let request = block_on(Kakunin::request_first_issuing(&config(), parts)).unwrap();
        Some(sign(&first, &request, NOW).unwrap())
    });
    let after = NOW.plus(15 * YEAR + DAY);
    w.reopened_at(after);
    assert_eq!(w.certify(&w.register()).unwrap_err().code(), "issuer_expired");
    assert!(matches!(block_on(w.kakunin.rotate_issuing(None)), Err(Error::RootOffline)));
    let request = block_on(w.kakunin.request_issuing()).unwrap();
    let refused = sign(&first, &request, after).unwrap_err();
    assert!(matches!(refused, SignCaError::Ca(CaError::RootNotValid(..))), "{refused}");
    let second = elsewhere(2, after);
    block_on(w.kakunin.install_issuing(None, &sign(&second, &request, after).unwrap())).unwrap();
    assert!(w.certify(&w.register()).is_ok());
    w.reopened_at(after.plus(DAY));
    assert!(w.certify(&w.register()).is_ok());
}

#[test]
fn each_tenant_that_depends_on_an_authority_is_told_once_a_stage_also_after_a_restart() {
    let mut w = world();
    let other: TenantId = "other".parse().unwrap();
    block_on(w.kakunin.create_tenant(&other)).unwrap();
    let shared = w.kakunin.issuer();
    w.clock.set(NOW.plus(YEAR));
    let own = block_on(w.kakunin.rotate_issuing(Some(&other))).unwrap();
    let told = |w: &World, tenant: &TenantId| -> Vec<_> {
        let inbox = block_on(w.kakunin.tenant(tenant).notifications(None, 100)).unwrap();
        let about = |kind| kind == NotificationKind::AuthorityEnding;
        let items = inbox.into_iter().filter(|(_, item)| about(item.kind));
        items.map(|(_, item)| item.ending.map(|e| (e.issuer, e.stage)).unwrap()).collect()
    };
    let end = shared.not_after();
    let mut so_far = Vec::new();
    for (at, stage) in [
        (end.minus(91 * DAY), None),
        (end.minus(89 * DAY), Some(Stage::Near)),
        (end.minus(29 * DAY), Some(Stage::Urgent)),
        (end.plus(DAY), Some(Stage::Ended)),
    ] {
        // Somebody else writes that it was told of; it is not under this deployment's seal.
        let key = format!("ca-ending/{}", shared.id()).into_bytes();
        let forged = Change { kind: Kind::Cursor, key, value: Some(br#""ended""#.to_vec()) };
        block_on(w.parts.state.put(&LogId::Tenant(w.acme.clone()), &[forged])).unwrap();
        w.clock.set(at);
        so_far.splice(..0, stage.map(|stage| (shared.id(), stage)));
        for restart in [false, false, true] {
            if restart {
                w.reopened_at(at);
            }
            block_on(w.kakunin.tell_of_endings()).unwrap();
            assert_eq!((told(&w, &w.acme), told(&w, &other)), (so_far.clone(), Vec::new()), "{restart}");
        }
    }
    w.clock.set(own.not_after().plus(DAY));
    block_on(w.kakunin.tell_of_endings()).unwrap();
    assert_eq!(told(&w, &other), [(own.id(), Stage::Ended)]);
    // The log alone comes to the same.
    let records =
        block_on(w.kakunin.tenant(&w.acme).records(None, 100, |r| r.name() == "ca.ending")).unwrap().items;
    assert_eq!(records.len(), 3);
}
