//! Answers that prove what was recorded: checked with nothing but the answer and the log's key.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use axum::http::StatusCode;
use base64ct::{Base64, Encoding};
use common::{World, code, world};
use ct_merkle::{InclusionProof, RootHash};
use kakunin_core::log::leaf::Leaf;
use kakunin_core::log::merkle::{Hash, leaf_hash};
use kakunin_core::log::note::VerifierKey;
use kakunin_core::log::proof::TlogProof;
use kakunin_core::log::range::RangeProof;
use serde_json::{Value, json};
use sha2::Sha256;

const EVENTS: &str = "/api/v1/events";
const BATCH: &str = "/api/v1/events/batch";

async fn key(w: &World) -> VerifierKey {
    VerifierKey::parse(&w.kakunin.tenant(&"default".parse().unwrap()).log_verifier().await.unwrap()).unwrap()
}

fn octets(text: &Value) -> Vec<u8> {
    Base64::decode_vec(text.as_str().unwrap()).unwrap()
}

fn event(serial: &str, n: usize) -> Value {
    json!({ "certificate_serial": serial, "action": "read:mail", "client_id": format!("event-{n}") })
}

/// Index, size of the log, leaf. The `ct-merkle` crate decides, too.
fn proven(data: &Value, key: &VerifierKey) -> (u64, u64, Leaf) {
    let (leaf, text) = (octets(&data["leaf"]), data["proof"].as_str().unwrap());
    let proof = TlogProof::parse(text).unwrap();
    let signed = proof.verify(&leaf, key).unwrap();
    let root = RootHash::<Sha256>::new(signed.root.into(), signed.size);
    let path = InclusionProof::<Sha256>::from_bytes(proof.hashes.concat());
    root.verify_inclusion(&leaf, proof.index, &path).unwrap();
    (proof.index, signed.size, Leaf::decode(&leaf).unwrap())
}

/// First index, size of the log, and the leaves' hashes, of a batch's answer.
fn range(data: &Value, key: &VerifierKey) -> (u64, u64, Vec<Hash>) {
    let proof: RangeProof = serde_json::from_value(data["proof"].clone()).unwrap();
    let hashes: Vec<Hash> = match data["proof"]["leaves"].as_array() {
        Some(leaves) => leaves.iter().map(|leaf| leaf_hash(&octets(leaf))).collect(),
        None => {
            let hashes = data["proof"]["leaf_hashes"].as_array().unwrap();
            hashes.iter().map(|hash| octets(hash).try_into().unwrap()).collect()
        }
    };
    assert_eq!(data["checkpoint"], json!(proof.checkpoint));
    (proof.first, proof.verify(&hashes, key).unwrap().size, hashes)
}

