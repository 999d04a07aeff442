//! Taken away, and given back by name alone: over HTTP, as a program that starts again and its operator see it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use axum::http::Method;
use common::{World, code, world};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId};
use kakunin_core::x509::csr::RequestToSign;
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn post(client: &Client, path: &str, body: Value) -> Answer {
    client.post(path, &body).await.unwrap()
}

async fn registered(w: &World, name: &str) -> Answer {
    let new = json!({ "name": name, "model_hash": MODEL, "scope": ["read:accounts"] });
    post(&w.admin, "/api/v1/agents", new).await
}

async fn certified(w: &World, name: &str) -> (String, String) {
    let id = registered(w, name).await.text("id");
    let issued =
        post(&w.admin, &format!("/api/v1/agents/{id}/certify"), json!({ "key_algorithm": "p256" })).await;
    assert_eq!(issued.status, 201);
    (id, issued.text("serial_number"))
}

async fn csr() -> String {
    let keys = LocalKeys::ephemeral();
    let key = keys.generate(&PlannedKeyId::new([7; 16]), KeyAlgorithm::P256).await.unwrap();
    let key = keys.open(&key).await.unwrap();
    let request = RequestToSign::new(key.public_key());
    let signature = key.sign(request.to_be_signed()).await.unwrap();
    pem::encode(pem::CERTIFICATE_REQUEST, &request.assemble(&signature))
}

async fn patched(w: &World, id: &str, change: Value) -> Answer {
    let json_type = [("content-type", "application/json")];
    let path = format!("/api/v1/agents/{id}");
    w.admin.send(Method::PATCH, &path, &json_type, change.to_string().into()).await.unwrap()
}

fn refused(answer: &Answer, status: u16, wanted: &str) {
    assert_eq!((answer.status.as_u16(), code(answer)), (status, wanted.to_owned()), "{:?}", answer.json());
}

#[tokio::test]
async fn a_spare_token_opens_nothing_after_a_halt_a_hold_or_a_revocation() {
    let w = world().await;
    let anybody = w.admin.without_key();
    for (name, taking) in [("a", "halt"), ("b", "hold"), ("c", "revoke"), ("d", "status"), ("e", "events")] {
        let (id, serial) = certified(&w, name).await;
        let made = post(&w.admin, &format!("/api/v1/agents/{id}/join-tokens"), json!({})).await;
        let token = made.text("token");
        match taking {
            "halt" => _ = post(&w.admin, &format!("/api/v1/agents/{id}/halt"), json!({})).await,
            "status" => _ = patched(&w, &id, json!({ "status": "suspended" })).await,
            "events" => {
                for n in 0..2_000 {
                    let event =
                        json!({ "agent_id": id, "action": format!("delete:mail{n}"), "outcome": "denied" });
                    if post(&w.admin, "/api/v1/events", event).await.status == 422 {
                        break;
                    }
                }
            }
            order => {
                let path = format!("/api/v1/certificates/{serial}/{order}");
                let body = if order == "revoke" { json!({ "reason": "key_compromise" }) } else { json!({}) };
                assert_eq!(post(&w.admin, &path, body).await.status, 200);
            }
        }
        let join = json!({ "join_token": token, "csr": csr().await });
        refused(&post(&anybody, "/api/v1/enroll", join.clone()).await, 401, "join_token_invalid");
        let agent = w.admin.get(&format!("/api/v1/agents/{id}")).await.unwrap();
        assert_eq!(agent.text("status"), "suspended", "{taking}");
        let more = post(&w.admin, &format!("/api/v1/agents/{id}/join-tokens"), json!({})).await;
        refused(&more, 409, "agent_suspended");
        let path = format!("/api/v1/audit-log?event_type=join_token.voided&affected_id={id}");
        let log = w.admin.get(&path).await.unwrap().json();
        assert_eq!(log["data"].as_array().unwrap().len(), 1, "{taking}: {log}");
    }
}

