//! Issuing CAs that follow each other, belong to one tenant, or stand under a root that is kept elsewhere.
//! The openssl command decides whom a relying party accepts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::process::Command;
use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::feed::Visibility;
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Record, Stage};
use kakunin_core::revoke::{Cause, Reason, Revocation};
use kakunin_core::service::{
    Config, Error, Kakunin, KeySource, OfflineRoot, Parts, Reader, Regression, RootCrlEnding,
};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{Clock, DAY, ManualClock, SECOND, UnixTime};
use kakunin_core::x509::ca::{CaError, Issuer, sign_issuing, sign_root};
use kakunin_core::x509::crl::{self, BACKDATE, Coverage};
use kakunin_core::x509::csr::Proven;
use kakunin_core::x509::{oid, pem};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
    other: TenantId,
}

fn config() -> Config {
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    config
}

fn parts() -> (Parts, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    parts.clock = clock.clone();
    (parts, clock)
}

fn world() -> World {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let tenants: [TenantId; 2] = ["acme".parse().unwrap(), "other".parse().unwrap()];
    tenants.iter().for_each(|tenant| block_on(kakunin.create_tenant(tenant)).unwrap());
    let [acme, other] = tenants;
    World { kakunin, parts, clock, acme, other }
}

fn issue(kakunin: &Kakunin, tenant: &TenantId) -> Certificate {
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(kakunin.register(tenant, spec)).unwrap().id;
    let source = KeySource::Provider(KeyAlgorithm::P256);
    block_on(kakunin.certify(tenant, &agent, Profile::Standard, source)).unwrap()
}

