//! Answers that get lost on their way: the same request again is answered with the same certificate, and who has it
//! fetches it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use axum::http::Method;
use base64ct::{Base64, Encoding};
use common::{Rig, World, code, world};
use kakunin_core::id::Serial;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::service::{Config, REPEATABLE};
use kakunin_core::time::{Clock, DAY};
use kakunin_core::x509::csr::{Proven, RequestToSign};
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use kakunin_server::demo::{Agent, Answer};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A key of a workload's, and a request for it.
struct Own {
    signer: Arc<dyn Signer>,
    der: Vec<u8>,
}

impl Own {
    async fn new() -> Self {
        let keys = LocalKeys::ephemeral();
        let key = keys.generate(&PlannedKeyId::new([7; 16]), KeyAlgorithm::P256).await.unwrap();
        let signer = keys.open(&key).await.unwrap();
        let request = RequestToSign::new(signer.public_key());
        let signature = signer.sign(request.to_be_signed()).await.unwrap();
        Self { signer, der: request.assemble(&signature) }
    }

    fn csr(&self) -> String {
        pem::encode(pem::CERTIFICATE_REQUEST, &self.der)
    }

    /// A renewal of its certificate for another key.
    async fn renewal(&self, serial: &str, next: &Self) -> Value {
        let text = Proven::read(&next.der).unwrap().binding_text(&serial.parse::<Serial>().unwrap());
        let word = self.signer.sign(text.as_bytes()).await.unwrap();
        let word = Base64::encode_string(word.as_bytes());
        json!({ "serial_number": serial, "model_hash": MODEL, "csr": next.csr(), "key_binding": word })
    }
}

async fn registered(w: &Rig) -> String {
    let agent = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:accounts"] });
    w.post("/api/v1/agents", &agent).await.text("id")
}

/// What was issued: all of an answer but what depends on the time.
fn issued(answer: &Answer) -> (u16, String, String, String) {
    let text = |name| answer.text(name);
    (answer.status.as_u16(), text("serial_number"), text("certificate_pem"), text("chain_pem"))
}

#[tokio::test]
async fn a_lost_answer_is_given_again_and_the_old_certificate_stands_meanwhile() {
    let w = Rig::new().await;
    let agent = registered(&w).await;
    let asked = json!({ "profile": "elevated" });
    let token = w.post(&format!("/api/v1/agents/{agent}/join-tokens"), &asked).await.text("token");
    let (first, second, third) = (Own::new().await, Own::new().await, Own::new().await);
    let join = |own: &Own| json!({ "join_token": token, "csr": own.csr() });
    let joined = w.post_without_key("/api/v1/enroll", &join(&first)).await;
    let again = w.post_without_key("/api/v1/enroll", &join(&first)).await;
    assert_eq!((joined.status, issued(&again)), (201.try_into().unwrap(), issued(&joined)));
    let stranger = w.post_without_key("/api/v1/enroll", &join(&second)).await;
    assert_eq!((stranger.status.as_u16(), code(&stranger)), (401, "join_token_invalid".to_owned()));

    w.clock.set(w.clock.now().plus(3 * DAY));
    let old = joined.text("serial_number");
    let renewal = first.renewal(&old, &second).await;
    let renewed = w.post_without_key("/api/v1/enroll/renew", &renewal).await;
    assert_eq!(renewed.status, 201);
    let again = w.post_without_key("/api/v1/enroll/renew", &renewal).await;
    assert_eq!(issued(&again), issued(&renewed));
    let other = w.post_without_key("/api/v1/enroll/renew", &first.renewal(&old, &third).await).await;
    assert_eq!((other.status.as_u16(), code(&other)), (409, "agent_state".to_owned()));
    let page = format!("/api/v1/verify/{old}");
    assert_eq!(w.get(&page).await.text("status"), "active");
    let new = renewed.text("serial_number");
    let event = json!({ "agent_id": agent, "action": "read:accounts" });
    assert_eq!(w.post("/api/v1/events", &event).await.status, 201);
    assert_eq!(w.get(&page).await.text("status"), "active", "it may have been with either");
    let event = json!({ "certificate_serial": new, "action": "read:accounts" });
    let used = w.post("/api/v1/events", &event).await;
    assert_eq!(used.status, 201, "{}", used.json());
    assert_eq!(w.get(&page).await.text("revocation_reason"), "superseded");
    // Still: the certificate may have been used by a process that did not keep it.
    let again = w.post_without_key("/api/v1/enroll/renew", &renewal).await;
    assert_eq!(issued(&again), issued(&renewed));
    w.clock.set(w.clock.now().plus(REPEATABLE + 1));
    assert_eq!(w.post_without_key("/api/v1/enroll/renew", &renewal).await.status, 409);

    // An operator's.
    let mut order = second.renewal(&new, &third).await;
    order.as_object_mut().unwrap().remove("serial_number");
    let path = format!("/api/v1/agents/{agent}/renew");
    let renewed = w.post(&path, &order).await;
    assert_eq!(issued(&w.post(&path, &order).await), issued(&renewed));
    assert_eq!(renewed.status, 201);
    w.clock.set(w.clock.now().plus(Config::RENEWAL_GRACE));
    w.kakunin.tend().await.unwrap();
    assert_eq!(w.get(&format!("/api/v1/verify/{new}")).await.text("revocation_reason"), "superseded");
    assert_eq!(
        w.post(&format!("/api/v1/agents/{agent}/halt"), &json!({ "reason": "kill_switch_activated" }))
            .await
            .status,
        200
    );
    assert_eq!(w.post(&path, &order).await.status, 409, "a halted agent gets none");
}

