//! Receivers that fail, and what becomes of deliveries to them.

use std::collections::BTreeSet;
use std::future::pending;

use kakunin_core::revoke::Cause;
use kakunin_core::service::{DeliveryState, NotificationKind, WebhookChange};
use kakunin_core::time::{DAY, HOUR, MINUTE, SECOND};
use kakunin_core::webhook::Disabled;
use pollster::block_on;

use crate::common::NOW;
use crate::world::{Does, OTHER, URL, world};

/// The waits of the table, and by how much they are longer at the most.
const WAITS: [u64; 9] =
    [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];

#[test]
fn a_delivery_is_tried_by_the_table_under_one_identifier_until_it_is_taken() {
    for does in [Does::Says(500), Does::Fails, Does::Says(302), Does::Says(404)] {
        let w = world();
        let (facts, _) = w.endpoint(URL);
        w.receivers.set(URL, does);
        w.agent("desk-7");
        w.deliver();
        let (mut now, mut tried) = (0, 1);
        assert_eq!(w.receivers.got(URL).len(), tried, "at once");
        for wait in &WAITS[..5] {
            w.at(now + wait - SECOND);
            w.deliver();
            assert_eq!(w.receivers.got(URL).len(), tried, "{does:?}: not before {wait}");
            now += wait + wait / 5;
            w.at(now);
            w.deliver();
            tried += 1;
            assert_eq!(w.receivers.got(URL).len(), tried, "{does:?}: after {wait}");
            let (_, delivery) = w.deliveries(&facts.id).remove(0);
            assert_eq!(delivery.state, DeliveryState::Retrying);
            assert!(
                delivery.next.unwrap() > NOW.plus(now) && usize::try_from(delivery.count).unwrap() == tried
            );
        }
        w.receivers.set(URL, Does::Says(200));
        w.at(now + 2 * DAY);
        w.deliver();
        let got = w.receivers.got(URL);
        let ids: BTreeSet<_> = got.iter().map(|got| got.id()).collect();
        let times: BTreeSet<_> = got.iter().map(|got| got.fields["webhook-timestamp"].clone()).collect();
        assert_eq!((got.len(), ids.len(), times.len()), (tried + 1, 1, tried + 1));
        let (_, delivery) = w.deliveries(&facts.id).remove(0);
        assert_eq!((delivery.state, delivery.next), (DeliveryState::Delivered, None));
        assert!(w.facts(&facts.id).is_active());
    }
}

#[test]
fn an_agent_that_fails_holds_up_its_own_deliveries_and_nobody_elses() {
    let w = world();
    let (facts, _) = w.endpoint(URL);
    let (bad, bad_serial) = w.agent("bad");
    let (good, good_serial) = w.agent("good");
    w.deliver();
    w.receivers.about(&bad, Does::Says(500));
    let before = w.receivers.taken(URL).len();
    block_on(w.acme.hold(&bad_serial)).unwrap();
    w.deliver();
    block_on(w.acme.release(&bad_serial)).unwrap();
    block_on(w.acme.revoke(&bad_serial, Cause::KeyCompromise)).unwrap();
    block_on(w.acme.revoke(&good_serial, Cause::KeyCompromise)).unwrap();
    w.deliver();
    let taken = w.receivers.taken(URL).split_off(before);
    assert_eq!(taken.iter().map(|got| got.agent()).collect::<Vec<_>>(), [good.to_string()]);
    assert_eq!(w.receivers.got(URL).len(), before + 2, "the others wait for the first");
    let w = w.restarted();
    w.receivers.about(&bad, Does::Says(200));
    w.at(MINUTE);
    w.deliver();
    let taken = w.receivers.taken(URL).split_off(before + 1);
    let kinds: Vec<_> = taken.iter().map(|got| got.kind()).collect();
    assert_eq!(kinds, ["agent.held", "agent.released", "certificate.revoked"]);
    assert_eq!(
        w.deliveries(&facts.id).iter().filter(|(_, d)| d.state != DeliveryState::Delivered).count(),
        0
    );
}

#[test]
fn one_endpoint_that_fails_holds_up_no_other_for_an_hour() {
    let w = world();
    w.endpoint(URL);
    w.endpoint(OTHER);
    w.receivers.set(URL, Does::Fails);
    for minute in 0..60 {
        w.at(minute * MINUTE);
        let (_, serial) = w.agent(&format!("desk-{minute}"));
        block_on(w.acme.revoke(&serial, Cause::KeyCompromise)).unwrap();
        w.deliver();
        assert_eq!(u64::try_from(w.receivers.taken(OTHER).len()).unwrap(), 2 * (minute + 1));
    }
    // Each was tried now and then, and none in a rush.
    let tried = w.receivers.got(URL).len();
    assert!((60..=60 * 4).contains(&tried), "{tried}");
    w.receivers.set(URL, Does::Says(200));
    w.at(4 * HOUR);
    w.deliver();
    let ids = |url: &str| w.receivers.taken(url).iter().map(|got| got.id()).collect::<Vec<_>>();
    assert_eq!(
        (ids(URL).len(), ids(URL).iter().collect::<BTreeSet<_>>().len()),
        (120, 120),
        "nothing lost, once each"
    );
}

