//! Verdicts, and the way back.

use std::process::Command;

use axum::http::Method;
use kakunin_core::policy::{Mode, Policy};
use kakunin_core::service::Replaces;
use kakunin_core::time::{MINUTE, UnixTime};
use serde_json::json;

use crate::common::Rig;
use crate::world::{MODEL, certified, public, records, refused, risk, set, until, until_lost, why, world};

#[tokio::test]
async fn a_verdict_says_what_becomes_of_a_score() {
    let w = world().await;
    assert_eq!(set(&w.admin, &[("/mode", json!("warn"))]).await.status, 200);
    let (id, serial) = certified(&w.admin, "one").await;
    let verdict = format!("/api/v1/agents/{id}/verdict");
    assert_eq!(risk(&w.admin, &id).await["risk_state"], "none");
    until(&w.admin, &refused(&serial), |seen| seen["band"] == "revoke").await;
    let before = risk(&w.admin, &id).await;
    assert_eq!((&before["risk_state"], &before["held_by_breaker"]), (&json!("atRisk"), &json!(false)));
    // Somebody decides before it is given another certificate.
    let renew = json!({ "model_hash": MODEL, "key_algorithm": "p256" });
    let renewal = w.admin.post(&format!("/api/v1/agents/{id}/renew"), &renew).await.unwrap();
    assert_eq!(why(&renewal), (409, "verdict_required".to_owned()));
    assert_eq!(renewal.data()["verdict_url"], verdict);
    assert!(renewal.data()["risk_score"].as_f64().unwrap() >= 0.85);
    assert_eq!(
        (&renewal.data()["revoke_threshold"], &renewal.data()["risk_state"]),
        (&json!(0.85), &json!("atRisk"))
    );
    let revoked = w.admin.post(&format!("/api/v1/certificates/{serial}/revoke"), &json!({})).await.unwrap();
    assert_eq!(revoked.status, 200);

    for (body, why_) in [
        (json!({ "verdict": "dismiss" }), "body_invalid"),
        (json!({ "verdict": "dismiss", "reason": "" }), "note_malformed"),
        (json!({ "verdict": "dismiss", "reason": " \t\n" }), "note_malformed"),
        (json!({ "verdict": "dismiss", "reason": "x".repeat(1_001) }), "note_malformed"),
        (json!({ "verdict": "dismissed", "reason": "x" }), "body_invalid"),
        (json!({ "verdict": "dismiss", "reason": "x", "cause": "key_compromise" }), "cause_unexpected"),
        (json!({ "verdict": "confirmCompromised", "reason": "x", "cause": "retired" }), "body_invalid"),
        (json!({ "verdict": "dismiss", "reason": "x", "actor": "ann" }), "body_invalid"),
    ] {
        let answer = w.admin.post(&verdict, &body).await.unwrap();
        assert_eq!(why(&answer), (422, why_.to_owned()), "{body}");
    }
    assert!(records(&w.admin, "agent.risk_verdict").await.is_empty());
    let reporter = w.key("default", "reporter").await;
    let said = json!({ "verdict": "dismiss", "reason": "a test of ours" });
    assert_eq!(why(&reporter.post(&verdict, &said).await.unwrap()), (403, "role_insufficient".to_owned()));
    let foreign = w.key("other", "operator").await;
    assert_eq!(why(&foreign.post(&verdict, &said).await.unwrap()), (404, "not_found".to_owned()));

    let judged = w.admin.post(&verdict, &said).await.unwrap();
    assert_eq!((judged.status.as_u16(), judged.text("risk_state")), (200, "dismissed".to_owned()));
    assert_eq!((&judged.data()["risk_score"], judged.text("band")), (&json!(0.0), "low".to_owned()));
    let record = &records(&w.admin, "agent.risk_verdict").await[0];
    assert_eq!((&record["affected_id"], &record["actor_type"]), (&json!(id), &json!("user")));
    assert!(record["metadata"].to_string().contains("a test of ours"));
}

