//! What foreign tools and people send, and what they read: requests, names, reasons, a vendor's members.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::path::Path;
use std::process::Command;

use axum::http::Method;
use common::{World, code, world};
use kakunin_server::demo::Answer;
use serde_json::{Value, json};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl World {
    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.admin.post(&format!("/api/v1/{path}"), body).await.unwrap()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.admin.get(&format!("/api/v1/{path}")).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        answer.json()
    }

    /// A new agent with a certificate: its identifier and serial number.
    async fn certified(&self, name: &str) -> (String, String) {
        let scope = json!({ "permitted_actions": ["read:accounts"] });
        let agent =
            self.post("agents", &json!({ "name": name, "model_hash": MODEL, "metadata": scope })).await;
        assert_eq!(agent.status, 201, "{}", agent.json());
        let id = agent.text("id");
        let made = self.post(&format!("agents/{id}/certify"), &json!({ "key_algorithm": "p256" })).await;
        assert_eq!(made.status, 201, "{}", made.json());
        (id, made.text("serial_number"))
    }
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).current_dir(folder).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; run `make setup`"));
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {text}");
    text
}

#[tokio::test]
async fn requests_of_other_tools_are_taken_or_refused_by_name() {
    let w = world().await;
    let folder = tempfile::tempdir().unwrap();
    let request = |key: &[&str], sign: &[&str]| {
        run(folder.path(), "openssl", &[&["genpkey", "-out", "k"], key].concat());
        let new = ["req", "-new", "-key", "k", "-subj", "/CN=x"];
        run(folder.path(), "openssl", &[&new[..], sign].concat())
    };
    let p256 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let p384 = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let bare = |text: String| text.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    let pss = ["-sha512", "-sigopt", "rsa_padding_mode:pss"];
    for (n, csr) in [
        request(&p256, &["-sha384"]),
        request(&rsa, &pss),
        request(&rsa, &["-sha512"]).replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"),
        bare(request(&p256, &["-sha512"])),
    ]
    .into_iter()
    .enumerate()
    {
        let spec = json!({ "name": format!("agent-{n}"), "model_hash": MODEL });
        let id = w.post("agents", &spec).await.text("id");
        let made = w.post(&format!("agents/{id}/certify"), &json!({ "csr": csr })).await;
        assert_eq!(made.status, 201, "{csr}: {}", made.json());
    }
    // Whoever joins with a token hears the same.
    let id = w.post("agents", &json!({ "name": "joins", "model_hash": MODEL })).await.text("id");
    let token = w.post(&format!("agents/{id}/join-tokens"), &json!({})).await.text("token");
    let certify = format!("agents/{id}/certify");
    for (csr, expected, said) in [
        (request(&p384, &["-sha384"]), "key_unsupported", "P-384"),
        (request(&rsa, &["-sha1"]), "csr_signature_unsupported", "SHA-1"),
        (request(&p256, &[]).repeat(2), "csr_several", "2 blocks"),
    ] {
        let body = json!({ "csr": csr });
        let enrol = json!({ "join_token": token, "csr": csr });
        for (path, body) in [(certify.as_str(), &body), ("enroll", &enrol)] {
            let refused = w.post(path, body).await;
            assert_eq!((refused.status.as_u16(), code(&refused).as_str()), (422, expected), "{path}");
            assert!(refused.json()["error"].as_str().unwrap().contains(said), "{}", refused.json());
        }
    }
}

