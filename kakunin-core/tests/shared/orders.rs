//! What one of two orders.

use kakunin_core::access::Role;
use kakunin_core::agent::NewAgent;
use kakunin_core::feed::Visibility;
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider as _, PlannedKeyId};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Error, Kakunin, OfflineRoot, Reader};
use kakunin_core::time::DAY;
use kakunin_core::x509::ca::{CaError, sign_issuing, sign_root};
use kakunin_core::x509::csr::Proven;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, NOW, P256, config};
use crate::world::{follow, issuer_of_next, key, world};

#[test]
fn what_one_orders_the_other_knows_without_being_opened_again() {
    let w = world();
    let (one, other, acme) = (&w.one, &w.other, &w.acme);
    let bolt: TenantId = "bolt".parse().unwrap();
    block_on(one.create_tenant(&bolt)).unwrap();
    let (kept, gone) = (key(one, &bolt), key(one, &bolt));
    let admin = block_on(one.tenant(acme).create_api_key(Role::Admin, "a".parse().unwrap(), None)).unwrap();
    assert!(other.authenticate(kept.1.reveal()).is_none() && !block_on(other.had_admin_key()).unwrap());
    follow(other);
    for (known, text) in [&kept, &gone, &admin] {
        assert_eq!(other.authenticate(text.reveal()).as_deref(), Some(known));
    }
    assert!(block_on(other.had_admin_key()).unwrap());
    assert_eq!(issuer_of_next(other, &bolt, "one").unwrap(), one.issuer().id());
    block_on(one.revoke_api_key(&gone.0.id)).unwrap();
    follow(other);
    assert!(other.authenticate(gone.1.reveal()).is_none() && other.authenticate(kept.1.reveal()).is_some());
    // A tenant's own CA, which it keeps to itself; then another for everybody, under another root.
    let own = block_on(one.rotate_issuing(Some(acme))).unwrap().id();
    block_on(one.tenant(acme).set_visibility(Visibility::Private)).unwrap();
    assert!(other.may_read_revocations(&own, Reader::Anybody), "it knows of no such CA");
    follow(other);
    assert!(!other.may_read_revocations(&own, Reader::Anybody));
    assert_eq!(issuer_of_next(other, acme, "two").unwrap(), own);
    w.clock.set(NOW.plus(14 * 365 * DAY + 200 * DAY));
    let next = block_on(one.rotate_issuing(None)).unwrap();
    assert_eq!(one.roots().len(), 2, "the first root does not see a certificate of a year");
    follow(other);
    assert_eq!((other.issuer().id(), other.roots().len()), (next.id(), 2));
    w.agree();
}

#[test]
fn what_an_offline_root_signed_is_installed_for_both() {
    let w = world();
    let keys = LocalKeys::ephemeral();
    let root_key = block_on(keys.generate(&PlannedKeyId::new([7; 16]), KeyAlgorithm::P256)).unwrap();
    let root_key = block_on(keys.open(&root_key)).unwrap();
    let [of_root, below] = [7, 8].map(|n| Serial::from_bytes([n; 16]).unwrap());
    let root = block_on(sign_root(&*root_key, &of_root, None, NOW)).unwrap();
    let request = Proven::read(&block_on(w.other.request_issuing()).unwrap()).unwrap();
    let published = request.published.as_ref();
    let issuing = sign_issuing(&root, &*root_key, &request.key, &below, None, published, NOW);
    let issuing = block_on(issuing).unwrap();
    let signed = OfflineRoot { root: root.as_der().to_vec(), issuing: issuing.as_der().to_vec() };
    block_on(w.one.install_issuing(None, &signed)).unwrap();
    // Done twice, it is refused by the one that asked for it as by the one that has it.
    for kakunin in [&w.one, &w.other] {
        let again = block_on(kakunin.install_issuing(None, &signed));
        assert!(matches!(&again, Err(Error::Ca(CaError::OtherKey))), "{again:?}");
    }
    follow(&w.other);
    assert_eq!(w.other.issuer().id(), issuing.id());
    assert_eq!(issuer_of_next(&w.other, &w.acme, "one").unwrap(), issuing.id());
    assert_eq!(w.records("ca.created"), 4);
    w.agree();
}

