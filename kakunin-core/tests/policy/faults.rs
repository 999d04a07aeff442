//! What went wrong once.

use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::id::ApprovalId;
use kakunin_core::issue::Profile;
use kakunin_core::log::record::Control;
use kakunin_core::policy::{BreakerPolicy, Mode, RiskState, Verdict};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::risk::{Score, Thresholds};
use kakunin_core::service::{Error, NotificationKind};
use kakunin_core::time::{HOUR, MINUTE};
use pollster::block_on;

use crate::breaker::fails;
use crate::world::{MODEL, NOW, P256, World, note, refused, works, world};

fn after(w: &World, revocations: u32) {
    w.set(|policy| {
        let share = Score::default();
        policy.breaker = Some(BreakerPolicy { revocations, share, ..BreakerPolicy::default() });
    });
}

fn renew(w: &World, agent: &kakunin_core::id::AgentId) -> kakunin_core::id::Serial {
    let model = MODEL.parse().unwrap();
    block_on(w.tenant().renew(agent, &model, Profile::Standard, P256)).unwrap().facts.serial
}

/// More agents than one step takes, all of whose certificates ran out over night.
#[test]
fn what_the_breaker_holds_is_released_and_confirmed_also_if_it_ran_out_meanwhile() {
    for confirm in [false, true] {
        let w = world();
        after(&w, 0);
        let ephemeral = |n| {
            let spec = NewAgent::new(&format!("agent {n}"), MODEL, ["read:accounts"]).unwrap();
            let id = block_on(w.tenant().register(spec)).unwrap().id;
            let issued = block_on(w.tenant().certify(&id, Profile::Ephemeral, P256)).unwrap();
            (id, issued.facts.serial)
        };
        let agents: Vec<_> = (0..257).map(ephemeral).collect();
        agents.iter().for_each(|(_, serial)| _ = w.lost(*serial));
        w.clock.set(NOW.plus(9 * HOUR));
        let tenant = w.tenant_of("key:ann");
        let done = match confirm {
            true => block_on(tenant.confirm_held(note("taken over"))),
            false => block_on(tenant.release_held(note("an outage"))),
        };
        assert_eq!(done.unwrap(), agents.len());
        assert_eq!(block_on(w.tenant().breaker()).unwrap().held, [], "confirmed: {confirm}");
        let state = if confirm { AgentState::Suspended } else { AgentState::Active };
        for (id, _) in &agents {
            assert_eq!((w.risk(id).agent.state, w.risk(id).held), (state, None));
            if !confirm {
                w.certify(id);
            }
        }
    }
}

#[test]
fn who_is_halted_after_its_certificate_ran_out_is_not_released_with_the_others() {
    let w = world();
    after(&w, 0);
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let id = block_on(w.tenant().register(spec)).unwrap().id;
    let serial = block_on(w.tenant().certify(&id, Profile::Ephemeral, P256)).unwrap().facts.serial;
    w.lost(serial);
    w.clock.set(NOW.plus(9 * HOUR));
    block_on(w.tenant().halt(&id, Cause::KillSwitchActivated, None)).unwrap();
    // Nobody else was held, so it is closed.
    assert_eq!(
        block_on(w.tenant().release_held(note("an outage"))).unwrap_err().code(),
        "breaker_not_tripped"
    );
    assert_eq!(w.risk(&id).agent.state, AgentState::Suspended);
}

/// Two certificates of one agent stand beside each other after a renewal.
#[test]
fn an_identity_that_is_lost_counts_once() {
    let w = world();
    after(&w, 2);
    let (_, other) = w.agent("other");
    let (id, old) = w.agent("one");
    renew(&w, &id);
    w.lost(old);
    assert_eq!(block_on(w.tenant().breaker()).unwrap().recent, 1);
    w.lost(other);
    assert_eq!(w.reason(&other), Some(Reason::PrivilegeWithdrawn), "the second of two");
}

