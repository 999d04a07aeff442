//! The breaker: too many losses, or one broken target, and further identities are held until a person looks.

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::Serial;
use kakunin_core::log::record::{Control, InCommon};
use kakunin_core::policy::{BreakerPolicy, RiskState};
use kakunin_core::revoke::Reason;
use kakunin_core::risk::{Band, Score};
use kakunin_core::service::NotificationKind;
use kakunin_core::time::{HOUR, MINUTE};
use pollster::block_on;

use crate::world::{NOW, World, note, works, world};

/// Not more than so many an hour.
fn after(w: &World, revocations: u32) {
    w.set(|policy| {
        let share = Score::default();
        policy.breaker = Some(BreakerPolicy { revocations, share, ..BreakerPolicy::default() });
    });
}

fn trips(w: &World) -> Vec<(u64, InCommon)> {
    w.of(|control| match control {
        Control::BreakerTripped(tripped) => Some(tripped.in_common.clone()),
        _ => None,
    })
}

/// A failed authentication.
pub(crate) fn fails(serial: Serial, target: &str) -> Event {
    let mut event = Event::new(serial, "read:accounts".parse().unwrap(), Outcome::Denied);
    (event.auth_failure, event.target) = (true, Some(target.parse().unwrap()));
    event
}

fn until_lost(w: &World, mut next: impl FnMut() -> Event) -> bool {
    (0..500).map(|_| w.observe(next())).find(|seen| seen.revoked || seen.held).expect("nothing follows").held
}

#[test]
fn more_losses_than_are_let_through_are_holds_and_one_alert() {
    let w = world();
    after(&w, 2);
    let agents: Vec<_> = (0..5).map(|n| w.agent(&format!("agent {n}"))).collect();
    for (_, serial) in &agents {
        w.lost(*serial);
    }
    let reasons: Vec<_> = agents.iter().map(|(_, serial)| w.reason(serial).unwrap()).collect();
    use Reason::{CertificateHold as Held, PrivilegeWithdrawn as Lost};
    assert_eq!(reasons, [Lost, Lost, Held, Held, Held]);
    let [(index, InCommon::Revocations { count: 2, allowed: 2 })] = trips(&w)[..] else {
        panic!("{:?}", trips(&w))
    };
    let status = block_on(w.tenant().breaker()).unwrap();
    let mut held: Vec<_> = agents[2..].iter().map(|(id, _)| *id).collect();
    held.sort_unstable();
    assert_eq!((status.tripped.map(|(at, _)| at), status.held, status.recent), (Some(index), held, 2));
    let risk = w.risk(&agents[2].0);
    assert_eq!(
        (risk.state, risk.held, risk.agent.state),
        (RiskState::AtRisk, Some(index), AgentState::Suspended)
    );
    // It holds so after a restart, and from the log alone.
    let w = w.restarted();
    let w = w.rebuilt();
    assert_eq!(block_on(w.tenant().breaker()).unwrap().held.len(), 3);
    let (_, sixth) = w.agent("agent 6");
    w.lost(sixth);
    assert_eq!((w.reason(&sixth), trips(&w).len()), (Some(Held), 1));
    let released = block_on(w.tenant_of("key:ann").release_held(note("the model was changed"))).unwrap();
    assert_eq!(released, 4);
    for (id, serial) in &agents[2..] {
        let risk = w.risk(id);
        assert_eq!((w.reason(serial), risk.band, risk.held), (None, Band::Low, None));
        assert_eq!((risk.state, risk.agent.state), (RiskState::Dismissed, AgentState::Active));
        // Honest work survives.
        (0..50).for_each(|_| assert!(!w.observe(works(*serial)).held));
    }
    // Closed: it begins anew.
    assert_eq!(block_on(w.tenant().release_held(note("again"))).unwrap_err().code(), "breaker_not_tripped");
    w.lost(agents[2].1);
    assert_eq!(w.reason(&agents[2].1), Some(Lost));
}