#[test]
fn each_decides_on_what_the_other_recorded() {
    let w = world();
    let both = [&w.one, &w.other];
    let tenant = |n: usize| -> TenantId { format!("tenant{n}").parse().unwrap() };
    for n in 0..8 {
        block_on(both[n % 2].create_tenant(&tenant(n))).unwrap();
        // CRLs are on the same log.
        block_on(both[(n + 1) % 2].crl(Some(u16::try_from(n).unwrap()))).unwrap();
    }
    // Nobody read on in between: it is there, and not there twice.
    for n in 0..8 {
        block_on(both[(n + 1) % 2].create_tenant(&tenant(n))).unwrap();
    }
    assert_eq!((w.records("tenant.created"), w.records("crl.published")), (9, 8));
    let (facts, _) = key(&w.one, &tenant(3));
    block_on(w.other.revoke_api_key(&facts.id)).unwrap();
    assert_eq!(block_on(w.one.revoke_api_key(&facts.id)).unwrap_err().code(), "not_found");
    block_on(w.one.rotate_issuing(Some(&w.acme))).unwrap();
    for (kakunin, visibility) in [
        (&w.other, Visibility::Private),
        (&w.one, Visibility::Private),
        (&w.one, Visibility::Public),
        (&w.other, Visibility::Public),
        (&w.other, Visibility::Private),
    ] {
        block_on(kakunin.tenant(&w.acme).set_visibility(visibility)).unwrap();
        assert_eq!(block_on(kakunin.tenant(&w.acme).visibility()).unwrap(), visibility);
    }
    assert_eq!(w.records("revocations.visibility_changed"), 3);
    w.agree();
}

#[test]
fn verifiers_of_both_know_what_a_ca_revoked_that_one_made() {
    let w = world();
    let own = block_on(w.one.rotate_issuing(Some(&w.acme))).unwrap().id();
    let spec = NewAgent::new("one", MODEL, ["read:a"]).unwrap();
    let agent = block_on(w.one.tenant(&w.acme).register(spec)).unwrap().id;
    let leaf = block_on(w.one.tenant(&w.acme).certify(&agent, Profile::Standard, P256)).unwrap().facts;
    assert_eq!(leaf.issuer, own);
    block_on(w.one.tenant(&w.acme).revoke(&leaf.serial, Cause::KeyCompromise)).unwrap();
    follow(&w.other);
    assert_eq!(w.other.revocations().reason(&own, &leaf.serial).unwrap(), Some(Reason::KeyCompromise));
    w.agree();
}

#[test]
fn both_at_once_get_everything_done() {
    let w = world();
    let at_once = &|kakunin: &Kakunin, side: usize| {
        for n in 0..40 {
            // Every other one is what the other side makes, too.
            let name = if n % 2 == 0 { format!("both{n}") } else { format!("side{side}-{n}") };
            let tenant: TenantId = name.parse().unwrap();
            block_on(kakunin.create_tenant(&tenant)).unwrap();
            let (facts, text) = key(kakunin, &tenant);
            if n % 3 == 0 {
                block_on(kakunin.revoke_api_key(&facts.id)).unwrap();
            }
            assert_eq!(kakunin.authenticate(text.reveal()).is_some(), n % 3 != 0);
            block_on(kakunin.tend()).unwrap();
        }
    };
    std::thread::scope(|threads| {
        let both = [(&w.one, 1), (&w.other, 2)];
        let busy = both.map(|(kakunin, side)| threads.spawn(move || at_once(kakunin, side)));
        // Who comes to it meanwhile finds it whole.
        while !busy.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            let third = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
            assert_eq!(third.damage().named, Vec::<String>::new());
        }
    });
    assert_eq!((w.records("tenant.created"), w.records("api_key.created")), (1 + 20 + 40, 80));
    w.agree();
    assert_eq!(w.one.api_keys(None).len(), 80 - 28);
}