/// What openssl says to a certificate, given the roots, the issuing CAs and the full CRLs of all of them.
fn openssl(kakunin: &Kakunin, leaf: &Certificate) -> String {
    let dir = tempfile::tempdir().unwrap();
    let all =
        |label, ders: Vec<Vec<u8>>| -> String { ders.iter().map(|der| pem::encode(label, der)).collect() };
    let roots = kakunin.roots().iter().map(|ca| ca.as_der().to_vec()).collect();
    let authorities = kakunin.authorities();
    let issuing = authorities.iter().map(|ca| ca.issuer.as_der().to_vec()).collect();
    let crls =
        block_on(kakunin.chain_crls(Reader::Deployment)).unwrap().iter().map(|crl| crl.der.clone()).collect();
    for (name, text) in [
        ("roots", all(pem::CERTIFICATE, roots)),
        ("issuing", all(pem::CERTIFICATE, issuing)),
        ("crls", all(pem::CRL, crls)),
        ("leaf", all(pem::CERTIFICATE, vec![leaf.der.clone()])),
    ] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let at = NOW.secs().to_string();
    let arguments =
        ["verify", "-x509_strict", "-CAfile", "roots", "-untrusted", "issuing", "-CRLfile", "crls"];
    let done = Command::new("openssl")
        .args(arguments)
        .args(["-crl_check", "-attime", &at, "leaf"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned()
}

fn reason(kakunin: &Kakunin, leaf: &Certificate) -> Option<Reason> {
    kakunin.revocations().reason(&leaf.facts.issuer, &leaf.facts.serial).unwrap()
}

#[test]
fn after_a_rotation_old_chains_stand_and_both_publish() {
    let w = world();
    let (before, revoked_later) = (issue(&w.kakunin, &w.acme), issue(&w.kakunin, &w.acme));
    let first = w.kakunin.issuer();
    let second = block_on(w.kakunin.rotate_issuing(None)).unwrap();
    assert_ne!(first.id(), second.id());
    assert_ne!(first.name(), second.name(), "a name has one key");
    assert_eq!(w.kakunin.issuer().id(), second.id());
    let after = issue(&w.kakunin, &w.acme);
    assert_eq!((before.facts.issuer, after.facts.issuer), (first.id(), second.id()));
    for leaf in [&before, &after] {
        assert!(openssl(&w.kakunin, leaf).contains("leaf: OK"), "{}", openssl(&w.kakunin, leaf));
    }
    block_on(w.kakunin.revoke(&w.acme, &revoked_later.facts.serial, Cause::KeyCompromise)).unwrap();
    let still_so = |kakunin: &Kakunin| {
        assert_eq!(reason(kakunin, &revoked_later), Some(Reason::KeyCompromise));
        assert_eq!((reason(kakunin, &before), reason(kakunin, &after)), (None, None));
        assert!(openssl(kakunin, &revoked_later).contains("certificate revoked"));
        assert!(openssl(kakunin, &after).contains("leaf: OK"));
    };
    still_so(&w.kakunin);
    let reopened = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    block_on(reopened.load()).unwrap();
    still_so(&reopened);
    // A renewal moves an agent to the new one, and ends the old certificate where it was issued.
    let attested = MODEL.parse().unwrap();
    let source = KeySource::Provider(KeyAlgorithm::P256);
    let renewed =
        block_on(reopened.renew(&w.acme, &before.facts.agent, &attested, Profile::Standard, source)).unwrap();
    assert_eq!(renewed.facts.issuer, second.id());
    // Once the old one's grace is over, since nobody uses the new one.
    w.clock.set(w.clock.now().plus(Config::RENEWAL_GRACE));
    block_on(reopened.tend()).unwrap();
    assert_eq!(reason(&reopened, &before), Some(Reason::Superseded));
}

#[test]
fn an_issuing_ca_that_expired_is_gone_and_a_new_one_takes_its_place() {
    let w = world();
    w.clock.set(NOW.plus(2 * 365 * DAY));
    let first = w.kakunin.issuer().id();
    let second = block_on(w.kakunin.rotate_issuing(None)).unwrap().id();
    w.clock.set(NOW.plus(4 * 365 * DAY));
    let reopened = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    let ids: Vec<_> = reopened.authorities().iter().map(|ca| ca.issuer.id()).collect();
    assert_eq!(ids, [second]);
    assert!(matches!(block_on(reopened.published_crl(&first, None)), Err(Error::NotFound(_))));
    // The third has a key of its own, although only one is left.
    let third = block_on(reopened.rotate_issuing(None)).unwrap().id();
    assert!(third != first && third != second);
}

#[test]
fn a_tenant_may_have_an_issuing_ca_of_its_own() {
    let w = world();
    let shared = w.kakunin.issuer().id();
    let own = block_on(w.kakunin.rotate_issuing(Some(&w.acme))).unwrap().id();
    assert_eq!(w.kakunin.issuer().id(), shared, "for all others");
    let reopened = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    for kakunin in [&w.kakunin, &reopened] {
        assert_eq!(issue(kakunin, &w.acme).facts.issuer, own);
        assert_eq!(issue(kakunin, &w.other).facts.issuer, shared);
        let current: Vec<_> =
            kakunin.authorities().iter().map(|ca| (ca.tenant.clone(), ca.current)).collect();
        assert_eq!(current, [(None, true), (Some(w.acme.clone()), true)]);
    }
    let nobody = "nobody".parse().unwrap();
    assert!(matches!(block_on(w.kakunin.rotate_issuing(Some(&nobody))), Err(Error::NotFound("tenant"))));
}

#[test]
fn a_tenant_with_its_own_issuing_ca_may_keep_its_revocations_to_itself() {
    let w = world();
    let set = |kakunin: &Kakunin, v| block_on(kakunin.set_visibility(&w.acme, v));
    let shared = w.kakunin.issuer().id();
    let refused = set(&w.kakunin, Visibility::Private).unwrap_err();
    assert_eq!(refused.code(), "issuer_shared", "others read those of a shared CA");
    let own = block_on(w.kakunin.rotate_issuing(Some(&w.acme))).unwrap().id();
    let read = |kakunin: &Kakunin, of| {
        [Reader::Anybody, Reader::Of(&w.other), Reader::Of(&w.acme), Reader::Deployment]
            .map(|reader| kakunin.may_read_revocations(of, reader))
    };
    assert_eq!(read(&w.kakunin, &own), [true; 4]);
    for _ in 0..2 {
        set(&w.kakunin, Visibility::Private).unwrap();
    }
    let kept = |kakunin: &Kakunin| {
        assert_eq!(read(kakunin, &own), [false, false, true, true]);
        assert_eq!(read(kakunin, &shared), [true; 4]);
        let crls = |reader| block_on(kakunin.chain_crls(reader)).unwrap().len();
        assert_eq!(
            (crls(Reader::Anybody), crls(Reader::Of(&w.acme))),
            (2, 3),
            "the root's and the shared one's"
        );
        assert_eq!(block_on(kakunin.visibility(&w.acme)).unwrap(), Visibility::Private);
        assert_eq!(block_on(kakunin.visibility(&w.other)).unwrap(), Visibility::Public);
    };
    kept(&w.kakunin);
    let reopened = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    kept(&reopened);
    // The CA that follows it is private from its first day.
    let next = block_on(reopened.rotate_issuing(Some(&w.acme))).unwrap().id();
    assert_eq!(
        (read(&reopened, &own), read(&reopened, &next)),
        ([false, false, true, true], [false, false, true, true])
    );
    set(&reopened, Visibility::Public).unwrap();
    assert_eq!(read(&reopened, &next), [true; 4]);
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    assert_eq!(read(&again, &own), [true; 4]);
    let (log, of) = (LogId::System, |r: &Record| r.name() == "revocations.visibility_changed");
    let entries = block_on(w.parts.sink.read(&log, 0, 1_000)).unwrap();
    let changes = entries.iter().map(|e| Record::open(e).unwrap()).filter(of).count();
    assert_eq!(changes, 2, "what changes nothing is not recorded");
    let nobody = "nobody".parse().unwrap();
    let unknown = block_on(again.set_visibility(&nobody, Visibility::Private));
    assert!(matches!(unknown, Err(Error::NotFound("tenant"))));
}

#[test]
fn a_private_tenant_whose_ca_expired_gets_nothing_from_a_shared_one() {
    let w = world();
    block_on(w.kakunin.rotate_issuing(Some(&w.acme))).unwrap();
    block_on(w.kakunin.set_visibility(&w.acme, Visibility::Private)).unwrap();
    w.clock.set(NOW.plus(2 * 365 * DAY));
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    w.clock.set(NOW.plus(4 * 365 * DAY));
    let reopened = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    let agent = block_on(reopened.register(&w.acme, NewAgent::new("one", MODEL, ["read:accounts"]).unwrap()));
    let certify = |agent| {
        let source = KeySource::Provider(KeyAlgorithm::P256);
        block_on(reopened.certify(&w.acme, agent, Profile::Standard, source)).map(|c| c.facts.issuer)
    };
    let agent = agent.unwrap().id;
    assert!(matches!(certify(&agent), Err(Error::SharedIssuer)));
    let own = block_on(reopened.rotate_issuing(Some(&w.acme))).unwrap().id();
    assert_eq!(certify(&agent).unwrap(), own);
}

/// The serial number of what [`Elsewhere`] signs.
fn below() -> Serial {
    Serial::from_bytes([0x21; 16]).unwrap()
}

/// A root on another machine.
struct Elsewhere {
    root: Issuer,
    key: Arc<dyn Signer>,
}

impl Elsewhere {
    fn new(n: u8) -> Self {
        let keys = LocalKeys::ephemeral();
        let key = block_on(keys.generate(&PlannedKeyId::new([n; 16]), KeyAlgorithm::P256)).unwrap();
        let key = block_on(keys.open(&key)).unwrap();
        let root = block_on(sign_root(&*key, &Serial::from_bytes([n; 16]).unwrap(), None, NOW)).unwrap();
        Self { root, key }
    }

    fn sign(&self, request: &[u8]) -> OfflineRoot {
        self.sign_for(None, request)
    }

    fn sign_for(&self, tenant: Option<&TenantId>, request: &[u8]) -> OfflineRoot {
        self.sign_as(tenant, request, 0x21)
    }

    fn sign_as(&self, tenant: Option<&TenantId>, request: &[u8], serial: u8) -> OfflineRoot {
        let (request, arc) = (Proven::read(request).unwrap(), oid::Arc::default());
        let serial = Serial::from_bytes([serial; 16]).unwrap();
        let (binding, published) = (tenant.map(|tenant| (tenant, &arc)), request.published.as_ref());
        let issuing = sign_issuing(&self.root, &*self.key, &request.key, &serial, binding, published, NOW);
        let issuing = block_on(issuing).unwrap();
        OfflineRoot { root: self.root.as_der().to_vec(), issuing: issuing.as_der().to_vec() }
    }
}

#[test]
fn a_deployment_stands_under_a_root_whose_key_it_never_had() {
    let (parts, _clock) = parts();
    let request = block_on(Kakunin::request_first_issuing(&config(), &parts)).unwrap();
    let again = block_on(Kakunin::request_first_issuing(&config(), &parts)).unwrap();
    assert_eq!(Proven::read(&request).unwrap().key, Proven::read(&again).unwrap().key);
    let elsewhere = Elsewhere::new(1);
    let begun = Config { offline: Some(elsewhere.sign(&request)), ..config() };
    let kakunin = block_on(Kakunin::open(begun, parts.clone())).unwrap();
    assert_eq!(kakunin.root().as_der(), elsewhere.root.as_der());
    // The issuing key, the log key and the feed key: none for a root.
    assert_eq!(block_on(parts.keys.list()).unwrap().len(), 3);
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    let before = issue(&kakunin, &acme);
    assert!(openssl(&kakunin, &before).contains("leaf: OK"));
    assert!(matches!(block_on(kakunin.rotate_issuing(None)), Err(Error::RootOffline)));
    // The next, under the same root, and one under another root.
    for root in [&elsewhere, &Elsewhere::new(2)] {
        let signed = root.sign(&block_on(kakunin.request_issuing()).unwrap());
        block_on(kakunin.install_issuing(None, &signed)).unwrap();
        assert_eq!(kakunin.root().as_der(), root.root.as_der());
        assert!(openssl(&kakunin, &issue(&kakunin, &acme)).contains("leaf: OK"));
        assert!(openssl(&kakunin, &before).contains("leaf: OK"));
        // It was for the request before.
        let stale = block_on(kakunin.install_issuing(None, &signed));
        assert!(matches!(stale, Err(Error::Ca(CaError::OtherKey))), "{stale:?}");
    }
    let reopened = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    assert_eq!((reopened.roots().len(), reopened.authorities().len()), (2, 3));
    assert_eq!(reopened.root().as_der(), kakunin.root().as_der());
}

#[test]
fn an_issuing_ca_that_is_bound_to_a_tenant_is_installed_for_that_one_alone() {
    let w = world();
    let (root, arc) = (Elsewhere::new(1), oid::Arc::default());
    let bound = root.sign_for(Some(&w.acme), &block_on(w.kakunin.request_issuing()).unwrap());
    for tenant in [None, Some(&w.other)] {
        let refused = block_on(w.kakunin.install_issuing(tenant, &bound));
        assert!(matches!(&refused, Err(Error::Ca(CaError::OtherTenant(t))) if *t == w.acme), "{refused:?}");
    }
    assert_eq!((w.kakunin.roots().len(), w.kakunin.authorities().len()), (1, 1));
    let installed = block_on(w.kakunin.install_issuing(Some(&w.acme), &bound)).unwrap();
    assert_eq!(installed.tenant(&arc).unwrap(), Some(w.acme.clone()));
    // Neither is one that a deployment begins with, which is everybody's.
    let (parts, _) = parts();
    let request = block_on(Kakunin::request_first_issuing(&config(), &parts)).unwrap();
    let begun = Config { offline: Some(root.sign_for(Some(&w.acme), &request)), ..config() };
    assert!(matches!(block_on(Kakunin::open(begun, parts)), Err(Error::Ca(CaError::OtherTenant(_)))));
    // What is made here says whose it is.
    let other = world();
    let own = block_on(other.kakunin.rotate_issuing(Some(&other.acme))).unwrap();
    assert_eq!(own.tenant(&arc).unwrap(), Some(other.acme.clone()));
    let shared = block_on(other.kakunin.rotate_issuing(None)).unwrap();
    assert_eq!(shared.tenant(&arc).unwrap(), None);
    assert!(openssl(&other.kakunin, &issue(&other.kakunin, &other.acme)).contains("leaf: OK"));
}

#[test]
fn what_an_offline_root_revokes_is_known_here_and_its_crls_go_forward() {
    let (parts, clock) = parts();
    let request = block_on(Kakunin::request_first_issuing(&config(), &parts)).unwrap();
    let root = Elsewhere::new(1);
    let begun = Config { offline: Some(root.sign(&request)), ..config() };
    let kakunin = block_on(Kakunin::open(begun, parts.clone())).unwrap();
    let id = root.root.id();
    let entry = crl::entry(&Revocation {
        issuer: id,
        serial: below(),
        agent: AgentId::from_bytes([0; 16]),
        at: NOW,
        cause: Cause::KeyCompromise,
        expires: NOW.plus(DAY),
        shard: 0,
    });
    let sign = |number, entries: &[u8], at: UnixTime| {
        let window = (at.minus(BACKDATE), at.plus(DAY));
        block_on(crl::sign(&root.root, &*root.key, Coverage::Full, number, entries, window)).unwrap()
    };
    let install = |der| block_on(kakunin.install_root_crl(der)).map_err(|error| error.code());
    assert_eq!(install(sign(7, &[], NOW)), Ok(id));
    assert_eq!(kakunin.revocations().reason(&id, &below()), Ok(None));
    // Newer by its number alone: NSS would keep the one before.
    for at in [NOW, NOW.minus(SECOND), NOW.plus(SECOND - 1)] {
        let refused = block_on(kakunin.install_root_crl(sign(8, &entry, at))).unwrap_err();
        assert!(matches!(refused, Error::CrlRegression(Regression::ThisUpdate)), "{refused}");
    }
    assert_eq!(install(sign(7, &entry, NOW.plus(SECOND))), Err("crl_regression"));
    assert_eq!(install(sign(8, &entry, NOW.plus(SECOND))), Ok(id));
    assert_eq!(kakunin.revocations().reason(&id, &below()), Ok(Some(Reason::KeyCompromise)));
    clock.set(NOW.plus(SECOND));
    let reopened = block_on(Kakunin::open(config(), parts)).unwrap();
    assert_eq!(reopened.revocations().reason(&id, &below()), Ok(Some(Reason::KeyCompromise)));
}

#[test]
fn an_issuing_ca_that_its_root_revoked_issues_nothing_and_is_replaced() {
    let (parts, clock) = parts();
    let root = Elsewhere::new(1);
    let request = block_on(Kakunin::request_first_issuing(&config(), &parts)).unwrap();
    let begun = Config { offline: Some(root.sign(&request)), ..config() };
    let mut kakunin = block_on(Kakunin::open(begun, parts.clone())).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    let revoked = kakunin.issuer().id();
    for (number, cause) in [(7, Cause::Hold), (8, Cause::KeyCompromise)] {
        let at = clock.now();
        let revocation = Revocation {
            issuer: root.root.id(),
            serial: below(),
            agent: AgentId::from_bytes([0; 16]),
            at,
            cause,
            expires: at.plus(DAY),
            shard: 0,
        };
        let window = (at.minus(BACKDATE), at.plus(DAY));
        let entry = crl::entry(&revocation);
        let crl = crl::sign(&root.root, &*root.key, Coverage::Full, number, &entry, window);
        block_on(kakunin.install_root_crl(block_on(crl).unwrap())).unwrap();
        clock.set(clock.now().plus(SECOND));
        for _ in 0..2 {
            let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
            let agent = block_on(kakunin.register(&acme, spec)).unwrap().id;
            let before = block_on(parts.keys.list()).unwrap().len();
            let refused = block_on(kakunin.certify(&acme, &agent, Profile::Standard, KeySource::default()));
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), "issuer_revoked");
            assert!(refused.to_string().contains(&revoked.to_string()), "{refused}");
            assert_eq!(block_on(parts.keys.list()).unwrap().len(), before, "no key is made for it");
            assert_eq!(block_on(kakunin.check_signing()).unwrap_err().code(), "issuer_revoked");
            let told: Vec<_> = kakunin.revoked_authorities().iter().map(|ca| ca.issuer.id()).collect();
            assert_eq!(told, [revoked]);
            // Also as a process that starts then finds it.
            kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        }
    }
    // What the root gave before it revoked that is no way out, and the next one is.
    let request = block_on(kakunin.request_issuing()).unwrap();
    let refused = block_on(kakunin.install_issuing(None, &root.sign(&request))).unwrap_err();
    assert_eq!(refused.code(), "issuer_revoked");
    block_on(kakunin.install_issuing(None, &root.sign_as(None, &request, 0x22))).unwrap();
    assert!(kakunin.revoked_authorities().is_empty());
    block_on(kakunin.check_signing()).unwrap();
    issue(&kakunin, &acme);
}

