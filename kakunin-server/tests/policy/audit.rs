//! What the audit log shows of all that: to its tenant, with who and why, and to nobody else.

use serde_json::{Value, json};

use crate::world::{certified, refused, set, until_lost, world};

#[tokio::test]
async fn the_log_says_who_decided_what_and_keeps_secrets() {
    let w = world().await;
    let bob = w.key("default", "operator").await;
    let shadow =
        json!({ "thresholds": { "medium": 0.1, "warning": 0.2, "revoke": 0.3 }, "minimum": { "events": 1 } });
    let changes = [
        ("/breaker/revocations", json!(0)),
        ("/breaker/share", json!(0)),
        ("/second_approver/release", json!(true)),
        ("/shadow", shadow),
    ];
    assert_eq!(set(&w.admin, &changes).await.status, 200);
    let (held, serial) = certified(&w.admin, "one").await;
    assert_eq!(until_lost(&w.admin, &refused(&serial)).await["held"], true);
    let reason = json!({ "reason": "a drill" });
    let asked = w.admin.post("/api/v1/tenants/default/breaker/release", &reason).await.unwrap();
    let approve = format!("/api/v1/tenants/default/approvals/{}/approve", asked.text("approval_id"));
    assert_eq!(bob.post(&approve, &json!({ "reason": "agreed" })).await.unwrap().status, 200);

    let reader = w.key("default", "reader").await;
    let rows = reader.get("/api/v1/audit-log?limit=100").await.unwrap().data().as_array().unwrap().clone();
    let of = |kind: &str| {
        let all: Vec<_> = rows.iter().filter(|row| row["event_type"] == kind).collect();
        assert!(!all.is_empty(), "no {kind}");
        all
    };
    // Whose records are of the tenant itself name no agent; which people decided is in each.
    for (kind, by_people, of_agent) in [
        ("policy.changed", true, false),
        ("breaker.tripped", false, false),
        ("breaker.resolved", true, false),
        ("agent.risk_verdict", true, true),
        ("risk.shadowed", false, true),
        ("approval.requested", true, false),
        ("approval.decided", true, false),
    ] {
        for row in of(kind) {
            assert_eq!(row["actor_type"] == "user", by_people, "{row}");
            assert_eq!(row["affected_id"], if of_agent { json!(held) } else { Value::Null }, "{row}");
            assert!(row["metadata"].is_object() && row["entry_hash"].as_str().unwrap().len() == 64, "{row}");
        }
    }
    let (requested, decided) = (of("approval.requested")[0], of("approval.decided")[0]);
    assert_ne!(requested["actor_id"], decided["actor_id"]);
    assert_eq!(of("breaker.resolved")[0]["actor_id"], decided["actor_id"], "whoever approves it does it");
    assert!(of("breaker.resolved")[0]["metadata"].to_string().contains("a drill"));
    let all = json!(rows).to_string();
    assert!(!all.contains("kak_live_") && !all.contains("secret"), "a secret in the log");
    let foreign = w.key("other", "reader").await;
    let theirs = foreign.get("/api/v1/audit-log?limit=100").await.unwrap().data().to_string();
    assert!(!theirs.contains(&held) && !theirs.contains("a drill") && !theirs.contains("policy"), "{theirs}");
}