#[test]
fn who_asks_for_time_gets_it() {
    let w = world();
    w.endpoint(URL);
    w.receivers.set(URL, Does::Busy(3_600));
    w.agent("desk-7");
    w.deliver();
    w.receivers.set(URL, Does::Says(200));
    w.at(59 * MINUTE);
    w.deliver();
    assert!(w.receivers.taken(URL).is_empty());
    w.at(HOUR + SECOND);
    w.deliver();
    assert_eq!(w.receivers.taken(URL).len(), 1);
}

#[test]
fn who_is_gone_is_told_nothing_more_until_somebody_says_so() {
    let w = world();
    let (facts, _) = w.endpoint(URL);
    let (_, serial) = w.agent("desk-7");
    w.deliver();
    w.receivers.set(URL, Does::Says(410));
    block_on(w.acme.hold(&serial)).unwrap();
    w.deliver();
    assert_eq!(w.facts(&facts.id).disabled, Some(Disabled::Gone));
    let kinds = block_on(w.acme.records(None, 1, |record| record.name() == "webhook.disabled")).unwrap();
    assert_eq!(kinds.items.len(), 1);
    assert_eq!(kinds.items[0].record.by, None, "nobody ordered it");
    let (_, item) = block_on(w.acme.notifications(None, 1)).unwrap().remove(0);
    assert_eq!(item.kind, NotificationKind::WebhookDisabled);
    assert!(item.said.unwrap().contains(&facts.id.to_string()));
    let tried = w.receivers.got(URL).len();
    w.receivers.set(URL, Does::Says(200));
    block_on(w.acme.release(&serial)).unwrap();
    w.at(DAY);
    w.deliver();
    let w = w.restarted();
    w.deliver();
    assert_eq!(w.receivers.got(URL).len(), tried, "nothing is sent");
    let on = WebhookChange { active: Some(true), ..WebhookChange::default() };
    assert!(block_on(w.acme.change_webhook(&facts.id, on)).unwrap().is_active());
    w.deliver();
    let kinds: Vec<_> = w.receivers.taken(URL).iter().map(|got| got.kind()).collect();
    assert_eq!(kinds, ["certificate.issued", "agent.held", "agent.released"], "it goes on where it stopped");
}

#[test]
fn after_days_of_nothing_but_failures_it_is_given_up_listed_and_redelivered_by_hand() {
    let w = world();
    let (facts, _) = w.endpoint(URL);
    w.receivers.set(URL, Does::Says(503));
    let (_, serial) = w.agent("desk-7");
    w.deliver();
    let mut now = 0;
    for wait in WAITS {
        assert!(w.facts(&facts.id).is_active());
        now += wait + wait / 5;
        w.at(now);
        w.deliver();
    }
    assert_eq!(w.receivers.got(URL).len(), 10);
    assert_eq!(w.facts(&facts.id).disabled, Some(Disabled::Failing));
    let (message, delivery) = w.deliveries(&facts.id).remove(0);
    assert_eq!((delivery.state, delivery.count, delivery.attempts.len()), (DeliveryState::Failed, 10, 10));
    let refused = block_on(w.acme.redeliver(&facts.id, &message)).unwrap_err();
    assert_eq!(refused.code(), "exists", "{refused}");
    w.receivers.set(URL, Does::Says(200));
    let on = WebhookChange { active: Some(true), ..WebhookChange::default() };
    block_on(w.acme.change_webhook(&facts.id, on)).unwrap();
    w.deliver();
    assert!(w.receivers.taken(URL).is_empty(), "what was given up is not sent by itself");
    let w = w.restarted();
    block_on(w.acme.redeliver(&facts.id, &message)).unwrap();
    w.deliver();
    let taken = w.receivers.taken(URL);
    assert_eq!(taken.iter().map(|got| got.id()).collect::<Vec<_>>(), std::slice::from_ref(&message));
    assert_eq!(w.deliveries(&facts.id)[0].1.state, DeliveryState::Delivered);
    // Of what waits, the attempt is made now.
    w.receivers.set(URL, Does::Fails);
    block_on(w.acme.hold(&serial)).unwrap();
    w.deliver();
    let (message, delivery) = w.deliveries(&facts.id).remove(0);
    assert_eq!(delivery.state, DeliveryState::Retrying);
    w.receivers.set(URL, Does::Says(200));
    block_on(w.acme.redeliver(&facts.id, &message)).unwrap();
    w.deliver();
    assert_eq!(w.receivers.taken(URL).last().unwrap().id(), message);
    for unknown in ["", "msg_", "msg_00_1", &message.replace("msg_", "msg_0"), &format!("{message}9")] {
        let refused = block_on(w.acme.redeliver(&facts.id, unknown)).unwrap_err();
        assert_eq!(refused.code(), "not_found", "{unknown}");
    }
}

