//! Agents that behave, or do not, and policies over them.

use axum::http::Method;
use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};

pub(crate) use crate::common::{World, code, world};

pub(crate) const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const POLICY: &str = "/api/v1/tenants/default/policy";

/// The policy that is in force, and its tag.
pub(crate) async fn policy(client: &Client) -> (Value, String) {
    let answer = client.get(POLICY).await.unwrap();
    assert_eq!(answer.status, 200);
    (answer.data()["policy"].clone(), answer.headers["etag"].to_str().unwrap().to_owned())
}

/// Puts a text in force as it is.
pub(crate) async fn put_text(client: &Client, tag: &str, body: String) -> Answer {
    let fields = [("content-type", "application/json"), ("if-match", tag)];
    client.send(Method::PUT, POLICY, &fields, body.into()).await.unwrap()
}

pub(crate) async fn put(client: &Client, tag: &str, policy: &Value) -> Answer {
    put_text(client, tag, json!({ "policy": policy }).to_string()).await
}

/// Changes some members of the policy that is in force.
pub(crate) async fn set(client: &Client, changes: &[(&str, Value)]) -> Answer {
    let (mut policy, tag) = policy(client).await;
    for (pointer, value) in changes {
        *policy.pointer_mut(pointer).unwrap() = value.clone();
    }
    put(client, &tag, &policy).await
}

/// An agent with a certificate: identifier and serial number.
pub(crate) async fn certified(client: &Client, name: &str) -> (String, String) {
    let spec = json!({ "name": name, "model_hash": MODEL, "scope": ["read:accounts"] });
    let id = client.post("/api/v1/agents", &spec).await.unwrap().text("id");
    let wanted = json!({ "key_algorithm": "p256" });
    let made = client.post(&format!("/api/v1/agents/{id}/certify"), &wanted).await.unwrap();
    assert_eq!(made.status, 201);
    (id, made.text("serial_number"))
}

/// Out of its scope.
pub(crate) fn refused(serial: &str) -> Value {
    json!({ "serial": serial, "action": "delete:backups", "outcome": "denied" })
}

/// A failed authentication at a target.
pub(crate) fn fails(serial: &str, target: &str) -> Value {
    let action = "read:accounts";
    json!({ "serial": serial, "action": action, "outcome": "denied", "auth_failure": true, "target": target })
}

/// Reports an event again and again until it is answered so.
pub(crate) async fn until(client: &Client, event: &Value, done: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..500 {
        let seen = client.post("/api/v1/events", event).await.unwrap();
        assert_eq!(seen.status, 201, "{}", seen.json());
        if done(&seen.data()) {
            return seen.data();
        }
    }
    panic!("nothing follows: {event}");
}

pub(crate) async fn until_lost(client: &Client, event: &Value) -> Value {
    until(client, event, |seen| seen["revoked"] == true || seen["held"] == true).await
}

pub(crate) async fn risk(client: &Client, id: &str) -> Value {
    client.get(&format!("/api/v1/agents/{id}/risk")).await.unwrap().data()
}

/// What the public is told.
pub(crate) async fn public(client: &Client, serial: &str) -> Value {
    client.without_key().get(&format!("/api/v1/verify/{serial}")).await.unwrap().data()
}

/// Records of one kind, newest first.
pub(crate) async fn records(client: &Client, kind: &str) -> Vec<Value> {
    let page = client.get(&format!("/api/v1/audit-log?limit=100&event_type={kind}")).await.unwrap();
    assert_eq!(page.status, 200);
    page.data().as_array().unwrap().clone()
}

/// Status and code of a refusal.
pub(crate) fn why(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), code(answer))
}
