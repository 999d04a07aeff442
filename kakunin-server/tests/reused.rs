//! Names that reporters give events, used again: for the same event, and for another one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use common::{code, world};
use kakunin_server::demo::Answer;
use serde_json::{Value, json};

const BATCH: &str = "/api/v1/events/batch";
const EVENTS: &str = "/api/v1/events";

fn with(event: &Value, member: &str, value: Value) -> Value {
    let mut event = event.clone();
    event[member] = value;
    event
}

fn said(answer: &Answer) -> (u16, String, Value) {
    (answer.status.as_u16(), code(answer), answer.json()["field"].clone())
}

#[tokio::test]
async fn an_identifier_that_is_used_again_is_a_duplicate_or_refused() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail", "write:mail"]).await;
    let first = json!({
        "certificate_serial": agent.serial.to_string(), "action": "read:mail", "client_id": "e1", "tool": "t",
        "target": "x", "occurred_at": "2026-11-23T08:00:00Z", "details": { "a": 1, "b": [2] },
        "amount": { "minor": 5, "currency": "EUR" }, "outcome": "ok", "session_id": "s",
    });
    let recorded = w.admin.post(EVENTS, &first).await.unwrap();
    assert_eq!(recorded.status, 201);
    // Members in another order, and details with other blanks, are the same event.
    let again = w.admin.post(EVENTS, &first).await.unwrap();
    assert_eq!((again.status.as_u16(), again.text("status")), (200, "duplicate".to_owned()));
    for name in ["event_id", "action", "occurred_at", "certificate_serial", "action_type"] {
        assert_eq!(again.data()[name], recorded.data()[name], "{name}");
    }
    for (member, other) in [
        ("action", json!("write:mail")),
        ("tool", json!("u")),
        ("tool", Value::Null),
        ("target", json!("y")),
        ("outcome", json!("error")),
        ("auth_failure", json!(true)),
        ("session_id", json!("s2")),
        ("counterparty", json!("c")),
        ("subject", json!("c")),
        ("correlation", json!("c")),
        ("occurred_at", json!("2026-11-23T08:00:01Z")),
        ("occurred_at", Value::Null),
        ("details", json!({ "a": 1, "b": [3] })),
        ("amount", json!({ "minor": 6, "currency": "EUR" })),
        ("action_type", json!("data_access")),
    ] {
        let refused = w.admin.post(EVENTS, &with(&first, member, other.clone())).await.unwrap();
        let expected = (409, "client_id_reused".to_owned(), json!("client_id"));
        assert_eq!(said(&refused), expected, "{member}: {other}");
    }
    // What is said of its scope is not believed, so it tells nothing from anything.
    let claimed = with(&first, "out_of_scope", json!(true));
    assert_eq!(w.admin.post(EVENTS, &claimed).await.unwrap().text("status"), "duplicate");
    // Where it was sent says nothing of what happened: the same in another stream.
    let numbered = with(&first, "stream", json!({ "stream": 7, "seq": 1 }));
    assert_eq!(w.admin.post(EVENTS, &numbered).await.unwrap().text("status"), "duplicate");
    // Others have names of their own.
    let other = w.key("default", "reporter").await;
    assert_eq!(other.post(EVENTS, &with(&first, "action", json!("write:mail"))).await.unwrap().status, 201);
    assert_eq!(w.admin.get("/api/v1/events").await.unwrap().json()["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_number_that_is_used_again_is_a_duplicate_or_refused() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let event = |seq: u64, target: &str| {
        json!({ "serial": agent.serial.to_string(), "action": "read:mail", "target": target,
            "stream": { "stream": 1, "seq": seq } })
    };
    let reused = (409, "stream_number_reused".to_owned(), json!("stream"));
    for seq in [5, 3, 9, 8] {
        let recorded = w.admin.post(EVENTS, &event(seq, "x")).await.unwrap();
        assert_eq!(recorded.status, 201);
        let again = w.admin.post(EVENTS, &event(seq, "x")).await.unwrap();
        assert_eq!((again.status.as_u16(), again.text("status")), (200, "duplicate".to_owned()));
        assert_eq!(again.data()["occurred_at"], recorded.data()["occurred_at"], "as it was recorded");
        assert_eq!(again.text("event_id"), recorded.text("event_id"));
        assert_eq!(said(&w.admin.post(EVENTS, &event(seq, "y")).await.unwrap()), reused);
        let named = with(&event(seq, "x"), "client_id", json!("e"));
        assert_eq!(said(&w.admin.post(EVENTS, &named).await.unwrap()), reused);
    }
    // What the 32 highest numbers were used for is known; below, a number that was used is a duplicate.
    let many: Vec<_> = (10..60).map(|seq| event(seq, "x")).collect();
    assert_eq!(w.admin.post(BATCH, &json!({ "events": many })).await.unwrap().status, 201);
    assert_eq!(said(&w.admin.post(EVENTS, &event(28, "y")).await.unwrap()), reused);
    let old = w.admin.post(EVENTS, &event(27, "y")).await.unwrap();
    assert_eq!((old.status.as_u16(), old.text("status")), (200, "duplicate".to_owned()));
    assert_eq!(old.data()["event_id"], Value::Null, "not compared, and says so");
}

