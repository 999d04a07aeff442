//! What was begun before trust was taken away: requests, grants and signatures.

use std::sync::Arc;

use kakunin_core::agent::AgentState;
use kakunin_core::grant::Principal;
use kakunin_core::issue::Profile;
use kakunin_core::revoke::Cause;
use kakunin_core::service::Tended;
use pollster::block_on;

use crate::common::{MODEL, P256};
use crate::world::{Taking, code, note, world};

#[test]
fn what_was_begun_before_is_not_concluded_after() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let serial = certificate.facts.serial;
    let model = MODEL.parse().unwrap();
    // Held and released while the certificate is signed: the agent stands as before, and the renewal is void.
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.tenant(&acme).hold(&serial)).unwrap();
        block_on(kakunin.tenant(&acme).release(&serial)).unwrap();
    });
    let tenant = w.kakunin.tenant(&w.acme);
    let renewed = tenant.renew(&agent, &model, Profile::Standard, P256);
    assert_eq!((code(block_on(renewed)), w.state(&agent)), ("agent_state", AgentState::Active));
    assert!(w.names().contains(&"key.abandoned"), "on record");
    // Halted and reinstated meanwhile: what somebody trusts again is not what was begun.
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.tenant(&acme).halt(&agent, Cause::RegulatoryOrder, None)).unwrap();
        block_on(kakunin.tenant(&acme).reinstate(&agent, note("a drill"))).unwrap();
    });
    let tenant = w.kakunin.tenant(&w.acme);
    let renewed = tenant.renew(&agent, &model, Profile::Standard, P256);
    assert_eq!((code(block_on(renewed)), w.state(&agent)), ("agent_state", AgentState::Pending));
    let before = block_on(w.parts.keys.list()).unwrap().len();
    // The same of a first certificate, by token.
    let token = w.join(&agent).unwrap();
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.tenant(&acme).halt(&agent, Cause::RegulatoryOrder, None)).unwrap();
    });
    assert_eq!((code(w.enrol(&token)), w.state(&agent)), ("agent_state", AgentState::Suspended));
    w.reinstate(&agent).unwrap();
    w.certify(&agent).unwrap();
    assert_eq!(block_on(w.parts.keys.list()).unwrap().len(), before + 1, "no key is left over");
    assert_eq!(block_on(w.kakunin.tend()).unwrap(), Tended::default());
}

#[test]
fn grants_end_with_trust_and_come_not_back_with_a_release() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let serial = certificate.facts.serial;
    let role = Principal::try_from("arn:aws:iam::111122223333:role/desk-7".to_owned()).unwrap();
    let grant = || block_on(w.kakunin.tenant(&w.acme).grant_key(&agent, &role));
    let granted = || w.meanwhile.granted.lock().unwrap().len();
    let release = || block_on(w.kakunin.tenant(&w.acme).release(&serial)).unwrap();
    grant().unwrap();
    assert_eq!(granted(), 1);
    block_on(w.kakunin.tenant(&w.acme).hold(&serial)).unwrap();
    assert_eq!(granted(), 0);
    release();
    assert_eq!((granted(), w.names().iter().filter(|name| **name == "key.grants_voided").count()), (0, 1));
    // Held and released while the provider grants.
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.tenant(&acme).hold(&serial)).unwrap();
        block_on(kakunin.tenant(&acme).release(&serial)).unwrap();
    });
    assert_eq!((code(grant()), granted()), ("agent_state", 0));
    // The same, and the provider's answer is lost.
    *w.meanwhile.lost.lock().unwrap() = true;
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.tenant(&acme).hold(&serial)).unwrap();
        block_on(kakunin.tenant(&acme).release(&serial)).unwrap();
    });
    assert!(grant().is_err() && granted() == 0);
    assert!(grant().is_err() && granted() == 1, "it may have been made, and nothing took trust away");
    *w.meanwhile.lost.lock().unwrap() = false;
    grant().unwrap();
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::RegulatoryOrder, None)).unwrap();
    assert_eq!(granted(), 0);
}

#[test]
fn a_signature_that_was_asked_for_before_is_not_given_after() {
    for (taking, then) in [(Taking::Halt, false), (Taking::Hold, false), (Taking::Hold, true)] {
        let w = Arc::new(world());
        let (agent, certificate) = w.agent("one");
        let serial = certificate.facts.serial;
        let sign = |message: &[u8]| block_on(w.kakunin.tenant(&w.acme).sign(&agent, message));
        assert!(sign(b"0 pay 7").is_ok());
        let other = w.clone();
        w.meanwhile.let_happen(move || {
            other.take(taking, &agent, &serial);
            if then {
                block_on(other.kakunin.tenant(&other.acme).release(&serial)).unwrap();
            }
        });
        assert_eq!(code(sign(b"0 pay 7")), "agent_state", "{taking:?}");
        assert_eq!(sign(b"0 pay 7").is_ok(), then);
    }
}
