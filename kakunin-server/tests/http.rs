//! HTTP as the RFCs have it: validators, forms, hosts, methods, challenges, and members that nobody knows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::time::Duration;

use axum::http::Method;
use common::{World, code, world, world_with};
use kakunin_server::demo::{Answer, Client};
use kakunin_server::serve::Patience;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn ask(client: &Client, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
    client.send(method, path, fields, Vec::new()).await.unwrap()
}

async fn get(client: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    ask(client, Method::GET, path, fields).await
}

/// What comes back on a connection of its own until it is closed, or nothing more comes.
async fn raw(w: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(w.url.rsplit('/').next().unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    let limit = Duration::from_millis(if request.contains("close") { 10_000 } else { 1_500 });
    while let Ok(Ok(n @ 1..)) = timeout(limit, stream.read(&mut piece)).await {
        all.extend_from_slice(&piece[..n]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

/// An agent with a certificate: identifier and serial number.
async fn certified(w: &World) -> (String, String) {
    let body = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:mail"] });
    let id = w.admin.post("/api/v1/agents", &body).await.unwrap().text("id");
    let made = w.admin.post(&format!("/api/v1/agents/{id}/certify"), &json!({})).await.unwrap();
    assert_eq!(made.status, 201);
    (id, made.text("serial_number"))
}

async fn issuer(w: &World) -> String {
    let all = w.admin.get("/api/v1/ca").await.unwrap().data()["authorities"].clone();
    let issuing = all.as_array().unwrap().iter().find(|ca| ca["role"] == "issuing").unwrap();
    issuing["key_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn whoever_has_it_already_is_sent_304() {
    let w = world().await;
    let (_, serial) = certified(&w).await;
    let issuer = issuer(&w).await;
    let anybody = w.admin.without_key();
    for path in [
        "crl".to_owned(),
        "crl/chain".to_owned(),
        format!("crl/{issuer}/0.crl"),
        format!("crl/{issuer}/full.crl"),
        format!("feed/{issuer}/snapshot"),
        format!("verify/{serial}"),
        "ca".to_owned(),
        "ca/chain".to_owned(),
        format!("ca/{issuer}.cer"),
        "spiffe/bundle".to_owned(),
        "openapi.json".to_owned(),
    ] {
        let path = format!("/api/v1/{path}");
        // A snapshot, and a CRL of all, is made anew after some seconds: then there is another tag.
        let mut told = String::new();
        for _ in 0..3 {
            told.clear();
            let whole = get(&anybody, &path, &[]).await;
            assert_eq!(whole.status, 200, "{path}");
            let tag = whole.headers["etag"].to_str().unwrap().to_owned();
            for known in [
                tag.clone(),
                format!("W/{tag}"),
                format!("\"x\", {tag}"),
                format!("W/\"x\",W/{tag} , \"y\""),
                "*".to_owned(),
            ] {
                for method in [Method::GET, Method::HEAD] {
                    let answer = ask(&anybody, method.clone(), &path, &[("if-none-match", &known)]).await;
                    if answer.status != 304 {
                        told = format!("{method} {path} {known}: {}", answer.status);
                        continue;
                    }
                    assert!(answer.body.is_empty(), "{path}");
                    for name in ["etag", "cache-control", "vary", "access-control-allow-origin"] {
                        assert_eq!(answer.headers.get(name), whole.headers.get(name), "{path}: {name}");
                    }
                    for name in ["etag", "cache-control", "date"] {
                        assert!(answer.headers.contains_key(name), "{path}: {name}");
                    }
                    for name in ["content-type", "content-length"] {
                        assert!(!answer.headers.contains_key(name), "{path}: {name}");
                    }
                }
            }
            let lines = format!("if-none-match: \"x\"\r\nif-none-match: {tag}\r\n");
            let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n");
            if status(&raw(&w, &request).await) != "304" {
                told = format!("{path}: two lines");
            }
            if told.is_empty() {
                break;
            }
        }
        assert_eq!(told, "");
        for unknown in ["\"x\"", "x", "", "w/*", "\"x\", *"] {
            assert_eq!(
                get(&anybody, &path, &[("if-none-match", unknown)]).await.status,
                200,
                "{path} {unknown}"
            );
        }
    }
    // What changed is sent.
    let path = format!("/api/v1/verify/{serial}");
    let tag = get(&anybody, &path, &[]).await.headers["etag"].to_str().unwrap().to_owned();
    let page = get(&anybody, &path, &[("accept", "text/html"), ("if-none-match", &tag)]).await;
    assert_eq!(page.status, 200, "the page has a tag of its own");
    w.admin
        .post(&format!("/api/v1/certificates/{serial}/revoke"), &json!({ "reason": "superseded" }))
        .await
        .unwrap();
    let now = get(&anybody, &path, &[("if-none-match", &tag)]).await;
    assert_eq!((now.status.as_u16(), now.text("status")), (200, "revoked".to_owned()));
    assert_eq!(get(&anybody, "/api/v1/verify/00", &[("if-none-match", "*")]).await.status, 404);
}

#[tokio::test]
async fn a_client_is_sent_the_form_that_it_wants() {
    let w = world().await;
    let (_, serial) = certified(&w).await;
    let (issuer, anybody) = (issuer(&w).await, w.admin.without_key());
    let (json, html) = ("application/json", "text/html; charset=utf-8");
    let (pem, der) = ("application/x-pem-file", "application/pkix-crl");
    let verify = format!("/api/v1/verify/{serial}");
    let shard = format!("/api/v1/crl/{issuer}/0.crl");
    for (path, accept, expected) in [
        (verify.as_str(), "TEXT/HTML", html),
        (&verify, "text/*", html),
        (&verify, "application/json;q=0.5, text/html", html),
        (&verify, "text/html;q=0.5, application/json", json),
        (&verify, "text/html;q=0", json),
        (&verify, "*/*", json),
        (&verify, "application/json;q=0", html),
        ("/api/v1/crl", "APPLICATION/PKIX-CRL", der),
        ("/api/v1/crl", "application/pkix-crl;q=0, */*", pem),
        ("/api/v1/crl", "application/x-pem-file;q=0.2, application/pkix-crl;q=0.3", der),
        ("/api/v1/crl", "application/*", pem),
        ("/api/v1/crl", "application/pkix-crlx", pem),
        (&shard, "Application/X-PEM-File", pem),
        (&shard, "application/x-pem-file;q=0", der),
        (&shard, "application/x-pem-file;q=0.1, application/pkix-crl", der),
        ("/api/v1/agents", "Application/Problem+JSON", "application/problem+json"),
        ("/api/v1/agents", "application/problem+json;q=0", json),
        ("/api/v1/agents", "application/json, application/problem+json;q=0.9", json),
        ("/api/v1/agents", "*/*", json),
    ] {
        let answer = get(&anybody, path, &[("accept", accept)]).await;
        assert_eq!(answer.headers["content-type"], expected, "{path} {accept}");
        if path != "/api/v1/agents" {
            assert_eq!(answer.headers["vary"], "accept");
        }
    }
    for path in [verify.as_str(), "/api/v1/crl", &shard] {
        let answer = get(&anybody, path, &[("accept", "*/*;q=0")]).await;
        assert_eq!((answer.status.as_u16(), code(&answer)), (406, "not_acceptable".to_owned()), "{path}");
        let lines = "accept: text/html;q=0.1\r\naccept: application/json;q=0.1, application/x-pem-file\r\n";
        let two =
            raw(&w, &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}\r\n")).await;
        let expected = if path == verify { html } else { pem };
        assert!(two.to_lowercase().contains(&format!("content-type: {expected}")), "{path}: {two}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_names_one_host() {
    let w = world().await;
    for (head, expected) in [
        ("GET /healthz HTTP/1.1\r\nhost: a\r\n", "200"),
        ("GET /healthz HTTP/1.1\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nHost: a\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: a, b\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost: u@a\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nhost:\r\n", "400"),
        ("GET http://a/healthz HTTP/1.1\r\nhost: a\r\n", "200"),
        ("GET http://a/healthz HTTP/1.1\r\n", "400"),
        ("GET http://a/healthz HTTP/1.1\r\nhost: a\r\nhost: a\r\n", "400"),
        ("GET http://u@a/healthz HTTP/1.1\r\nhost: a\r\n", "400"),
        ("GET /healthz HTTP/1.0\r\n", "200"),
        ("GET /healthz HTTP/1.0\r\nhost: a\r\nhost: b\r\n", "400"),
    ] {
        let answer = raw(&w, &format!("{head}connection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), expected, "{head}: {answer}");
        assert!(expected == "200" || answer.contains("host_invalid"), "{answer}");
    }
    for (fields, expected) in [(&["-H", "host: 127.0.0.1"][..], "200"), (&["-H", "Host:"], "400")] {
        let out = std::process::Command::new("curl")
            .args([
                "-sS",
                "--max-time",
                "20",
                "--http2-prior-knowledge",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
            ])
            .args(fields)
            .arg(format!("{}/healthz", w.url))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), expected, "{fields:?}");
    }
}

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
async fn each_401_says_how_to_show_who_asks() {
    let w = world().await;
    let (id, serial) = certified(&w).await;
    let anybody = w.admin.without_key();
    let wrong = anybody.with_key("kak_live_wrong");
    let gets =
        ["agents", "events", "notifications", "audit-log", "api-keys", "tenants/default"].map(str::to_owned);
    for path in gets.into_iter().chain([format!("agents/{id}"), format!("agents/{id}/risk")]) {
        let path = format!("/api/v1/{path}");
        for (client, expected) in [
            (&anybody, "Bearer realm=\"kakunin\""),
            (&wrong, "Bearer realm=\"kakunin\", error=\"invalid_token\""),
        ] {
            let answer = client.get(&path).await.unwrap();
            assert_eq!(answer.status, 401, "{path}");
            assert_eq!(answer.headers["www-authenticate"], expected, "{path}");
        }
    }
    let signature = "Signature tag=\"kakunin-request\"";
    let check = |body: Value| {
        let anybody = anybody.clone();
        async move { anybody.post("/api/v1/gateway/check", &body).await.unwrap() }
    };
    let nobody = check(json!({ "action": "read:mail" })).await;
    assert_eq!(
        (nobody.status.as_u16(), &nobody.headers["www-authenticate"]),
        (401, &signature.parse().unwrap())
    );
    let request = json!({ "method": "GET", "target": "/", "authority": "a", "headers": {} });
    let relayed = check(json!({ "action": "read:mail", "request": request })).await;
    assert_eq!(relayed.status, 401);
    assert_eq!(relayed.headers["www-authenticate"], "Bearer realm=\"kakunin\"");
    let wrong = wrong.post("/api/v1/gateway/check", &json!({ "action": "read:mail" })).await.unwrap();
    assert_eq!(wrong.headers["www-authenticate"], "Bearer realm=\"kakunin\", error=\"invalid_token\"");
    let asked = json!({ "join_token": "kak_join_wrong", "csr": "x" });
    let enrol = anybody.post("/api/v1/enroll", &asked).await.unwrap();
    assert_eq!(enrol.status, 401, "{:?}", enrol.json());
    assert_eq!(enrol.headers["www-authenticate"], "JoinToken realm=\"kakunin\"");
    let posts = [format!("agents/{id}/halt"), format!("certificates/{serial}/revoke"), "events".to_owned()];
    for path in posts {
        let answer = anybody.post(&format!("/api/v1/{path}"), &json!({})).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.headers.contains_key("www-authenticate")), (401, true));
    }
    let gateway = world_with(|options| options.api.gateways = vec!["127.0.0.1=nginx".parse().unwrap()]).await;
    let answer = gateway.admin.without_key().get("/api/v1/gateway/auth/x?y=z").await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["www-authenticate"]),
        (401, &signature.parse().unwrap())
    );
}

#[tokio::test]
async fn what_a_tenant_keeps_to_itself_asks_for_a_key() {
    let w = world().await;
    w.admin.post("/api/v1/tenants", &json!({ "id": "acme" })).await.unwrap();
    let tenant = "acme".parse().unwrap();
    w.kakunin.rotate_issuing(Some(&tenant)).await.unwrap();
    let patched = w.admin.send(
        Method::PATCH,
        "/api/v1/tenants/acme",
        &[("content-type", "application/json")],
        json!({ "revocations": "private" }).to_string().into_bytes(),
    );
    assert_eq!(patched.await.unwrap().status, 200);
    let all = w.admin.get("/api/v1/ca").await.unwrap().data()["authorities"].clone();
    let own = all.as_array().unwrap().iter().find(|ca| ca["tenant"] == "acme").unwrap();
    let issuer = own["key_id"].as_str().unwrap();
    for path in [
        format!("crl/{issuer}/0.crl"),
        format!("feed/{issuer}"),
        format!("feed/{issuer}/snapshot"),
        format!("feed/{issuer}/stream"),
    ] {
        let answer = get(&w.admin.without_key(), &format!("/api/v1/{path}"), &[("if-none-match", "*")]).await;
        assert_eq!(answer.status, 401, "{path}");
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"kakunin\"", "{path}");
    }
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let w = world().await;
    let (id, serial) = certified(&w).await;
    let allowed = |answer: &Answer| {
        let text = answer.headers["allow"].to_str().unwrap();
        let mut all: Vec<_> = text.split(',').map(|one| one.trim().to_owned()).collect();
        all.sort();
        all.join(",")
    };
    for (path, expected) in [
        ("/healthz".to_owned(), "GET,HEAD,OPTIONS"),
        ("/metrics".to_owned(), "GET,HEAD,OPTIONS"),
        ("/api/v1/agents".to_owned(), "GET,HEAD,OPTIONS,POST"),
        ("/api/v1/agents?limit=1".to_owned(), "GET,HEAD,OPTIONS,POST"),
        ("/api/v1/notifications?limit=1".to_owned(), "GET,HEAD,OPTIONS"),
        (format!("/api/v1/agents/{id}"), "DELETE,GET,HEAD,OPTIONS,PATCH"),
        (format!("/api/v1/agents/{id}/halt"), "OPTIONS,POST"),
        (format!("/api/v1/certificates/{serial}/revoke"), "OPTIONS,POST"),
        ("/api/v1/gateway/check".to_owned(), "OPTIONS,POST"),
        (format!("/api/v1/verify/{serial}"), "GET,HEAD,OPTIONS"),
    ] {
        for method in ["TRACE", "PUT", "PROPFIND", "FOO", "get"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = ask(&w.admin, method.clone(), &path, &[]).await;
            assert_eq!(
                (answer.status.as_u16(), code(&answer)),
                (405, "method_not_allowed".to_owned()),
                "{method} {path}"
            );
            assert_eq!(allowed(&answer), expected, "{method} {path}");
        }
        let options = ask(&w.admin.without_key(), Method::OPTIONS, &path, &[]).await;
        assert_eq!((options.status.as_u16(), allowed(&options).as_str()), (204, expected), "{path}");
        assert!(options.body.is_empty() && !options.headers.contains_key("content-type"));
    }
    let gateway = ask(&w.admin, Method::TRACE, "/api/v1/gateway/auth/x", &[]).await;
    assert_eq!((gateway.status.as_u16(), gateway.headers.contains_key("allow")), (405, true));
    for method in [Method::TRACE, Method::OPTIONS] {
        assert_eq!(ask(&w.admin, method, "/api/v1/nothing", &[]).await.status, 404);
    }
    let all = raw(&w, "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(status(&all) == "204" && all.to_lowercase().contains("allow: get,head"), "{all}");
    // HEAD is GET without content.
    for path in
        ["/healthz", "/api/v1/ca", "/api/v1/agents", "/api/v1/agents/x", "/api/v1/nothing", "/api/v1/crl"]
    {
        let (get, head) = (get(&w.admin, path, &[]).await, ask(&w.admin, Method::HEAD, path, &[]).await);
        assert_eq!(get.status, head.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["content-type", "content-length", "etag", "cache-control"] {
            assert_eq!(get.headers.get(name), head.headers.get(name), "{path}: {name}");
        }
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
    for (query, shown) in
        [("status=ACTIVE", "`ACTIVE`"), ("limit=abc", "limit"), ("limit=1&limit=2", "limit")]
    {
        let answer = get(&w.admin, &format!("/api/v1/agents?{query}"), &[]).await;
        let said = answer.json()["error"].as_str().unwrap().to_owned();
        assert_eq!((answer.status.as_u16(), code(&answer)), (400, "query_invalid".to_owned()), "{query}");
        assert!(said.contains(shown), "{said}");
    }
}

#[test]
fn names_in_the_description_are_of_any_script() {
    let schemas = &kakunin_server::http::openapi()["components"]["schemas"];
    for (schema, most) in [("EventNameText", 256), ("ShortNameText", 64)] {
        let pattern = schemas[schema]["pattern"].as_str().unwrap();
        assert!(pattern.ends_with(&format!("{{1,{most}}}$")), "{pattern}");
    }
    let event = schemas["EventBody"].to_string();
    assert!(!event.contains("[ -~]"), "names that are not ASCII are accepted: {event}");
    for name in ["client_id", "session_id", "correlation", "tool", "subject", "target", "counterparty"] {
        let member = schemas["EventBody"]["properties"][name].to_string();
        assert!(member.contains("NameText"), "{name}: {member}");
    }
}

#[test]
fn dates_in_the_description_know_leap_days() {
    let description = kakunin_server::http::openapi();
    let pattern = &description["components"]["schemas"]["EventBody"]["properties"]["occurred_at"]["pattern"];
    let days = "print(json.dumps([bool(re.search(sys.argv[1], d + 'T10:00:00.5Z')) for d in sys.argv[2:]]))";
    let dates =
        ["2028-02-29", "2000-02-29", "2096-02-29", "2027-02-29", "2030-02-29", "2028-02-30", "2027-02-28"];
    let out = std::process::Command::new("python3")
        .args(["-c", &format!("import json,re,sys\n{days}"), pattern.as_str().unwrap()])
        .args(dates)
        .output()
        .unwrap();
    let matched: Vec<bool> = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(matched, [true, true, true, false, false, false, true]);
}

#[tokio::test]
async fn another_signature_beside_ours_is_let_be() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let (path, body) = ("/api/v1/gateway/check", json!({ "action": "read:mail" }).to_string());
    let bot = (r#"bot=("@authority");created=1;keyid="a,b";tag="web-bot-auth""#, "bot=:AQID:");
    let again = |ours: &str| ours.replacen("kakunin=", "two=", 1);
    for (joined, twice, expected) in
        [(true, false, 200), (false, false, 200), (true, true, 401), (false, true, 401)]
    {
        let signed = agent.sign("POST", path, body.as_bytes()).await.unwrap();
        let mut fields = vec![("content-type", "application/json".to_owned())];
        for (name, ours) in signed {
            let other = match name {
                "signature-input" if twice => again(&ours),
                "signature-input" => bot.0.to_owned(),
                "signature" if twice => again(&ours),
                "signature" => bot.1.to_owned(),
                _ => {
                    fields.push((name, ours));
                    continue;
                }
            };
            if joined {
                fields.push((name, format!("{other}, {ours}")));
            } else {
                fields.extend([(name, ours), (name, other)]);
            }
        }
        let head: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let host = w.url.rsplit('/').next().unwrap();
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{head}\r\n{body}"
        );
        let answer = raw(&w, &request).await;
        assert_eq!(status(&answer), expected.to_string(), "{joined} {twice}: {answer}");
        assert!(expected == 200 || answer.contains("more than one signature for us"), "{answer}");
    }
}
