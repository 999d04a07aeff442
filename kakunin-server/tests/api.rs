//! The API: shapes, roles, tenants, and everything that can be sent to it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::process::{Command, Stdio};

use axum::http::Method;
use common::{code, world, world_with};
use kakunin_server::demo::{Answer, Client};
use serde_json::json;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn registered(client: &Client, name: &str) -> String {
    let body =
        json!({ "name": name, "model_hash": MODEL, "metadata": { "permitted_actions": ["read:accounts"] } });
    let answer = client.post("/api/v1/agents", &body).await.unwrap();
    assert_eq!(answer.status, 201);
    answer.text("id")
}

async fn certified(client: &Client, name: &str) -> (String, String) {
    let id = registered(client, name).await;
    let path = format!("/api/v1/agents/{id}/certify");
    let answer = client.post(&path, &json!({ "key_algorithm": "p256" })).await.unwrap();
    assert_eq!(answer.status, 201);
    (id, answer.text("serial_number"))
}

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
        "../../etc/passwd",
    ] {
        let answer = w.admin.get(&format!("/api/v1/{path}")).await.unwrap();
        assert!([400, 404].contains(&answer.status.as_u16()), "{path}: {}", answer.status);
        assert!(!code(&answer).is_empty());
    }
    let wrong = w.admin.send(Method::PUT, "/api/v1/agents", &[], Vec::new()).await.unwrap();
    assert_eq!((wrong.status.as_u16(), code(&wrong)), (405, "method_not_allowed".to_owned()));
    assert!(wrong.headers["allow"].to_str().unwrap().contains("POST"));
    assert_eq!(w.admin.send(Method::TRACE, "/healthz", &[], Vec::new()).await.unwrap().status, 405);
}

#[tokio::test]
async fn of_another_tenant_nothing_exists() {
    let w = world().await;
    let (id, serial) = certified(&w.admin, "ours").await;
    let theirs = w.key("globex", "admin").await;
    for path in [format!("agents/{id}"), format!("agents/{id}/risk")] {
        let answer = theirs.get(&format!("/api/v1/{path}")).await.unwrap();
        assert_eq!((answer.status.as_u16(), code(&answer)), (404, "not_found".to_owned()), "{path}");
    }
    for (path, body) in [
        (format!("agents/{id}/certify"), json!({})),
        (format!("agents/{id}/renew"), json!({ "model_hash": MODEL })),
        (format!("agents/{id}/join-tokens"), json!({})),
        (format!("agents/{id}/halt"), json!({ "reason": "operator_initiated" })),
        (format!("agents/{id}/sign"), json!({ "payload": {} })),
        (format!("certificates/{serial}/revoke"), json!({ "reason": "x" })),
        (format!("certificates/{serial}/hold"), json!({})),
        (format!("certificates/{serial}/release"), json!({})),
        ("events".to_owned(), json!({ "agent_id": id, "action": "read:a" })),
        ("events".to_owned(), json!({ "serial": serial, "action": "read:a" })),
        ("events/batch".to_owned(), json!({ "events": [{ "serial": serial, "action": "read:a" }] })),
    ] {
        let answer = theirs.post(&format!("/api/v1/{path}"), &body).await.unwrap();
        assert_eq!((answer.status.as_u16(), code(&answer)), (404, "not_found".to_owned()), "{path}");
    }
    let patch = theirs
        .send(
            Method::PATCH,
            &format!("/api/v1/agents/{id}"),
            &[("content-type", "application/json")],
            b"{}".to_vec(),
        )
        .await;
    assert_eq!(patch.unwrap().status, 404);
    assert_eq!(
        theirs.send(Method::DELETE, &format!("/api/v1/agents/{id}"), &[], Vec::new()).await.unwrap().status,
        404
    );
    // Cursors are places in one's own log: ours say nothing of it to them.
    for list in ["agents", "events?before=5", "notifications?before=5", "audit-log?before=5"] {
        let answer = theirs.get(&format!("/api/v1/{list}")).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.data()), (200, json!([])), "{list}");
    }
    assert_eq!(w.admin.get(&format!("/api/v1/agents/{id}")).await.unwrap().text("status"), "active");
}

