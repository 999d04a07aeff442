//! What went wrong once.

use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::issue::Profile;
use kakunin_core::log::record::Control;
use kakunin_core::policy::{BreakerPolicy, Mode, RiskState, Verdict};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::risk::{Score, Thresholds};
use kakunin_core::time::{HOUR, MINUTE};
use pollster::block_on;

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
    assert_eq!(block_on(w.tenant().release_held(note("an outage"))).unwrap(), 0);
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
