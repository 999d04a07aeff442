//! Orders that wait for a second person.

use kakunin_core::id::ApprovalId;
use kakunin_core::log::record::Requested;
use kakunin_core::policy::{Mode, SecondApprover, Verdict};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{APPROVAL_LIFE, Error, MAX_WAITING, Replaces};
use pollster::block_on;

use crate::world::{NOW, World, note, world};

fn careful() -> World {
    let w = world();
    w.set(|policy| policy.second_approver = SecondApprover { revoke: true, release: true, policy: true });
    w
}

fn waits<T: core::fmt::Debug>(done: Result<T, Error>) -> ApprovalId {
    match done {
        Err(Error::Waits(id)) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_revocation_waits_for_somebody_else_and_is_done_once() {
    let w = careful();
    let (_, serial) = w.agent("one");
    let order = waits(block_on(w.tenant_of("key:ann").revoke(&serial, Cause::KeyCompromise)));
    assert_eq!(w.reason(&serial), None, "nothing happens yet");
    let [waiting] = &block_on(w.tenant().waiting()).unwrap()[..] else { panic!() };
    assert_eq!((waiting.request.id, waiting.by.as_str()), (order, "key:ann"));
    let own = block_on(w.tenant_of("key:ann").approve(&order, None)).unwrap_err();
    assert_eq!(own.code(), "approval_same_person");
    let nobody = block_on(w.tenant().approve(&order, None)).unwrap_err();
    assert_eq!(nobody.code(), "approval_unnamed");
    let beta =
        block_on(w.kakunin.acting_as("key:eve".parse().unwrap()).create_tenant(&"beta".parse().unwrap()));
    assert_eq!(block_on(beta.unwrap().approve(&order, None)).unwrap_err().code(), "not_found");
    let w = w.restarted();
    let w = w.rebuilt();
    let done = block_on(w.tenant_of("key:bob").approve(&order, Some(note("seen")))).unwrap();
    assert!(matches!(done, Requested::Revoke { cause: Cause::KeyCompromise, .. }));
    assert_eq!(w.reason(&serial), Some(Reason::KeyCompromise));
    assert_eq!(block_on(w.tenant_of("key:bob").approve(&order, None)).unwrap_err().code(), "not_found");
    assert_eq!(block_on(w.tenant().waiting()).unwrap(), []);
}

#[test]
fn what_takes_trust_away_at_once_waits_for_nobody() {
    let w = careful();
    let (one, first) = w.agent("one");
    block_on(w.tenant().hold(&first)).unwrap();
    assert_eq!(w.reason(&first), Some(Reason::CertificateHold));
    block_on(w.tenant().halt(&one, Cause::KillSwitchActivated, None)).unwrap();
    let (two, second) = w.agent("two");
    block_on(w.tenant().judge(&two, Verdict::ConfirmCompromised, Cause::KeyCompromise, note("leaked")))
        .unwrap();
    assert_eq!(w.reason(&second), Some(Reason::KeyCompromise));
    let (_, third) = w.agent("three");
    w.until(third, |seen| seen.revoked);
}

#[test]
fn trust_comes_back_with_two() {
    let w = careful();
    let (one, first) = w.agent("one");
    let (ann, bob) = (w.tenant_of("key:ann"), w.tenant_of("key:bob"));
    block_on(ann.hold(&first)).unwrap();
    let release = waits(block_on(ann.release(&first)));
    block_on(bob.approve(&release, None)).unwrap();
    assert_eq!(w.reason(&first), None);
    block_on(ann.halt(&one, Cause::OperatorInitiated, None)).unwrap();
    let reinstate = waits(block_on(ann.reinstate(&one, note("mended"))));
    let again = waits(block_on(ann.reinstate(&one, note("mended, and looked at"))));
    block_on(bob.approve(&reinstate, None)).unwrap();
    w.certify(&one);
    // What is not true any more when it is approved is refused then, and waits on.
    assert_eq!(block_on(bob.approve(&again, None)).unwrap_err().code(), "agent_state");
    block_on(ann.reject(&again, Some(note("sent twice")))).unwrap();
    assert_eq!(block_on(w.tenant().waiting()).unwrap(), []);
}

#[test]
fn a_policy_waits_and_is_void_if_another_comes_first() {
    let w = careful();
    let (ann, bob) = (w.tenant_of("key:ann"), w.tenant_of("key:bob"));
    let now = block_on(ann.policy()).unwrap();
    let mut policy = (*now.policy).clone();
    (policy.mode, policy.second_approver) = (Mode::Observe, SecondApprover::default());
    let careless = waits(block_on(ann.set_policy(policy.clone(), Replaces::Since(now.since), None)));
    policy.mode = Mode::Warn;
    policy.second_approver.policy = true;
    let other = waits(block_on(bob.set_policy(policy, Replaces::Any, None)));
    assert_eq!(block_on(w.tenant().policy()).unwrap(), now);
    block_on(ann.approve(&other, None)).unwrap();
    assert_eq!(block_on(w.tenant().policy()).unwrap().policy.mode, Mode::Warn);
    assert_eq!(block_on(bob.approve(&careless, None)).unwrap_err().code(), "policy_changed");
}

#[test]
fn what_the_breaker_holds_is_released_by_two_with_one_order() {
    let w = world();
    w.set(|policy| {
        policy.second_approver.release = true;
        policy.breaker.as_mut().unwrap().revocations = 0;
        policy.breaker.as_mut().unwrap().share = Default::default();
    });
    let agents: Vec<_> = (0..3).map(|n| w.agent(&format!("agent {n}"))).collect();
    agents.iter().for_each(|(_, serial)| _ = w.lost(*serial));
    let (ann, bob) = (w.tenant_of("key:ann"), w.tenant_of("key:bob"));
    let safe = block_on(ann.judge(&agents[0].0, Verdict::ConfirmSafe, Cause::KeyCompromise, note("mine")));
    assert_eq!(safe.unwrap_err().code(), "approval_required", "a verdict is no way around it");
    let order = waits(block_on(ann.release_held(note("an outage"))));
    block_on(bob.approve(&order, None)).unwrap();
    assert!(agents.iter().all(|(_, serial)| w.reason(serial).is_none()));
    assert_eq!(block_on(w.tenant().breaker()).unwrap().tripped, None);
}

#[test]
fn orders_wait_for_a_day_and_only_so_many() {
    let w = careful();
    let (_, serial) = w.agent("one");
    let ann = w.tenant_of("key:ann");
    let unnamed = block_on(w.tenant().revoke(&serial, Cause::Unspecified)).unwrap_err();
    assert_eq!(unnamed.code(), "approval_unnamed");
    let first = waits(block_on(ann.revoke(&serial, Cause::Unspecified)));
    for n in 1..MAX_WAITING {
        let other = w.tenant_of(&format!("key:{n}"));
        assert_ne!(waits(block_on(other.revoke(&serial, Cause::Unspecified))), first);
    }
    assert_eq!(waits(block_on(ann.revoke(&serial, Cause::Unspecified))), first, "sent again");
    let more = block_on(w.tenant_of("key:more").revoke(&serial, Cause::Unspecified)).unwrap_err();
    assert_eq!(more.code(), "approvals_waiting");
    w.clock.set(NOW.plus(APPROVAL_LIFE));
    let late = block_on(w.tenant_of("key:bob").approve(&first, None)).unwrap_err();
    assert_eq!(late.code(), "not_found");
    assert_eq!(block_on(w.tenant().waiting()).unwrap(), []);
    waits(block_on(ann.revoke(&serial, Cause::Unspecified)));
    assert_eq!((w.reason(&serial), block_on(w.tenant().waiting()).unwrap().len()), (None, 1));
}
