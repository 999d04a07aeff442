//! The same request again: one certificate, and one record.

use kakunin_core::agent::AgentState;
use kakunin_core::id::AgentId;
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Error, KeySource, REPEATABLE};
use kakunin_core::time::DAY;
use pollster::block_on;

use crate::common::NOW;
use crate::world::{GRACE, code, world, world_of};

#[test]
fn the_same_request_gets_the_same_certificate_and_leaves_no_record() {
    for issuing in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048] {
        let w = world_of(issuing, GRACE);
        let agent = w.agent();
        let token = w.token(&agent);
        let first = w.enrol(&token, 0).unwrap();
        let size = w.size();
        assert_eq!(w.enrol(&token, 0).unwrap(), first);
        assert_eq!(code(w.enrol(&token, 2)), "join_token_invalid", "nobody else's key");
        // The process ended before it answered.
        let w = w.reopened();
        assert_eq!((w.enrol(&token, 0).unwrap(), w.size()), (first.clone(), size));
        w.clock.set(NOW.plus(REPEATABLE + 1));
        assert_eq!(code(w.enrol(&token, 0)), "join_token_invalid", "not for ever");

        w.clock.set(NOW.plus(3 * DAY));
        let serial = first.facts.serial;
        let second = w.renew_own(&serial, 0, 2).unwrap();
        let size = w.size();
        for _ in 0..9 {
            assert_eq!(w.renew_own(&serial, 0, 2).unwrap(), second);
        }
        assert_eq!(code(w.renew_own(&serial, 0, 4)), "agent_state", "another request");
        assert_eq!(code(w.renew_own(&serial, 2, 2)), "key_not_bound", "not by the old key");
        let w = w.reopened();
        assert_eq!((w.renew_own(&serial, 0, 2).unwrap(), w.size()), (second.clone(), size));
        // Also once the old one is superseded, and not for ever.
        w.clock.set(NOW.plus(3 * DAY + GRACE));
        block_on(w.kakunin.tend()).unwrap();
        assert_eq!(w.reason(&serial), Some(Reason::Superseded));
        assert_eq!(w.renew_own(&serial, 0, 2).unwrap(), second);
        w.clock.set(NOW.plus(3 * DAY + REPEATABLE + 1));
        assert_eq!(code(w.renew_own(&serial, 0, 2)), "agent_state");

        let request = w.request(4);
        let binding = w.binding(2, &second.facts.serial, &request);
        let third = w.renew(&agent, KeySource::Bound(&request, &binding)).unwrap();
        let size = w.size();
        assert_eq!(w.renew(&agent, KeySource::Bound(&request, &binding)).unwrap(), third);
        assert_eq!(code(w.renew(&agent, KeySource::Request(&request))), "key_not_bound");
        let other = w.request(6);
        assert_eq!(code(w.renew(&agent, KeySource::Bound(&other, &binding))), "key_not_bound");
        assert_eq!(w.size(), size);
    }
}

#[test]
fn an_operator_s_first_certificate_is_given_once_more() {
    let w = world();
    let (one, two) = (w.agent(), w.agent());
    let request = w.request(0);
    let certify = |agent: &AgentId, profile| {
        block_on(w.kakunin.tenant(&w.acme).certify(agent, profile, KeySource::Request(&request)))
    };
    let first = certify(&one, Profile::Standard).unwrap();
    let size = w.size();
    assert_eq!(certify(&one, Profile::Standard).unwrap(), first);
    assert_eq!(code(certify(&one, Profile::Ephemeral)), "exists", "another order");
    assert_eq!(code(certify(&two, Profile::Standard)), "key_in_use");
    assert_eq!(w.size(), size);
    block_on(w.kakunin.tenant(&w.acme).hold(&first.facts.serial)).unwrap();
    assert_eq!(code(certify(&one, Profile::Standard)), "agent_suspended");
    block_on(w.kakunin.tenant(&w.acme).release(&first.facts.serial)).unwrap();
    w.clock.set(NOW.plus(REPEATABLE + 1));
    assert_eq!(code(certify(&one, Profile::Standard)), "exists");
}

#[test]
fn identical_requests_at_once_are_one() {
    for issuing in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048] {
        let w = world_of(issuing, GRACE);
        let agent = w.agent();
        let token = w.token(&agent);
        let all = |ask: &(dyn Fn() -> Result<Certificate, Error> + Sync)| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
                let mut got: Vec<_> = threads.into_iter().map(|t| t.join().unwrap().unwrap()).collect();
                got.dedup();
                assert_eq!(got.len(), 1);
                got.remove(0)
            })
        };
        let first = all(&|| w.enrol(&token, 0)).facts.serial;
        w.clock.set(NOW.plus(3 * DAY));
        all(&|| w.renew_own(&first, 0, 2));
        let issued = w.names().iter().filter(|name| **name == "certificate.issued").count();
        assert_eq!(issued, 2);
    }
}

#[test]
fn a_redeemed_token_gives_nothing_once_trust_is_gone() {
    let w = world();
    let agent = w.agent();
    let token = w.token(&agent);
    w.enrol(&token, 0).unwrap();
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::RegulatoryOrder, None)).unwrap();
    assert_eq!(code(w.enrol(&token, 0)), "join_token_invalid");
    block_on(w.kakunin.tenant(&w.acme).reinstate(&agent, "a drill".to_owned().try_into().unwrap())).unwrap();
    assert_eq!(code(w.enrol(&token, 0)), "join_token_invalid");
    let next = w.token(&agent);
    assert_eq!(code(w.enrol(&token, 2)), "join_token_invalid");
    w.enrol(&next, 2).unwrap();
}

#[test]
fn who_lost_an_answer_meets_no_limit_that_ends_the_grace() {
    let w = world();
    let (agent, first, second) = w.renewed();
    // Whatever is asked with the old certificate: the same, another key, the key before.
    for with in [2, 3, 0] {
        for _ in 0..10 {
            let again = w.renew_own(&first, 0, with);
            assert!(again.is_ok() == (with == 2), "{again:?}");
            assert!(again.is_ok_and(|again| again.facts.serial == second) || with != 2);
        }
    }
    assert_eq!((w.reason(&first), w.state(&agent)), (None, AgentState::Active));
    // Who asks too early with the new one has it.
    assert_eq!(code(w.renew_own(&second, 2, 4)), "self_renewal_limited");
    assert_eq!(w.reason(&first), Some(Reason::Superseded));
}
