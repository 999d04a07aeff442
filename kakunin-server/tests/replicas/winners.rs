//! Of several servers that are asked for the same at the same instant one does it.

use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId};
use kakunin_core::x509::csr::RequestToSign;
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use kakunin_server::demo::{Agent, Answer, Client};
use serde_json::{Value, json};

use crate::proxy::pause;
use crate::world::{ALONE, World};

const ROUNDS: usize = 6;

/// What all servers answer that are asked at once.
async fn at_once<F: Future<Output = Answer>>(w: &World, ask: impl Fn(usize, Client) -> F) -> Vec<Answer> {
    let [one, two, three] = [0, 1, 2].map(|number| ask(number, w.client(number)));
    let answers = tokio::join!(one, two, three);
    vec![answers.0, answers.1, answers.2]
}

async fn post(client: Client, path: String, body: Value) -> Answer {
    client.post(&path, &body).await.unwrap()
}

fn statuses(answers: &[Answer]) -> Vec<(u16, Value)> {
    answers.iter().map(|answer| (answer.status.as_u16(), answer.json()["code"].clone())).collect()
}

fn won(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// What a workload with a key of its own sends.
pub(crate) async fn request() -> String {
    let keys = LocalKeys::ephemeral();
    let key = keys.generate(&PlannedKeyId::new([7; 16]), KeyAlgorithm::P256).await.unwrap();
    let key = keys.open(&key).await.unwrap();
    let request = RequestToSign::new(key.public_key());
    let signature = key.sign(request.to_be_signed()).await.unwrap();
    pem::encode(pem::CERTIFICATE_REQUEST, &request.assemble(&signature))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_certified_once_joins_once_and_is_halted_once() {
    let _alone = ALONE.lock().await;
    let w = World::new().await;
    for round in 0..ROUNDS {
        let certified = w.registered(round % 3, &format!("certified-{round}")).await;
        let joining = w.registered(round % 3, &format!("joins-{round}")).await;
        let path = format!("/api/v1/agents/{joining}/join-tokens");
        let token = w.client(round % 3).post(&path, &json!({})).await.unwrap().text("token");
        w.level().await;
        let path = format!("/api/v1/agents/{certified}/certify");
        let answers =
            at_once(&w, |_, client| post(client, path.clone(), json!({ "key_algorithm": "p256" }))).await;
        assert_eq!(won(&answers, 201), 1, "{:?}", statuses(&answers));
        let serial = answers.iter().find(|answer| answer.status == 201).unwrap().text("serial_number");
        let requests = [request().await, request().await, request().await];
        let answers = at_once(&w, |number, client| {
            let body = json!({ "join_token": token, "csr": requests[number] });
            post(client.without_key(), "/api/v1/enroll".to_owned(), body)
        })
        .await;
        assert_eq!(won(&answers, 201), 1, "{:?}", statuses(&answers));
        let path = format!("/api/v1/agents/{certified}/halt");
        let answers = at_once(&w, |_, client| post(client, path.clone(), json!({}))).await;
        assert!(won(&answers, 200) > 0, "{:?}", statuses(&answers));
        w.level().await;
        let page = "/api/v1/audit-log?event_type=certificate.revoked&limit=100";
        let page = w.client(0).get(page).await.unwrap().data();
        let records = page.as_array().unwrap().iter().filter(|record| record["certificate_serial"] == serial);
        assert_eq!(records.count(), 1, "{page}");
        for number in 0..3 {
            let known = w.client(number).get(&format!("/api/v1/verify/{serial}")).await.unwrap();
            assert_eq!(known.text("status"), "revoked");
        }
    }
    w.verifies();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_recorded_once_and_a_signature_is_good_once() {
    const CHECK: &str = "/api/v1/gateway/check";
    let _alone = ALONE.lock().await;
    let w = World::new().await;
    let agent = Agent::start("walker", &["read:mail"], &w.client(0)).await.unwrap();
    w.level().await;
    // A server that started in the second of a signature cannot know whether it was used before.
    pause(1_100).await;
    for round in 0..ROUNDS * 3 {
        let event = json!({ "serial": agent.serial.to_string(), "action": "read:mail", "client_id": format!("id-{round}") });
        let answers = at_once(&w, |_, client| post(client, "/api/v1/events".to_owned(), event.clone())).await;
        assert_eq!((won(&answers, 201), won(&answers, 200)), (1, 2), "{:?}", statuses(&answers));
        assert!(answers.iter().all(|answer| answer.text("event_id") == answers[0].text("event_id")));
        let body = json!({ "action": "read:mail" }).to_string().into_bytes();
        let signed = agent.sign_for("http://ca.example", "POST", CHECK, &body).await.unwrap();
        let answers = at_once(&w, |_, client| check(client, signed.clone(), body.clone())).await;
        let codes = statuses(&answers);
        assert_eq!(won(&answers, 200), 1, "{codes:?}");
        let lost = codes.iter().filter(|(status, code)| *status == 401 && *code == "possession_replayed");
        assert_eq!(lost.count(), 2, "{codes:?}");
    }
    w.verifies();
}

/// A check by a request that was signed.
pub(crate) async fn check(client: Client, signed: Vec<(&'static str, String)>, body: Vec<u8>) -> Answer {
    let mut fields = vec![("content-type", "application/json"), ("host", "ca.example")];
    fields.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
    let post = axum::http::Method::POST;
    client.without_key().send(post, "/api/v1/gateway/check", &fields, body).await.unwrap()
}
