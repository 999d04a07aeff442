//! Memory of used signatures: who fills it, whom that hurts, and what it is not spent on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use common::{World, check, code, world, world_with};
use http_body_util::BodyExt;
use kakunin_core::time::SystemClock;
use kakunin_server::demo::{Agent, Answer, Client};
use kakunin_server::http::{ApiOptions, router};
use serde_json::{Value, json};
use tower::Service as _;

const CHECK: &str = "/api/v1/gateway/check";

type Signed = Vec<(&'static str, String)>;

fn body() -> Value {
    json!({ "action": "read:mail" })
}

async fn signed(agent: &Agent) -> Signed {
    agent.sign("POST", CHECK, body().to_string().as_bytes()).await.unwrap()
}

async fn send(client: &Client, signed: &Signed) -> String {
    let fields: Vec<_> = signed.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = check(client, &fields, &body()).await;
    if answer.status == 200 { "allowed".to_owned() } else { code(&answer) }
}

/// A figure of `/metrics`.
async fn figure(w: &World, name: &str) -> u64 {
    let text = w.admin.without_key().get("/metrics").await.unwrap().body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("kakunin_{name} ")));
    line.unwrap_or_default().rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_certificate_that_does_not_stand_costs_no_memory_and_moves_no_score() {
    let w = world().await;
    let (halted, held) = (w.agent("halted", &["read:mail"]).await, w.agent("held", &["read:mail"]).await);
    let client = w.admin.without_key();
    assert_eq!(
        w.admin.post(&format!("/api/v1/agents/{}/halt", halted.id), &json!({})).await.unwrap().status,
        200
    );
    let hold = format!("/api/v1/certificates/{}/hold", held.serial);
    assert_eq!(w.admin.post(&hold, &json!({})).await.unwrap().status, 200);
    for _ in 0..40 {
        for (agent, expected) in [(&halted, "agent_revoked"), (&held, "agent_inactive")] {
            let answer = send(&client, &signed(agent).await).await;
            assert!([expected, "rate_limited"].contains(&answer.as_str()), "{answer}");
        }
    }
    // One that may be sent again is nobody's doing: it counts nothing, and tells nobody anything.
    let again = signed(&held).await;
    for _ in 0..40 {
        assert!(["agent_inactive", "rate_limited"].contains(&send(&client, &again).await.as_str()));
    }
    assert_eq!((figure(&w, "nonces_held").await, figure(&w, "possession_share_full").await), (0, 0));
    let events = w.admin.get("/api/v1/events?limit=100").await.unwrap().data();
    assert!(events.as_array().unwrap().iter().all(|event| event["attribution"] == "asserted"));
    assert_eq!(w.risk(&held).await["risk_score"], 0.0);
}

#[tokio::test]
async fn who_is_told_to_wait_may_send_the_same_request_again() {
    let w = world_with(|options| options.api.key_rate = NonZeroU32::new(5).unwrap()).await;
    let (agent, client) = (w.agent("one", &["read:mail"]).await, w.admin.without_key());
    let (mut allowed, mut told_to_wait) = (0, None);
    while told_to_wait.is_none() {
        let request = signed(&agent).await;
        match send(&client, &request).await.as_str() {
            "allowed" => allowed += 1,
            other => told_to_wait = Some((request, other.to_owned())),
        }
        assert!(allowed < 1_000);
    }
    let (request, answer) = told_to_wait.unwrap();
    assert_eq!((answer.as_str(), figure(&w, "nonces_held").await), ("rate_limited", allowed));
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(send(&client, &request).await, "allowed");
    assert_eq!(send(&client, &request).await, "possession_replayed");
}

