//! Fifty endpoints of which ten hang: the others hear of a revocation at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kakunin_core::webhook::Allow;
use serde_json::json;

use crate::common::world_with;
use crate::receiver::{Receiver, status};

const ENDPOINTS: usize = 50;
const HANG: usize = 10;
const REVOKED: usize = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_that_hang_keep_nobody_waiting() {
    let w = world_with(|options| {
        options.webhooks.allow = vec!["127.0.0.1".parse::<Allow>().unwrap()];
        options.webhooks.insecure_http = true;
    })
    .await;
    let receiver =
        Receiver::answering(|got| (!got.path.starts_with("/hangs")).then(|| status("204 No Content"))).await;
    for n in 0..ENDPOINTS {
        let kind = if n < HANG { "hangs" } else { "well" };
        let asked =
            json!({ "url": receiver.url(&format!("/{kind}/{n}")), "events": ["certificate.revoked"] });
        assert_eq!(w.admin.post("/api/v1/webhooks", &asked).await.unwrap().status, 201);
    }
    let mut agents = Vec::new();
    for n in 0..REVOKED {
        agents.push(w.agent(&format!("desk-{n}"), &["read:mail"]).await);
    }
    // Endpoints are looked for once a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut accepted: HashMap<String, Instant> = HashMap::new();
    for agent in &agents {
        let path = format!("/api/v1/certificates/{}/revoke", agent.serial);
        assert_eq!(w.admin.post(&path, &json!({ "reason": "key_compromise" })).await.unwrap().status, 200);
        accepted.insert(agent.serial.to_string(), Instant::now());
        tokio::time::sleep(Duration::from_millis(120)).await;
    }
    let well = |got: &[crate::receiver::Got]| got.iter().filter(|got| got.path.starts_with("/well")).count();
    let got =
        receiver.until("all that are well are told", |got| well(got) == (ENDPOINTS - HANG) * REVOKED).await;
    let mut waits: Vec<_> = got
        .iter()
        .filter(|got| got.path.starts_with("/well"))
        .map(|got| {
            got.at.saturating_duration_since(accepted[got.json()["data"]["serial_number"].as_str().unwrap()])
        })
        .collect();
    waits.sort_unstable();
    let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)];
    println!(
        "revocation accepted to first octet: p50 {:?}, p99 {:?}, most {:?}",
        at(50),
        at(99),
        waits.last().unwrap()
    );
    // Not optimised, and beside other tests: an order of magnitude. `benches/benches/webhooks.rs` measures.
    assert!(
        at(50) < Duration::from_millis(500) && at(99) < Duration::from_secs(3),
        "{:?} {:?}",
        at(50),
        at(99)
    );
}