#[test]
fn who_is_confirmed_as_compromised_without_a_certificate_is_given_none() {
    let w = world();
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let id = block_on(w.tenant().register(spec)).unwrap().id;
    let judge = |verdict| {
        block_on(w.tenant_of("key:ann").judge(&id, verdict, Cause::KeyCompromise, note("its host"))).unwrap();
    };
    judge(Verdict::ConfirmCompromised);
    assert_eq!(w.risk(&id).state, RiskState::ConfirmedCompromised);
    let certified = || block_on(w.tenant().certify(&id, Profile::Standard, P256));
    assert_eq!(certified().unwrap_err().code(), "verdict_required");
    judge(Verdict::Dismiss);
    certified().unwrap();
}

/// A band that is not left yet takes nothing away by itself.
#[test]
fn no_identity_is_lost_below_the_threshold() {
    let w = world();
    w.set(|policy| policy.mode = Mode::Warn);
    let (id, serial) = w.agent("one");
    let score = w.until(serial, |seen| seen.score >= Score::from_millionths(850_000)).0.score.millionths();
    let revoke = Score::from_millionths(score + 1);
    w.set(|policy| {
        let thresholds = policy.thresholds;
        policy.thresholds = Thresholds::new(thresholds.medium(), thresholds.warning(), revoke).unwrap();
        policy.mode = Mode::Enforce;
    });
    let seen = w.observe(works(serial));
    assert!(seen.score < revoke && !seen.revoked && !seen.held, "{seen:?}");
    assert_eq!((w.reason(&serial), w.risk(&id).agent.state), (None, AgentState::Active));
}

/// Late reports of a certificate that was replaced, about an agent that somebody holds.
#[test]
fn what_a_person_holds_the_breaker_does_not_hold_again() {
    let w = world();
    after(&w, 0);
    let (_, other) = w.agent("other");
    w.lost(other);
    let (id, old) = w.agent("one");
    let new = renew(&w, &id);
    w.clock.set(NOW.plus(30 * MINUTE));
    w.observe(works(new));
    block_on(w.tenant_of("key:ann").hold(&new)).unwrap();
    let from = w.size();
    (0..60).for_each(|_| _ = w.observe(refused(old)));
    let held = w.of(|control| matches!(control, Control::CertificateHeld { .. }).then_some(()));
    assert_eq!(held.iter().filter(|(at, ())| *at >= from).count(), 0);
    block_on(w.tenant().release_held(note("an outage"))).unwrap();
    assert_eq!(w.reason(&new), Some(Reason::CertificateHold), "it is ann's");
}

