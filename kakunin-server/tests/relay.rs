//! What an agent signed for one service is nothing to another, whoever sends it on, and nothing to a process that was
//! not there when it was signed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;
mod common;

use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use common::{World, check, code, world, world_with};
use http_body_util::BodyExt;
use kakunin_core::time::{Clock, SECOND, SystemClock};
use kakunin_server::demo::{Agent, Client};
use kakunin_server::http::ApiOptions;
use kakunin_verify::layer::AgentLayer;
use kakunin_verify::possession::Authorities;
use kakunin_verify::{TrustAnchor, Verifier};
use serde_json::{Value, json};
use tower::ServiceExt;

const CHECK: &str = "/api/v1/gateway/check";

type Signed = Vec<(&'static str, String)>;

/// What the agent sends to `service`, as its own question.
async fn asked_of(agent: &Agent, service: &str, body: &Value) -> Signed {
    agent.sign_for(service, "POST", CHECK, body.to_string().as_bytes()).await.unwrap()
}

async fn send(client: &Client, signed: &Signed, more: &[(&str, &str)], body: &Value) -> String {
    let mut fields: Vec<_> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    fields.extend_from_slice(more);
    let answer = check(client, &fields, body).await;
    if answer.status == 200 { "allowed".to_owned() } else { code(&answer) }
}

async fn score_and_events(w: &World, agent: &Agent) -> (Value, usize) {
    let events = w.admin.get("/api/v1/events?limit=100").await.unwrap().data();
    (w.risk(agent).await["risk_score"].clone(), events.as_array().unwrap().len())
}

#[tokio::test]
async fn whoever_the_agent_calls_cannot_send_its_request_on() {
    let w = world_with(|o| o.api.authorities = vec!["https://ca.example".parse().unwrap()]).await;
    let agent = w.agent("honest", &["read:mail"]).await;
    let client = w.admin.without_key();
    let (mine, wanted) = (json!({ "action": "read:mail" }), json!({ "action": "delete:everything" }));
    for (host, expected) in [
        ("evil.example", "possession_misdirected"),
        ("evil.example:443", "possession_misdirected"),
        ("ca.example", "possession_invalid"),
        ("CA.example:443", "possession_invalid"),
    ] {
        let relayed = asked_of(&agent, "https://evil.example", &mine).await;
        // As it was, and with an action of the relay's own.
        assert_eq!(send(&client, &relayed, &[("host", host)], &mine).await, expected, "{host}");
        assert_ne!(send(&client, &relayed, &[("host", host)], &wanted).await, "scope_violation", "{host}");
    }
    // For the right service, and with another action.
    let good = asked_of(&agent, "https://CA.example:443", &mine).await;
    assert_eq!(send(&client, &good, &[], &wanted).await, "possession_invalid");
    let without: Signed = good.iter().filter(|(name, _)| *name != "content-digest").cloned().collect();
    assert_eq!(send(&client, &without, &[], &wanted).await, "possession_invalid");
    assert_eq!(score_and_events(&w, &agent).await, (json!(0.0), 0), "nothing of it was the agent's doing");
    assert_eq!(w.inbox().await, ["system_alert"]);
    // Under each of our names, whatever a proxy in between calls us, and once.
    assert_eq!(send(&client, &good, &[("host", "10.0.0.7:8080")], &mine).await, "allowed");
    assert_eq!(send(&client, &good, &[], &mine).await, "possession_replayed");
    let public = asked_of(&agent, &w.url, &mine).await;
    assert_eq!(send(&client, &public, &[], &mine).await, "allowed");
}

/// What a service in this process answers.
async fn answer_of(router: &axum::Router, path: &str, signed: &Signed, content: &[u8]) -> (u16, Vec<u8>) {
    let mut request = Request::post(path).header("content-type", "application/json");
    for (name, value) in signed {
        request = request.header(*name, value);
    }
    let request = request.body(axum::body::Body::from(content.to_vec())).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

#[tokio::test]
async fn a_second_server_that_knows_the_agent_is_another_service() {
    let w = world().await;
    let agent = w.agent("honest", &["read:mail"]).await;
    // Over the same deployment, in the same process, and with another name beside the public URL's.
    let options =
        ApiOptions { authorities: vec!["second.example".parse().unwrap()], ..ApiOptions::default() };
    let second = kakunin_server::http::router(w.kakunin.clone(), Arc::new(SystemClock), options).unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let body = json!({ "action": "read:mail" });
    let text = body.to_string().into_bytes();
    let for_second = asked_of(&agent, "second.example", &body).await;
    let relayed = [("host", "second.example")];
    assert_eq!(send(&w.admin.without_key(), &for_second, &relayed, &body).await, "possession_misdirected");
    assert_eq!(answer_of(&second, CHECK, &for_second, &text).await.0, 200);
}

#[tokio::test]
async fn a_gateway_says_who_it_is_itself() {
    let w = world().await;
    let agent = w.agent("honest", &["read:mail"]).await;
    let reporter = w.key("default", "reporter").await;
    let ask = |signed_for: &'static str, authority: Option<&'static str>, host: &'static str| {
        let (agent, reporter) = (&agent, &reporter);
        async move {
            let signed = agent.sign_for(signed_for, "GET", "/mail", b"").await.unwrap();
            let mut headers: serde_json::Map<_, _> =
                signed.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            headers.insert("host".to_owned(), host.into());
            let mut request = json!({ "method": "GET", "target": "/mail", "headers": headers });
            if let Some(authority) = authority {
                request["authority"] = authority.into();
            }
            let answer = check(reporter, &[], &json!({ "action": "read:mail", "request": request })).await;
            if answer.status == 200 { "allowed".to_owned() } else { code(&answer) }
        }
    };
    assert_eq!(ask("mail.example", Some("Mail.example:443"), "mail.example").await, "allowed");
    assert_eq!(ask("mail.example", Some("mail.example"), "10.0.0.7").await, "allowed");
    assert_eq!(ask("evil.example", Some("mail.example"), "evil.example").await, "possession_misdirected");
    assert_eq!(ask("evil.example", Some("mail.example"), "mail.example").await, "possession_invalid");
    assert_eq!(ask("mail.example", Some("mail.example/x"), "mail.example").await, "possession_misdirected");
    assert_eq!(ask("mail.example", None, "mail.example").await, "body_invalid");
}

#[tokio::test]
async fn the_layer_in_front_of_axum_refuses_what_was_signed_for_another_and_other_content() {
    let w = world().await;
    let agent = w.agent("honest", &["write:notes"]).await;
    let place = w.kakunin.place();
    let anchor = TrustAnchor::new(w.kakunin.root().as_der(), place.trust_domain.clone()).unwrap();
    let verifier = Verifier::builder(w.kakunin.revocations())
        .anchor(anchor)
        .issuer(w.kakunin.issuer().as_der())
        .arc(place.arc.clone())
        .build(SystemClock.now())
        .unwrap();
    let us = Authorities::new(["notes.example"]).unwrap();
    let layer = AgentLayer::new(verifier, Arc::new(SystemClock), us, |_| Some("write:notes".to_owned()));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let echo =
        axum::Router::new().route("/notes", axum::routing::post(|body: String| async { body })).layer(layer);
    let note = "x".repeat(300_000);
    let signed =
        async |service: &str| agent.sign_for(service, "POST", "/notes", note.as_bytes()).await.unwrap();
    let good = signed("notes.example").await;
    let allowed = answer_of(&echo, "/notes", &good, note.as_bytes()).await;
    assert_eq!((allowed.0, allowed.1.len()), (200, note.len()));
    for (signed, content, expected) in [
        (signed("notes.example").await, note.replacen('x', "y", 1), "possession_invalid"),
        (signed("notes.example").await, String::new(), "possession_invalid"),
        (signed("evil.example").await, note.clone(), "possession_invalid"),
        (good, note.clone(), "possession_replayed"),
    ] {
        let (status, body) = answer_of(&echo, "/notes", &signed, content.as_bytes()).await;
        assert_eq!(
            (status, String::from_utf8(body).unwrap()),
            (401, format!("{{\"error\":\"{expected}\"}}"))
        );
    }
}

/// Killed and started again: what was used before is not good again, and what is signed afterwards is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_again_refuses_what_was_signed_before() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let name = ["--public-url", "http://ca.example"];
    let mut server = binary::start(&data, &name);
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    let admin = Client::new(&server.url).with_key(key.trim_end());
    let agent = Agent::start("one", &["read:mail"], &admin).await.unwrap();
    let body = json!({ "action": "read:mail" });
    let text = body.to_string().into_bytes();
    let signed_at = async |now| agent.sign_at(now, "ca.example", "POST", CHECK, &text).await.unwrap();
    let signed = async |ahead| signed_at(SystemClock.now().plus(ahead)).await;
    let before = signed_at(SystemClock.now().minus(30 * SECOND)).await;
    assert_eq!(send(&admin.without_key(), &before, &[], &body).await, "possession_stale");
    let (used, unused) = (signed(0).await, signed(0).await);
    assert_eq!(send(&admin.without_key(), &used, &[], &body).await, "allowed");
    assert_eq!(send(&admin.without_key(), &signed(60 * SECOND).await, &[], &body).await, "possession_stale");
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    let server = binary::start(&data, &name);
    let client = Client::new(&server.url);
    for before in [&used, &unused] {
        assert_eq!(send(&client, before, &[], &body).await, "possession_stale");
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let after = signed(0).await;
    assert_eq!(send(&client, &after, &[], &body).await, "allowed");
    assert_eq!(send(&client, &after, &[], &body).await, "possession_replayed");
}
