//! Bodies and parameters that are refused.

use std::time::Duration;

use axum::http::Method;
use kakunin_server::serve::Patience;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::asking::{certified, get, issuer, raw, status};
use crate::common::{code, world, world_with};

#[tokio::test]
async fn a_body_that_stalls_is_408_wherever_one_is_read() {
    let second = Duration::from_secs(1);
    let w = world_with(|options| {
        options.patience = Patience { head: 5 * second, idle: 5 * second, stall: second };
    })
    .await;
    let key = std::fs::read_to_string(w.folder.path().join("data/admin.key")).unwrap();
    let id = "01a2099f-4b35-7520-8eb7-8c6ce3cbd416";
    let mut asked = tokio::task::JoinSet::new();
    for path in [
        "enroll",
        "enroll/renew",
        "verify/message",
        "gateway/check",
        "events",
        "events/batch",
        "agents",
        &format!("agents/{id}/certify"),
        &format!("certificates/{}/hold", "41".repeat(16)),
        "tenants",
        "api-keys",
    ] {
        for frame in
            ["content-length: 50\r\n\r\n{\"a\":", "transfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n"]
        {
            let address = w.url.rsplit('/').next().unwrap().to_owned();
            let bearer = if path == "gateway/check" {
                String::new()
            } else {
                format!("authorization: Bearer {}\r\n", key.trim())
            };
            let request = format!(
                "POST /api/v1/{path} HTTP/1.1\r\nhost: a\r\n{bearer}content-type: application/json\r\n{frame}"
            );
            let path = path.to_owned();
            asked.spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.write_all(request.as_bytes()).await.unwrap();
                let mut all = String::new();
                timeout(8 * second, stream.read_to_string(&mut all)).await.expect("it is closed").unwrap();
                assert_eq!(status(&all), "408", "{path}: {all}");
                assert!(all.contains("\"timeout\""), "{all}");
            });
        }
    }
    while let Some(one) = asked.join_next().await {
        one.unwrap();
    }
}