#[tokio::test]
async fn one_event_is_proved_if_that_is_asked_for() {
    let w = world().await;
    let agent = w.agent("desk", &["read:mail"]).await;
    let serial = agent.serial.to_string();
    let key = key(&w).await;
    let plain = w.admin.post(EVENTS, &event(&serial, 1)).await.unwrap();
    assert_eq!(plain.status, StatusCode::CREATED);
    assert!(plain.data().get("proof").is_none() && plain.data().get("leaf").is_none());
    let durable = w.admin.post(&format!("{EVENTS}?level=durable"), &event(&serial, 2)).await.unwrap();
    assert!(durable.status == StatusCode::CREATED && durable.data().get("proof").is_none());
    let proved = w.admin.post(&format!("{EVENTS}?level=proved"), &event(&serial, 3)).await.unwrap();
    assert_eq!(proved.status, StatusCode::CREATED);
    let data = proved.data();
    let (index, size, leaf) = proven(&data, &key);
    assert_eq!((json!(index.to_string()), size), (data["id"].clone(), index + 1));
    assert_eq!((leaf.serial, leaf.agent), (Some(agent.serial), agent.id.parse().ok()));
    assert_eq!(leaf.act.unwrap().action.as_str(), "read:mail");
    // The same again: what was recorded first is proved, in the log as it is now.
    w.admin.post(EVENTS, &event(&serial, 4)).await.unwrap();
    let again = w.admin.post(&format!("{EVENTS}?level=proved"), &event(&serial, 1)).await.unwrap();
    assert_eq!((again.status, &again.data()["status"]), (StatusCode::OK, &json!("duplicate")));
    let first = proven(&again.data(), &key);
    assert_eq!(json!(first.0.to_string()), plain.data()["id"]);
    for wrong in ["level=signed", "level=", "level=proved&level=proved", "proof=true"] {
        let refused = w.admin.post(&format!("{EVENTS}?{wrong}"), &event(&serial, 5)).await.unwrap();
        assert_eq!(
            (refused.status, code(&refused)),
            (StatusCode::BAD_REQUEST, "query_invalid".into()),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_batch_is_proved_as_one_range() {
    let w = world().await;
    let agent = w.agent("desk", &["read:mail"]).await;
    let serial = agent.serial.to_string();
    let key = key(&w).await;
    let batch = |range: std::ops::Range<usize>| json!({ "events": range.map(|n| event(&serial, n)).collect::<Vec<_>>() });
    let answer = w.admin.post(BATCH, &batch(0..5)).await.unwrap();
    let (first, size, hashes) = range(&answer.data(), &key);
    assert_eq!((json!(first.to_string()), hashes.len()), (answer.data()["results"][0]["id"].clone(), 5));
    assert_eq!(size, first + 5, "of the append itself");
    // Half of it came before: that is proved by itself, and only where it is asked for.
    let mixed = w.admin.post(&format!("{BATCH}?level=proved"), &batch(3..8)).await.unwrap();
    let data = mixed.data();
    let (next, _, new) = range(&data, &key);
    assert_eq!((next, new.len()), (first + 5, 3));
    let old = proven(&data["results"][1], &key);
    assert_eq!((json!(old.0.to_string()), old.0), (data["results"][1]["id"].clone(), first + 4));
    assert_eq!(leaf_hash(&octets(&data["results"][1]["leaf"])), hashes[4]);
    assert!(data["results"][2].get("proof").is_none(), "it is in the range");
    let leaf = Leaf::decode(&octets(&data["proof"]["leaves"][0])).unwrap();
    assert_eq!((leaf.serial, data["proof"].get("leaf_hashes")), (Some(agent.serial), None));
    let all_old = w.admin.post(BATCH, &batch(0..8)).await.unwrap();
    assert_eq!((all_old.status, &all_old.data()["proof"]), (StatusCode::CREATED, &Value::Null));
    assert!(all_old.data()["checkpoint"].as_str().is_some_and(|note| note.contains("\n\n")));
}

/// What was decided in the midst of a batch stands between its events.
#[tokio::test]
async fn a_range_has_what_followed_from_its_events() {
    let w = world().await;
    let agent = w.agent("led astray", &["read:mail"]).await;
    let key = key(&w).await;
    let refused = |n: usize| json!({ "certificate_serial": agent.serial.to_string(), "action": "delete:vault", "outcome": "denied", "target": format!("t{n}") });
    let events: Vec<_> = (0..60).map(refused).collect();
    let answer = w.admin.post(&format!("{BATCH}?level=proved"), &json!({ "events": events })).await.unwrap();
    let data = answer.data();
    let results = data["results"].as_array().unwrap();
    assert!(results.iter().any(|result| result["revoked"] == true));
    let (first, size, hashes) = range(&data, &key);
    let indices: Vec<u64> =
        results.iter().map(|result| result["id"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!((first, indices[0], indices.len()), (indices[0], first, 60));
    assert!(hashes.len() > 60, "the revocation stands among them");
    assert!(size > *indices.last().unwrap());
    let kinds: Vec<_> = data["proof"]["leaves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|leaf| Leaf::decode(&octets(leaf)).unwrap().kind)
        .collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == 32).count(), 60);
    assert!(kinds.contains(&23), "certificate.revoked");
}

/// Of a batch of which nothing was recorded there is nothing to prove.
#[tokio::test]
async fn nothing_is_proved_of_what_was_refused() {
    let w = world().await;
    let agent = w.agent("desk", &["read:mail"]).await;
    let wrong = json!({ "certificate_serial": agent.serial.to_string(), "action": "no action" });
    let answer =
        w.admin.post(&format!("{BATCH}?level=proved"), &json!({ "events": [wrong, wrong] })).await.unwrap();
    assert!(answer.status.is_client_error() && answer.json().get("data").is_none());
    let good = event(&agent.serial.to_string(), 1);
    let body = json!({ "events": [good, wrong], "atomic": true });
    assert!(w.admin.post(&format!("{BATCH}?level=proved"), &body).await.unwrap().status.is_client_error());
    let body = json!({ "events": [good, wrong] });
    let answer = w.admin.post(&format!("{BATCH}?level=proved"), &body).await.unwrap();
    assert_eq!((answer.status, range(&answer.data(), &key(&w).await).2.len()), (StatusCode::MULTI_STATUS, 1));
}