#[tokio::test]
async fn a_certificate_ordered_twice_is_one() {
    let w = Rig::new().await;
    let agent = registered(&w).await;
    let order = json!({ "csr": Own::new().await.csr() });
    let path = format!("/api/v1/agents/{agent}/certify");
    let (one, two) = tokio::join!(w.post(&path, &order), w.post(&path, &order));
    assert_eq!((one.status.as_u16(), issued(&one)), (201, issued(&two)));
    let refused = w.post(&path, &json!({ "csr": Own::new().await.csr() })).await;
    assert_eq!((refused.status.as_u16(), code(&refused)), (409, "exists".to_owned()));
}

#[tokio::test]
async fn whoever_hangs_up_before_the_answer_asks_again() {
    let w = world().await;
    let agent = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:accounts"] });
    let agent = w.admin.post("/api/v1/agents", &agent).await.unwrap().text("id");
    let path = format!("/api/v1/agents/{agent}/join-tokens");
    let token = w.admin.post(&path, &json!({})).await.unwrap().text("token");
    let body = json!({ "join_token": token, "csr": Own::new().await.csr() });
    let host = w.url.strip_prefix("http://").unwrap();
    let text = body.to_string();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head = format!(
            "POST /api/v1/enroll HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        // Closed with nothing read.
        drop(stream);
    }
    let answer = w.admin.without_key().post("/api/v1/enroll", &body).await.unwrap();
    assert_eq!(answer.status, 201, "{}", answer.json());
    let shown = w.admin.get(&format!("/api/v1/agents/{agent}")).await.unwrap().data();
    assert_eq!(shown["certificates"].as_array().map_or(1, Vec::len), 1);
}

async fn fetched(w: &World, agent: &Agent, serial: &str) -> Answer {
    let path = format!("/api/v1/certificates/{serial}");
    let fields = agent.sign("GET", &path, b"").await.unwrap();
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    w.admin.without_key().send(Method::GET, &path, &fields, Vec::new()).await.unwrap()
}

