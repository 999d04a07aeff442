//! A verifier in the same process knows whatever the deployment makes, without being made anew.

use std::sync::{Arc, Mutex};

use kakunin_core::agent::NewAgent;
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::revoke::Cause;
use kakunin_core::service::Kakunin;
use kakunin_core::time::{Clock, HOUR, SECOND, UnixTime};
use kakunin_verify::Verifier;
use pollster::block_on;

use crate::common::P256;
use crate::world::{Elsewhere, MODEL, NOW, World, issue, world};

fn verifier(w: &World) -> Verifier {
    Verifier::following(w.kakunin.clone()).build(w.clock.now()).unwrap()
}

fn code(verifier: &Verifier, leaf: &Certificate, now: UnixTime) -> &'static str {
    verifier.verify(&[&leaf.der], now).map_or_else(|denied| denied.code(), |_| "accepted")
}

#[test]
fn new_issuing_cas_those_of_tenants_and_new_roots_are_known_at_once() {
    let w = world();
    let verifier = verifier(&w);
    let before = issue(&w.kakunin, &w.acme);
    assert_eq!(code(&verifier, &before, NOW), "accepted");
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    let rotated = issue(&w.kakunin, &w.acme);
    block_on(w.kakunin.rotate_issuing(Some(&w.other))).unwrap();
    let of_tenant = issue(&w.kakunin, &w.other);
    let elsewhere = Elsewhere::new(7);
    let request = block_on(w.kakunin.request_issuing()).unwrap();
    block_on(w.kakunin.install_issuing(None, &elsewhere.sign(&request))).unwrap();
    let under_another_root = issue_another(&w.kakunin, &w);
    for leaf in [&before, &rotated, &of_tenant, &under_another_root] {
        assert_eq!(code(&verifier, leaf, NOW), "accepted");
    }
    assert_eq!(verifier.issuers().len(), 4);
    for (tenant, leaf) in [(&w.acme, &rotated), (&w.other, &of_tenant), (&w.acme, &under_another_root)] {
        let kept = verifier.verify(&[&leaf.der], NOW).unwrap();
        block_on(w.kakunin.tenant(tenant).revoke(&leaf.facts.serial, Cause::KeyCompromise)).unwrap();
        assert_eq!(code(&verifier, leaf, NOW), "agent_revoked");
        assert_eq!(kept.authorize("read:accounts", NOW).unwrap_err().code(), "agent_revoked");
    }
    assert_eq!(code(&verifier, &before, NOW), "accepted");
    // What another deployment makes stays unknown.
    let foreign = world();
    block_on(foreign.kakunin.rotate_issuing(None)).unwrap();
    assert_eq!(code(&verifier, &issue(&foreign.kakunin, &foreign.acme), NOW), "issuer_unknown");
}

fn issue_another(kakunin: &Kakunin, w: &World) -> Certificate {
    let spec = NewAgent::new("two", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(kakunin.tenant(&w.acme).register(spec)).unwrap().id;
    block_on(kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, P256)).unwrap()
}

#[test]
fn a_ca_that_begins_later_is_left_out_told_of_once_and_taken_in_when_it_has_begun() {
    let w = world();
    let before = issue(&w.kakunin, &w.acme);
    w.clock.set(NOW.plus(3 * HOUR));
    block_on(w.kakunin.rotate_issuing(None)).unwrap();
    let early = issue_another(&w.kakunin, &w);
    w.clock.set(NOW);
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = told.clone();
    let verifier = Verifier::following(w.kakunin.clone())
        .on_left_out(move |id, why| hear.lock().unwrap().push((*id, why.code())))
        .build(NOW)
        .unwrap();
    assert_eq!(*told.lock().unwrap(), [(early.facts.issuer, "issuer_invalid")]);
    assert_eq!(code(&verifier, &before, NOW), "accepted");
    let soon = NOW.plus(40 * SECOND);
    assert_eq!(code(&verifier, &early, soon), "certificate_not_yet_valid");
    let then = NOW.plus(4 * HOUR);
    assert_eq!((code(&verifier, &before, then), code(&verifier, &early, then)), ("accepted", "accepted"));
    assert_eq!(told.lock().unwrap().len(), 1);
}