/// An order that waited gives back nothing that was taken away after it.
#[test]
fn what_was_ordered_before_somebody_stopped_it_again_is_void() {
    let w = world();
    w.set(|policy| policy.second_approver.release = true);
    let (ann, bob, cat) = (w.tenant_of("key:ann"), w.tenant_of("key:bob"), w.tenant_of("key:cat"));
    let (id, serial) = w.agent("one");
    block_on(ann.hold(&serial)).unwrap();
    let [first, other] = [&ann, &cat].map(|who| waits(block_on(who.release(&serial))));
    assert_eq!(waits(block_on(ann.release(&serial))), first, "sent again, it is the same order");
    block_on(bob.approve(&first, None)).unwrap();
    block_on(cat.hold(&serial)).unwrap();
    assert_eq!(block_on(bob.approve(&other, None)).unwrap_err().code(), "approval_outdated");
    assert_eq!(w.reason(&serial), Some(Reason::CertificateHold));
    block_on(ann.halt(&id, Cause::OperatorInitiated, None)).unwrap();
    let [first, other] = [&ann, &cat].map(|who| waits(block_on(who.reinstate(&id, note("mended")))));
    block_on(bob.approve(&first, None)).unwrap();
    let again = w.certify(&id);
    block_on(ann.halt(&id, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!(block_on(bob.approve(&other, None)).unwrap_err().code(), "approval_outdated");
    assert_eq!(
        (w.risk(&id).agent.state, w.reason(&again)),
        (AgentState::Suspended, Some(Reason::PrivilegeWithdrawn))
    );
}

fn waits<T: core::fmt::Debug>(done: Result<T, Error>) -> ApprovalId {
    match done {
        Err(Error::Waits(id)) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_breaker_closes_with_the_last_that_it_holds() {
    let w = world();
    after(&w, 0);
    let agents: Vec<_> = (0..4).map(|n| w.agent(&format!("agent {n}"))).collect();
    agents.iter().for_each(|(_, serial)| _ = w.lost(*serial));
    let tripped = || block_on(w.tenant().breaker()).unwrap().tripped.is_some();
    let [(_, first), (second, _), (third, _), (_, fourth)] = agents[..] else { panic!() };
    block_on(w.tenant().release(&first)).unwrap();
    block_on(w.tenant().halt(&second, Cause::OperatorInitiated, None)).unwrap();
    block_on(w.tenant().retire(&third)).unwrap();
    assert!(tripped());
    block_on(w.tenant().revoke(&fourth, Cause::KeyCompromise)).unwrap();
    assert!(!tripped());
    // The next one is an alert again.
    w.lost(first);
    let alerts = w.inbox().iter().filter(|item| item.kind == NotificationKind::BreakerTripped).count();
    assert_eq!((w.reason(&first), alerts), (Some(Reason::CertificateHold), 2));
}

#[test]
fn a_person_takes_over_what_the_breaker_holds() {
    let w = world();
    after(&w, 0);
    let (_, one) = w.agent("one");
    let (_, two) = w.agent("two");
    [one, two].into_iter().for_each(|serial| _ = w.lost(serial));
    block_on(w.tenant_of("key:ann").hold(&one)).unwrap();
    assert_eq!(block_on(w.tenant().release_held(note("an outage"))).unwrap(), 1);
    assert_eq!([w.reason(&one), w.reason(&two)], [Some(Reason::CertificateHold), None]);
}

/// One failure happens to everybody: it makes nobody a fellow victim.
#[test]
fn nobody_hides_behind_what_happens_to_everybody() {
    let w = world();
    let agents: Vec<_> = (0..4).map(|n| w.agent(&format!("agent {n}"))).collect();
    agents.iter().for_each(|(_, serial)| _ = w.observe(fails(*serial, "https://ledger.example")));
    let (_, bad) = agents[0];
    w.observe(fails(bad, "https://ledger.example"));
    w.lost(bad);
    assert_eq!(w.reason(&bad), Some(Reason::PrivilegeWithdrawn));
}

/// Who is over the threshold when a tenant begins to enforce loses nothing by honest work.
#[test]
fn ordinary_work_takes_no_identity_away() {
    let w = world();
    w.set(|policy| policy.mode = Mode::Observe);
    let (_, serial) = w.agent("one");
    w.until(serial, |seen| seen.score >= Score::from_millionths(870_000));
    w.set(|policy| policy.mode = Mode::Enforce);
    let seen = w.observe(works(serial));
    assert!(seen.score >= Score::from_millionths(850_000) && !seen.revoked, "{seen:?}");
    assert!(w.observe(refused(serial)).revoked);
}

#[test]
fn a_verdict_takes_away_for_what_verdicts_are_about() {
    let w = world();
    let (id, serial) = w.agent("one");
    let judge = |cause| block_on(w.tenant().judge(&id, Verdict::ConfirmCompromised, cause, note("x")));
    assert_eq!(judge(Cause::Superseded).unwrap_err().code(), "verdict_cause");
    assert_eq!(w.reason(&serial), None);
    judge(Cause::RiskThresholdExceeded).unwrap();
    assert_eq!(w.reason(&serial), Some(Reason::PrivilegeWithdrawn));
}