#[tokio::test]
async fn a_certificate_is_given_to_its_tenant_and_its_agent_and_to_nobody_else() {
    let w = world().await;
    let (one, two) = (w.agent("one", &["read:mail"]).await, w.agent("two", &["read:mail"]).await);
    let serial = one.serial.to_string();
    let path = format!("/api/v1/certificates/{serial}");
    let pem = |answer: &Answer| pem::decode(pem::CERTIFICATE, &answer.text("certificate_pem")).unwrap();
    for client in [w.admin.clone(), w.key("default", "reader").await] {
        let answer = client.get(&path).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text("status")), (200, "active".to_owned()));
        assert_eq!(pem(&answer), [one.certificate_der()]);
        assert_eq!(answer.text("chain_pem").matches("BEGIN CERTIFICATE").count(), 2);
    }
    let foreign = w.key("other", "operator").await.get(&path).await.unwrap();
    assert_eq!((foreign.status.as_u16(), code(&foreign)), (404, "not_found".to_owned()));
    let absent = w.admin.get("/api/v1/certificates/01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFF").await.unwrap();
    assert_eq!(absent.status, 404);
    let nobody = w.admin.without_key().get(&path).await.unwrap();
    assert_eq!(nobody.status, 401);
    let own = fetched(&w, &one, &serial).await;
    assert_eq!((own.status.as_u16(), pem(&own)), (200, vec![one.certificate_der()]));
    let theirs = fetched(&w, &two, &serial).await;
    assert_eq!((theirs.status.as_u16(), code(&theirs)), (404, "not_found".to_owned()));
    // With the certificate before it the agent fetches the one whose answer it never got.
    let renewal = json!({ "model_hash": model_of(&w, &one).await, "key_algorithm": "p256" });
    let renewed = w.admin.post(&format!("/api/v1/agents/{}/renew", one.id), &renewal).await.unwrap();
    assert_eq!(renewed.status, 201, "{}", renewed.json());
    let new = renewed.text("serial_number");
    assert_eq!(pem(&fetched(&w, &one, &new).await), pem(&renewed));
    assert_eq!(w.admin.post(&format!("{path}/hold"), &json!({})).await.unwrap().status, 200);
    let held = fetched(&w, &one, &new).await;
    assert_eq!(held.status, 403, "{}", held.json());
}

async fn model_of(w: &World, agent: &Agent) -> String {
    w.admin.get(&format!("/api/v1/agents/{}", agent.id)).await.unwrap().text("model_hash")
}

#[tokio::test]
async fn a_renewal_that_names_its_certificate_is_answered_twice_though_the_server_makes_the_key() {
    let w = Rig::new().await;
    let (agent, other) = (registered(&w).await, registered(&w).await);
    let of = |agent: &str, step: &str| format!("/api/v1/agents/{agent}/{step}");
    let asked = json!({ "key_algorithm": "p256" });
    let first = w.post(&of(&agent, "certify"), &asked).await;
    // Whoever lost the answer is told which certificate there is, and fetches it.
    let serial = first.text("serial_number");
    let again = w.post(&of(&agent, "certify"), &asked).await;
    assert_eq!((again.status.as_u16(), code(&again)), (409, "exists".to_owned()));
    assert_eq!(again.json()["data"], json!({ "certificate_id": serial }));
    let fetched = w.get(&format!("/api/v1/certificates/{serial}")).await;
    assert_eq!(fetched.text("certificate_pem"), first.text("certificate_pem"));
    let renewal = json!({ "model_hash": MODEL, "key_algorithm": "p256", "serial_number": serial });
    let renewed = w.post(&of(&agent, "renew"), &renewal).await;
    assert_eq!(issued(&w.post(&of(&agent, "renew"), &renewal).await), issued(&renewed));
    assert_ne!(renewed.text("serial_number"), serial);
    assert_eq!(w.get(&format!("/api/v1/verify/{serial}")).await.text("status"), "active");
    // A certificate of another agent's is none of this one's, and one that is none is none.
    assert_eq!(w.post(&of(&other, "renew"), &renewal).await.status, 404);
    let mut none = renewal.clone();
    none["serial_number"] = json!("4A1B2C3D4E5F60718293A4B5C6D7E8F9");
    assert_eq!(w.post(&of(&agent, "renew"), &none).await.status, 404);
}
