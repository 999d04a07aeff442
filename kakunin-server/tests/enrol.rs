//! A workload that keeps its own key, with nothing but curl's kind of requests and the openssl command: it
//! joins with a token, renews with its current key, and never sees an API key.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Rig, World, code, world};
use kakunin_core::service::REPEATABLE;
use kakunin_core::time::{Clock, DAY, SECOND};
use serde_json::{Value, json};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn openssl(folder: &Path, line: &str) -> Vec<u8> {
    let done = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

/// A new key `name.key` and a request for it, PEM.
fn request(folder: &Path, name: &str, key: &str) -> String {
    let line = format!("req -new {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN=root");
    openssl(folder, &line);
    std::fs::read_to_string(folder.join(format!("{name}.csr"))).unwrap()
}

/// The word of `name.key`, of the certificate `serial`, for the request `next.csr`.
fn binding(folder: &Path, name: &str, serial: &str, next: &str) -> String {
    openssl(folder, &format!("req -in {next}.csr -outform DER -out next.der"));
    let digest = String::from_utf8(openssl(folder, "dgst -sha256 -r next.der")).unwrap();
    let text = format!("kakunin-key-binding:{serial}:{}", &digest[..64]);
    std::fs::write(folder.join("text"), text).unwrap();
    let signature = openssl(folder, &format!("dgst -sha256 -sign {name}.key text"));
    std::fs::write(folder.join("signature"), signature).unwrap();
    String::from_utf8(openssl(folder, "base64 -A -in signature")).unwrap()
}

async fn registered(w: &World) -> String {
    let agent = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:accounts"] });
    w.admin.post("/api/v1/agents", &agent).await.unwrap().text("id")
}

async fn token(w: &World, agent: &str, body: Value) -> String {
    let made = w.admin.post(&format!("/api/v1/agents/{agent}/join-tokens"), &body).await.unwrap();
    assert_eq!(made.status, 201);
    made.text("token")
}

#[tokio::test]
async fn a_workload_joins_and_renews_without_an_api_key() {
    let w = Rig::new().await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let agent = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:accounts"] });
    let agent = w.post("/api/v1/agents", &agent).await.text("id");
    let asked = json!({ "profile": "elevated", "expires_in": 60 });
    let token = w.post(&format!("/api/v1/agents/{agent}/join-tokens"), &asked).await.text("token");
    let first = request(folder, "first", "-newkey rsa:2048");
    let join = json!({ "join_token": token, "csr": first });
    let joined = w.post_without_key("/api/v1/enroll", &join).await;
    assert_eq!(
        (joined.status.as_u16(), joined.text("agent_id"), joined.text("profile")),
        (201, agent, "elevated".to_owned())
    );
    let other = json!({ "join_token": token, "csr": request(folder, "other", "-newkey rsa:2048") });
    let again = w.post_without_key("/api/v1/enroll", &other).await;
    assert_eq!((again.status.as_u16(), code(&again)), (401, "join_token_invalid".to_owned()));
    // The name in the request counts for nothing, and the chain is good to OpenSSL.
    let chain = joined.text("chain_pem");
    let second_block = chain.rfind("-----BEGIN").unwrap();
    std::fs::write(folder.join("root.pem"), &chain[second_block..]).unwrap();
    std::fs::write(folder.join("issuing.pem"), &chain[..second_block]).unwrap();
    std::fs::write(folder.join("leaf.pem"), joined.text("certificate_pem")).unwrap();
    openssl(
        folder,
        "verify -CAfile root.pem -untrusted issuing.pem -x509_strict -purpose sslclient leaf.pem",
    );
    let subject = String::from_utf8(openssl(folder, "x509 -in leaf.pem -noout -subject")).unwrap();
    assert!(subject.contains("CN = one"), "{subject}");

    let serial = joined.text("serial_number");
    let second = request(folder, "second", "-newkey ec -pkeyopt ec_paramgen_curve:P-256");
    let stranger = request(folder, "stranger", "-newkey rsa:2048");
    let renewal = |csr: &str, binding: String| json!({ "serial_number": serial, "model_hash": MODEL, "csr": csr, "key_binding": binding });
    for (csr, binding, refusal) in [
        (&second, binding(folder, "stranger", &serial, "second"), "key_not_bound"),
        (&stranger, binding(folder, "first", &serial, "second"), "key_not_bound"),
        (&second, "not base64".to_owned(), "key_not_bound"),
        (&first, binding(folder, "first", &serial, "first"), "key_in_use"),
    ] {
        let refused = w.post_without_key("/api/v1/enroll/renew", &renewal(csr, binding)).await;
        assert_eq!(code(&refused), refusal);
    }
    let body = renewal(&second, binding(folder, "first", &serial, "second"));
    // Too early: whoever joined a moment ago waits for a tenth of the 30 days, and the owner is told.
    let early = w.post_without_key("/api/v1/enroll/renew", &body).await;
    assert_eq!((early.status.as_u16(), code(&early)), (429, "self_renewal_limited".to_owned()));
    let wait: u64 = early.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((3 * DAY / SECOND..=3 * DAY / SECOND + 1).contains(&wait), "{wait}");
    let inbox = w.get("/api/v1/notifications").await.json();
    assert_eq!(inbox["data"][0]["title"], "Agent renews itself too often");
    w.clock.set(w.clock.now().plus(wait * SECOND));
    let renewed = w.post_without_key("/api/v1/enroll/renew", &body).await;
    assert_eq!((renewed.status.as_u16(), renewed.text("profile")), (201, "elevated".to_owned()));
    assert!(renewed.text("renew_after") < renewed.text("expires_at"));
    // The answer may have been lost: see tests/lost_answers.rs.
    let replayed = w.post_without_key("/api/v1/enroll/renew", &body).await;
    assert_eq!(replayed.text("certificate_pem"), renewed.text("certificate_pem"));
    w.clock.set(w.clock.now().plus(REPEATABLE + 1));
    w.kakunin.tend().await.unwrap();
    let replayed = w.post_without_key("/api/v1/enroll/renew", &body).await;
    assert_eq!(code(&replayed), "agent_state");
    let old = w.get(&format!("/api/v1/verify/{serial}")).await;
    assert_eq!(old.text("revocation_reason"), "superseded");
    // An operator renews with the same word, and not without.
    let serial = renewed.text("serial_number");
    let third = request(folder, "third", "-newkey rsa:2048");
    let path = format!("/api/v1/agents/{}/renew", renewed.text("agent_id"));
    let without = json!({ "model_hash": MODEL, "csr": third });
    assert_eq!(code(&w.post(&path, &without).await), "key_not_bound");
    let word = binding(folder, "second", &serial, "third");
    let with = json!({ "model_hash": MODEL, "csr": third, "key_binding": word });
    assert_eq!(w.post(&path, &with).await.status, 201);
}

#[tokio::test]
async fn weak_keys_and_wrong_lives_are_refused() {
    let w = world().await;
    let folder = tempfile::tempdir().unwrap();
    let anybody = w.admin.without_key();
    let agent = registered(&w).await;
    for (key, refusal) in [
        ("-newkey rsa:1024", "key_weak"),
        ("-newkey rsa:2048 -pkeyopt rsa_keygen_pubexp:3", "key_weak"),
        ("-newkey ec -pkeyopt ec_paramgen_curve:secp256k1", "key_unsupported"),
    ] {
        let csr = request(folder.path(), "weak", key);
        let token = token(&w, &agent, json!({})).await;
        let refused =
            anybody.post("/api/v1/enroll", &json!({ "join_token": token, "csr": csr })).await.unwrap();
        assert_eq!((refused.status.as_u16(), code(&refused)), (422, refusal.to_owned()));
    }
    for (body, refusal) in
        [(json!({ "expires_in": 601 }), "join_token_life"), (json!({ "expires_in": 0 }), "join_token_life")]
    {
        let refused = w.admin.post(&format!("/api/v1/agents/{agent}/join-tokens"), &body).await.unwrap();
        assert_eq!((refused.status.as_u16(), code(&refused)), (422, refusal.to_owned()));
    }
    let reader = w.key("default", "reader").await;
    let refused = reader.post(&format!("/api/v1/agents/{agent}/join-tokens"), &json!({})).await.unwrap();
    assert_eq!(refused.status, 403);
    // Software keys stay where they are.
    let path = format!("/api/v1/agents/{agent}/grants");
    let role = "arn:aws:iam::111122223333:role/desk-7";
    let refused = w.admin.post(&path, &json!({ "principal": role })).await.unwrap();
    assert_eq!((refused.status.as_u16(), code(&refused)), (409, "key_not_grantable".to_owned()));
    let refused = w.admin.post(&path, &json!({ "principal": "arn:aws:iam::1:role/*" })).await.unwrap();
    assert_eq!((refused.status.as_u16(), code(&refused)), (422, "principal_invalid".to_owned()));
    let foreign = w.key("other", "operator").await;
    let refused = foreign.post(&format!("/api/v1/agents/{agent}/join-tokens"), &json!({})).await.unwrap();
    assert_eq!(refused.status, 404);
}
