//! Evidence over renewals and the ends of certificates.

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::Serial;
use kakunin_core::log::record::{Body, Control};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::EventStatus;
use kakunin_core::time::{DAY, HOUR, MINUTE};
use pollster::block_on;

use crate::common::NOW;
use crate::world::{DUE, World, refusal, world};

#[test]
fn what_is_reported_after_a_renewal_takes_the_certificate_that_followed() {
    let w = world();
    let without = {
        let (_, serial) = w.agent();
        w.refuse(&serial).unwrap()
    };
    let (agent, first) = w.enrolled(&["read:accounts"]);
    w.at(DUE);
    let second = w.renew_itself(&first, 1);
    w.at(DUE + MINUTE);
    let third = w.renew_theirs(&agent, &second, 2);
    // Before anybody used the new one, and across two renewals in a row.
    assert_eq!(w.refuse(&first), Some(without));
    assert_eq!(w.state(&agent), AgentState::Suspended);
    assert_eq!(w.reason(&first), Some(Reason::Superseded));
    assert_eq!(
        (w.reason(&second), w.reason(&third)),
        (Some(Reason::Superseded), Some(Reason::PrivilegeWithdrawn))
    );
    let records = w.records();
    let Body::Control(last) = &records.last().unwrap().body else { panic!() };
    let Control::CertificateRevoked { revocation, evidence: Some(evidence), .. } = &**last else {
        panic!("{last:?}")
    };
    assert_eq!((revocation.serial, revocation.cause), (third, Cause::RiskThresholdExceeded));
    let named = &records[usize::try_from(evidence.event).unwrap()];
    assert_eq!((named.serial, matches!(named.body, Body::Event(..))), (Some(first), true));
    assert_eq!(w.status(refusal(&first, 0)), EventStatus::NotAccepted, "there is nothing left to take");
    assert_eq!(w.status(refusal(&third, 0)), EventStatus::NotAccepted);
}

#[test]
fn what_the_end_of_a_certificate_refuses_is_no_evidence_and_what_its_scope_refuses_is() {
    let w = world();
    let (agent, first) = w.agent();
    w.at(MINUTE);
    w.renew(&agent);
    // Requests that were on their way, and a program that did not notice.
    for n in 0..500 {
        let denied = Event::new(first, "read:accounts".parse().unwrap(), Outcome::Denied);
        let denied = Event { occurred_at: Some(NOW.plus(MINUTE + 1 + n)), ..denied };
        assert_eq!(w.status(denied), EventStatus::NotAccepted);
    }
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap().score.millionths(), 0);
    let before = Event::new(first, "read:accounts".parse().unwrap(), Outcome::Denied);
    let before = Event { occurred_at: Some(NOW.plus(1)), ..before };
    assert_eq!(w.status(before), EventStatus::Scored, "a guard refused it while the certificate stood");
    let probe = Event { occurred_at: Some(NOW.plus(2 * MINUTE)), ..refusal(&first, 0) };
    assert_eq!(w.status(probe), EventStatus::Scored);
}

#[test]
fn a_certificate_that_ran_out_counts_for_a_day() {
    let w = world();
    let (agent, first) = w.agent();
    let end = block_on(w.kakunin.tenant(&w.acme).certificates(&agent)).unwrap()[0].facts.not_after.since(NOW);
    w.at(end + HOUR);
    assert_eq!(w.status(refusal(&first, 0)), EventStatus::Scored);
    // Another one by an operator's order is no decision to forget.
    let second = w.certify(&agent);
    assert_eq!(w.status(refusal(&first, 1)), EventStatus::Scored);
    let w = w.restarted();
    let n = w.refuse(&first).unwrap();
    assert!(n < 20 && w.reason(&second) == Some(Reason::PrivilegeWithdrawn), "{n}");
    let (agent, first) = w.agent();
    let end = block_on(w.kakunin.tenant(&w.acme).certificates(&agent)).unwrap()[0].facts.not_after.since(NOW);
    w.at(end + 1);
    assert!(w.refuse(&first).is_some(), "also without another one: it has to be reinstated");
    assert_eq!(w.state(&agent), AgentState::Suspended);
    let (_, late) = w.agent();
    w.at(end + 9 * DAY);
    assert_eq!(w.status(refusal(&late, 0)), EventStatus::NotAccepted);
}

#[test]
fn what_was_refused_survives_renewals_until_a_person_approves() {
    let w = world();
    let (agent, first) = w.enrolled(&["delete:*", "grant:*", "read:*", "write:*"]);
    let refuse = |w: &World, serial: &Serial, action: String| {
        // As a guard of the host refuses what the certificate allows: little evidence, so that the agent lives.
        w.observe(Event::new(*serial, action.parse().unwrap(), Outcome::Denied));
    };
    refuse(&w, &first, "delete:backups".into());
    w.at(DUE);
    let second = w.renew_itself(&first, 1);
    assert_eq!((w.last_renewal().approved, w.last_renewal().refused.len()), (None, 1));
    (0..64).for_each(|n| refuse(&w, &second, format!("read:harmless-{n}")));
    refuse(&w, &second, "grant:roles/admin".into());
    block_on(w.kakunin.snapshot()).unwrap();
    (0..64).for_each(|n| refuse(&w, &second, format!("write:notes/{n}")));
    w.at(2 * DUE);
    let third = w.renew_itself(&second, 2);
    let notable = ["delete:backups", "grant:roles/admin", "read:harmless-0", "write:notes/63"];
    let w = w.restarted();
    let seen = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap().refused;
    for action in notable {
        assert!(seen.actions.iter().any(|r| r.action.as_str() == action && r.count == 1), "{action}");
    }
    assert_eq!(seen.actions.len() + usize::try_from(seen.more).unwrap(), 130);
    let w = w.rebuilt();
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap().refused, seen, "by replay too");
    // A person's renewal says it all, and ends it.
    w.renew_theirs(&agent, &third, 3);
    let renewal = w.last_renewal();
    assert!(renewal.approved.is_some() && renewal.refused_more == seen.more);
    assert_eq!(renewal.refused, seen.actions.iter().map(|r| r.action.clone()).collect::<Vec<_>>());
    let after = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap().refused;
    assert_eq!((after.actions.len(), after.more), (0, 0));
}
