//! An outage over a whole fleet: whom it costs the identity, with the breaker and without.

use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{AgentId, Serial};
use kakunin_core::log::record::Control;
use kakunin_core::revoke::Reason;
use kakunin_core::service::NotificationKind;
use kakunin_core::time::{DAY, MINUTE, SECOND};
use pollster::block_on;

use crate::breaker::fails;
use crate::world::{NOW, World, note, works, world};

const AGENTS: usize = 100;
const TARGET: &str = "https://ledger.example/v1";

fn errs(serial: Serial) -> Event {
    Event { target: Some(TARGET.parse().unwrap()), outcome: Outcome::Error, ..works(serial) }
}

/// Whether a client with back-off tries again in this second of the outage: after 1 s, 2 s, 4 s, up to a minute.
fn backs_off(second: u64) -> bool {
    (0..6).any(|n| second == (1 << n) - 1) || second > 31 && (second - 31).is_multiple_of(60)
}

/// A week of work, and then: the target fails for 20 minutes, half of the clients retry without back-off, and all of them
/// fail to authenticate 10 times a minute for another 20 minutes.
fn outage(w: &World, agents: &[(AgentId, Serial)]) {
    let all = |time: u64, event: &dyn Fn(usize, Serial) -> Option<Event>| {
        w.clock.set(NOW.plus(time));
        let events = agents.iter().enumerate().filter_map(|(n, (_, serial))| event(n, *serial));
        for some in events.collect::<Vec<_>>().chunks(1_000) {
            block_on(w.tenant().observe_all(some.to_vec())).unwrap();
        }
    };
    for day in 0..7 {
        for n in 0..6 {
            all(day * DAY + n * 30 * MINUTE, &|_, serial| {
                let target = Some(TARGET.parse().unwrap());
                Some(Event { target, ..works(serial) })
            });
        }
    }
    let begin = 7 * DAY;
    for second in 0..20 * 60 {
        all(begin + second * SECOND, &|n, serial| {
            let tries = if n % 2 == 0 { second % 5 == 0 } else { backs_off(second) };
            tries.then(|| errs(serial))
        });
    }
    for n in 0..200 {
        all(begin + 20 * MINUTE + n * 6 * SECOND, &|_, serial| Some(fails(serial, TARGET)));
    }
}

fn fleet(w: &World) -> Vec<(AgentId, Serial)> {
    (0..AGENTS).map(|n| w.agent(&format!("agent {n}"))).collect()
}

fn lost(w: &World, agents: &[(AgentId, Serial)], reason: Reason) -> usize {
    agents.iter().filter(|(_, serial)| w.reason(serial) == Some(reason)).count()
}

#[test]
fn an_outage_costs_no_honest_agent_its_identity_and_one_call_ends_it() {
    let w = world();
    let agents = fleet(&w);
    outage(&w, &agents);
    assert_eq!(lost(&w, &agents, Reason::PrivilegeWithdrawn), 0);
    let held = lost(&w, &agents, Reason::CertificateHold);
    assert!(held > 0, "the outage says nothing if it crosses no threshold");
    let alerts = w.inbox().iter().filter(|item| item.kind == NotificationKind::BreakerTripped).count();
    assert_eq!(
        (w.of(|control| matches!(control, Control::BreakerTripped(_)).then_some(())).len(), alerts),
        (1, 1)
    );
    assert_eq!(block_on(w.tenant().breaker()).unwrap().held.len(), held);
    assert_eq!(block_on(w.tenant_of("key:ann").release_held(note("the ledger was down"))).unwrap(), held);
    w.clock.set(NOW.plus(7 * DAY + 60 * MINUTE));
    for (_, serial) in &agents {
        assert_eq!(w.reason(serial), None);
        for _ in 0..20 {
            let seen = w.observe(works(*serial));
            assert!(!seen.revoked && !seen.held, "honest work survives");
        }
    }
}

/// What it is worth: the same outage without it.
#[test]
fn without_the_breaker_the_same_outage_takes_identities_away() {
    let w = world();
    w.set(|policy| policy.breaker = None);
    let agents = fleet(&w);
    outage(&w, &agents);
    let lost = lost(&w, &agents, Reason::PrivilegeWithdrawn);
    assert!(lost > AGENTS / 2, "{lost} of {AGENTS}");
}