#[tokio::test]
async fn who_replays_what_it_saw_uses_up_neither_the_agents_rate_nor_its_share() {
    let w = world_with(|options| options.api.key_rate = NonZeroU32::new(20).unwrap()).await;
    let (agent, client) = (w.agent("one", &["read:mail"]).await, w.admin.without_key());
    let seen = signed(&agent).await;
    assert_eq!(send(&client, &seen).await, "allowed");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let fresh = signed(&agent).await;
    // What is new, with a signature that was seen.
    let mut forged = fresh.clone();
    forged[2] = seen[2].clone();
    for _ in 0..200 {
        let answer = send(&client, &seen).await;
        assert!(["possession_replayed", "rate_limited"].contains(&answer.as_str()), "{answer}");
        assert_ne!(send(&client, &forged).await, "allowed");
    }
    for n in 0..15 {
        assert_eq!(send(&client, &signed(&agent).await).await, "allowed", "{n}");
    }
    assert_eq!(send(&client, &fresh).await, "allowed");
    assert_eq!(figure(&w, "nonces_held").await, 17);
    let ready = w.admin.without_key().get("/readyz").await.unwrap().json();
    assert_eq!((&ready["status"], &ready["possession_share_full"]), (&json!("ok"), &json!(false)));
}

#[tokio::test]
async fn an_agent_that_is_gone_has_one_rate_however_it_shows_itself() {
    let w = world_with(|options| options.api.gateways = vec!["127.0.0.1=rfc9440".parse().unwrap()]).await;
    let agent = w.agent("one", &["read:mail"]).await;
    let halt = format!("/api/v1/agents/{}/halt", agent.id);
    assert_eq!(w.admin.post(&halt, &json!({})).await.unwrap().status, 200);
    // Ten a second, counted by agent.
    let client = w.admin.without_key();
    let leaf = kakunin_verify::possession::write_certificates(&[agent.certificate_der()]);
    let mut recorded = 0;
    for _ in 0..60 {
        let by_gateway = check(&client, &[("client-cert", &leaf)], &body()).await;
        let by_signature = send(&client, &signed(&agent).await).await;
        recorded +=
            usize::from(code(&by_gateway) == "agent_revoked") + usize::from(by_signature == "agent_revoked");
    }
    let events = w.admin.get("/api/v1/events?limit=100").await.unwrap().data();
    assert_eq!(events.as_array().unwrap().len(), recorded.min(100));
    assert!(recorded < 100, "{recorded}");
}

/// Another process over the same log has another memory of nonces; the record of the decision is what both go by.
#[tokio::test]
async fn a_signature_is_good_once_whichever_process_it_comes_to() {
    let w = world().await;
    let authorities = vec![w.url.strip_prefix("http://").unwrap().parse().unwrap()];
    let options = ApiOptions { new_deployment: true, authorities, ..ApiOptions::default() };
    let other = router(w.kakunin.clone(), Arc::new(SystemClock), options).unwrap();
    let (agent, client) = (w.agent("one", &["read:mail"]).await, w.admin.without_key());
    let at_other = async |signed: &Signed| {
        let mut request =
            Request::builder().method("POST").uri(CHECK).header("content-type", "application/json");
        request = request.header("host", w.url.strip_prefix("http://").unwrap());
        for (name, value) in signed {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(body().to_string())).unwrap();
        let response = other.clone().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let answer = Answer { status: head.status, headers: head.headers, body };
        if answer.status == 200 { "allowed".to_owned() } else { code(&answer) }
    };
    let one = signed(&agent).await;
    assert_eq!(send(&client, &one).await, "allowed");
    assert_eq!(at_other(&one).await, "possession_replayed");
    let two = signed(&agent).await;
    assert_eq!(at_other(&two).await, "allowed");
    assert_eq!(send(&client, &two).await, "possession_replayed");
    // At once.
    for _ in 0..20 {
        let three = signed(&agent).await;
        let both: [String; 2] = tokio::join!(send(&client, &three), at_other(&three)).into();
        assert!(
            both.contains(&"allowed".to_owned()) && both.contains(&"possession_replayed".to_owned()),
            "{both:?}"
        );
    }
    // Each passed once, and the owner was told that somebody else tried.
    let events = w.admin.get("/api/v1/events?limit=100").await.unwrap().data();
    assert_eq!(events.as_array().unwrap().len(), 22);
    assert_eq!(w.inbox().await, ["system_alert"], "once a day");
}
