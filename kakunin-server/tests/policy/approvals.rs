//! Orders that wait for a second person, who is another key.

use axum::http::Method;
use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};

use crate::world::{certified, policy, public, put, records, refused, risk, set, until_lost, why, world};

const APPROVALS: &str = "/api/v1/tenants/default/approvals";

/// The identifier of what waits.
fn waits(answer: &Answer) -> String {
    assert_eq!(
        (answer.status.as_u16(), answer.text("status")),
        (202, "waiting".to_owned()),
        "{}",
        answer.json()
    );
    assert_eq!(answer.headers["content-type"], "application/json");
    assert!(answer.text("message").contains(&answer.text("approval_id")));
    answer.text("approval_id")
}

async fn decide(client: &Client, id: &str, word: &str) -> Answer {
    client.post(&format!("{APPROVALS}/{id}/{word}"), &json!({ "reason": "seen" })).await.unwrap()
}

async fn waiting(client: &Client) -> Vec<Value> {
    client.get(APPROVALS).await.unwrap().data().as_array().unwrap().clone()
}

async fn needs(client: &Client, what: &[&str]) {
    for word in what {
        assert_eq!(set(client, &[(&format!("/second_approver/{word}"), json!(true))]).await.status, 200);
    }
}

#[tokio::test]
async fn a_revocation_waits_for_somebody_else() {
    let w = world().await;
    let (ann, bob, reader) = (
        w.key("default", "operator").await,
        w.key("default", "operator").await,
        w.key("default", "reader").await,
    );
    needs(&w.admin, &["revoke"]).await;
    let (_, serial) = certified(&ann, "one").await;
    let revoke = format!("/api/v1/certificates/{serial}/revoke");
    let body = json!({ "reason": "key_compromise", "operator_note": "its host was taken over" });
    // Whoever reads problems gets none: it is none.
    let fields = [("content-type", "application/json"), ("accept", "application/problem+json")];
    let asked = ann.send(Method::POST, &revoke, &fields, body.to_string().into()).await.unwrap();
    let id = waits(&asked);
    assert_eq!(public(&w.admin, &serial).await["status"], "active");
    let all = waiting(&reader).await;
    let [one] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((&one["approval_id"], &one["order"]), (&json!(id), &json!("revoke")));
    assert_eq!((&one["certificate_serial"], &one["cause"]), (&json!(serial), &json!("key_compromise")));
    assert_eq!(one["reason"], "its host was taken over");
    assert!(one["requested_by"].as_str().unwrap().starts_with("key:") && one["expires_at"].is_string());

    assert_eq!(why(&decide(&ann, &id, "approve").await), (409, "approval_same_person".to_owned()));
    assert_eq!(why(&decide(&reader, &id, "approve").await), (403, "role_insufficient".to_owned()));
    for unknown in ["0190d3a4-7c1e-7000-8000-000000000001", "x", "%00", &id.to_uppercase()] {
        let answer = decide(&bob, unknown, "approve").await;
        assert!(
            matches!(answer.status.as_u16(), 404 | 200) && answer.status == 404,
            "{unknown}: {}",
            answer.json()
        );
    }
    let done = decide(&bob, &id, "approve").await;
    assert_eq!(
        (done.status.as_u16(), done.text("status"), done.text("order")),
        (200, "approved".into(), "revoke".into())
    );
    assert_eq!(public(&w.admin, &serial).await["status"], "revoked");
    assert!(waiting(&reader).await.is_empty());
    assert_eq!(why(&decide(&bob, &id, "approve").await), (404, "not_found".to_owned()), "once");
    // What is done already needs nobody.
    assert_eq!(ann.post(&revoke, &body).await.unwrap().status, 200);
    let asked = records(&w.admin, "approval.requested").await;
    let decided = records(&w.admin, "approval.decided").await;
    assert_eq!((asked.len(), decided.len()), (1, 1));
    assert_ne!(asked[0]["actor_id"], decided[0]["actor_id"]);
    assert!(decided[0]["metadata"].to_string().contains("seen"));
}

#[tokio::test]
async fn what_takes_effect_at_once_waits_for_nobody() {
    let w = world().await;
    needs(&w.admin, &["revoke", "release"]).await;
    let (id, serial) = certified(&w.admin, "one").await;
    let hold = format!("/api/v1/certificates/{serial}/hold");
    assert_eq!(w.admin.post(&hold, &json!({})).await.unwrap().status, 200);
    assert_eq!(public(&w.admin, &serial).await["status"], "suspended");
    waits(&w.admin.post(&format!("/api/v1/certificates/{serial}/release"), &json!({})).await.unwrap());
    let active = json!({ "status": "active" }).to_string();
    let json_type = [("content-type", "application/json")];
    let path = format!("/api/v1/agents/{id}");
    waits(&w.admin.send(Method::PATCH, &path, &json_type, active.into()).await.unwrap());
    assert_eq!(w.admin.post(&format!("/api/v1/agents/{id}/halt"), &json!({})).await.unwrap().status, 200);
    assert_eq!(public(&w.admin, &serial).await["status"], "revoked");
}

