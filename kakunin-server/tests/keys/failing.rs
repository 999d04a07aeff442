//! A KMS that is down, and comes back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::binary::{MODEL, curl};
use crate::kms::Kms;
use crate::secrets::nothing_of_a_key;
use crate::world::{World, text, verified_by_openssl};

const ROLE: &str = "arn:aws:iam::111122223333:role/desk-7";
const AWS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "a-secret-access-key"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

fn key_url(kms: &Kms) -> String {
    let rates = "create-rate=1000&manage-rate=1000&read-rate=1000&sign-rsa-rate=1000&sign-ecc-rate=1000";
    format!("awskms:region=eu-west-1;deployment=server?endpoint=http://127.0.0.1:{}&{rates}", kms.port)
}

#[test]
fn with_a_kms_that_fails_revocation_holds_and_is_told_later() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut kms = Kms::start(folder.path());
    let w = World::start(&data, &key_url(&kms), &AWS);
    let (agent, other) = (w.agent(), w.agent());
    let certified = w.certify(&agent, json!({}));
    let arn = text(&certified, "kms_key_arn").to_owned();
    assert!(arn.starts_with("awskms:arn:aws:kms:eu-west-1:"), "{arn}");
    verified_by_openssl(folder.path(), &certified);
    // The agent's process may sign with it as whom it is in the KMS, and nothing else.
    let granted = w.post(&format!("/api/v1/agents/{agent}/grants"), &json!({ "principal": ROLE }));
    assert_eq!(
        (granted.0.as_str(), &granted.1["data"]["kms_key_arn"]),
        ("201", &json!(arn)),
        "{}",
        granted.1
    );
    let again = w.post(&format!("/api/v1/agents/{agent}/grants"), &json!({ "principal": ROLE })).1;
    assert_eq!(again["data"]["grant_id"], granted.1["data"]["grant_id"], "asked again, it is the same");
    let grants = ask_kms(&kms, "ListGrants", &json!({ "KeyId": arn.trim_start_matches("awskms:") }));
    assert_eq!(grants["Grants"].as_array().unwrap().len(), 1, "{grants}");
    assert_eq!(grants["Grants"][0]["GranteePrincipal"], ROLE, "{grants}");
    assert_eq!(grants["Grants"][0]["Operations"], json!(["Sign", "GetPublicKey"]), "{grants}");
    assert!(w.get("/api/v1/audit-log?limit=100").1.to_string().contains("key.granted"));
    // A hold ends the grant, and its release does not bring it back.
    let serial = text(&certified, "serial_number").to_owned();
    let granted = || {
        let grants = ask_kms(&kms, "ListGrants", &json!({ "KeyId": arn.trim_start_matches("awskms:") }));
        grants["Grants"].as_array().unwrap().len()
    };
    assert_eq!(w.post(&format!("/api/v1/certificates/{serial}/hold"), &json!({})).0, "200");
    let deadline = Instant::now() + Duration::from_secs(30);
    while granted() > 0 {
        assert!(Instant::now() < deadline, "the grant was never ended");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(w.post(&format!("/api/v1/certificates/{serial}/release"), &json!({})).0, "200");
    w.until("/readyz", |ready| ready["key_tasks_left"] == 0);
    assert_eq!(granted(), 0);
    // Down while one is issued: a clean refusal, on the record, and nothing half made.
    kms.down();
    let (status, refused) = w.post(&format!("/api/v1/agents/{other}/certify"), &json!({}));
    assert_eq!((status.as_str(), &refused["code"]), ("503", &json!("key_unavailable")), "{refused}");
    let records = w.get("/api/v1/audit-log?limit=100").1.to_string();
    assert!(records.contains("key.planned") && records.contains("key.abandoned"), "{records}");
    // Down while one is taken away: refused at once, and the provider is yet to be told.
    w.led_astray(&agent);
    let verify = format!("/api/v1/verify/{}", text(&certified, "serial_number"));
    let standing = w.get(&verify).1;
    assert_eq!(standing["data"]["revocation_reason"], "risk_threshold_exceeded", "{standing}");
    w.until("/readyz", |ready| {
        let reasons = &ready["reasons"];
        let told = |code: &str| reasons.as_array().is_some_and(|all| all.contains(&json!(code)));
        ready["status"] == "degraded"
            && ready["key_tasks_left"] != 0
            && ["signing", "key_tasks_failing", "crls_failing"].into_iter().all(told)
    });
    w.until("/api/v1/notifications?limit=100", |inbox| {
        inbox.to_string().contains("Key provider cannot be reached")
    });
    // The shard says so too once there is somebody to sign it.
    let point = format!("/api/v1/crl/{}/full.crl", issuing(&w));
    assert_eq!(w.get(&point).0, "503");
    // Killed, and started while the provider is still down.
    let mut server = w.server;
    server.child.kill().unwrap();
    drop(server);
    let w = World::start(&data, &key_url(&kms), &AWS);
    assert_eq!(w.get(&verify).1["data"]["revocation_reason"], "risk_threshold_exceeded");
    kms.up();
    let deadline = Instant::now() + Duration::from_secs(90);
    while key_state(&kms, &arn) == "Enabled" {
        assert!(Instant::now() < deadline, "the key was never disabled");
        std::thread::sleep(Duration::from_millis(200));
    }
    w.until("/readyz", |ready| ready["status"] == "ok" && ready["key_tasks_left"] == 0);
    let signed = w.post(&format!("/api/v1/agents/{agent}/sign"), &json!({ "payload": { "a": 1 } }));
    assert_ne!(signed.0, "200", "{}", signed.1);
    assert_eq!(w.get(&point).0, "200");
    // What was given up is given anew.
    w.certify(&other, json!({}));
    // A key that somebody deletes behind our back.
    let agent = w.agent();
    let certified = w.certify(&agent, json!({}));
    let arn = text(&certified, "kms_key_arn").to_owned();
    ask_kms(
        &kms,
        "ScheduleKeyDeletion",
        &json!({ "KeyId": arn.trim_start_matches("awskms:"), "PendingWindowInDays": 7 }),
    );
    let (status, refused) =
        w.post(&format!("/api/v1/agents/{agent}/sign"), &json!({ "payload": { "a": 1 } }));
    assert_eq!((status.as_str(), &refused["code"]), ("503", &json!("key_refused")), "{refused}");
    let renewed = w.post(&format!("/api/v1/agents/{agent}/renew"), &json!({ "model_hash": MODEL }));
    assert_eq!(renewed.0, "201", "{}", renewed.1);
    nothing_of_a_key(folder.path(), kms, &w);
}

fn issuing(w: &World) -> String {
    let ca = w.get("/api/v1/ca").1;
    let all = ca["data"]["authorities"].as_array().unwrap().clone();
    text(all.iter().find(|ca| ca["role"] == "issuing").unwrap(), "key_id").to_owned()
}

fn ask_kms(kms: &Kms, operation: &str, body: &Value) -> Value {
    let target = format!("X-Amz-Target: TrentService.{operation}");
    let scope = "Credential=test/20260101/eu-west-1/kms/aws4_request";
    let authorization = format!("Authorization: AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0");
    let (kind, url) = ("Content-Type: application/x-amz-json-1.1", format!("http://127.0.0.1:{}/", kms.port));
    let (status, answer) =
        curl(&["-H", &target, "-H", &authorization, "-H", kind, "-d", &body.to_string(), &url]);
    assert_eq!(status, "200", "{answer}");
    answer
}

fn key_state(kms: &Kms, reference: &str) -> String {
    let key = json!({ "KeyId": reference.trim_start_matches("awskms:") });
    text(&ask_kms(kms, "DescribeKey", &key)["KeyMetadata"], "KeyState").to_owned()
}