#[test]
fn a_clock_hours_off_neither_floods_nor_stalls() {
    let w = world();
    w.endpoint(URL);
    w.receivers.set(URL, Does::Fails);
    w.at(9 * HOUR);
    for n in 0..8 {
        w.agent(&format!("desk-{n}"));
    }
    w.deliver();
    assert_eq!(w.receivers.got(URL).len(), 8);
    // Back by nine hours: what waits for five seconds of a clock that was ahead has waited.
    w.at(0);
    w.deliver();
    assert_eq!(w.receivers.got(URL).len(), 16);
    w.deliver();
    assert_eq!(w.receivers.got(URL).len(), 16, "once");
    // Days forth: one attempt each.
    w.at(5 * DAY);
    w.deliver();
    w.deliver();
    assert_eq!(w.receivers.got(URL).len(), 24);
    w.receivers.set(URL, Does::Says(200));
    w.at(5 * DAY + HOUR);
    w.deliver();
    assert_eq!(w.receivers.taken(URL).len(), 8);
}

/// What flies when an endpoint is switched off lands, and waits for it to be switched on.
#[test]
fn an_endpoint_that_is_switched_off_under_way_loses_nothing() {
    let w = world();
    let (facts, _) = w.endpoint(URL);
    let serials: Vec<_> = (0..3).map(|n| w.agent(&format!("desk-{n}")).1).collect();
    w.deliver();
    let before = w.receivers.got(URL).len();
    w.receivers.set(URL, Does::Waits(500));
    for serial in &serials {
        block_on(w.acme.hold(serial)).unwrap();
    }
    let active = |active| {
        let change = WebhookChange { active: Some(active), ..WebhookChange::default() };
        block_on(w.acme.change_webhook(&facts.id, change)).unwrap();
    };
    std::thread::scope(|scope| {
        scope.spawn(|| w.deliver());
        w.receivers.until(URL, before + 3);
        active(false);
        w.receivers.open(3);
    });
    let states: BTreeSet<_> = w.deliveries(&facts.id).iter().take(3).map(|(_, d)| d.state.as_str()).collect();
    assert_eq!(states, BTreeSet::from(["retrying"]), "how they ended is known");
    w.receivers.set(URL, Does::Says(204));
    w.deliver();
    assert_eq!(w.receivers.got(URL).len(), before + 3, "it is off");
    // Switched on, it goes on at once: its owner mended it.
    active(true);
    w.deliver();
    let taken = w.receivers.taken(URL).split_off(before);
    assert_eq!(taken.iter().map(|got| got.kind()).collect::<Vec<_>>(), ["agent.held"; 3]);
}

/// The usual way to move: the old receiver says 410 while the new one is on record.
#[test]
fn what_a_former_url_says_disables_nothing() {
    let w = world();
    let (facts, _) = w.endpoint(URL);
    let (_, serial) = w.agent("desk-7");
    w.deliver();
    w.receivers.set(URL, Does::Waits(410));
    block_on(w.acme.hold(&serial)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| w.deliver());
        let before = w.receivers.got(URL).len();
        w.receivers.until(URL, before.max(2));
        let url = Some(kakunin_core::webhook::WebhookUrl::parse(OTHER).unwrap());
        let change = WebhookChange { url, ..WebhookChange::default() };
        block_on(w.acme.change_webhook(&facts.id, change)).unwrap();
        w.receivers.open(1);
    });
    assert!(w.facts(&facts.id).is_active());
}

#[test]
fn few_pings_of_a_tenant_are_under_way_at_once() {
    let w = world();
    let (facts, _) = w.endpoint(URL);
    w.receivers.set(URL, Does::Waits(204));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(block_on(w.acme.ping_webhook(&facts.id, pending())).unwrap().delivered));
        }
        w.receivers.until(URL, 4);
        let more = block_on(w.acme.ping_webhook(&facts.id, pending())).unwrap_err();
        assert_eq!(more.code(), "webhook_pings_busy");
        w.receivers.open(4);
    });
    w.receivers.open(1);
    assert!(block_on(w.acme.ping_webhook(&facts.id, pending())).unwrap().delivered);
    // Whoever asks has no patience left.
    let late = block_on(w.acme.ping_webhook(&facts.id, std::future::ready(()))).unwrap();
    assert_eq!((late.delivered, late.attempt.code.as_deref()), (false, Some("timed_out")));
}
