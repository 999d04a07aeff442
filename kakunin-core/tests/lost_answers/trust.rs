//! What takes trust away takes both certificates.

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::id::{AgentId, Serial};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{EventStatus, NotificationKind};
use kakunin_core::time::{DAY, HOUR};
use pollster::block_on;

use crate::common::NOW;
use crate::world::{World, code, risk, world};

#[test]
fn whatever_takes_trust_away_takes_both() {
    type Take = fn(&World, &AgentId, &Serial, &Serial);
    let takes: [(&str, Take); 7] = [
        ("halt", |w, agent, _, _| {
            block_on(w.kakunin.tenant(&w.acme).halt(agent, Cause::KillSwitchActivated, None))
                .map(|_| ())
                .unwrap();
        }),
        ("retire", |w, agent, _, _| block_on(w.kakunin.tenant(&w.acme).retire(agent)).unwrap()),
        ("revoke the new one", |w, _, _, new| {
            block_on(w.kakunin.tenant(&w.acme).revoke(new, Cause::OperatorInitiated)).map(|_| ()).unwrap();
        }),
        ("revoke the new one as superseded", |w, _, _, new| {
            block_on(w.kakunin.tenant(&w.acme).revoke(new, Cause::Superseded)).map(|_| ()).unwrap();
        }),
        ("revoke the old one", |w, _, old, _| {
            block_on(w.kakunin.tenant(&w.acme).revoke(old, Cause::KeyCompromise)).map(|_| ()).unwrap();
        }),
        ("risk of the old one", |w, _, old, _| risk(w, old)),
        ("risk, after a restart", |w, _, old, _| risk(w, old)),
    ];
    for (name, take) in takes {
        let mut w = world();
        let (agent, old, new) = w.renewed();
        if name.ends_with("restart") {
            w = w.reopened();
        }
        take(&w, &agent, &old, &new);
        assert!(w.reason(&old).is_some() && w.reason(&new).is_some(), "{name}");
        assert_ne!(w.state(&agent), AgentState::Active, "{name}");
        for serial in [&old, &new] {
            assert_eq!(w.observe(serial, Attribution::Signed), EventStatus::NotAccepted, "{name}");
        }
        assert_eq!(code(w.renew_own(&old, 0, 2)), "agent_state", "{name}: nothing is given again");
        let told = block_on(w.kakunin.tenant(&w.acme).notifications(None, 9)).unwrap();
        let told = told.iter().filter(|(_, item)| {
            matches!(item.kind, NotificationKind::AgentRevoked | NotificationKind::AgentHalted)
        });
        assert_eq!(told.count(), usize::from(!name.ends_with("superseded")), "{name}: told of once");
        // The record alone says the same.
        let w = w.reopened();
        assert!(w.reason(&old).is_some() && w.reason(&new).is_some(), "{name}");
        w.clock.set(NOW.plus(4 * DAY));
        let size = w.size();
        block_on(w.kakunin.tend()).unwrap();
        assert_eq!(w.size(), size, "{name}: nothing is left to supersede");
    }
}

#[test]
fn of_events_that_are_refused_as_a_whole_none_takes_anything_away() {
    let w = world();
    let (agent, old, new) = w.renewed();
    let nobody = Serial::from_bytes([1; 16]).unwrap();
    let refused = |n| Event::refused(old, format!("delete:backups/{n}").parse().unwrap());
    let unknown = || Event::new(nobody, "read:accounts/1".parse().unwrap(), Outcome::Ok);
    let size = w.size();
    let used = Event::new(new, "read:accounts/1".parse().unwrap(), Outcome::Ok);
    for events in [vec![used], (0..1_000).map(refused).collect()] {
        let all = events.iter().cloned().chain([unknown()]).collect();
        assert!(block_on(w.kakunin.tenant(&w.acme).observe_all_or_none(all)).is_err());
        assert_eq!((w.size(), w.reason(&old), w.reason(&new)), (size, None, None));
    }
    assert_eq!(w.state(&agent), AgentState::Active);
    risk(&w, &old);
    assert!(w.reason(&old).is_some() && w.reason(&new).is_some());
}

#[test]
fn a_hold_takes_both_and_gives_both_back_while_their_time_lasts() {
    for named_old in [false, true] {
        for late in [false, true] {
            let w = world();
            let (agent, old, new) = w.renewed();
            let named = if named_old { old } else { new };
            block_on(w.kakunin.tenant(&w.acme).hold(&named)).unwrap();
            let hold = Some(Reason::CertificateHold);
            assert_eq!((w.reason(&old), w.reason(&new)), (hold, hold));
            assert_eq!(
                (w.state(&agent), code(w.renew_own(&old, 0, 2))),
                (AgentState::Suspended, "agent_state")
            );
            let w = w.reopened();
            if late {
                w.clock.set(NOW.plus(3 * DAY + HOUR));
            }
            block_on(w.kakunin.tenant(&w.acme).release(&named)).unwrap();
            let wanted = if late { Some(Reason::Superseded) } else { None };
            assert_eq!((w.reason(&old), w.reason(&new)), (wanted, None));
            assert_eq!(w.state(&agent), AgentState::Active);
        }
    }
}
