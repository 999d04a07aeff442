//! What one process does the others know, without being asked and without being opened again.

use std::sync::atomic::Ordering;

use kakunin_core::access::Role;
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::id::TenantId;
use kakunin_core::log::entry::LogId;
use kakunin_core::policy::Policy;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Error, EventStatus, Kakunin, Replaces};
use pollster::block_on;

use crate::common::MODEL;
use crate::world::{World, event};

#[test]
fn agents_certificates_and_revocations_reach_everybody() {
    let w = World::of(3);
    let (agent, serial) = w.agent(0, "one");
    w.level();
    for (kakunin, _) in &w.members {
        let known = block_on(kakunin.tenant(&w.acme).agent(&agent)).unwrap();
        assert_eq!((known.state, known.certificate), (AgentState::Active, Some(serial)));
    }
    let issuer = w.one(0).authorities()[0].issuer.id();
    let revoked = |kakunin: &Kakunin| {
        let live = kakunin.revocations();
        live.reason(&issuer, &serial).unwrap().is_some()
    };
    assert!(w.members.iter().all(|(kakunin, _)| !revoked(kakunin)));
    block_on(w.one(1).tenant(&w.acme).revoke(&serial, Cause::KeyCompromise)).unwrap();
    w.until("everybody refuses it", || w.members.iter().all(|(kakunin, _)| revoked(kakunin)));
    let late = block_on(w.one(2).tenant(&w.acme).observe(event(serial, 1, 1))).unwrap();
    assert_eq!(late.status, EventStatus::NotAccepted);
    w.agree(&[agent]);
}

#[test]
fn tenants_keys_and_policies_reach_everybody() {
    let w = World::of(2);
    let other: TenantId = "other".parse().unwrap();
    block_on(w.one(1).create_tenant(&other)).unwrap();
    let tenant = w.one(1).tenant(&other);
    let (facts, key) =
        block_on(tenant.create_api_key(Role::Operator, "desk".parse().unwrap(), None)).unwrap();
    w.until("the key opens there", || w.one(0).authenticate(key.reveal()).is_some());
    block_on(w.one(0).revoke_api_key(&facts.id)).unwrap();
    w.until("the key opens nothing there", || w.one(1).authenticate(key.reveal()).is_none());
    let before = block_on(w.one(0).tenant(&w.acme).policy()).unwrap();
    let mut stricter = Policy::clone(&before.policy);
    stricter.minimum.events += 1;
    block_on(w.one(1).tenant(&w.acme).set_policy(stricter.clone(), Replaces::Since(None), None)).unwrap();
    w.until("the policy is in force there", || {
        *block_on(w.one(0).tenant(&w.acme).policy()).unwrap().policy == stricter
    });
}

#[test]
fn who_hears_nothing_refuses_and_goes_on_once_it_hears_again() {
    let w = World::of(2);
    let (agent, serial) = w.agent(0, "one");
    w.level();
    w.members[1].1.cut_off.store(true, Ordering::SeqCst);
    let cut_off = w.one(1).tenant(&w.acme);
    let refused = block_on(cut_off.observe(event(serial, 1, 1))).unwrap_err();
    assert_eq!(refused.code(), "storage_unavailable");
    for seq in 1..=40 {
        block_on(w.one(0).tenant(&w.acme).observe(event(serial, 1, seq))).unwrap();
    }
    block_on(w.one(0).tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
    w.members[1].1.cut_off.store(false, Ordering::SeqCst);
    // It hears of the next.
    let spec = NewAgent::new("two", MODEL, ["read:a"]).unwrap();
    let two = block_on(w.one(0).tenant(&w.acme).register(spec)).unwrap().id;
    let log = LogId::Tenant(w.acme.clone());
    w.until("it has read on", || w.one(1).applied(&log) == w.one(0).applied(&log));
    assert_eq!(block_on(cut_off.agent(&agent)).unwrap().state, AgentState::Suspended);
    assert!(!matches!(block_on(cut_off.agent(&two)), Err(Error::NotFound(_))));
    w.agree(&[agent, two]);
}

#[test]
fn a_key_that_is_read_while_something_else_is_ordered_opens_from_there_on() {
    let w = World::of(2);
    for n in 0..20 {
        w.members[1].1.cut_off.store(true, Ordering::SeqCst);
        let tenant = w.one(0).tenant(&w.acme);
        let (_, key) =
            block_on(tenant.create_api_key(Role::Operator, "desk".parse().unwrap(), None)).unwrap();
        w.members[1].1.cut_off.store(false, Ordering::SeqCst);
        block_on(w.one(1).create_tenant(&format!("other-{n}").parse().unwrap())).unwrap();
        assert!(w.one(1).authenticate(key.reveal()).is_some(), "{n}");
    }
}
