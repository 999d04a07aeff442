//! API keys: tenants, roles, and who guesses.

use axum::http::Method;
use kakunin_server::demo::Answer;
use serde_json::json;

use crate::agents::{MODEL, certified, registered};
use crate::common::{code, world, world_with};

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
