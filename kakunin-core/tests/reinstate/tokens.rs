//! Join tokens: what a spare one opens, and when it ends.

use kakunin_core::access::{ApiKeyId, Role};
use kakunin_core::agent::AgentState;
use kakunin_core::issue::Profile;
use kakunin_core::revoke::Cause;
use kakunin_core::service::Kakunin;
use kakunin_core::time::MINUTE;
use pollster::block_on;

use crate::common::{MODEL, NOW, P256, config};
use crate::world::{TAKINGS, Taking, World, code, spec, world};

#[test]
fn a_spare_join_token_opens_nothing_once_trust_was_taken_away() {
    for taking in TAKINGS {
        let mut w = world();
        let (agent, certificate) = w.agent("one");
        let spare = w.join(&agent).unwrap();
        w.take(taking, &agent, &certificate.facts.serial);
        let state = if taking == Taking::Retire { AgentState::Retired } else { AgentState::Suspended };
        for how in ["live", "reopened", "rebuilt"] {
            w = match how {
                "reopened" => w.reopened(),
                "rebuilt" => w.rebuilt(),
                _ => w,
            };
            assert_eq!(code(w.enrol(&spare)), "join_token_invalid", "{taking:?}, {how}");
            assert_eq!(w.state(&agent), state, "{taking:?}, {how}");
        }
        assert_eq!(w.names().iter().filter(|name| **name == "join_token.voided").count(), 1, "{taking:?}");
        assert_eq!(w.join_rows(), 0, "{taking:?}: its hash is forgotten");
        // Nor later, when the agent is trusted again.
        match taking {
            Taking::Retire => assert_eq!(code(w.reinstate(&agent)), "agent_state"),
            Taking::Hold => {
                assert_eq!(code(w.reinstate(&agent)), "agent_state", "that is what a release is for");
                block_on(w.kakunin.tenant(&w.acme).release(&certificate.facts.serial)).unwrap();
            }
            _ => assert_eq!(w.reinstate(&agent).unwrap().state, AgentState::Pending),
        }
        assert_eq!(code(w.enrol(&spare)), "join_token_invalid", "{taking:?}");
    }
}

#[test]
fn a_renewal_takes_nothing_away() {
    let w = world();
    let (agent, _) = w.agent("one");
    let spare = w.join(&agent).unwrap();
    block_on(w.kakunin.tenant(&w.acme).renew(&agent, &MODEL.parse().unwrap(), Profile::Ephemeral, P256))
        .unwrap();
    assert!(!w.names().contains(&"join_token.voided"));
    assert_eq!(code(w.enrol(&spare)), "exists");
    w.clock.set(NOW.plus(9 * MINUTE));
    assert_eq!(w.state(&agent), AgentState::Active);
}

#[test]
fn an_agent_that_never_had_a_certificate_loses_its_token_too() {
    let w = world();
    let agent = block_on(w.kakunin.tenant(&w.acme).register(spec("idle"))).unwrap().id;
    let spare = w.join(&agent).unwrap();
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::RegulatoryOrder, None)).unwrap();
    assert_eq!(code(w.enrol(&spare)), "join_token_invalid");
    w.reinstate(&agent).unwrap();
    assert_eq!(code(w.enrol(&spare)), "join_token_invalid");
    assert!(w.enrol(&w.join(&agent).unwrap()).is_ok());
}

/// Whoever got hold of an operator's key made tokens while it worked.
#[test]
fn a_token_ends_with_the_api_key_that_it_was_made_with() {
    let w = world();
    let label = || "desk".parse().unwrap();
    let made = block_on(w.kakunin.tenant(&w.acme).create_api_key(Role::Operator, label(), None)).unwrap().0;
    let other = block_on(w.kakunin.tenant(&w.acme).create_api_key(Role::Operator, label(), None)).unwrap().0;
    let token = |with: &ApiKeyId, name: &str| {
        let kakunin = w.kakunin.acting_as(format!("key:{with}").try_into().unwrap());
        let agent = block_on(kakunin.tenant(&w.acme).register(spec(name))).unwrap().id;
        let tenant = kakunin.tenant(&w.acme);
        let token = tenant.create_join_token(&agent, Profile::Standard, 10 * MINUTE);
        block_on(token).unwrap().1.reveal().to_owned()
    };
    let (used, spare, others) = (token(&made.id, "a"), token(&made.id, "b"), token(&other.id, "c"));
    let unknown = token(&ApiKeyId::from_bytes([7; 16]), "d");
    let enrol = |kakunin: &Kakunin, token: &str, n| block_on(kakunin.enrol(token, &w.request(n)));
    assert!(enrol(&w.kakunin, &used, 1).is_ok());
    block_on(w.kakunin.revoke_api_key(&made.id)).unwrap();
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    block_on(again.load()).unwrap();
    for kakunin in [&w.kakunin, &again] {
        assert_eq!(code(enrol(kakunin, &spare, 2)), "join_token_invalid");
    }
    assert!(
        enrol(&again, &others, 3).is_ok() && enrol(&again, &unknown, 4).is_ok(),
        "whoever made them stands"
    );
}

#[test]
fn a_redeemed_token_whose_certificate_was_cut_off_gives_it_to_the_key_that_redeemed_it() {
    for restarts in [true, false] {
        redeemed_and_cut_off(world(), restarts);
    }
}

fn redeemed_and_cut_off(w: World, restarts: bool) {
    let agent = block_on(w.kakunin.tenant(&w.acme).register(spec("cut off"))).unwrap().id;
    let token = w.join(&agent).unwrap();
    // The process ends between the plan and the certificate, or the call is dropped there.
    w.meanwhile.let_happen(|| std::panic::resume_unwind(Box::new("killed")));
    let cut_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.enrol(&token).map(|_| ())));
    assert!(cut_off.is_err());
    let w = if restarts { w.reopened() } else { w };
    assert_eq!(w.state(&agent), AgentState::Pending);
    let request = w.request(8);
    assert_eq!(code(block_on(w.kakunin.enrol(&token, &request))), "join_token_invalid", "another key");
    let first = w.enrol(&token).unwrap();
    assert_eq!((w.enrol(&token).unwrap(), w.state(&agent)), (first, AgentState::Active));
    assert_eq!(w.names().iter().filter(|name| **name == "join_token.redeemed").count(), 1);
    // And to nobody once its time is over.
    w.clock.set(NOW.plus(20 * MINUTE));
    assert_eq!(code(w.enrol(&token)), "join_token_invalid");
}
