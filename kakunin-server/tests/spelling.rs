//! An event has one spelling: what an `Event` of kakunin-core is written with, the API takes as that event.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use axum::http::Method;
use common::world;
use kakunin_core::event::{Amount, Event, EventKind, Outcome, StreamSeq};
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::log::record::Body;
use kakunin_core::time::UnixTime;
use serde_json::{Value, json};

const KINDS: [EventKind; 8] = [
    EventKind::ApiCall,
    EventKind::DataAccess,
    EventKind::DataMutation,
    EventKind::Transaction,
    EventKind::Authentication,
    EventKind::MessageSigned,
    EventKind::MessageVerificationFailed,
    EventKind::Other,
];

/// Each number is an event: every optional member with and without, alone and beside the others.
fn event(serial: Serial, n: u64) -> Event {
    let outcomes = [Outcome::Ok, Outcome::Error, Outcome::Denied];
    let pick = |of: u64, salt: u64| usize::try_from((n.wrapping_mul(0x9E37_79B9) >> salt) % of).unwrap();
    let on = |bit: u64| {
        n < 12 && n == bit || n >= 12 && n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (20 + bit) & 1 == 1
    };
    let actions = ["read:mail", "delete:vault", "read:mail/inbox"];
    let mut event = Event::new(serial, actions[pick(3, 3)].parse().unwrap(), outcomes[pick(3, 7)]);
    event.kind = KINDS[pick(8, 11)];
    event.auth_failure = on(0);
    event.stream = on(1).then_some(StreamSeq { stream: 9_007_199_254_740_991, seq: n });
    event.client_id = on(2).then(|| format!("id {n}").parse().unwrap());
    event.session = on(3).then(|| "sitzung \"ü\"".parse().unwrap());
    event.tool = on(4).then(|| "mail\\send".parse().unwrap());
    event.target = on(5).then(|| "/a/b\tc".parse().unwrap());
    event.counterparty = on(6).then(|| "DE02 1203".parse().unwrap());
    event.amount = on(7).then(|| Amount { minor: n, currency: "EUR".to_owned().try_into().unwrap() });
    event.occurred_at = on(8).then(|| UnixTime::from_millis(1_795_420_800_123 + n));
    event.correlation = on(9).then(|| "trace-1".parse().unwrap());
    event.subject = on(10).then(|| "alice".parse().unwrap());
    event.word = on(11).then(|| "transaction_initiated".parse().unwrap());
    let details = ["no JSON", r#"{"b":1.50,"a":[null,"x"],"amount_usd":12.5}"#, "\"text\"", "7", "{}"];
    event.details = n.is_multiple_of(3).then(|| details[pick(5, 13)].parse().unwrap());
    event
}

#[tokio::test]
async fn what_the_core_writes_the_api_takes_as_the_same_event() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let tenant: TenantId = "default".parse().unwrap();
    for n in 0..300 {
        let mut event = event(agent.serial, n);
        // What it says of its scope is taken, and not believed.
        event.out_of_scope = n.is_multiple_of(2);
        let sent = serde_json::to_vec(&event).unwrap();
        assert_eq!(Event::from_json(&sent).unwrap().action, event.action, "the core itself");
        let answer = w
            .admin
            .send(Method::POST, "/api/v1/events", &[("content-type", "application/json")], sent.clone())
            .await
            .unwrap();
        let text = String::from_utf8(sent).unwrap();
        assert!([201, 422].contains(&answer.status.as_u16()), "{text}: {}", answer.json());
        let newest =
            w.kakunin.tenant(&tenant).records(None, 1, |r| matches!(r.body, Body::Event(..))).await.unwrap();
        let Body::Event(_, Some(recorded)) = newest.items[0].record.body.clone() else { panic!() };
        event.out_of_scope = event.action.as_str() != "read:mail";
        // As its tenant's reporter says it; that is no member.
        let as_read =
            |event: &Event| serde_json::from_slice::<Event>(&serde_json::to_vec(event).unwrap()).unwrap();
        assert_eq!(as_read(&recorded), as_read(&event), "{text}");
        // 422 is told of one that is on record, once the agent has lost its identity.
        let gone = answer.status == 422;
        assert!(!gone || answer.json()["code"] == "agent_not_active", "{text}: {}", answer.json());
    }
}

#[tokio::test]
async fn a_batch_takes_it_too_and_seconds_are_no_milliseconds() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let events: Vec<_> = (0..100).map(|n| serde_json::to_value(event(agent.serial, n)).unwrap()).collect();
    let answer = w.admin.post("/api/v1/events/batch", &json!({ "events": events })).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.json());
    let calm = w.agent("two", &["read:mail"]).await;
    let at = |value: Value| {
        let event = json!({ "serial": calm.serial, "action": "read:mail", "occurred_at": value });
        let w = &w;
        async move { w.admin.post("/api/v1/events", &event).await.unwrap() }
    };
    for bad in [
        json!(1_795_420_800),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(4_102_444_800_000_u64),
        json!("soon"),
        json!(true),
    ] {
        let answer = at(bad.clone()).await;
        assert_eq!(answer.status, 422, "{bad}");
        let sentence = answer.json()["error"].to_string();
        assert!(sentence.contains("RFC 3339"), "{sentence}");
    }
    for good in [json!(1_795_420_800_123_u64), json!(1.795_420_8e12), json!("2026-11-23T08:00:00Z")] {
        assert_eq!(at(good.clone()).await.status, 201, "{good}");
    }
}
