//! Evidence from before and after a reinstatement.

use kakunin_core::event::{Event, Outcome};
use kakunin_core::revoke::Cause;
use kakunin_core::service::EventStatus;
use kakunin_core::time::{DAY, HOUR};
use pollster::block_on;

use crate::world::{World, act, refusal, world};

#[test]
fn what_was_taken_or_held_stays_out_and_reinstatement_ends_what_was_before() {
    use EventStatus::{NotAccepted, Scored};
    let w = world();
    let (agent, first) = w.agent();
    let second = w.renew(&agent);
    block_on(w.kakunin.tenant(&w.acme).hold(&second)).unwrap();
    assert_eq!((w.status(act(&second)), w.status(act(&first))), (NotAccepted, Scored));
    block_on(w.kakunin.tenant(&w.acme).release(&second)).unwrap();
    w.at(1);
    block_on(w.kakunin.tenant(&w.acme).revoke(&second, Cause::KeyCompromise)).unwrap();
    assert_eq!((w.status(act(&second)), w.status(act(&first))), (NotAccepted, NotAccepted));
    w.at(2);
    w.reinstate(&agent);
    for serial in [&first, &second] {
        assert_eq!(w.status(refusal(serial, 0)), NotAccepted);
    }
    let third = w.certify(&agent);
    // A decision to trust it again: also if the old evidence comes later, and after a restart.
    let w = w.restarted();
    for serial in [&first, &second] {
        assert_eq!(w.status(refusal(serial, 0)), NotAccepted);
    }
    let w = w.rebuilt();
    assert_eq!((w.status(refusal(&first, 0)), w.status(act(&third))), (NotAccepted, Scored));
    w.at(3);
    let fourth = w.renew(&agent);
    assert_eq!((w.status(act(&third)), w.status(act(&first))), (Scored, NotAccepted));
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!((w.status(act(&third)), w.status(act(&fourth))), (NotAccepted, NotAccepted));
    let (retired, old) = w.agent();
    w.renew(&retired);
    block_on(w.kakunin.tenant(&w.acme).retire(&retired)).unwrap();
    assert_eq!(w.status(act(&old)), NotAccepted);
}

#[test]
fn a_log_that_is_ahead_of_the_clock_lets_nobody_out_of_what_it_does_after_reinstatement() {
    use EventStatus::{NotAccepted, Scored};
    let w = world();
    w.at(DAY);
    let (agent, first) = w.agent();
    // The clock was a day ahead, and is put right.
    w.at(0);
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
    w.reinstate(&agent);
    let second = w.certify(&agent);
    w.at(HOUR);
    let third = w.renew(&agent);
    assert_eq!((w.status(act(&second)), w.status(act(&third))), (Scored, Scored));
    assert_eq!(w.status(act(&first)), NotAccepted);
    let w = w.rebuilt();
    assert_eq!((w.status(act(&second)), w.status(act(&third))), (Scored, Scored));
}

#[test]
fn a_reinstated_agent_begins_with_no_evidence_and_nothing_refused() {
    use EventStatus::{NotAccepted, Scored};
    let w = world();
    let (agent, first) = w.agent();
    w.at(1);
    let second = w.renew(&agent);
    let denied = |serial, action: &str| Event::new(serial, action.parse().unwrap(), Outcome::Denied);
    for (n, serial) in [first, second].into_iter().enumerate() {
        assert_eq!(w.status(denied(serial, &format!("delete:backups/{n}"))), Scored);
    }
    let said = |w: &World| {
        let risk = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap();
        let actions: Vec<_> = risk.refused.actions.iter().map(|r| r.action.to_string()).collect();
        (risk.score.millionths() > 0, risk.evidence.len(), risk.days.len(), actions)
    };
    let before = said(&w);
    assert_eq!((before.0, before.3.len()), (true, 2));
    block_on(w.kakunin.snapshot()).unwrap();
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!(said(&w), before, "a halt forgets nothing");
    w.at(2);
    w.reinstate(&agent);
    let anew = said(&w);
    assert_eq!((anew.0, anew.2, &anew.3[..]), (false, 0, &[][..]));
    // Also if the old evidence comes again, from under either certificate, before and after there is another one.
    for serial in [first, second] {
        assert_eq!(w.status(denied(serial, "delete:backups/0")), NotAccepted);
    }
    let third = w.certify(&agent);
    for serial in [first, second] {
        assert_eq!(w.status(denied(serial, "delete:backups/0")), NotAccepted);
    }
    assert_eq!(said(&w), anew);
    let w = w.restarted();
    assert_eq!(said(&w), anew, "the snapshot is of before");
    assert_eq!(w.status(denied(first, "delete:backups/0")), NotAccepted);
    assert_eq!(w.status(denied(third, "delete:backups/2")), Scored);
    let after = said(&w);
    assert_eq!((after.0, &after.3[..]), (true, &["delete:backups/2".to_owned()][..]));
    let w = w.rebuilt();
    assert_eq!(said(&w), after, "by replay too");
    assert_eq!((w.status(act(&first)), w.status(act(&third))), (NotAccepted, Scored));
}
