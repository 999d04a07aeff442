//! Issuing CAs of one tenant.

use kakunin_core::agent::NewAgent;
use kakunin_core::feed::Visibility;
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::Record;
use kakunin_core::service::{Config, Error, Kakunin, KeySource, Reader};
use kakunin_core::time::DAY;
use kakunin_core::x509::ca::CaError;
use kakunin_core::x509::oid;
use pollster::block_on;

use crate::world::{Elsewhere, MODEL, NOW, config, issue, openssl, parts, world};

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
    let set = |kakunin: &Kakunin, v| block_on(kakunin.tenant(&w.acme).set_visibility(v));
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
        assert_eq!(block_on(kakunin.tenant(&w.acme).visibility()).unwrap(), Visibility::Private);
        assert_eq!(block_on(kakunin.tenant(&w.other).visibility()).unwrap(), Visibility::Public);
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
    let entries = block_on(again.read_log(&log, 0, 1_000)).unwrap();
    let changes = entries.iter().map(|e| Record::open(e).unwrap()).filter(of).count();
    assert_eq!(changes, 2, "what changes nothing is not recorded");
    let nobody = "nobody".parse().unwrap();
    let unknown = block_on(again.tenant(&nobody).set_visibility(Visibility::Private));
    assert!(matches!(unknown, Err(Error::NotFound("tenant"))));
}

#[test]
fn a_private_tenant_whose_ca_expired_gets_nothing_from_a_shared_one() {
    let w = world();
    block_on(w.kakunin.rotate_issuing(Some(&w.acme))).unwrap();
    block_on(w.kakunin.tenant(&w.acme).set_visibility(Visibility::Private)).unwrap();
    w.clock.set(NOW.plus(2 * 365 * DAY));
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    w.clock.set(NOW.plus(4 * 365 * DAY));
    let reopened = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    let agent =
        block_on(reopened.tenant(&w.acme).register(NewAgent::new("one", MODEL, ["read:accounts"]).unwrap()));
    let certify = |agent| {
        let source = KeySource::Provider(KeyAlgorithm::P256);
        block_on(reopened.tenant(&w.acme).certify(agent, Profile::Standard, source)).map(|c| c.facts.issuer)
    };
    let agent = agent.unwrap().id;
    assert!(matches!(certify(&agent), Err(Error::SharedIssuer)));
    let own = block_on(reopened.rotate_issuing(Some(&w.acme))).unwrap().id();
    assert_eq!(certify(&agent).unwrap(), own);
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
