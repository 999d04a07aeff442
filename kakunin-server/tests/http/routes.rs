//! The description says what the router does: each operation is there and no other, and who may ask for it, with which
//! body and query, is as described.

use std::collections::BTreeSet;

use axum::http::Method;
use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};

use crate::asking::ask;
use crate::common::{code, world, world_with};

/// By every method, and what follows it is a gateway's client's.
const FORWARDED: &str = "/api/v1/gateway/auth";

/// Every path with something in place of its parameters, and what is done there.
fn paths() -> Vec<(String, Vec<(Method, Value)>)> {
    let description = kakunin_server::http::openapi();
    let all = description["paths"].as_object().unwrap().iter().map(|(path, item)| {
        let filled = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
        let operations = item.as_object().unwrap().iter();
        let operations = operations.map(|(method, operation)| {
            assert!(operation["operationId"].is_string(), "{method} {path}");
            (method.to_uppercase().parse().unwrap(), operation.clone())
        });
        (filled.collect::<Vec<_>>().join("/"), operations.collect())
    });
    let all: Vec<_> = all.collect();
    assert!(all.len() > 35, "the description has {} paths", all.len());
    all
}

fn is_for_anybody(operation: &Value) -> bool {
    operation["security"].as_array().is_some_and(|any_of| any_of.contains(&json!({})))
}

async fn send(client: &Client, method: &Method, path: &str, body: Vec<u8>) -> Answer {
    client.send(method.clone(), path, &[("content-type", "application/json")], body).await.unwrap()
}

#[tokio::test]
async fn what_is_described_is_there_and_nothing_else() {
    let w = world().await;
    for (path, operations) in paths().iter().filter(|(path, _)| path != FORWARDED) {
        let answer = ask(&w.admin, Method::OPTIONS, path, &[]).await;
        assert_eq!(answer.status, 204, "{path}");
        let there: BTreeSet<_> =
            answer.headers["allow"].to_str().unwrap().split(',').map(str::trim).collect();
        let mut described: BTreeSet<_> = operations.iter().map(|(method, _)| method.as_str()).collect();
        if described.contains("GET") {
            described.insert("HEAD");
        }
        described.insert("OPTIONS");
        assert_eq!(there, described, "{path}");
    }
}

#[tokio::test]
async fn a_query_is_taken_where_one_is_described() {
    let w = world().await;
    for (path, operations) in paths().iter().filter(|(path, _)| path != FORWARDED) {
        for (method, operation) in operations {
            // Issuers of this form do not exist, and that is said first.
            let issuer = path.starts_with("/api/v1/feed/");
            let parameters = operation["parameters"].as_array();
            let described = parameters.is_some_and(|all| all.iter().any(|one| one["in"] == "query"));
            let answer = send(&w.admin, method, &format!("{path}?nobody=1"), b"{}".to_vec()).await;
            if !(issuer && described) {
                let refused = (answer.status.as_u16(), code(&answer));
                assert_eq!(refused, (400, "query_invalid".to_owned()), "{method} {path}");
            }
            let none_taken =
                code(&answer) == "query_invalid" && answer.json().to_string().contains("takes no query");
            assert_eq!(none_taken, !described, "{method} {path}: {}", answer.json());
        }
    }
}

#[tokio::test]
async fn whoever_shows_no_account_sends_little_and_has_a_limit() {
    let w = world_with(|options| {
        options.api.anonymous_rate = 1.try_into().unwrap();
        options.api.key_rate = 1.try_into().unwrap();
    })
    .await;
    let anybody = w.admin.without_key();
    let mut bodies = 0;
    for (path, operations) in paths() {
        for (method, operation) in operations.iter().filter(|(_, operation)| is_for_anybody(operation)) {
            if operation["requestBody"].is_object() {
                // Refused by its length, or told to wait before it is read.
                let long = format!("{{\"a\":\"{}\"}}", "x".repeat(129 * 1024)).into_bytes();
                let answer = send(&anybody, method, &path, long).await;
                assert!([413, 429].contains(&answer.status.as_u16()), "{method} {path}: {}", answer.status);
                bodies += usize::from(answer.status == 413);
            }
            let mut limited = false;
            for _ in 0..20 {
                let body = json!({ "action": "read:mail" }).to_string().into_bytes();
                limited |= send(&anybody, method, &path, body).await.status == 429;
            }
            // Whether the process lives costs nothing to say, and only gateways are answered there.
            let free = path == "/healthz" || path == FORWARDED;
            assert_eq!(limited, !free, "{method} {path}");
        }
    }
    assert!(bodies >= 3, "only {bodies} were read so far as to be too long");
}

#[tokio::test]
async fn a_body_of_a_key_may_be_longer_than_a_strangers() {
    let w = world().await;
    let long = json!({ "events": [], "padding": "x".repeat(200 * 1024) }).to_string().into_bytes();
    let mut taken = 0;
    for (path, operations) in paths() {
        for (method, operation) in operations.iter().filter(|(_, operation)| !is_for_anybody(operation)) {
            if operation["requestBody"].is_object() {
                let answer = send(&w.admin, method, &path, long.clone()).await;
                assert_ne!(answer.status, 413, "{method} {path}");
                taken += 1;
            }
        }
    }
    assert!(taken > 10, "{taken}");
}