#[tokio::test]
async fn what_nobody_knows_is_refused_by_name() {
    let w = world().await;
    let (id, serial) = certified(&w).await;
    let issuer = issuer(&w).await;
    let gets = [
        "/healthz".to_owned(),
        "/readyz".to_owned(),
        "/metrics".to_owned(),
        "/api/v1/agents".to_owned(),
        format!("/api/v1/agents/{id}"),
        format!("/api/v1/agents/{id}/risk"),
        "/api/v1/events".to_owned(),
        "/api/v1/notifications".to_owned(),
        "/api/v1/notifications/stream".to_owned(),
        "/api/v1/audit-log".to_owned(),
        "/api/v1/tenants/default".to_owned(),
        "/api/v1/api-keys".to_owned(),
        format!("/api/v1/verify/{serial}"),
        "/api/v1/crl".to_owned(),
        "/api/v1/crl/chain".to_owned(),
        format!("/api/v1/crl/{issuer}/0.crl"),
        format!("/api/v1/feed/{issuer}"),
        format!("/api/v1/feed/{issuer}/snapshot"),
        format!("/api/v1/feed/{issuer}/stream"),
        "/api/v1/ca".to_owned(),
        "/api/v1/ca/chain".to_owned(),
        format!("/api/v1/ca/{issuer}.cer"),
        "/api/v1/spiffe/bundle".to_owned(),
        "/api/v1/openapi.json".to_owned(),
    ];
    for path in &gets {
        for query in ["surprise=1", "surprise"] {
            let answer = w.admin.get(&format!("{path}?{query}")).await.unwrap();
            assert_eq!((answer.status.as_u16(), code(&answer)), (400, "query_invalid".to_owned()), "{path}");
            assert!(answer.json()["error"].as_str().unwrap().contains("`surprise`"), "{:?}", answer.json());
        }
        assert_ne!(
            w.admin.send(Method::HEAD, &format!("{path}?"), &[], Vec::new()).await.unwrap().status,
            400
        );
    }
    assert_eq!(w.admin.get("/api/v1/nothing?surprise=1").await.unwrap().status, 404);
    for (query, expected) in
        [("window_days=30", 200), ("window_days=7", 200), ("window_days=0", 400), ("window_days=x", 400)]
    {
        let answer = w.admin.get(&format!("/api/v1/agents/{id}/risk?{query}")).await.unwrap();
        assert_eq!(answer.status.as_u16(), expected, "{query}");
    }
    let posts = [
        "agents".to_owned(),
        format!("agents/{id}/certify"),
        format!("agents/{id}/renew"),
        format!("agents/{id}/join-tokens"),
        format!("agents/{id}/grants"),
        format!("agents/{id}/halt"),
        format!("agents/{id}/reinstate"),
        format!("agents/{id}/sign"),
        format!("certificates/{serial}/revoke"),
        format!("certificates/{serial}/hold"),
        format!("certificates/{serial}/release"),
        "enroll".to_owned(),
        "enroll/renew".to_owned(),
        "events".to_owned(),
        "events/batch".to_owned(),
        "gateway/check".to_owned(),
        "tenants".to_owned(),
        "api-keys".to_owned(),
        "verify/message".to_owned(),
    ];
    let json_body = [("content-type", "application/json")];
    let surprise = || json!({ "surprise": 1 }).to_string().into_bytes();
    for path in posts {
        let path = format!("/api/v1/{path}");
        let answer = w.admin.send(Method::POST, &path, &json_body, surprise()).await.unwrap();
        assert_eq!((answer.status.as_u16(), code(&answer)), (422, "body_invalid".to_owned()), "{path}");
        assert!(answer.json().to_string().contains("`surprise`"), "{path}: {:?}", answer.json());
        let answer =
            w.admin.send(Method::POST, &format!("{path}?surprise=1"), &json_body, surprise()).await.unwrap();
        assert_eq!((answer.status.as_u16(), code(&answer)), (400, "query_invalid".to_owned()), "{path}");
    }
    let key = w.admin.get("/api/v1/api-keys").await.unwrap().data()[0]["id"].as_str().unwrap().to_owned();
    for (method, path) in [
        (Method::PATCH, format!("agents/{id}")),
        (Method::PATCH, "tenants/default".to_owned()),
        (Method::DELETE, format!("agents/{id}")),
        (Method::DELETE, format!("api-keys/{key}")),
    ] {
        let path = format!("/api/v1/{path}");
        let answer = w.admin.send(method.clone(), &path, &json_body, surprise()).await.unwrap();
        assert_eq!(answer.status, 422, "{method} {path}");
        let answer =
            w.admin.send(method.clone(), &format!("{path}?surprise"), &json_body, surprise()).await.unwrap();
        assert_eq!(answer.status, 400, "{method} {path}");
    }
    assert_eq!(
        w.admin.get(&format!("/api/v1/agents/{id}")).await.unwrap().text("status"),
        "active",
        "nothing was done"
    );
    let held = w.admin.post(&format!("/api/v1/certificates/{serial}/hold"), &json!({})).await.unwrap();
    assert_eq!(held.status, 200, "an object without members is as good as none");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_told_what_was_given() {
    let w = world().await;
    for (body, expected) in [
        (&b""[..], "the body is empty: send a JSON object"),
        (b" \n", "the body is empty"),
        (b"{\"name\": \"on", "ends in the middle of its JSON, after 12 octets (line 1, column 12)"),
        (b"name=one", "the body is not JSON: a value is expected here"),
    ] {
        let json_body = [("content-type", "application/json")];
        let answer = w.admin.send(Method::POST, "/api/v1/agents", &json_body, body.to_vec()).await.unwrap();
        assert_eq!((answer.status.as_u16(), code(&answer)), (400, "json_malformed".to_owned()));
        let said = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(said.contains(expected) && !said.contains("EOF"), "{said}");
    }
}

#[tokio::test]
async fn a_body_that_is_packed_is_refused_as_such() {
    let w = world().await;
    let key = std::fs::read_to_string(w.folder.path().join("data/admin.key")).unwrap();
    let (key, host) = (key.trim_end(), w.url.rsplit('/').next().unwrap());
    let head = |coding: &str, body: &str| {
        format!(
            "POST /api/v1/tenants HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: \
             application/json\r\n{coding}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    for coding in ["content-encoding: gzip\r\n", "content-encoding: identity, br\r\n"] {
        let answer = raw(&w, &head(coding, "xxxx")).await;
        assert_eq!(status(&answer), "415", "{answer}");
        assert!(
            answer.contains("content_encoding") && answer.contains("accept-encoding: identity"),
            "{answer}"
        );
    }
    for coding in ["", "content-encoding: identity\r\n", "Content-Encoding: IDENTITY\r\n"] {
        let answer = raw(&w, &head(coding, "{\"id\":\"acme\"}")).await;
        assert_eq!(status(&answer), "201", "{answer}");
    }
}

#[tokio::test]
async fn a_parameter_that_is_not_understood_is_shown_as_it_was_sent() {
    let w = world().await;
    for (query, shown) in [
        ("status=ACTIVE", "`ACTIVE`"),
        ("limit=abc", "limit"),
        ("limit=1&limit=2", "limit"),
        ("%00=1", "not known here"),
        ("a%60b=1", "not known here"),
        ("%E2%80%AE=1", "not known here"),
    ] {
        let answer = get(&w.admin, &format!("/api/v1/agents?{query}"), &[]).await;
        let said = answer.json()["error"].as_str().unwrap().to_owned();
        assert_eq!((answer.status.as_u16(), code(&answer)), (400, "query_invalid".to_owned()), "{query}");
        assert!(said.contains(shown) && !said.contains("unknown field"), "{said}");
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_not_waited_for() {
    let w = world().await;
    let key = std::fs::read_to_string(w.folder.path().join("data/admin.key")).unwrap();
    let (key, host) = (key.trim_end(), w.url.rsplit('/').next().unwrap());
    for expects in ["", "expect: 100-continue\r\n"] {
        for path in ["tenants", "events", "events/batch", "gateway/check"] {
            let head = format!(
                "POST /api/v1/{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: \
             application/json\r\n{expects}content-length: 9999999999\r\n\r\n"
            );
            let answer = raw(&w, &head).await;
            assert!(status(&answer) == "413" && answer.contains("body_too_large"), "{path}: {answer}");
        }
    }
}