#[tokio::test]
async fn names_that_are_not_seen_as_what_they_are_are_refused_wherever_they_are_taken() {
    let w = world().await;
    let (id, _) = w.certified("株式会社アクメ Zoë 7").await;
    for (bad, said) in [
        ("desk\u{202e}7", "U+202E"),
        ("desk\u{200b}7", "U+200B"),
        ("desk\u{e0041}", "U+E0041"),
        ("desk\u{2028}7", "U+2028"),
        ("desk\u{fdd0}", "U+FDD0"),
        ("desk\u{e000}", "U+E000"),
        ("cafe\u{301}", "NFC"),
        ("desk  7", "second space"),
        (" desk", "space at its end"),
        ("\u{301}", "mark without a letter"),
        ("desk\u{a0}7", "U+00A0"),
    ] {
        let spec = |member: &str| {
            let mut spec = json!({ "name": "n", "model_hash": MODEL });
            spec[member] = bad.into();
            spec
        };
        let mut sent = Vec::new();
        for member in ["name", "fleet", "organization", "operator_org", "model", "version"] {
            sent.push((member, w.post("agents", &spec(member)).await));
        }
        let nested = json!({ "name": "n", "model_hash": MODEL, "metadata": { "operator_org": bad } });
        sent.push(("metadata", w.post("agents", &nested).await));
        for member in ["name", "model", "version"] {
            let body = json!({ member: bad }).to_string().into_bytes();
            let kind = [("content-type", "application/json")];
            let path = format!("/api/v1/agents/{id}");
            sent.push(("patch", w.admin.send(Method::PATCH, &path, &kind, body).await.unwrap()));
        }
        let key = json!({ "tenant": "default", "role": "reader", "label": bad });
        sent.push(("label", w.post("api-keys", &key).await));
        for (what, refused) in sent {
            assert_eq!(
                (refused.status.as_u16(), code(&refused).as_str()),
                (422, "name_malformed"),
                "{what} {bad:?}"
            );
            let sentence = refused.json()["error"].as_str().unwrap().to_owned();
            assert!(sentence.contains(said) && !sentence.contains(bad), "{sentence}");
        }
    }
    for bad in ["a\u{202e}b", "a\u{2067}b", "a\u{e0041}", "a\u{200b}", "a\u{2029}"] {
        let spec = json!({ "name": "n", "model_hash": MODEL, "description": bad });
        assert_eq!(code(&w.post("agents", &spec).await), "note_malformed", "{bad:?}");
        let halt = json!({ "operator_note": bad });
        assert_eq!(code(&w.post(&format!("agents/{id}/halt"), &halt).await), "note_malformed", "{bad:?}");
        let event = json!({ "agent_id": id, "action": "read:accounts", "tool": bad });
        assert_eq!(code(&w.post("events", &event).await), "name_invalid", "{bad:?}");
        for path in ["agents", "tenants"] {
            let foreign = w
                .post(path, &json!({ "id": bad, "name": "n", "model_hash": MODEL, "environment": bad }))
                .await;
            assert!(!foreign.json().to_string().contains(bad), "{}", foreign.json());
        }
    }
}

#[tokio::test]
async fn a_reason_is_what_it_says_for_openssl_too() {
    let w = world().await;
    let mut expected = Vec::new();
    for (reason, cause, named) in [
        (json!("keyCompromise"), "key_compromise", Some("Key Compromise")),
        (json!("key_compromise"), "key_compromise", Some("Key Compromise")),
        (json!("Superseded"), "superseded", Some("Superseded")),
        (json!(1), "key_compromise", Some("Key Compromise")),
        (json!("4"), "superseded", Some("Superseded")),
        (json!("cACompromise"), "ca_compromise", Some("CA Compromise")),
        (json!("affiliation_changed"), "affiliation_changed", Some("Affiliation Changed")),
        (json!("cessationOfOperation"), "cessation_of_operation", Some("Cessation Of Operation")),
        (json!(4.0), "superseded", Some("Superseded")),
        (json!(9), "privilege_withdrawn", Some("Privilege Withdrawn")),
        (json!("regulatory_order"), "regulatory_order", Some("Privilege Withdrawn")),
        (json!("operator_initiated"), "operator_initiated", Some("Cessation Of Operation")),
        (json!("unspecified"), "unspecified", None),
        (json!("certificateHold"), "hold", Some("Certificate Hold")),
        (json!(6), "hold", Some("Certificate Hold")),
    ] {
        // The name of one that is suspended is not given again.
        let (id, serial) = w.certified(&format!("for {reason}")).await;
        let body = json!({ "reason": reason, "operator_note": "seen in the logs" });
        let done = w.post(&format!("certificates/{serial}/revoke"), &body).await;
        assert_eq!(done.status, 200, "{reason}: {}", done.json());
        let status = if cause == "hold" { "suspended" } else { "revoked" };
        assert_eq!((done.text("status"), done.text("reason")), (status.into(), cause.into()), "{reason}");
        // Kept as it was sent, and shown to its tenant; to the public only what it means.
        let sent = reason.as_str().map_or_else(|| reason.to_string(), str::to_owned);
        let listed = w.get(&format!("agents/{id}")).await["data"]["certificates"][0].clone();
        assert_eq!(
            (&listed["revocation_reason"], &listed["revocation_reason_given"]),
            (&json!(cause), &json!(sent))
        );
        assert_eq!(listed["revocation_note"], "seen in the logs");
        assert!(!w.get(&format!("verify/{serial}")).await.to_string().contains("seen in the logs"));
        let kind = if cause == "hold" { "certificate.held" } else { "certificate.revoked" };
        let log = w.get(&format!("audit-log?event_type={kind}&affected_id={id}")).await;
        assert!(log["data"][0]["metadata"].to_string().contains(&format!("\"reason\":\"{sent}\"")), "{log}");
        if cause == "hold" && reason.is_string() {
            let released = w.post(&format!("certificates/{serial}/release"), &json!({})).await;
            assert_eq!((released.status.as_u16(), released.text("status")), (200, "active".into()));
            let listed = w.get(&format!("agents/{id}")).await["data"]["certificates"][0].clone();
            assert_eq!(listed["revocation_reason_given"], Value::Null);
            continue;
        }
        expected.push((serial, named));
    }
    let folder = tempfile::tempdir().unwrap();
    let crl = w.admin.get("/api/v1/crl").await.unwrap();
    std::fs::write(folder.path().join("crl"), &crl.body).unwrap();
    let text = run(folder.path(), "openssl", &["crl", "-in", "crl", "-noout", "-text"]);
    for (serial, named) in expected {
        let entry = text.split("Serial Number: ").find(|entry| entry.starts_with(&serial));
        let entry = entry.unwrap_or_else(|| panic!("{serial} is not in {text}"));
        match named {
            Some(named) => assert!(entry.contains(named), "{entry}"),
            None => assert!(!entry.contains("Reason Code"), "{entry}"),
        }
    }
}