/// Its certificate ran out, and nobody has said what to make of its score.
#[tokio::test]
async fn whoever_is_doubted_is_certified_after_a_verdict() {
    let rig = Rig::new().await;
    let tenant = rig.kakunin.tenant(&"default".parse().unwrap());
    let policy = Policy { mode: Mode::Warn, ..Policy::default() };
    tenant.set_policy(policy, Replaces::Any, None).await.unwrap();
    let spec = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:accounts"] });
    let id = rig.post("/api/v1/agents", &spec).await.text("id");
    let certify = format!("/api/v1/agents/{id}/certify");
    let wanted = json!({ "key_algorithm": "p256", "profile": "high-risk" });
    let first = rig.post(&certify, &wanted).await;
    let ends = UnixTime::from_rfc3339(&first.text("expires_at")).unwrap();
    rig.clock.set(ends.minus(MINUTE));
    for _ in 0..100 {
        assert_eq!(rig.post("/api/v1/events", &refused(&first.text("serial_number"))).await.status, 201);
    }
    rig.clock.set(ends.plus(MINUTE));
    let doubted = rig.post(&certify, &wanted).await;
    assert_eq!(why(&doubted), (409, "verdict_required".to_owned()), "{}", doubted.json());
    let verdict = doubted.text("verdict_url");
    assert!(doubted.data()["risk_score"].as_f64().unwrap() >= 0.85);
    let said = json!({ "verdict": "dismiss", "reason": "a drill" });
    assert_eq!(rig.post(&verdict, &said).await.status, 200);
    assert_eq!(rig.post(&certify, &wanted).await.status, 201);
}

#[tokio::test]
async fn whoever_is_compromised_loses_its_identity_for_that() {
    let w = world().await;
    for (name, cause, reason) in [
        ("one", json!(null), "key_compromise"),
        ("two", json!("risk_threshold_exceeded"), "risk_threshold_exceeded"),
    ] {
        let (id, serial) = certified(&w.admin, name).await;
        let body =
            json!({ "verdict": "confirmCompromised", "reason": "its host was taken over", "cause": cause });
        let judged = w.admin.post(&format!("/api/v1/agents/{id}/verdict"), &body).await.unwrap();
        assert_eq!(judged.text("risk_state"), "confirmedCompromised");
        assert_eq!(judged.text("agent_status"), "suspended");
        let certificate = w.admin.get(&format!("/api/v1/certificates/{serial}")).await.unwrap();
        assert_eq!(certificate.text("revocation_reason"), reason, "{}", certificate.data());
        assert_eq!(public(&w.admin, &serial).await["status"], "revoked");
    }
}

/// A request for a key that its workload keeps.
fn request() -> String {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null"];
    let made = Command::new("openssl").args(["req", "-new", "-subj", "/CN=any"]).args(key).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap()
}

