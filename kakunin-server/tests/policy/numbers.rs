//! Numbers as somebody hostile writes them, and as they are kept.

use serde_json::json;

use crate::world::{POLICY, policy, put_text, records, why, world};

/// The whole body, with another text in the place of one member.
fn body(pointer: &str, policy: &serde_json::Value, text: &str) -> String {
    let mut policy = policy.clone();
    *policy.pointer_mut(pointer).unwrap() = json!("PLACE");
    json!({ "policy": policy }).to_string().replace("\"PLACE\"", text)
}

#[tokio::test]
async fn numbers_are_kept_exactly_or_refused() {
    let w = world().await;
    let (now, _) = policy(&w.admin).await;
    let refused = [
        ("/thresholds/revoke", "0.85000000000000001", 422, "json_number_inexact"),
        ("/thresholds/revoke", "0.8500001", 422, "body_invalid"),
        ("/thresholds/revoke", "1e400", 422, "json_number_inexact"),
        ("/thresholds/revoke", "1.000001", 422, "body_invalid"),
        ("/thresholds/revoke", "850000", 422, "body_invalid"),
        ("/thresholds/revoke", "-0", 422, "json_number_inexact"),
        ("/thresholds/revoke", "-0.85", 422, "body_invalid"),
        ("/thresholds/revoke", "\"0.85\"", 422, "body_invalid"),
        ("/thresholds/revoke", "NaN", 400, "json_malformed"),
        ("/thresholds/revoke", "Infinity", 400, "json_malformed"),
        ("/thresholds/revoke", "0.85,\"revoke\":0.9", 422, "json_member_twice"),
        ("/thresholds/revoke", "null", 422, "body_invalid"),
        ("/thresholds/revoke", "0.75", 422, "policy_thresholds"),
        ("/thresholds/medium", "0", 422, "policy_thresholds"),
        ("/hysteresis", "0.200001", 422, "policy_hysteresis"),
        ("/minimum/events", "0", 422, "policy_minimum"),
        ("/minimum/events", "1.5", 422, "body_invalid"),
        ("/minimum/events", "4294967299", 422, "policy_minimum"),
        ("/minimum/events", "1e300", 422, "body_invalid"),
        ("/breaker/window_seconds", "59", 422, "policy_breaker"),
        ("/breaker/window_seconds", "9007199254740991", 422, "policy_breaker"),
        ("/breaker/revocations", "4294967296", 422, "policy_breaker"),
        ("/breaker/same_target", "1", 422, "policy_breaker"),
        ("/breaker", "[3600,5,0.05,3]", 422, "body_invalid"),
        ("/thresholds", "[0.3,0.75,0.85]", 422, "body_invalid"),
        ("/mode", "\"Enforce\"", 422, "body_invalid"),
        ("/mode", "0", 422, "body_invalid"),
        ("/ceilings/low", "\"high-risk\"", 422, "policy_ceilings"),
        ("/ceilings/low", "\"forever\"", 422, "body_invalid"),
        ("/mode", "\"warn\",\"later\":1", 422, "body_invalid"),
        ("/second_approver/policy", "1", 422, "body_invalid"),
    ];
    for (pointer, text, status, code) in refused {
        let answer = put_text(&w.admin, "*", body(pointer, &now, text)).await;
        assert_eq!(why(&answer), (status, code.to_owned()), "{pointer}: {text}: {}", answer.json());
        let field = answer.json()["field"].clone();
        assert!(status == 400 || field == "policy", "{pointer}: {text}: {field}");
    }
    for text in ["{}", "null", "[]", "{\"policy\":null}", "{\"policy\":[]}", "", "{\"policy\":{}}", "\u{0}"] {
        let answer = put_text(&w.admin, "*", text.to_owned()).await;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{text}: {}", answer.status);
    }
    // One that lacks a member would have it decided by somebody else.
    for member in ["thresholds", "hysteresis", "mode", "minimum", "ceilings", "breaker", "second_approver"] {
        let mut lacks = now.clone();
        lacks.as_object_mut().unwrap().remove(member);
        let answer = put_text(&w.admin, "*", json!({ "policy": lacks }).to_string()).await;
        assert_eq!(why(&answer), (422, "body_invalid".to_owned()), "{member}");
        assert!(answer.json()["error"].as_str().unwrap().contains(member), "{member}");
    }
    assert!(records(&w.admin, "policy.changed").await.is_empty(), "nothing was changed");
    for (pointer, text, shown) in [
        ("/thresholds/revoke", "0.85", "0.85"),
        ("/thresholds/revoke", "0.850001", "0.850001"),
        ("/thresholds/revoke", "999999e-6", "0.999999"),
        ("/thresholds/revoke", "1", "1.0"),
        ("/thresholds/medium", "0.1", "0.1"),
        ("/thresholds/medium", "0.070000", "0.07"),
        ("/breaker/share", "0.000001", "0.000001"),
        ("/breaker/share", "0", "0.0"),
        ("/minimum/events", "1e3", "1000"),
        ("/breaker/window_seconds", "86400", "86400"),
    ] {
        let answer = put_text(&w.admin, "*", body(pointer, &now, text)).await;
        assert_eq!(answer.status, 200, "{text}: {}", answer.json());
        let kept: serde_json::Value = serde_json::from_str(shown).unwrap();
        let kept =
            |seen: &serde_json::Value| seen["policy"].pointer(pointer).unwrap().as_f64() == kept.as_f64();
        assert!(
            kept(&answer.data()) && kept(&w.admin.get(POLICY).await.unwrap().data()),
            "{pointer}: {text}"
        );
    }
}

#[tokio::test]
async fn a_threshold_is_kept_to_the_millionth() {
    let w = world().await;
    let (now, _) = policy(&w.admin).await;
    for (text, millionths) in [("0.85", 850_000), ("0.849999", 849_999), ("0.580001", 580_001)] {
        let (mut now, warning) = (now.clone(), json!(0.57));
        now["thresholds"]["warning"] = warning;
        assert_eq!(put_text(&w.admin, "*", body("/thresholds/revoke", &now, text)).await.status, 200);
        let tenant = w.kakunin.tenant(&"default".parse().unwrap());
        let kept = tenant.policy().await.unwrap().policy;
        assert_eq!(kept.thresholds.revoke().millionths(), millionths, "{text}");
    }
}
