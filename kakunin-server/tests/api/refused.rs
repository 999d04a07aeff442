//! Bodies, members, queries and paths that are refused.

use axum::http::Method;
use kakunin_server::demo::{Answer, Client};
use serde_json::json;

use crate::agents::{MODEL, certified, registered};
use crate::common::{as_it_is, code, world};

async fn raw(client: &Client, path: &str, kind: &str, body: &[u8]) -> Answer {
    client.send(Method::POST, path, &[("content-type", kind)], body.to_vec()).await.unwrap()
}

#[tokio::test]
async fn bad_bodies_are_refused_with_a_code_and_a_sentence() {
    let w = world().await;
    let (id, serial) = certified(&w.admin, "one").await;
    let paths = [
        "/api/v1/agents".to_owned(),
        format!("/api/v1/agents/{id}/certify"),
        format!("/api/v1/agents/{id}/renew"),
        format!("/api/v1/agents/{id}/join-tokens"),
        "/api/v1/enroll".to_owned(),
        "/api/v1/enroll/renew".to_owned(),
        format!("/api/v1/agents/{id}/halt"),
        format!("/api/v1/agents/{id}/sign"),
        format!("/api/v1/certificates/{serial}/revoke"),
        "/api/v1/events".to_owned(),
        "/api/v1/events/batch".to_owned(),
        "/api/v1/gateway/check".to_owned(),
        "/api/v1/tenants".to_owned(),
        "/api/v1/api-keys".to_owned(),
    ];
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let members = format!("{{\"payload\":{}1{}}}", "{\"a\":".repeat(200), "}".repeat(200));
    let bodies: [(&[u8], &[u16]); 12] = [
        (b"\0", &[400]),
        (b"{\"name\":\"a\0b\"}", &[400, 422]),
        (b"\xff\xfe", &[400]),
        (b"{\"name\":\"\xff\"}", &[400, 422]),
        (b"{", &[400]),
        (b"{} {}", &[400, 422]),
        (deep.as_bytes(), &[400, 422]),
        (members.as_bytes(), &[400, 422]),
        (b"[]", &[422]),
        (b"null", &[422]),
        (b"{\"unknown\":1}", &[422]),
        (b"{\"name\":1e999,\"payload\":1e999}", &[400, 422]),
    ];
    for path in &paths {
        // Where a body may be left out, an empty one is none, whatever it is said to be.
        if !["/certify", "/join-tokens", "/halt", "/revoke"].iter().any(|end| path.ends_with(end)) {
            assert_eq!(raw(&w.admin, path, "application/json", b"").await.status, 400, "{path}");
        }
        for (body, statuses) in bodies {
            let answer = raw(&w.admin, path, "application/json", body).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert!(statuses.contains(&answer.status.as_u16()), "{path} {shown}: {}", answer.status);
            assert!(!code(&answer).is_empty());
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert_eq!(raw(&w.admin, path, kind, b"{}").await.status, 415, "{path} {kind}");
        }
        let long = raw(&w.admin, path, "application/json", &vec![b' '; 3 << 20]).await;
        assert_eq!((long.status.as_u16(), code(&long)), (413, "body_too_large".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn an_empty_body_is_none_where_none_is_needed() {
    let w = world().await;
    for (kind, name) in [("application/json", "typed"), ("", "untyped")] {
        let agent = registered(&w.admin, name).await;
        let issued = raw(&w.admin, &format!("/api/v1/agents/{agent}/certify"), kind, b"").await;
        assert_eq!(issued.status, 201, "{kind}");
        let serial = issued.text("serial_number");
        for step in ["hold", "release", "revoke"] {
            let answer = raw(&w.admin, &format!("/api/v1/certificates/{serial}/{step}"), kind, b"").await;
            assert_eq!(answer.status, 200, "{step} {kind}");
            assert!(step != "revoke" || answer.text("reason") == "operator_initiated");
        }
        let agent = registered(&w.admin, &format!("{name}-too")).await;
        let token = raw(&w.admin, &format!("/api/v1/agents/{agent}/join-tokens"), kind, b"").await;
        assert_eq!(token.status, 201, "{kind}");
        let halted = raw(&w.admin, &format!("/api/v1/agents/{agent}/halt"), kind, b"").await;
        assert_eq!(halted.status, 200, "{kind}");
        let (path, typed) = (format!("/api/v1/agents/{agent}"), [("content-type", kind)]);
        let retired = w.admin.send(Method::DELETE, &path, &typed, Vec::new()).await.unwrap();
        assert_eq!(retired.status, 200, "{kind}");
    }
    // Where one is needed, its absence is said as such.
    let (agent, _) = certified(&w.admin, "renewed").await;
    for step in ["renew", "reinstate", "sign", "grants"] {
        let path = format!("/api/v1/agents/{agent}/{step}");
        let empty = raw(&w.admin, &path, "application/json", b"").await;
        assert_eq!((empty.status.as_u16(), code(&empty)), (400, "json_malformed".to_owned()), "{step}");
        assert!(empty.json()["error"].as_str().unwrap().starts_with("the body is empty: send"), "{step}");
        assert_eq!(raw(&w.admin, &path, "", b"").await.status, 415, "{step}");
    }
}

#[tokio::test]
async fn wrong_members_are_refused_one_by_one() {
    let w = world().await;
    let (id, _) = certified(&w.admin, "one").await;
    let long = "x".repeat(65);
    let agents = [
        json!({ "name": "", "model_hash": MODEL }),
        json!({ "name": "a\u{0}b", "model_hash": MODEL }),
        json!({ "name": long, "model_hash": MODEL }),
        json!({ "name": 1, "model_hash": MODEL }),
        json!({ "name": "a" }),
        json!({ "name": "a", "model_hash": "sha256:AB" }),
        json!({ "name": "a", "model_hash": MODEL, "scope": ["read:*x"] }),
        json!({ "name": "a", "model_hash": MODEL, "scope": ["*:accounts"] }),
        json!({ "name": "a", "model_hash": MODEL, "scope": "read:accounts" }),
        json!({ "name": "a", "model_hash": MODEL, "scope": vec!["read:a"; 65].iter().enumerate().map(|(i, s)| format!("{s}{i}")).collect::<Vec<_>>() }),
        json!({ "name": "a", "model_hash": MODEL, "environment": "Production" }),
        json!({ "name": "a", "model_hash": MODEL, "metadata": [] }),
        json!({ "name": "a", "model_hash": MODEL, "metadata": { "x": "y".repeat(5_000) } }),
        json!({ "name": "a", "model_hash": MODEL, "metadata": { "permitted_actions": "all" } }),
        json!({ "name": "a", "model_hash": MODEL, "financial_scope": { "daily_limit_usd": -1 } }),
        json!({ "name": "a", "model_hash": MODEL, "financial_scope": { "daily_limit_usd": 1.5 } }),
        json!({ "name": "a", "model_hash": MODEL, "financial_scope": { "permitted_venues": ["a b"] } }),
    ];
    for body in agents {
        let answer = w.admin.post("/api/v1/agents", &body).await.unwrap();
        assert_eq!(answer.status, 422, "{body}: {:?}", answer.json());
        assert!(!code(&answer).is_empty());
    }
    let events = [
        json!({ "agent_id": id }),
        json!({ "action": "read:accounts" }),
        json!({ "agent_id": id, "action": "read:*" }),
        json!({ "agent_id": id, "action_type": "API CALL" }),
        json!({ "agent_id": id, "action": "read:a", "outcome": "done" }),
        json!({ "agent_id": id, "action": "read:a", "attribution": "signed" }),
        json!({ "agent_id": id, "action": "read:a", "tool": "t\u{0}" }),
        json!({ "agent_id": id, "action": "read:a", "target": "x".repeat(257) }),
        json!({ "agent_id": id, "action": "read:a", "amount": { "minor": 1.5, "currency": "EUR" } }),
        json!({ "agent_id": id, "action": "read:a", "amount": { "minor": -1, "currency": "EUR" } }),
        json!({ "agent_id": id, "action": "read:a", "amount": { "minor": 1, "currency": "euro" } }),
        json!({ "agent_id": id, "action": "read:a", "occurred_at": "yesterday" }),
        json!({ "agent_id": id, "action": "read:a", "stream": { "stream": 1 } }),
        json!({ "agent_id": id, "action": "read:a", "stream": [1, 2] }),
        json!([id, null, "read:a"]),
        json!({ "agent_id": id, "action": "read:a", "details": { "x": "y".repeat(17_000) } }),
    ];
    for body in events {
        let answer = w.admin.post("/api/v1/events", &body).await.unwrap();
        assert_eq!(answer.status, 422, "{body}: {:?}", answer.json());
        let batch = json!({ "events": [{ "agent_id": id, "action": "read:a" }, body], "atomic": true });
        assert_eq!(w.admin.post("/api/v1/events/batch", &batch).await.unwrap().status, 422);
    }
    let twice = format!("{{\"agent_id\":\"{id}\",\"agentId\":\"{id}\",\"action\":\"read:a\"}}");
    assert_eq!(raw(&w.admin, "/api/v1/events", "application/json", twice.as_bytes()).await.status, 422);
    let twice = format!("{{\"agent_id\":\"{id}\",\"action\":\"read:a\",\"details\":{{\"a\":1,\"a\":2}}}}");
    assert_eq!(raw(&w.admin, "/api/v1/events", "application/json", twice.as_bytes()).await.status, 422);
    let events = w.admin.get("/api/v1/events").await.unwrap().data();
    assert_eq!(events.as_array().unwrap().len(), 0, "nothing of all that was recorded");
}

#[tokio::test]
async fn bad_queries_and_paths_are_refused() {
    let w = world().await;
    for query in [
        "agents?limit=0",
        "agents?limit=101",
        "agents?limit=x",
        "agents?limit=99999999999999999999",
        "agents?offset=-1",
        "agents?offset=1000001",
        "agents?status=busy",
        "agents?page=1",
        "agents?limit=1&limit=2",
        "events?before=x",
        "events?before=-1",
        "events?before=99999999999999999999",
        "events?agent_id=x",
        "events?action_type=%00",
        "audit-log?since=now",
        "audit-log?affected_id=x",
        "audit-log?event_type=x",
        "audit-log?actor_type=god",
        "notifications?before=%F0%9F",
        "notifications?agent_id=%00",
    ] {
        let answer = w.admin.get(&format!("/api/v1/{query}")).await.unwrap();
        assert_eq!(answer.status, 400, "{query}");
        assert!(!code(&answer).is_empty());
    }
    for path in [
        "agents/x",
        "agents/%00",
        "agents/%FF",
        "agents/01a2099f-4b35-7520-8eb7-8c6ce3cbd416",
        "agents/01A2099F-4B35-7520-8EB7-8C6CE3CBD416/risk",
        "verify/x",
        "verify/%00",
        "verify/41414141414141414141414141414141",
        "verify/C1414141414141414141414141414141",
        "crl/0000000000000000000000000000000000000000/0.crl",
        "ca/x.cer",
        "nothing",
    ] {
        let answer = w.admin.get(&format!("/api/v1/{path}")).await.unwrap();
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
        let expected = if path.contains("%FF") { "path_malformed" } else { "not_found" };
        assert_eq!(code(&answer), expected, "{path}");
    }
    let above = as_it_is(&w.url, Method::GET, "/api/v1/../../etc/passwd", &[]).await;
    assert_eq!((above.status.as_u16(), code(&above)), (404, "not_found".to_owned()));
    let wrong = w.admin.send(Method::PUT, "/api/v1/agents", &[], Vec::new()).await.unwrap();
    assert_eq!((wrong.status.as_u16(), code(&wrong)), (405, "method_not_allowed".to_owned()));
    assert!(wrong.headers["allow"].to_str().unwrap().contains("POST"));
    assert_eq!(w.admin.send(Method::TRACE, "/healthz", &[], Vec::new()).await.unwrap().status, 405);
}

#[tokio::test]
async fn refusals_speak_rfc_9457_when_asked_and_requests_have_names() {
    let w = world().await;
    let problem = [("accept", "application/problem+json")];
    let answer = w.admin.send(Method::GET, "/api/v1/agents/x", &problem, Vec::new()).await.unwrap();
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let body = answer.json();
    assert_eq!((&body["status"], &body["code"]), (&json!(404), &json!("not_found")));
    assert_eq!(body["request_id"], answer.headers["x-request-id"].to_str().unwrap());
    for path in ["/healthz", "/readyz"] {
        assert_eq!(w.admin.without_key().get(path).await.unwrap().json()["status"], "ok");
    }
}

#[tokio::test]
async fn a_refused_registration_names_the_member() {
    let w = world().await;
    let good = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:mail"] });
    for (member, value) in [
        ("name", json!(" ")),
        ("model_hash", json!("sha256:7")),
        ("scope", json!(["Read Mail"])),
        ("environment", json!("pro duction")),
        ("fleet", json!("")),
        ("model", json!("\u{202e}")),
        ("version", json!("a\nb")),
        ("description", json!("")),
        ("metadata", json!({ "long": "x".repeat(5_000) })),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let refused = w.admin.post("/api/v1/agents", &body).await.unwrap();
        assert_eq!(
            (refused.status.as_u16(), &refused.json()["field"]),
            (422, &json!(member)),
            "{}",
            refused.json()
        );
    }
    let id = w.admin.post("/api/v1/agents", &good).await.unwrap().text("id");
    for (member, value) in [
        ("name", json!(" ")),
        ("model_hash", json!("sha256:7")),
        ("scope", json!(["Read Mail"])),
        ("model", json!("\u{202e}")),
        ("version", json!("a\nb")),
        ("description", json!("")),
        ("metadata", json!({ "long": "x".repeat(5_000) })),
    ] {
        let body = serde_json::to_vec(&json!({ member: value })).unwrap();
        let (path, json_body) = (format!("/api/v1/agents/{id}"), [("content-type", "application/json")]);
        let refused = w.admin.send(Method::PATCH, &path, &json_body, body).await.unwrap();
        let (status, body) = (refused.status.as_u16(), refused.json());
        assert_eq!((status, &body["field"]), (422, &json!(member)), "{body}");
    }
    let refused =
        w.admin.post(&format!("/api/v1/agents/{id}/join-tokens"), &json!({ "expires_in": 86_400 })).await;
    assert_eq!(refused.unwrap().json()["field"], "expires_in");
}