#[test]
fn the_crl_of_an_offline_root_is_told_of_before_it_ends() {
    let (parts, clock) = parts();
    let root = Elsewhere::new(1);
    let request = block_on(Kakunin::request_first_issuing(&config(), &parts)).unwrap();
    let begun = Config { offline: Some(root.sign(&request)), ..config() };
    let mut kakunin = block_on(Kakunin::open(begun, parts.clone())).unwrap();
    let stands = |kakunin: &Kakunin| {
        block_on(kakunin.tend_root_crls());
        let all = kakunin.root_crl_endings();
        let [RootCrlEnding { root: of, next_update, stage, failing: false, offline: true }] = all[..] else {
            panic!("{all:?}")
        };
        assert_eq!(of, root.root.id());
        (next_update, stage)
    };
    assert_eq!(stands(&kakunin), (None, Stage::Far));
    let mut number = 0;
    let mut install = |kakunin: &Kakunin, days: u64| {
        number += 1;
        let now = clock.now();
        let window = (now, now.plus(days * DAY));
        let der = crl::sign(&root.root, &*root.key, Coverage::Full, number, &[], window);
        block_on(kakunin.install_root_crl(block_on(der).unwrap())).unwrap();
        window.1
    };
    let end = install(&kakunin, 40);
    for (left, stage) in [
        (10 * DAY, Stage::Far),
        (10 * DAY - 1, Stage::Near),
        (4 * DAY, Stage::Near),
        (4 * DAY - 1, Stage::Urgent),
        (0, Stage::Ended),
    ] {
        clock.set(end.minus(left));
        assert_eq!(stands(&kakunin), (Some(end), stage), "{left}");
        kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        assert_eq!(stands(&kakunin), (Some(end), stage), "{left}, after a start");
    }
    // Of a long one, weeks and not months are urgent.
    let end = install(&kakunin, 1_000);
    assert_eq!(stands(&kakunin), (Some(end), Stage::Far));
    for (days, stage) in [(91, Stage::Far), (89, Stage::Near), (31, Stage::Near), (29, Stage::Urgent)] {
        clock.set(end.minus(days * DAY));
        assert_eq!(stands(&kakunin), (Some(end), stage), "{days}");
    }
}