#[tokio::test]
async fn a_policy_waits_and_is_void_if_another_came_between() {
    let w = world().await;
    let (ann, bob) = (w.key("default", "operator").await, w.key("default", "operator").await);
    needs(&ann, &["policy"]).await;
    let (mut one, tag) = policy(&ann).await;
    one["mode"] = json!("observe");
    let first = waits(&put(&ann, &tag, &one).await);
    assert_eq!(policy(&ann).await.0["mode"], "enforce");
    let listed = &waiting(&bob).await[0];
    assert_eq!((&listed["order"], &listed["policy"]), (&json!("policy"), &one));
    let mut two = one.clone();
    two["mode"] = json!("warn");
    let second = waits(&put(&bob, &tag, &two).await);
    assert_eq!(decide(&bob, &first, "approve").await.status, 200);
    assert_eq!(policy(&ann).await.0, one);
    assert_eq!(why(&decide(&ann, &second, "approve").await), (412, "policy_changed".to_owned()));
    // It waits further, and whoever ordered it takes it back.
    let taken_back = decide(&bob, &second, "reject").await;
    assert_eq!((taken_back.status.as_u16(), taken_back.text("status")), (200, "rejected".to_owned()));
    assert!(waiting(&bob).await.is_empty());
    // What is in force already needs nobody, and what is refused nobody either.
    let (now, tag) = policy(&ann).await;
    assert_eq!(put(&ann, &tag, &now).await.status, 200);
    let mut wrong = now.clone();
    wrong["minimum"]["events"] = json!(0);
    assert_eq!(put(&ann, &tag, &wrong).await.status, 422);
    assert_eq!(put(&ann, "\"other\"", &two).await.status, 412);
}

#[tokio::test]
async fn releases_wait_for_somebody_else() {
    let w = world().await;
    let (ann, bob) = (w.key("default", "operator").await, w.key("default", "operator").await);
    needs(&w.admin, &["release"]).await;
    let change = [("/breaker/revocations", json!(1)), ("/breaker/share", json!(0))];
    assert_eq!(set(&w.admin, &change).await.status, 200);
    let (lost, lost_serial) = certified(&w.admin, "one").await;
    let (held, held_serial) = certified(&w.admin, "two").await;
    assert_eq!(until_lost(&w.admin, &refused(&lost_serial)).await["revoked"], true);
    assert_eq!(until_lost(&w.admin, &refused(&held_serial)).await["held"], true);

    let said = json!({ "verdict": "dismiss", "reason": "a drill" });
    let judged = ann.post(&format!("/api/v1/agents/{held}/verdict"), &said).await.unwrap();
    assert_eq!(why(&judged), (409, "approval_required".to_owned()));
    assert!(judged.json()["error"].as_str().unwrap().contains("/release"));
    let body = json!({ "reason": "mended", "certify": { "key_algorithm": "p256" } });
    let reinstated = waits(&ann.post(&format!("/api/v1/agents/{lost}/reinstate"), &body).await.unwrap());
    let reason = json!({ "reason": "a drill" });
    let release = "/api/v1/tenants/default/breaker/release";
    let released = waits(&ann.post(release, &reason).await.unwrap());
    assert_eq!(risk(&w.admin, &held).await["held_by_breaker"], true);
    let orders = waiting(&bob).await;
    let mut orders: Vec<_> = orders.iter().map(|one| one["order"].as_str().unwrap()).collect();
    // Of one millisecond they have no order.
    orders.sort_unstable();
    assert_eq!(orders, ["reinstate", "release_held"]);
    let text = String::from_utf8(w.admin.get("/metrics").await.unwrap().body.to_vec()).unwrap();
    assert!(text.contains("kakunin_approvals_waiting 2\n"));
    assert_eq!(decide(&bob, &released, "approve").await.text("order"), "release_held");
    assert_eq!(public(&w.admin, &held_serial).await["status"], "active");
    assert_eq!(decide(&bob, &reinstated, "approve").await.text("order"), "reinstate");
    assert_eq!(risk(&w.admin, &lost).await["agent_status"], "pending");
    // Each key of another tenant's is nobody's second person here.
    let foreign = w.key("other", "operator").await;
    let (_, third) = certified(&ann, "three").await;
    assert_eq!(
        ann.post(&format!("/api/v1/certificates/{third}/hold"), &json!({})).await.unwrap().status,
        200
    );
    let id = waits(&ann.post(&format!("/api/v1/certificates/{third}/release"), &json!({})).await.unwrap());
    assert_eq!(why(&decide(&foreign, &id, "approve").await), (404, "not_found".to_owned()));
    let own = format!("/api/v1/tenants/other/approvals/{id}/approve");
    assert_eq!(why(&foreign.post(&own, &json!({})).await.unwrap()), (404, "not_found".to_owned()));
    assert_eq!(waiting(&bob).await.len(), 1);
}
