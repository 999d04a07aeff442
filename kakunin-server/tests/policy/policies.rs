//! Policies that are read and replaced.

use axum::http::Method;
use kakunin_core::policy::{Mode, Policy};
use serde_json::{Value, json};

use crate::common::world_with;
use crate::world::{
    MODEL, POLICY, certified, policy, put, put_text, records, refused, risk, set, until, why, world,
};

#[tokio::test]
async fn a_policy_is_replaced_by_whoever_read_it_and_is_on_record() {
    let w = world().await;
    let first = w.admin.get(POLICY).await.unwrap();
    let (default, tag) = policy(&w.admin).await;
    assert_eq!((first.status.as_u16(), &first.data()["since"]), (200, &Value::Null));
    assert_eq!(
        default,
        json!({
            "thresholds": { "medium": 0.3, "warning": 0.75, "revoke": 0.85 }, "hysteresis": 0.05, "mode": "enforce",
            "minimum": { "events": 3 },
            "ceilings": { "low": "standard", "medium": "elevated", "warning": "high-risk" },
            "breaker": { "window_seconds": 3600, "revocations": 5, "share": 0.05, "same_target": 3 },
            "second_approver": { "revoke": false, "release": false, "policy": false }, "shadow": null,
            "model": null,
        })
    );
    let known = w.admin.send(Method::GET, POLICY, &[("if-none-match", &tag)], Vec::new()).await.unwrap();
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
    // The one that is in force already changes nothing.
    let same = put(&w.admin, &tag, &default).await;
    assert_eq!((same.status.as_u16(), same.headers["etag"].to_str().unwrap()), (200, &*tag));
    assert!(records(&w.admin, "policy.changed").await.is_empty());

    let mut warns = default.clone();
    warns["mode"] = json!("warn");
    warns["breaker"] = Value::Null;
    warns["shadow"] =
        json!({ "thresholds": { "medium": 0.2, "warning": 0.5, "revoke": 0.6 }, "minimum": { "events": 1 } });
    let body = json!({ "policy": warns, "reason": "rehearsal" }).to_string();
    let changed = put_text(&w.admin, &tag, body).await;
    assert_eq!((changed.status.as_u16(), &changed.data()["policy"]), (200, &warns));
    let second = changed.headers["etag"].to_str().unwrap().to_owned();
    assert_ne!(second, tag);
    assert_eq!(policy(&w.admin).await, (warns.clone(), second.clone()));

    let all = records(&w.admin, "policy.changed").await;
    let [record] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((&record["id"], &record["actor_type"]), (&changed.data()["since"], &json!("user")));
    assert!(record["actor_id"].as_str().unwrap().starts_with("key:") && record["created_at"].is_string());
    let said = record["metadata"].to_string();
    for part in ["\"before\":", "\"after\":", "\"enforce\"", "\"warn\"", "rehearsal", "850000", "600000"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Back again is another one than before: who read the first does not know that.
    let back = put(&w.admin, &second, &default).await;
    assert_eq!(back.status, 200);
    assert_ne!(back.headers["etag"].to_str().unwrap(), tag);
    for stale in [&*tag, &second, "\"x\"", "", &format!("W/{}", back.headers["etag"].to_str().unwrap())] {
        assert_eq!(why(&put(&w.admin, stale, &warns).await), (412, "policy_changed".to_owned()), "{stale}");
    }
    assert_eq!(put(&w.admin, "*", &warns).await.status, 200);
    assert_eq!(records(&w.admin, "policy.changed").await.len(), 3);
}

#[tokio::test]
async fn whoever_lost_the_answer_asks_again() {
    let w = world().await;
    let (mut other, tag) = policy(&w.admin).await;
    other["mode"] = json!("observe");
    let first = put(&w.admin, &tag, &other).await;
    for tag in [&*tag, "\"another\"", first.headers["etag"].to_str().unwrap(), "*"] {
        let again = put(&w.admin, tag, &other).await;
        assert_eq!((again.status, &again.headers["etag"]), (first.status, &first.headers["etag"]), "{tag}");
        assert_eq!(again.data(), first.data());
    }
    assert_eq!(records(&w.admin, "policy.changed").await.len(), 1);
}

#[tokio::test]
async fn nobody_replaces_what_nobody_read() {
    let w = world().await;
    let body = json!({ "policy": policy(&w.admin).await.0 }).to_string();
    let json_type = [("content-type", "application/json")];
    let blind = w.admin.send(Method::PUT, POLICY, &json_type, body.clone().into()).await.unwrap();
    assert_eq!(why(&blind), (428, "precondition_required".to_owned()));
    let fields = [json_type[0], ("accept", "application/problem+json")];
    let problem = w.admin.send(Method::PUT, POLICY, &fields, body.into()).await.unwrap();
    assert_eq!(problem.headers["content-type"], "application/problem+json");
    let said = problem.json();
    assert_eq!((&said["status"], &said["code"]), (&json!(428), &json!("precondition_required")));
    assert_eq!(said["type"], "urn:kakunin:error:precondition_required");
    let query = format!("{POLICY}?dry_run=true");
    assert_eq!(why(&w.admin.get(&query).await.unwrap()), (400, "query_invalid".to_owned()));
}

#[tokio::test]
async fn of_two_at_once_one_wins() {
    let w = world().await;
    for round in 1..=8 {
        let (mut one, tag) = policy(&w.admin).await;
        let mut other = one.clone();
        one["minimum"]["events"] = json!(round * 2 + 10);
        other["minimum"]["events"] = json!(round * 2 + 11);
        let (a, b) = tokio::join!(put(&w.admin, &tag, &one), put(&w.admin, &tag, &other));
        let mut both = [a.status.as_u16(), b.status.as_u16()];
        both.sort_unstable();
        assert_eq!(both, [200, 412]);
        let kept = if a.status == 200 { one } else { other };
        assert_eq!(policy(&w.admin).await.0, kept);
        assert_eq!(records(&w.admin, "policy.changed").await.len(), round);
    }
}

#[tokio::test]
async fn each_tenant_has_its_own_and_knows_no_other() {
    let w = world().await;
    let (ours, theirs) = (w.key("default", "operator").await, w.key("other", "operator").await);
    let (reader, reporter) = (w.key("default", "reader").await, w.key("default", "reporter").await);
    assert_eq!(set(&ours, &[("/mode", json!("observe"))]).await.status, 200);
    assert_eq!(policy(&reader).await.0["mode"], "observe");
    let (now, tag) = policy(&ours).await;
    for small in [&reader, &reporter] {
        assert_eq!(why(&put(small, &tag, &now).await), (403, "role_insufficient".to_owned()));
    }
    let other = theirs.get("/api/v1/tenants/other/policy").await.unwrap();
    assert_eq!((&other.data()["policy"]["mode"], &other.data()["since"]), (&json!("enforce"), &Value::Null));
    // A foreign tenant is one that does not exist, whatever is sent.
    let name = |tenant: &str| format!("/api/v1/tenants/{tenant}");
    let reason = json!({ "reason": "x" });
    for tenant in ["default", "nobody", "x%2Fy", "UPPER"] {
        for read in ["policy", "breaker", "approvals"] {
            let answer = theirs.get(&format!("{}/{read}", name(tenant))).await.unwrap();
            assert_eq!(why(&answer), (404, "not_found".to_owned()), "{tenant} {read}");
        }
        for (write, body) in [
            ("breaker/release", &reason),
            ("breaker/confirm", &reason),
            ("approvals/0190d3a4-7c1e-7000-8000-000000000001/approve", &json!({})),
            ("approvals/0190d3a4-7c1e-7000-8000-000000000001/reject", &json!({})),
        ] {
            let answer = theirs.post(&format!("{}/{write}", name(tenant)), body).await.unwrap();
            assert_eq!(why(&answer), (404, "not_found".to_owned()), "{tenant} {write}");
        }
    }
    assert_eq!(why(&put(&theirs, &tag, &now).await), (404, "not_found".to_owned()));
    assert_eq!(policy(&ours).await, (now, tag));
    // Who makes tenants reaches them.
    assert_eq!(w.admin.get("/api/v1/tenants/other/policy").await.unwrap().status, 200);
    assert_eq!(w.admin.get("/api/v1/tenants/nobody/policy").await.unwrap().status, 404);
}

#[tokio::test]
async fn who_only_observes_takes_nothing_away_and_a_shadow_says_what_it_would_have() {
    let w = world().await;
    let shadow = json!({
        "thresholds": { "medium": 0.2, "warning": 0.5, "revoke": 0.6 }, "minimum": { "events": 1 },
    });
    assert_eq!(set(&w.admin, &[("/mode", json!("observe")), ("/shadow", shadow)]).await.status, 200);
    let (id, serial) = certified(&w.admin, "one").await;
    let seen = until(&w.admin, &refused(&serial), |seen| seen["band"] == "revoke").await;
    assert_eq!((&seen["revoked"], &seen["held"]), (&json!(false), &json!(false)));
    assert_eq!(risk(&w.admin, &id).await["agent_status"], "active");
    let shadowed = records(&w.admin, "risk.shadowed").await;
    assert!(shadowed.iter().any(|record| record["metadata"].to_string().contains("\"revokes\":true")));
    assert!(records(&w.admin, "certificate.revoked").await.is_empty());
}

#[tokio::test]
async fn the_deployment_says_what_holds_for_who_said_nothing() {
    let w =
        world_with(|options| options.default_policy = Policy { mode: Mode::Warn, ..Policy::default() }).await;
    let (now, tag) = policy(&w.admin).await;
    assert_eq!(
        (&now["mode"], &w.admin.get(POLICY).await.unwrap().data()["since"]),
        (&json!("warn"), &Value::Null)
    );
    let elsewhere = world().await;
    assert_ne!(policy(&elsewhere.admin).await.1, tag, "another policy has another tag");
}

#[tokio::test]
async fn a_second_model_says_what_it_would_have_done_and_takes_nothing_away() {
    let w = world_with(|options| {
        options.default_model = "weighted/1".parse().unwrap();
        options.shadow_model = Some("weighted/2".parse().unwrap());
    })
    .await;
    let spec = json!({ "name": "one", "model_hash": MODEL, "scope": ["write:email"] });
    let id = w.admin.post("/api/v1/agents", &spec).await.unwrap().text("id");
    let wanted = json!({ "key_algorithm": "p256" });
    let made = w.admin.post(&format!("/api/v1/agents/{id}/certify"), &wanted).await.unwrap();
    let serial = made.text("serial_number");
    // Many new receivers within a moment: nothing to the one that decides.
    for n in 0..30 {
        let event = json!({
            "serial": serial, "action": "write:email", "outcome": "ok", "target": format!("{n}@example.com"),
        });
        let seen = w.admin.post("/api/v1/events", &event).await.unwrap();
        assert_eq!((seen.status.as_u16(), &seen.data()["revoked"]), (201, &json!(false)), "{}", seen.json());
    }
    let shadowed = records(&w.admin, "risk.shadowed").await;
    let text = shadowed.iter().map(|record| record["metadata"].to_string()).collect::<String>();
    assert!(text.contains("weighted/2") && !text.contains("weighted/1"), "{text}");
    assert_eq!(risk(&w.admin, &id).await["agent_status"], "active");
    for option in ["--shadow-model", "--default-model"] {
        let unknown = crate::binary::refused(&["serve", "--data", "nowhere", option, "weighted/9"]);
        assert!(unknown.contains(option) && unknown.contains("`weighted/2`"), "{unknown}");
    }
}

#[tokio::test]
async fn a_policy_names_the_model_that_judges_and_the_record_of_a_decision_does() {
    let w = world().await;
    let state = w.admin.get(POLICY).await.unwrap();
    assert_eq!(
        (&state.data()["model"], &state.data()["policy"]["model"]),
        (&json!("weighted/2"), &Value::Null)
    );
    let (default, tag) = policy(&w.admin).await;
    for (unknown, status, code) in [
        (json!("weighted/9"), 422, "policy_model"),
        (json!(""), 422, "policy_model"),
        (json!("\u{202e}1/dethgiew"), 422, "policy_model"),
        (json!(1), 422, "body_invalid"),
        (json!({}), 422, "body_invalid"),
    ] {
        let mut wrong = default.clone();
        wrong["model"] = unknown;
        assert_eq!(why(&put(&w.admin, &tag, &wrong).await), (status, code.to_owned()), "{wrong}");
    }
    let (id, serial) = certified(&w.admin, "one").await;
    until(&w.admin, &refused(&serial), |seen| seen["band"] == "warning").await;
    let before = risk(&w.admin, &id).await;
    let changed = set(&w.admin, &[("/model", json!("weighted/1"))]).await;
    assert_eq!(changed.data()["model"], "weighted/1");
    // What another model thought is nobody's evidence.
    assert!(before["risk_score"].as_f64() > Some(0.7), "{before}");
    assert_eq!(risk(&w.admin, &id).await["risk_score"], json!(0.0));
    until(&w.admin, &refused(&serial), |seen| seen["revoked"] == true).await;
    let revoked = records(&w.admin, "certificate.revoked").await;
    assert!(revoked[0]["metadata"].to_string().contains("weighted/1"), "{revoked:?}");
}