#[tokio::test]
async fn a_halted_agent_works_again_by_name_and_for_a_reason() {
    let w = world().await;
    let (id, serial) = certified(&w, "one").await;
    let agent = format!("/api/v1/agents/{id}");
    let halted = post(&w.admin, &format!("{agent}/halt"), json!({ "reason": "kill_switch_activated" })).await;
    let receipt = halted.data()["halt_receipt"].clone();
    assert!(receipt["receipt_signature"].is_string() && receipt["signed_by_ca"] == true, "{receipt}");
    // The receipt is made once: the CA signs nothing for whoever asks.
    let again = post(&w.admin, &format!("{agent}/halt"), json!({})).await;
    assert_eq!(again.data()["halt_receipt"], receipt);
    let anybody = w.admin.without_key();
    let verified = anybody.get(&format!("/api/v1/verify/{serial}")).await.unwrap();
    assert_eq!(verified.data()["halt_receipt"], receipt);
    let log = w.admin.get("/api/v1/audit-log?event_type=agent.halt_receipt").await.unwrap().json();
    assert_eq!(log["data"].as_array().unwrap().len(), 1);

    let certify = format!("{agent}/certify");
    for body in [json!({}), json!({ "csr": csr().await }), json!({ "key_algorithm": "ed25519" })] {
        let answer = post(&w.admin, &certify, body).await;
        refused(&answer, 409, "agent_suspended");
        assert!(answer.json()["error"].as_str().unwrap().contains(&format!("{agent}/reinstate")));
    }
    refused(
        &post(&w.admin, &format!("{agent}/renew"), json!({ "model_hash": MODEL })).await,
        409,
        "agent_state",
    );
    refused(&patched(&w, &id, json!({ "status": "active" })).await, 409, "exists");
    refused(&patched(&w, &id, json!({ "name": "two" })).await, 409, "agent_suspended");
    let role = json!({ "principal": "arn:aws:iam::111122223333:role/desk-7" });
    assert_eq!(post(&w.admin, &format!("{agent}/grants"), role).await.status, 409);

    let reinstate = format!("{agent}/reinstate");
    for body in [json!({}), json!({ "reason": "" }), json!({ "reason": " \n" }), json!({ "reason": null })] {
        assert_eq!(post(&w.admin, &reinstate, body.clone()).await.status, 422, "{body}");
    }
    let reason = json!({ "reason": "the prompt was mended" });
    let reader = w.key("default", "reporter").await;
    assert_eq!(post(&reader, &reinstate, reason.clone()).await.status, 403);
    let foreign = w.key("other", "operator").await;
    refused(&post(&foreign, &reinstate, reason.clone()).await, 404, "not_found");
    assert_eq!(post(&anybody, &reinstate, reason.clone()).await.status, 401);
    let done = post(&w.admin, &reinstate, reason.clone()).await;
    assert_eq!(
        (done.status.as_u16(), done.text("status"), done.text("id")),
        (200, "pending".into(), id.clone())
    );
    refused(&post(&w.admin, &reinstate, reason).await, 409, "agent_state");
    let log = w.admin.get("/api/v1/audit-log?event_type=agent.reinstated").await.unwrap().json();
    let row = &log["data"][0];
    assert_eq!(row["metadata"]["record"]["agent_reinstated"]["reason"], "the prompt was mended");
    assert!(row["actor_id"].as_str().unwrap().starts_with("key:"));
    assert_eq!(post(&w.admin, &certify, json!({})).await.status, 201);
    let old = anybody.get(&format!("/api/v1/verify/{serial}")).await.unwrap();
    assert_eq!((old.text("status"), &old.data()["halt_receipt"]), ("revoked".to_owned(), &receipt));
}

#[tokio::test]
async fn a_program_that_starts_again_is_told_whose_name_it_asks_for() {
    let w = world().await;
    let (id, _) = certified(&w, "desk 7").await;
    certified(&w, "desk 70").await;
    let named = |query: &str| {
        let (client, path) = (w.admin.clone(), format!("/api/v1/agents?{query}"));
        async move { client.get(&path).await.unwrap() }
    };
    let found = named("name=desk%207").await.json();
    assert_eq!((&found["meta"]["total"], &found["data"][0]["id"]), (&json!(1), &json!(id)));
    assert_eq!(named("name=desk").await.json()["meta"]["total"], 0);
    assert_eq!(named("name=desk+7&status=pending").await.json()["meta"]["total"], 0);
    refused(&named("name=").await, 422, "name_malformed");
    post(&w.admin, &format!("/api/v1/agents/{id}/halt"), json!({})).await;
    let again = registered(&w, "desk 7").await;
    refused(&again, 409, "agent_suspended");
    assert!(again.json()["error"].as_str().unwrap().contains(&id));
    assert_eq!(named("name=desk+7").await.json()["data"][0]["status"], "suspended");
    assert_eq!(registered(&w, "desk 70").await.status, 201, "another name");
}

/// Whoever gives the order may hang up, or shut its side, as soon as it is sent: it was given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_carried_out_although_its_sender_hung_up_or_shut_its_side() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let w = world().await;
    let key = std::fs::read_to_string(w.folder.path().join("data/admin.key")).unwrap();
    let orders = [
        ("POST", "agents/ID/halt", "{}", "suspended"),
        ("POST", "certificates/SERIAL/hold", "{}", "suspended"),
        ("POST", "certificates/SERIAL/revoke", "{\"reason\":\"key_compromise\"}", "suspended"),
        ("PATCH", "agents/ID", "{\"status\":\"suspended\"}", "suspended"),
        ("DELETE", "agents/ID", "", "retired"),
    ];
    for (n, (method, path, body, expected)) in orders.into_iter().enumerate() {
        for shut in [false, true] {
            let (id, serial) = certified(&w, &format!("one-{n}-{shut}")).await;
            let path = path.replace("ID", &id).replace("SERIAL", &serial);
            let length = body.len();
            let request = format!(
                "{method} /api/v1/{path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\n\r\n{body}",
                key.trim()
            );
            // All at once, and the end with it.
            let address = w.url.strip_prefix("http://").unwrap().to_owned();
            let answer = tokio::task::spawn_blocking(move || {
                use std::io::{Read, Write};
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = String::new();
                if shut {
                    stream.shutdown(std::net::Shutdown::Write).unwrap();
                    stream.read_to_string(&mut answer).unwrap();
                }
                answer
            });
            let answer = answer.await.unwrap();
            assert!(!shut || answer.starts_with("HTTP/1.1 200 "), "{method} {path}: {answer:?}");
            let mut state = String::new();
            for _ in 0..100 {
                state = w.admin.get(&format!("/api/v1/agents/{id}")).await.unwrap().text("status");
                if state == expected {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            assert_eq!(state, expected, "{method} {path}, shut: {shut}");
        }
    }
    // Whoever has its answer and hangs up is let go at once.
    let mut idle = tokio::net::TcpStream::connect(w.url.strip_prefix("http://").unwrap()).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut piece = vec![0; 4_096];
    assert!(idle.read(&mut piece).await.unwrap() > 0);
    let began = std::time::Instant::now();
    idle.shutdown().await.unwrap();
    assert_eq!(idle.read(&mut piece).await.unwrap(), 0);
    assert!(began.elapsed() < std::time::Duration::from_millis(700), "{:?}", began.elapsed());
}