#[tokio::test]
async fn an_agent_is_trusted_again_with_a_fresh_key_by_one_call() {
    let w = world().await;
    let (id, lost) = certified(&w.admin, "one").await;
    assert_eq!(until_lost(&w.admin, &refused(&lost)).await["revoked"], true);
    let reinstate = format!("/api/v1/agents/{id}/reinstate");
    // What cannot be meant is refused before anything is done.
    for wrong in [
        json!({ "csr": "no request" }),
        json!({ "csr": "x", "key_algorithm": "p256" }),
        json!({ "profile": "for ever" }),
        json!([]),
    ] {
        let answer =
            w.admin.post(&reinstate, &json!({ "reason": "mended", "certify": wrong })).await.unwrap();
        assert_eq!(answer.status, 422, "{wrong}");
        assert_eq!(risk(&w.admin, &id).await["agent_status"], "suspended", "{wrong}");
    }
    let body = json!({ "reason": "its prompt was mended", "certify": { "key_algorithm": "p256" } });
    let answer = w.admin.post(&reinstate, &body).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.text("status")),
        (200, "active".to_owned()),
        "{}",
        answer.json()
    );
    let certificate = answer.data()["certificate"].clone();
    let serial = certificate["serial_number"].as_str().unwrap();
    assert!(certificate["chain_pem"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
    assert_ne!(serial, lost);
    assert_eq!(public(&w.admin, serial).await["status"], "active");
    assert_eq!(public(&w.admin, &lost).await["status"], "revoked");
    let now = risk(&w.admin, &id).await;
    assert_eq!((&now["risk_state"], &now["risk_score"]), (&json!("remediated"), &json!(0.0)));
    // Honest work survives.
    let works = json!({ "serial": serial, "action": "read:accounts" });
    for _ in 0..60 {
        let seen = w.admin.post("/api/v1/events", &works).await.unwrap().data();
        assert_eq!((&seen["revoked"], &seen["held"]), (&json!(false), &json!(false)));
    }
    // Twice is once too often, and says so.
    assert_eq!(w.admin.post(&reinstate, &body).await.unwrap().status, 409);
    // A certificate that is refused does not take the trust back: a key is fresh, or there is none.
    let request = request();
    until_lost(&w.admin, &refused(serial)).await;
    let body = json!({ "reason": "again", "certify": { "csr": request } });
    let answer = w.admin.post(&reinstate, &body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.json());
    let serial = answer.data()["certificate"]["serial_number"].as_str().unwrap().to_owned();
    until_lost(&w.admin, &refused(&serial)).await;
    let answer = w.admin.post(&reinstate, &body).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), answer.data()),
        (409, json!({ "reinstated": true })),
        "{}",
        answer.json()
    );
    assert_eq!(risk(&w.admin, &id).await["agent_status"], "pending");
    let without = w.admin.send(Method::GET, &format!("/api/v1/agents/{id}"), &[], Vec::new()).await.unwrap();
    assert!(without.data()["certificate"].is_null());
}

#[tokio::test]
async fn a_score_is_explained_by_the_events_that_make_it_up() {
    let w = world().await;
    let (id, serial) = certified(&w.admin, "one").await;
    let path = format!("/api/v1/agents/{id}/risk/explanation");
    let nothing = w.admin.get(&path).await.unwrap();
    assert_eq!(
        (nothing.status.as_u16(), &nothing.data()["evidence"], &nothing.data()["trend"]),
        (200, &json!([]), &json!([]))
    );
    let warned = until(&w.admin, &refused(&serial), |seen| seen["band"] == "warning").await;
    let explained = w.admin.get(&path).await.unwrap().data();
    assert_eq!((&explained["agent_id"], &explained["model"]), (&json!(id), &json!("weighted/2")));
    let score = |member: &str| explained[member].as_f64().unwrap();
    assert!(score("risk_score") >= 0.75 && score("without_evidence") < score("risk_score"), "{explained}");
    let evidence = explained["evidence"].as_array().unwrap();
    assert!(!evidence.is_empty() && evidence.len() <= 8, "{explained}");
    let last = evidence.last().unwrap();
    assert_eq!((&last["action"], &last["outcome"]), (&json!("delete:backups"), &json!("denied")));
    assert!(
        last["surprise"][0]["family"] == "scope_boundary" && last["surprise"][0]["bits"].as_f64() > Some(0.0)
    );
    // Each is in the log under its index.
    let page = w.admin.get(&format!("/api/v1/audit-log?agent_id={id}&limit=100")).await.unwrap().data();
    let logged = page.as_array().unwrap().iter().find(|record| record["id"] == last["id"]);
    assert!(logged.is_some_and(|record| record["created_at"] == last["at"]), "{last} {page}");
    assert_eq!(explained["trend"][0]["highest_score"], warned["risk_score"]);
    for hostile in ["..%2f..", "0190d3a4-7c1e-7000-8000-000000000001", "%e2%80%ae"] {
        let refused = w.admin.get(&format!("/api/v1/agents/{hostile}/risk/explanation")).await.unwrap();
        assert_eq!(refused.status.as_u16(), 404, "{hostile}");
    }
    let stranger = w.admin.without_key().get(&path).await.unwrap();
    assert_eq!(stranger.status.as_u16(), 401);
}