#[test]
fn a_root_whose_key_is_gone_is_told_of_before_its_crl_ends() {
    let w = world();
    let failing = || {
        block_on(w.kakunin.tend_root_crls());
        w.kakunin.root_crl_endings().iter().map(|crl| (crl.failing, crl.stage)).collect::<Vec<_>>()
    };
    assert_eq!(failing(), [(false, Stage::Far)]);
    let crls = || block_on(w.kakunin.chain_crls(Reader::Deployment)).unwrap();
    let first = crls().last().unwrap().next_update;
    // It is made anew by itself.
    w.clock.set(first.minus(DAY));
    assert_eq!(failing(), [(false, Stage::Far)]);
    let ends = w.kakunin.root_crl_endings().first().unwrap().next_update.unwrap();
    assert!(ends > first, "{ends}");
    let root = w.kakunin.root().key().spki().clone();
    for key in block_on(w.parts.keys.list()).unwrap() {
        let of = block_on(w.parts.keys.open(&key.key)).unwrap();
        if *of.public_key() == root {
            block_on(w.parts.keys.retire(&key.key)).unwrap();
        }
    }
    assert_eq!(failing(), [(true, Stage::Far)]);
}

#[test]
fn what_no_root_signed_is_not_installed() {
    let w = world();
    let request = block_on(w.kakunin.request_issuing()).unwrap();
    let (one, two) = (Elsewhere::new(1), Elsewhere::new(2));
    let good = one.sign(&request);
    let agent = issue(&w.kakunin, &w.acme).der;
    let mut forged = good.clone();
    *forged.issuing.last_mut().unwrap() ^= 1;
    let refused = [
        OfflineRoot { root: two.root.as_der().to_vec(), ..good.clone() },
        OfflineRoot { root: good.issuing.clone(), ..good.clone() },
        OfflineRoot { issuing: good.root.clone(), ..good.clone() },
        OfflineRoot { issuing: agent, ..good.clone() },
        OfflineRoot { root: Vec::new(), ..good.clone() },
        forged,
    ];
    for bad in refused {
        let error = block_on(w.kakunin.install_issuing(None, &bad)).unwrap_err();
        assert!(matches!(error, Error::Ca(_)), "{error:?}");
    }
    w.clock.set(NOW.plus(4 * 365 * DAY));
    let late = block_on(w.kakunin.install_issuing(None, &good));
    assert!(matches!(late, Err(Error::Ca(CaError::NotValid))), "{late:?}");
    assert_eq!((w.kakunin.roots().len(), w.kakunin.authorities().len()), (1, 1));
}