#[tokio::test]
async fn a_reason_that_is_not_understood_takes_nothing_away() {
    let w = world().await;
    let (id, serial) = w.certified("one").await;
    let (revoke, halt) = (format!("certificates/{serial}/revoke"), format!("agents/{id}/halt"));
    for reason in [
        json!("keyCompromised"),
        json!("banana"),
        json!(7),
        json!("8"),
        json!(8),
        json!("removeFromCRL"),
        json!(10),
        json!("aACompromise"),
        json!(11),
        json!(-1),
        json!(1.5),
        json!(""),
        json!(null),
        json!(true),
        json!({}),
        json!("-1"),
        json!("01"),
        json!("x".repeat(501)),
    ] {
        for path in [&revoke, &halt] {
            // A stop needs no reason.
            if path == &halt && reason.is_null() {
                continue;
            }
            let refused = w.post(path, &json!({ "reason": reason })).await;
            assert_eq!(refused.status, 422, "{path} {reason}: {}", refused.json());
            if reason == "banana" {
                assert_eq!(code(&refused), "reason_invalid");
                let sentence = refused.json()["error"].as_str().unwrap().to_owned();
                assert!(
                    sentence.contains("keyCompromise") && sentence.contains("certificateHold"),
                    "{sentence}"
                );
            }
            let standing = w.get(&format!("verify/{serial}")).await;
            assert_eq!(standing["data"]["valid"], true, "{path} {reason}");
        }
    }
    // A sentence is not a code of anybody's; a stop is not to fail for it, and keeps it.
    assert_eq!(w.post(&revoke, &json!({ "reason": "it sold everything" })).await.status, 422);
    assert_eq!(w.post(&halt, &json!({ "reason": "certificateHold" })).await.status, 422);
    let halted = w.post(&halt, &json!({ "reason": "it sold everything" })).await;
    assert_eq!(halted.status, 200);
    let listed = w.get(&format!("agents/{id}")).await["data"]["certificates"][0].clone();
    assert_eq!(listed["revocation_reason_given"], "it sold everything");
    let log = w.get(&format!("audit-log?event_type=agent.halted&affected_id={id}")).await;
    assert!(log["data"][0]["metadata"].to_string().contains("it sold everything"), "{log}");
    // A stop for a cause of RFC 5280.
    let (id, _) = w.certified("two").await;
    let halted = w.post(&format!("agents/{id}/halt"), &json!({ "reason": "keyCompromise" })).await;
    assert_eq!(halted.data()["halt_receipt"]["reason"], "key_compromise");
    // Nothing of another tenant's is told apart from nothing.
    let theirs = w.key("globex", "operator").await;
    let foreign = theirs.post(&format!("/api/v1/{revoke}"), &json!({ "reason": "banana" })).await.unwrap();
    assert_eq!(foreign.status, 404);
}

