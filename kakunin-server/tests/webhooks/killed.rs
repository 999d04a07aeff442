//! The binary, killed while deliveries are under way: nothing is lost, and what comes twice says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kakunin_server::demo::Client;
use serde_json::json;

use crate::binary::{MODEL, start};
use crate::receiver::{Receiver, status};

const FLAGS: [&str; 3] = ["--webhook-allow", "127.0.0.1", "--insecure-webhook-http"];
const ROUNDS: usize = 5;
const AGENTS: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_what_comes_twice_has_the_same_identifier() {
    // Takes its time, and fails now and then.
    let turn = Arc::new(AtomicUsize::new(0));
    let receiver = Receiver::answering(move |_| {
        std::thread::sleep(Duration::from_millis(3));
        Some(status(if turn.fetch_add(1, Ordering::SeqCst) % 7 == 3 { "500 No" } else { "200 OK" }))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut revoked = BTreeSet::new();
    for round in 0..=ROUNDS {
        let mut server = start(&data, &FLAGS);
        let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
        let admin = Client::new(&server.url).with_key(key.trim_end());
        if round == 0 {
            let asked = json!({ "url": receiver.url("/"), "events": ["certificate.revoked"] });
            assert_eq!(admin.post("/api/v1/webhooks", &asked).await.unwrap().status, 201);
        }
        if round == ROUNDS {
            let all = |got: &[crate::receiver::Got]| {
                let told: BTreeSet<_> =
                    got.iter().map(|g| g.json()["data"]["serial_number"].to_string()).collect();
                told.len() == revoked.len()
            };
            let got = receiver.until("every revocation is told", all).await;
            let mut ids: BTreeMap<String, BTreeSet<(String, Vec<u8>)>> = BTreeMap::new();
            for one in &got {
                let serial = one.json()["data"]["serial_number"].as_str().unwrap().to_owned();
                assert!(revoked.contains(&serial), "nothing is invented");
                ids.entry(serial).or_default().insert((one.id(), one.body.clone()));
            }
            assert!(ids.values().all(|of_one| of_one.len() == 1), "one identifier and one body for each");
            return;
        }
        let mut serials = Vec::new();
        for n in 0..AGENTS {
            let made =
                json!({ "name": format!("agent {round} {n}"), "model_hash": MODEL, "scope": ["read:mail"] });
            let id = admin.post("/api/v1/agents", &made).await.unwrap().text("id");
            let path = format!("/api/v1/agents/{id}/certify");
            serials.push(
                admin.post(&path, &json!({ "key_algorithm": "p256" })).await.unwrap().text("serial_number"),
            );
        }
        let before = receiver.got().len();
        for serial in serials {
            let path = format!("/api/v1/certificates/{serial}/revoke");
            assert_eq!(admin.post(&path, &json!({ "reason": "key_compromise" })).await.unwrap().status, 200);
            revoked.insert(serial);
        }
        // Somewhere in the middle of it.
        receiver.until("some are under way", |got| got.len() > before + round).await;
        server.child.kill().unwrap();
        server.child.wait().unwrap();
    }
}