#[tokio::test]
async fn keys_do_what_their_role_says_until_they_end() {
    let w = world().await;
    let (reader, reporter) = (w.key("default", "reader").await, w.key("default", "reporter").await);
    let operator = w.key("default", "operator").await;
    let id = registered(&operator, "one").await;
    let refused = |answer: Answer| (answer.status.as_u16(), code(&answer));
    let insufficient = (403, "role_insufficient".to_owned());
    assert_eq!(reader.get("/api/v1/agents").await.unwrap().status, 200);
    let event = json!({ "agent_id": id, "action": "read:accounts" });
    assert_eq!(refused(reader.post("/api/v1/events", &event).await.unwrap()), insufficient);
    assert_eq!(refused(reporter.post("/api/v1/agents", &json!({})).await.unwrap()), insufficient);
    assert_eq!(refused(operator.get("/api/v1/api-keys").await.unwrap()), insufficient);
    assert_eq!(refused(operator.post("/api/v1/tenants", &json!({ "id": "x" })).await.unwrap()), insufficient);

    let asked = json!({ "role": "reader", "label": "short", "expires_in": 1 });
    let short = w.admin.post("/api/v1/api-keys", &asked).await.unwrap();
    let expiring = w.admin.with_key(&short.text("key"));
    assert_eq!(expiring.get("/api/v1/agents").await.unwrap().status, 200);
    tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    let invalid = (401, "api_key_invalid".to_owned());
    assert_eq!(refused(expiring.get("/api/v1/agents").await.unwrap()), invalid);

    let keys = w.admin.get("/api/v1/api-keys").await.unwrap().data();
    assert!(!keys.to_string().contains("kak_live_"), "a secret is shown once");
    let of_reader = keys.as_array().unwrap().iter().find(|k| k["role"] == "reporter").unwrap();
    let path = format!("/api/v1/api-keys/{}", of_reader["id"].as_str().unwrap());
    assert_eq!(w.admin.send(Method::DELETE, &path, &[], Vec::new()).await.unwrap().status, 200);
    assert_eq!(refused(reporter.get("/api/v1/agents").await.unwrap()), invalid);
    assert_eq!(refused(w.admin.send(Method::DELETE, &path, &[], Vec::new()).await.unwrap()).0, 404);

    let nobody = w.admin.without_key().get("/api/v1/agents").await.unwrap();
    assert_eq!(nobody.headers["www-authenticate"], "Bearer realm=\"kakunin\"");
    assert_eq!(refused(nobody), (401, "api_key_missing".to_owned()));
    for bad in ["Bearer x", "Basic eDp5", "Bearer ", "bearer kak_live_", "Bearer kak_live_x"] {
        let (client, fields) = (w.admin.without_key(), [("authorization", bad)]);
        let answer = client.send(Method::GET, "/api/v1/agents", &fields, Vec::new()).await;
        assert_eq!(answer.unwrap().status, 401, "{bad}");
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_and_asking_is_not() {
    let w = world().await;
    let (_, serial) = certified(&w.admin, "one").await;
    let anybody = w.admin.without_key();
    let mut statuses = Vec::new();
    for n in 0..400_u32 {
        let guess = format!("/api/v1/verify/4{:031X}", n);
        statuses.push(anybody.get(&guess).await.unwrap().status.as_u16());
    }
    assert_eq!((statuses[0], *statuses.last().unwrap()), (404, 429));
    let known = anybody.get(&format!("/api/v1/verify/{serial}")).await.unwrap();
    assert_eq!(known.status, 200);
    let limited = anybody.get("/api/v1/verify/41414141414141414141414141414141").await.unwrap();
    assert!(limited.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(code(&limited), "rate_limited");
    let busy = world_with(|options| options.api.key_rate = std::num::NonZeroU32::new(5).unwrap()).await;
    let mut last = 200;
    for _ in 0..20 {
        last = busy.admin.get("/api/v1/agents").await.unwrap().status.as_u16();
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn events_are_taken_in_every_spelling_and_once() {
    let w = world().await;
    let (id, serial) = certified(&w.admin, "one").await;
    let vendor = json!({
        "agentId": id, "actionType": "transaction_initiated", "sessionId": "s1", "chainId": "c1",
        "occurredAt": "2026-11-23T08:00:00Z", "details": { "amount_usd": 12.5, "venue": "x" },
    });
    let seen = w.admin.post("/api/v1/events", &vendor).await.unwrap();
    assert_eq!((seen.status.as_u16(), seen.text("action_type")), (201, "transaction".to_owned()));
    assert!(seen.data()["risk_score"].is_number() && seen.data()["factors"].is_array());
    let ours =
        json!({ "serial": serial, "action": "delete:accounts", "client_id": "e1", "out_of_scope": false });
    assert_eq!(w.admin.post("/api/v1/events", &ours).await.unwrap().status, 201);
    let again = w.admin.post("/api/v1/events", &ours).await.unwrap();
    assert_eq!((again.status.as_u16(), again.text("status")), (200, "duplicate".to_owned()));
    let listed = w.admin.get("/api/v1/events").await.unwrap().json();
    let listed = listed["data"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["out_of_scope"], &listed[1]["out_of_scope"]), (&json!(true), &json!(false)));
    assert_eq!(listed[1]["details"], json!({ "amount_usd": 12.5, "venue": "x" }));
    let events: Vec<_> = (0..1_000)
        .map(|n| json!({ "serial": serial, "action": "read:accounts", "stream": { "stream": 1, "seq": n } }))
        .collect();
    let batch = w.admin.post("/api/v1/events/batch", &json!({ "events": events })).await.unwrap();
    assert_eq!(batch.status, 201);
    assert_eq!(batch.data()["results"].as_array().unwrap().len(), 1_000);
    assert!(batch.text("checkpoint").contains("default/1\n"));
    let again = w.admin.post("/api/v1/events/batch", &json!({ "events": events })).await.unwrap();
    assert!(again.data()["results"].as_array().unwrap().iter().all(|r| r["status"] == "duplicate"));
    // Pages give everything once.
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = w.admin.get(&format!("/api/v1/events?limit=100{cursor}")).await.unwrap().json();
        all.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["id"].as_str().unwrap().parse::<u64>().unwrap()),
        );
        let Some(next) = page["pagination"]["next_cursor"].as_str() else { break };
        cursor = format!("&before={next}");
    }
    assert_eq!(all.len(), 1_002);
    assert!(all.is_sorted_by(|a, b| a > b));
    let revoke = json!({ "reason": "key_compromise" });
    w.admin.post(&format!("/api/v1/certificates/{serial}/revoke"), &revoke).await.unwrap();
    let late = w
        .admin
        .post("/api/v1/events", &json!({ "serial": serial, "action": "read:accounts" }))
        .await
        .unwrap();
    assert_eq!((late.status.as_u16(), code(&late)), (422, "agent_not_active".to_owned()));
    let newest = w.admin.get("/api/v1/events?limit=1").await.unwrap().data();
    assert_eq!(newest[0]["scored"], false, "recorded, and not scored");
}

#[tokio::test]
async fn the_life_of_an_agent_is_in_the_log_with_who_ordered_it() {
    let w = world().await;
    let (id, first) = certified(&w.admin, "one").await;
    let agent = format!("/api/v1/agents/{id}");
    let patch = json!({ "scope": ["write:payments"], "description": "pays", "financial_scope": { "daily_limit_usd": 5 } });
    let json_type = [("content-type", "application/json")];
    let changed = w.admin.send(Method::PATCH, &agent, &json_type, patch.to_string().into()).await.unwrap();
    assert_eq!((changed.status.as_u16(), &changed.data()["scope"]), (200, &json!(["write:payments"])));
    let verify = |serial: String| w.admin.without_key().get_owned(format!("/api/v1/verify/{serial}"));
    assert_eq!(
        verify(first.clone()).await.data()["permitted_actions"],
        json!(["read:accounts"]),
        "from the certificate"
    );
    let renewed = w
        .admin
        .post(
            &format!("{agent}/renew"),
            &json!({ "model_hash": MODEL, "profile": "high-risk", "key_algorithm": "p256" }),
        )
        .await
        .unwrap();
    assert_eq!(renewed.status, 201);
    let second = renewed.text("serial_number");
    let body = verify(second.clone()).await.data();
    assert_eq!(
        (&body["permitted_actions"], &body["agent"]["financial_scope"]),
        (&json!(["write:payments"]), &json!({ "daily_limit_usd": 5 }))
    );
    // It stands until the new one is used.
    assert_eq!(verify(first.clone()).await.text("status"), "active");
    let event = json!({ "certificate_serial": second, "action": "write:payments" });
    assert_eq!(w.admin.post("/api/v1/events", &event).await.unwrap().status, 201);
    assert_eq!(verify(first).await.text("revocation_reason"), "superseded");
    let halted = w
        .admin
        .post(
            &format!("{agent}/halt"),
            &json!({ "reason": "kill_switch_activated", "operator_note": "enough" }),
        )
        .await
        .unwrap();
    let receipt = halted.data()["halt_receipt"].clone();
    assert_eq!(
        (&receipt["certificate_serial"], &receipt["reason"]),
        (&json!(second), &json!("kill_switch_activated"))
    );
    assert_eq!(verify(second).await.data()["halt_receipt"], receipt);
    let log = w.admin.get("/api/v1/audit-log?event_type=agent.halted").await.unwrap().json();
    let row = &log["data"][0];
    assert_eq!((&row["actor_type"], &row["affected_id"]), (&json!("user"), &json!(id)));
    assert!(row["actor_id"].as_str().unwrap().starts_with("key:"));
    assert_eq!(row["metadata"]["record"]["agent_halted"]["note"], "enough");
    let gone = w.admin.send(Method::DELETE, &agent, &[], Vec::new()).await.unwrap();
    assert_eq!((gone.status.as_u16(), gone.text("status")), (200, "retired".to_owned()));
    let refused = w.admin.post(&format!("{agent}/certify"), &json!({})).await.unwrap();
    assert_eq!((refused.status.as_u16(), code(&refused)), (409, "agent_state".to_owned()));
    let list = w.admin.get("/api/v1/agents?status=retired").await.unwrap().json();
    assert_eq!((&list["meta"]["total"], &list["data"][0]["id"]), (&json!(1), &json!(id)));
}

trait GetOwned {
    fn get_owned(self, path: String) -> impl Future<Output = Answer>;
}

impl GetOwned for Client {
    async fn get_owned(self, path: String) -> Answer {
        self.get(&path).await.unwrap()
    }
}

#[tokio::test]
async fn public_answers_may_be_kept_five_seconds_and_change_at_once_here() {
    let w = world().await;
    let (_, serial) = certified(&w.admin, "<b>one</b>").await;
    let anybody = w.admin.without_key();
    let colons: Vec<_> =
        serial.to_lowercase().as_bytes().chunks(2).map(|c| String::from_utf8(c.to_vec()).unwrap()).collect();
    let first = anybody.get(&format!("/api/v1/verify/{}", colons.join(":"))).await.unwrap();
    assert_eq!((first.text("status"), &first.data()["valid"]), ("active".to_owned(), &json!(true)));
    assert_eq!(first.headers["cache-control"], "public, max-age=5");
    let page = [("accept", "text/html,application/xhtml+xml")];
    let html =
        anybody.send(Method::GET, &format!("/api/v1/verify/{serial}"), &page, Vec::new()).await.unwrap();
    let text = String::from_utf8(html.body.to_vec()).unwrap();
    assert!(text.contains("&lt;b&gt;one") && !text.contains("<b>one"), "{text}");
    assert!(html.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    for step in ["hold", "release", "hold"] {
        w.admin.post(&format!("/api/v1/certificates/{serial}/{step}"), &json!({})).await.unwrap();
        let expected = if step == "hold" { "suspended" } else { "active" };
        let now = anybody.get(&format!("/api/v1/verify/{serial}")).await.unwrap();
        assert_eq!(now.text("status"), expected);
        let no_key =
            anybody.send(Method::HEAD, &format!("/api/v1/verify/{serial}"), &[], Vec::new()).await.unwrap();
        assert_eq!(no_key.status, 200);
    }
    w.admin
        .post(&format!("/api/v1/certificates/{serial}/revoke"), &json!({ "reason": "regulatory_order" }))
        .await
        .unwrap();
    let last = anybody.get(&format!("/api/v1/verify/{serial}")).await.unwrap();
    assert_eq!(
        (last.text("status"), last.text("revocation_reason")),
        ("revoked".into(), "regulatory_order".into())
    );
}

fn openssl(args: &[&str], stdin: &[u8]) -> (bool, String) {
    let mut child = Command::new("openssl")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is installed by `make setup`");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), stdin).unwrap();
    let out = child.wait_with_output().unwrap();
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

#[tokio::test]
async fn openssl_checks_what_relying_parties_fetch() {
    let w = world().await;
    let id = registered(&w.admin, "one").await;
    let issued = w.admin.post(&format!("/api/v1/agents/{id}/certify"), &json!({})).await.unwrap();
    let (pem, serial) = (issued.text("certificate_pem"), issued.text("serial_number"));
    let anybody = w.admin.without_key();
    let file = |name: &str, content: &[u8]| {
        let path = w.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let chain = anybody.get("/api/v1/ca/chain").await.unwrap().body;
    let (leaf, chain_file) = (file("leaf.pem", pem.as_bytes()), file("chain.pem", &chain));
    let (_, text) =
        openssl(&["x509", "-noout", "-ext", "crlDistributionPoints,authorityInfoAccess"], pem.as_bytes());
    let uris: Vec<_> = text.split("URI:").skip(1).map(|t| t.split_whitespace().next().unwrap()).collect();
    let (crl_uri, ca_uri) = (uris[0].strip_prefix(&w.url).unwrap(), uris[1].strip_prefix(&w.url).unwrap());
    let ca = anybody.get(ca_uri).await.unwrap();
    assert_eq!(ca.headers["content-type"], "application/pkix-cert");
    assert!(openssl(&["x509", "-inform", "DER", "-noout", "-subject"], &ca.body).1.contains("issuing CA"));
    let verified = || async {
        let crl = anybody.get(crl_uri).await.unwrap();
        assert_eq!(crl.headers["content-type"], "application/pkix-crl");
        let (ok, crl) = openssl(&["crl", "-inform", "DER"], &crl.body);
        assert!(ok, "{crl}");
        let crl = file("crl.pem", crl.as_bytes());
        openssl(&["verify", "-CAfile", &chain_file, "-crl_check", "-CRLfile", &crl, &leaf], b"")
    };
    assert!(verified().await.0, "{}", verified().await.1);

    let payload = json!({ "payload": { "b": 1.0, "a": "x" } });
    let signed = w.admin.post(&format!("/api/v1/agents/{id}/sign"), &payload).await.unwrap();
    assert_eq!(
        (signed.status.as_u16(), signed.text("algorithm")),
        (200, "RSASSA_PKCS1_V1_5_SHA_256".to_owned())
    );
    let public = file("pub.pem", openssl(&["x509", "-noout", "-pubkey"], pem.as_bytes()).1.as_bytes());
    let message = file("message", br#"{"a":"x","b":1}"#);
    let decode = |text: String| openssl_base64(&text);
    let signature = file("sig", &decode(signed.text("signature")));
    let (ok, text) =
        openssl(&["dgst", "-sha256", "-verify", &public, "-signature", &signature, &message], b"");
    assert!(ok, "{text}");

    let halted = w
        .admin
        .post(&format!("/api/v1/agents/{id}/halt"), &json!({ "reason": "regulatory_order" }))
        .await
        .unwrap();
    let receipt = halted.data()["halt_receipt"].clone();
    let text = |name: &str| receipt[name].as_str().unwrap().to_owned();
    let line = format!("{id}:{serial}:{}:{}", text("halted_at"), text("halt_event_id"));
    let ca_key = file("ca.pem", openssl(&["x509", "-noout", "-pubkey"], &chain).1.as_bytes());
    let (line, signature) =
        (file("line", line.as_bytes()), file("receipt", &decode(text("receipt_signature"))));
    let (ok, said) = openssl(&["dgst", "-sha256", "-verify", &ca_key, "-signature", &signature, &line], b"");
    assert!(ok, "{said}");
    let (ok, said) = verified().await;
    assert!(!ok && said.contains("error 23"), "{said}");

    let pem_crl = anybody.get("/api/v1/crl").await.unwrap();
    assert_eq!(pem_crl.headers["content-type"], "application/x-pem-file");
    assert!(openssl(&["crl", "-noout", "-text"], &pem_crl.body).1.contains(&serial));
    let etag = pem_crl.headers["etag"].to_str().unwrap();
    let unchanged =
        anybody.send(Method::GET, "/api/v1/crl", &[("if-none-match", etag)], Vec::new()).await.unwrap();
    assert_eq!(unchanged.status, 304);
}

fn openssl_base64(text: &str) -> Vec<u8> {
    use base64ct::{Base64, Encoding};
    Base64::decode_vec(text).unwrap()
}

#[tokio::test]
async fn the_bundle_holds_the_root() {
    let w = world().await;
    let bundle = w.admin.without_key().get("/api/v1/spiffe/bundle").await.unwrap().json();
    let key = &bundle["keys"][0];
    assert_eq!((&key["use"], &key["kty"], &key["e"]), (&json!("x509-svid"), &json!("RSA"), &json!("AQAB")));
    let authorities = w.admin.get("/api/v1/ca").await.unwrap().data();
    let pem = authorities["authorities"][0]["certificate_pem"].as_str().unwrap();
    assert!(pem.replace('\n', "").contains(key["x5c"][0].as_str().unwrap()));
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

#[test]
fn the_description_is_the_one_that_is_checked_in() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let now = format!("{:#}\n", kakunin_server::http::openapi());
    assert!(
        written == now,
        "the API changed: run `cargo run -p kakunin-server -- openapi > kakunin-server/openapi.json`"
    );
}