#[test]
fn a_person_confirms_all_that_is_held_with_one_call() {
    let w = world();
    after(&w, 0);
    let agents: Vec<_> = (0..3).map(|n| w.agent(&format!("agent {n}"))).collect();
    agents.iter().for_each(|(_, serial)| _ = w.lost(*serial));
    assert_eq!(block_on(w.tenant_of("key:ann").confirm_held(note("they were taken over"))).unwrap(), 3);
    for (id, serial) in &agents {
        assert_eq!((w.reason(serial), w.risk(id).held), (Some(Reason::PrivilegeWithdrawn), None));
    }
    let status = block_on(w.tenant().breaker()).unwrap();
    assert_eq!((status.tripped, status.held), (None, vec![]));
    let resolved = w.of(|control| match control {
        Control::BreakerResolved(resolved) => Some((resolved.confirmed, resolved.reason.clone())),
        _ => None,
    });
    assert_eq!(resolved.len(), 1);
    assert_eq!(resolved[0].1, (true, note("they were taken over")));
}

#[test]
fn losses_that_are_over_an_hour_old_count_no_more() {
    let w = world();
    after(&w, 1);
    for n in 0..4 {
        w.clock.set(NOW.plus(n * (HOUR + MINUTE)));
        let (_, serial) = w.agent(&format!("agent {n}"));
        w.lost(serial);
        assert_eq!(w.reason(&serial), Some(Reason::PrivilegeWithdrawn), "{n}");
    }
    assert_eq!(trips(&w), []);
}

#[test]
fn one_target_at_which_many_fail_is_the_cause_and_is_named() {
    let w = world();
    let agents: Vec<_> = (0..4).map(|n| w.agent(&format!("agent {n}"))).collect();
    for _ in 0..3 {
        agents[..3].iter().for_each(|(_, serial)| _ = w.observe(fails(*serial, "https://bank.example/api")));
    }
    let (first, other) = (agents[0].1, agents[3].1);
    assert!(until_lost(&w, || fails(first, "https://bank.example/api")), "it is held");
    let trips_ = trips(&w);
    let [(index, InCommon::Target { target: Some(name), agents: 3, event, .. })] = trips_.as_slice() else {
        panic!("{trips_:?}")
    };
    assert_eq!(name.as_str(), "https://bank.example/api");
    assert!(event < index);
    // From then on nobody's is taken away without a person: also of who does something else.
    assert!(w.until(other, |seen| seen.revoked || seen.held).0.held);
    // One agent that fails at a target by itself is the agent's fault.
    let w = world();
    let agents: Vec<_> = (0..4).map(|n| w.agent(&format!("agent {n}"))).collect();
    let mut n = 0;
    let alone = || {
        n += 1;
        fails(agents[0].1, if n % 2 == 0 { "https://bank.example/api" } else { "https://other.example" })
    };
    assert!(!until_lost(&w, alone));
    assert_eq!((trips(&w), w.reason(&agents[0].1)), (vec![], Some(Reason::PrivilegeWithdrawn)));
}

#[test]
fn a_hold_of_the_breakers_that_is_released_alone_takes_its_evidence_along() {
    let w = world();
    after(&w, 0);
    let (id, serial) = w.agent("one");
    w.lost(serial);
    block_on(w.tenant().release(&serial)).unwrap();
    let risk = w.risk(&id);
    assert_eq!((risk.state, risk.held, w.reason(&serial)), (RiskState::Dismissed, None, None));
    assert!(!w.observe(works(serial)).held, "else the next event would hold it again");
    assert_eq!(block_on(w.tenant().breaker()).unwrap().tripped, None, "it held nobody else");
}

#[test]
fn without_a_breaker_everybody_who_crosses_is_revoked() {
    let w = world();
    w.set(|policy| policy.breaker = None);
    for n in 0..8 {
        let (_, serial) = w.agent(&format!("agent {n}"));
        w.lost(serial);
        assert_eq!(w.reason(&serial), Some(Reason::PrivilegeWithdrawn));
    }
    assert_eq!(w.inbox().iter().filter(|item| item.kind == NotificationKind::AgentRevoked).count(), 8);
}
