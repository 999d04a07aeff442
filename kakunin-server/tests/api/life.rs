//! What agents do, and what the log says of them.

use axum::http::Method;
use kakunin_server::demo::{Answer, Client};
use serde_json::json;

use crate::agents::{MODEL, certified};
use crate::common::{code, world};

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
