//! What an agent does, its score, and what that takes away.

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyProvider;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::scope::ScopeSet;
use kakunin_core::service::{EventStatus, NotificationKind};
use pollster::block_on;

use crate::world::{MODEL, P256, world};

#[test]
fn an_agent_that_is_only_refused_loses_its_identity_and_the_others_keep_theirs() {
    let w = world();
    let (led_astray, serial) = w.agent("one");
    let (honest, other) = w.agent("two");
    let refusals = w.refuse_until_revoked(serial);
    assert!(refusals < 60, "{refusals}");
    assert_eq!((w.state(&led_astray), w.state(&honest)), (AgentState::Suspended, AgentState::Active));
    assert_eq!((w.reason(&serial), w.reason(&other)), (Some(Reason::PrivilegeWithdrawn), None));
    let late =
        block_on(w.kakunin.tenant(&w.acme).observe(w.event(serial, "read:accounts", Outcome::Ok))).unwrap();
    assert_eq!((late.status, late.revoked), (EventStatus::NotAccepted, false));
    let inbox = block_on(w.kakunin.tenant(&w.acme).notifications(None, 100)).unwrap();
    let kinds: Vec<_> = inbox.iter().map(|(_, n)| n.kind).collect();
    assert_eq!(kinds.first(), Some(&NotificationKind::AgentRevoked), "{kinds:?}");
    assert!(inbox.iter().all(|(_, n)| n.agent == led_astray && n.evidence.is_some()));
    assert_eq!(block_on(w.keys.list()).unwrap().len(), 5, "log, feed, root, issuing, and the honest agent's");
}

#[test]
fn the_revocation_stands_in_the_log_with_the_event_that_caused_it() {
    let w = world();
    let (_, serial) = w.agent("one");
    w.refuse_until_revoked(serial);
    let records = w.records();
    let at = records.iter().position(
        |r| matches!(&r.body, Body::Control(c) if matches!(**c, Control::CertificateRevoked { .. })),
    );
    let at = at.unwrap();
    let Body::Control(control) = &records[at].body else { unreachable!() };
    let Control::CertificateRevoked { revocation, evidence: Some(evidence), .. } = &**control else {
        panic!("{control:?}")
    };
    assert_eq!((revocation.serial, revocation.cause), (serial, Cause::RiskThresholdExceeded));
    let event = usize::try_from(evidence.event).unwrap();
    assert_eq!(event, at - 2, "event, band, revocation: one append");
    let Body::Event(act, _) = &records[event].body else { panic!() };
    assert_eq!(act.score, Some(evidence.score));
    assert!(evidence.score >= evidence.threshold && !evidence.families.is_empty());
    assert!(records.windows(2).all(|w| w[0].time <= w[1].time), "log time never goes back");
}

#[test]
fn an_asserted_event_is_recorded_and_moves_no_score() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let before = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap();
    for n in 0..500 {
        let mut event = Event::refused(serial, "delete:backups".parse().unwrap());
        event.attribution = Attribution::Asserted;
        event.target = Some(format!("t{n}").parse().unwrap());
        let seen = block_on(w.kakunin.tenant(&w.acme).observe(event)).unwrap();
        assert_eq!(seen.status, EventStatus::Unattributed);
    }
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap(), before);
    assert_eq!(w.reason(&serial), None);
}

#[test]
fn the_certificate_decides_what_is_out_of_scope_and_no_reporter() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let said = |serial, action: &str, out_of_scope| Event {
        out_of_scope,
        ..w.event(serial, action, Outcome::Denied)
    };
    let events = [
        (said(serial, "delete:backups", false), true),
        (said(serial, "read:accounts", true), false),
        (said(serial, "read:accounts/7", false), true),
        // Nothing is asked of a certificate where no action is named.
        (Event { unspecified: true, ..said(serial, "call:unauthorized", true) }, true),
        (Event { unspecified: true, ..said(serial, "call:api", false) }, false),
    ];
    let first = w.records().len();
    let (events, expected): (Vec<_>, Vec<_>) = events.into_iter().unzip();
    block_on(w.kakunin.tenant(&w.acme).observe_all(events)).unwrap();
    let found = |first: usize| {
        let facts = |record: &Record| match &record.body {
            Body::Event(act, event) => Some((act.facts.out_of_scope, event.as_ref().unwrap().out_of_scope)),
            Body::Control(_) => None,
        };
        w.records().iter().skip(first).filter_map(facts).collect::<Vec<_>>()
    };
    assert_eq!(found(first), expected.iter().map(|outside| (*outside, *outside)).collect::<Vec<_>>());
    // Of each certificate what it says itself, whatever its agent may do by now.
    block_on(w.kakunin.tenant(&w.acme).update(
        &agent,
        kakunin_core::agent::AgentChange {
            scope: Some(ScopeSet::parse(["delete:backups"]).unwrap()),
            ..Default::default()
        },
    ))
    .unwrap();
    let model = MODEL.parse().unwrap();
    let renewed = block_on(w.kakunin.tenant(&w.acme).renew(&agent, &model, Profile::Standard, P256)).unwrap();
    let (first, new) = (w.records().len(), renewed.facts.serial);
    let events = vec![
        said(serial, "delete:backups", false),
        said(serial, "read:accounts", true),
        said(new, "delete:backups", true),
        said(new, "read:accounts", false),
    ];
    block_on(w.kakunin.tenant(&w.acme).observe_all(events)).unwrap();
    assert_eq!(found(first), [(true, true), (false, false), (false, false), (true, true)]);
}
