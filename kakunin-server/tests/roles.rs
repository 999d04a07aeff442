//! What each role may do, over every operation of the API's description; and what guessing teaches.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use axum::http::Method;
use common::{World, code, world};
use kakunin_server::demo::{Agent, Client};
use serde_json::{Value, json};

const ROLES: [&str; 4] = ["reader", "reporter", "operator", "admin"];

/// The least that may do it, as a place in [`ROLES`].
fn needed(method: &str, path: &str) -> usize {
    match (method, path.trim_start_matches("/api/v1/")) {
        (_, path) if path.starts_with("api-keys") => 3,
        ("post", "tenants" | "agents/{id}/erase") => 3,
        ("get", _) => 0,
        // What somebody has read is theirs.
        ("post", path) if path.starts_with("notifications/") => 0,
        ("post", "events" | "events/batch") => 1,
        _ => 2,
    }
}

/// The operations that want a key, with what they are about filled in.
fn operations(w: &World, agent: &Agent) -> Vec<(Method, String, usize)> {
    let description = kakunin_server::http::openapi();
    let mut all = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            // A stream has no end that could be waited for: `inbox` reads it.
            let streams = path.ends_with("/stream");
            if operation["responses"].is_null() || !operation["security"].is_null() || streams {
                continue;
            }
            let id = match path.split('/').nth(3).unwrap() {
                "certificates" => agent.serial.to_string(),
                "tenants" => "default".to_owned(),
                "api-keys" => w.kakunin.issuer().id().to_string(),
                _ => agent.id.clone(),
            };
            let method_of_it = method.to_uppercase().parse().unwrap();
            let path_of_it =
                path.replace("{id}", &id).replace("{approval_id}", &agent.id).replace("{delivery}", "msg_1");
            all.push((method_of_it, path_of_it, needed(method, path)));
        }
    }
    all
}

#[tokio::test]
async fn each_role_may_do_what_it_is_for_and_nothing_above() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let mut keys = Vec::new();
    for role in ROLES {
        keys.push(w.key("default", role).await);
    }
    let json_type = [("content-type", "application/json")];
    let all = operations(&w, &agent);
    assert!(all.len() > 20, "{all:?}");
    for (method, path, needed) in all {
        for (role, key) in keys.iter().enumerate() {
            // What may be done is not asked for in a way that does it.
            let body = if role < needed { "{}" } else { "[" };
            if role >= needed && method == Method::DELETE {
                continue;
            }
            let answer = key.send(method.clone(), &path, &json_type, body.into()).await.unwrap();
            let refused = answer.status == 403 && code(&answer) == "role_insufficient";
            assert_eq!(refused, role < needed, "{method} {path} by {}: {}", ROLES[role], answer.status);
        }
        let nobody =
            w.admin.without_key().send(method.clone(), &path, &json_type, "{}".into()).await.unwrap();
        assert_eq!(
            (nobody.status.as_u16(), code(&nobody)),
            (401, "api_key_missing".to_owned()),
            "{method} {path}"
        );
    }
    let agent = w.admin.get(&format!("/api/v1/agents/{}", agent.id)).await.unwrap();
    assert_eq!(agent.text("status"), "active");
    assert_eq!(w.admin.get("/api/v1/events").await.unwrap().data(), json!([]));
}

/// All but the name of the request.
async fn answer(client: &Client, path: &str) -> (u16, Value) {
    let answer = client.get(path).await.unwrap();
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("request_id");
    (answer.status.as_u16(), body)
}

#[tokio::test]
async fn wrong_guesses_are_all_answered_alike_and_counted_together() {
    let w = world().await;
    let anybody = w.admin.without_key();
    let missing = answer(&anybody, &format!("/api/v1/verify/{}", "41".repeat(16))).await;
    assert_eq!(missing.0, 404);
    for malformed in ["x", "41", "zz", &"C1".repeat(16), &"41".repeat(17), "%00", "4141:41"] {
        assert_eq!(answer(&anybody, &format!("/api/v1/verify/{malformed}")).await, missing, "{malformed}");
    }
    let known = w.key("default", "reader").await;
    let unknown = answer(&w.admin.with_key(&format!("kak_live_{}", "a".repeat(60))), "/api/v1/agents").await;
    assert_eq!((unknown.0, &unknown.1["code"]), (401, &json!("api_key_invalid")));
    let mut guesses = 0;
    for n in 0..400 {
        let guess = answer(&w.admin.with_key(&format!("kak_live_{n}")), "/api/v1/agents").await;
        if guess.0 == 429 {
            break;
        }
        assert_eq!(guess, unknown);
        guesses += 1;
    }
    assert!((285..=300).contains(&guesses), "300 a minute, of both kinds: {guesses}");
    assert_eq!(answer(&anybody, "/api/v1/verify/x").await.0, 429);
    assert_eq!(known.get("/api/v1/agents").await.unwrap().status, 200, "who has a key is served");
}