#[tokio::test]
async fn the_members_that_clients_of_the_vendors_read_are_there() {
    let w = world().await;
    let (id, serial) = w.certified("one").await;
    let verified = w.get(&format!("verify/{serial}")).await["data"].clone();
    assert_eq!((&verified["certificate_status"], &verified["agent_id"]), (&json!("active"), &json!(id)));
    assert_eq!(
        w.get(&format!("agents/{id}")).await["data"]["certificates"][0]["permitted_actions"],
        json!(["read:accounts"])
    );

    let quiet = w.get(&format!("agents/{id}/risk")).await["data"].clone();
    assert_eq!((&quiet["avg_score"], &quiet["dominant_band"]), (&json!(0.0), &json!("low")));
    assert_eq!((&quiet["event_counts_by_type"], &quiet["recent_high_risk_events"]), (&json!({}), &json!([])));
    for n in 0..3 {
        let event = json!({ "agentId": id, "actionType": "transaction_initiated", "chainId": format!("chain-{n}"),
            "sessionId": "s-1", "details": { "amount_usd": 1 } });
        assert_eq!(w.post("events", &event).await.status, 201);
    }
    let denied = json!({ "agent_id": id, "action_type": "unauthorized_access_attempt" });
    let denied = w.post("events", &denied).await;
    assert_eq!(denied.status, 201);
    assert_eq!(w.post("events", &json!({ "agent_id": id, "action_type": "frobnicated" })).await.status, 201);

    let found = |word: &'static str| {
        let w = &w;
        async move { w.get(&format!("events?action_type={word}")).await["data"].as_array().unwrap().clone() }
    };
    let sent = found("transaction_initiated").await;
    assert_eq!(sent.len(), 3);
    assert_eq!((&sent[0]["correlation"], &sent[0]["session_id"]), (&json!("chain-2"), &json!("s-1")));
    assert_eq!(
        (&sent[0]["action_type"], &sent[0]["action_type_given"]),
        (&json!("transaction"), &json!("transaction_initiated"))
    );
    assert_eq!((found("transaction").await.len(), found("frobnicated").await.len()), (3, 1));
    assert_eq!((found("unauthorized_access_attempt").await.len(), found("api_call").await.len()), (1, 1));
    assert_eq!(found("transaction_anomaly").await.len(), 0);

    let risk = w.get(&format!("agents/{id}/risk")).await["data"].clone();
    assert_eq!((&risk["total_events"], &risk["high_risk_event_count"]), (&json!(5), &json!(1)));
    let counts = &risk["event_counts_by_type"];
    assert_eq!(
        (&counts["transaction"]["count"], &counts["api_call"]["count"], &counts["other"]["count"]),
        (&json!(3), &json!(1), &json!(1))
    );
    let recent = risk["recent_high_risk_events"].as_array().unwrap();
    assert_eq!((recent.len(), &recent[0]["id"]), (1, &json!(denied.text("event_id"))));
    assert_eq!(recent[0]["risk_score"], denied.data()["risk_score"]);
    // The mean of what each event was answered with.
    let scores = w.get(&format!("events?agent_id={id}")).await["data"].clone();
    let scores: Vec<_> =
        scores.as_array().unwrap().iter().map(|e| e["risk_score"].as_f64().unwrap()).collect();
    let mean = scores.iter().sum::<f64>() / 5.0;
    assert!((risk["avg_score"].as_f64().unwrap() - mean).abs() < 1e-5, "{risk} {scores:?}");
    assert_eq!(risk["trend"][0]["avg_score"], risk["avg_score"]);
    assert!(["low", "medium", "high"].contains(&risk["dominant_band"].as_str().unwrap()));
    assert_eq!(risk["drift"]["drift_score"], Value::Null);
    assert!(risk["drift"]["note"].as_str().is_some_and(|note| !note.is_empty()));
}