#[tokio::test]
async fn in_a_batch_one_that_is_used_again_costs_itself_alone() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let event = |id: &str, target: &str| json!({ "agent_id": agent.id, "action": "read:mail", "target": target, "client_id": id });
    assert_eq!(w.admin.post(EVENTS, &event("a", "x")).await.unwrap().status, 201);
    let mixed = [event("a", "x"), event("a", "y"), event("b", "x"), event("b", "y"), event("b", "x")];
    let whole = w.admin.post(BATCH, &json!({ "events": mixed, "atomic": true })).await.unwrap();
    assert_eq!((whole.status.as_u16(), code(&whole)), (409, "client_id_reused".to_owned()));
    let each = w.admin.post(BATCH, &json!({ "events": mixed })).await.unwrap();
    assert_eq!((each.status.as_u16(), &each.data()["refused"]), (207, &json!(2)));
    let results = each.data()["results"].as_array().unwrap().clone();
    let became: Vec<_> = results.iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!(became, ["duplicate", "refused", "scored", "refused", "duplicate"]);
    assert_eq!(
        (&results[1]["code"], &results[3]["field"]),
        (&json!("client_id_reused"), &json!("client_id"))
    );
    assert_eq!(
        (&results[4]["event_id"], &results[4]["action"]),
        (&results[2]["event_id"], &json!("read:mail"))
    );
    let refused = w.admin.post(BATCH, &json!({ "events": [event("a", "z")] })).await.unwrap();
    assert_eq!((refused.status.as_u16(), code(&refused)), (409, "client_id_reused".to_owned()));
}

/// A report that names its agent alone is the same after that has another certificate, with another scope.
#[tokio::test]
async fn a_renewal_makes_no_other_event_of_the_same_report() {
    let w = world().await;
    let made = json!({ "name": "one", "model_hash": format!("sha256:{:064}", 1),
        "permitted_actions": ["read:mail"] });
    let id = w.admin.post("/api/v1/agents", &made).await.unwrap().text("id");
    let p256 = json!({ "key_algorithm": "p256" });
    let certify = format!("/api/v1/agents/{id}/certify");
    let old = w.admin.post(&certify, &p256).await.unwrap().text("serial_number");
    let by_agent = json!({ "agent_id": id, "action": "write:mail", "client_id": "e1" });
    let by_serial = json!({ "serial": old, "action": "read:mail", "client_id": "e2" });
    for event in [&by_agent, &by_serial] {
        assert_eq!(w.admin.post(EVENTS, event).await.unwrap().status, 201);
    }
    let agent = format!("/api/v1/agents/{id}");
    let wider = json!({ "permitted_actions": ["read:mail", "write:mail"] });
    let patched = w
        .admin
        .send(
            axum::http::Method::PATCH,
            &agent,
            &[("content-type", "application/json")],
            wider.to_string().into_bytes(),
        )
        .await
        .unwrap();
    assert_eq!(patched.status, 200, "{}", patched.json());
    let renew = json!({ "key_algorithm": "p256", "model_hash": made["model_hash"] });
    let renewed = w.admin.post(&format!("{agent}/renew"), &renew).await.unwrap();
    assert_eq!(renewed.status, 201, "{}", renewed.json());
    let new = renewed.text("serial_number");
    assert_ne!(new, old);
    let again = w.admin.post(EVENTS, &by_agent).await.unwrap();
    assert_eq!((again.status.as_u16(), again.text("status")), (200, "duplicate".to_owned()));
    assert_eq!(again.text("certificate_serial"), old, "as it was recorded");
    assert_eq!(w.admin.post(EVENTS, &by_serial).await.unwrap().text("status"), "duplicate");
    let other = w.admin.post(EVENTS, &with(&by_serial, "serial", json!(new))).await.unwrap();
    assert_eq!(said(&other), (409, "client_id_reused".to_owned(), json!("client_id")));
}
