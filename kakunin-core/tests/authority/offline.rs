//! A root whose key is elsewhere, and what it says.

use kakunin_core::agent::NewAgent;
use kakunin_core::id::AgentId;
use kakunin_core::issue::Profile;
use kakunin_core::log::record::Stage;
use kakunin_core::revoke::{Cause, Reason, Revocation};
use kakunin_core::service::{
    Config, Error, Kakunin, KeySource, OfflineRoot, Reader, Regression, RootCrlEnding,
};
use kakunin_core::time::{Clock, DAY, SECOND, UnixTime};
use kakunin_core::x509::ca::CaError;
use kakunin_core::x509::crl::{self, BACKDATE, Coverage};
use kakunin_core::x509::csr::Proven;
use pollster::block_on;

use crate::world::{Elsewhere, MODEL, NOW, below, config, issue, openssl, parts, world};

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
            let agent = block_on(kakunin.tenant(&acme).register(spec)).unwrap().id;
            let before = block_on(parts.keys.list()).unwrap().len();
            let refused =
                block_on(kakunin.tenant(&acme).certify(&agent, Profile::Standard, KeySource::default()));
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
