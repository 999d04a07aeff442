//! The binary, killed at random moments while it revokes: after each start every revocation that was
//! acknowledged stands, once on record, on its CRL, and with its key disabled.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use binary::{MODEL, start};
use kakunin_core::id::Serial;
use kakunin_core::key::{KeyProvider, KeyRef};
use kakunin_core::x509::ca::Issuer;
use kakunin_core::x509::crl::CrlView;
use kakunin_core::x509::pem;
use kakunin_kms::local::{LocalKeys, Secret};
use kakunin_server::demo::Client;
use serde_json::json;

/// An agent's certificate, and its key.
#[derive(Clone)]
struct Agent {
    serial: Serial,
    key: KeyRef,
}

async fn agent(admin: &Client) -> Agent {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("agent {}", NEXT.fetch_add(1, Ordering::Relaxed));
    let made = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
    let id = admin.post("/api/v1/agents", &made).await.unwrap().text("id");
    let certify = format!("/api/v1/agents/{id}/certify");
    let issued = admin.post(&certify, &json!({ "key_algorithm": "p256" })).await.unwrap();
    let key = KeyRef::new(issued.text("kms_key_arn"));
    Agent { serial: issued.text("serial_number").parse().unwrap(), key }
}

fn connect(data: &Path, url: &str) -> Client {
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    Client::new(url).with_key(key.trim_end())
}

/// Revokes them one after the other until the server is gone, and notes what was acknowledged.
async fn revoke(admin: Client, agents: Vec<Agent>, acknowledged: Arc<Mutex<Vec<Agent>>>) {
    for agent in agents {
        let path = format!("/api/v1/certificates/{}/revoke", agent.serial);
        match admin.post(&path, &json!({ "reason": "key_compromise" })).await {
            Ok(answer) => {
                assert_eq!(answer.status, 200, "{}", answer.json());
                acknowledged.lock().unwrap().push(agent);
            }
            Err(_) => return,
        }
    }
}

/// How often each serial was revoked, by the tenant's log.
async fn on_record(admin: &Client) -> BTreeMap<String, usize> {
    let (mut found, mut before) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/api/v1/audit-log?event_type=certificate.revoked&limit=100{before}");
        let page = admin.get(&path).await.unwrap().json();
        for record in page["data"].as_array().unwrap() {
            *found.entry(record["certificate_serial"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        match page["pagination"]["next_cursor"].as_str() {
            Some(cursor) => before = format!("&before={cursor}"),
            None => return found,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_what_was_acknowledged_takes_effect_once() {
    const AGENTS: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mut known, mut revoked): (Vec<Agent>, Vec<Agent>) = (Vec::new(), Vec::new());
    // Before the first append returns, among many, while CRLs are signed, and after.
    for millis in [5, 20, 60, 120, 220, 260] {
        let mut server = start(&data, &[]);
        let admin = connect(&data, &server.url);
        let mut agents = Vec::new();
        for _ in 0..AGENTS {
            agents.push(agent(&admin).await);
        }
        known.extend(agents.iter().cloned());
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let work: Vec<_> = agents
            .chunks(AGENTS / 4)
            .map(|part| tokio::spawn(revoke(admin.clone(), part.to_vec(), acknowledged.clone())))
            .collect();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        for task in work {
            task.await.unwrap();
        }
        revoked.append(&mut acknowledged.lock().unwrap());
        drop(server);
        let server = start(&data, &[]);
        stands(&data, &server.url, &known, &revoked).await;
    }
    assert!(!revoked.is_empty() && revoked.len() < known.len(), "some, not all: {}", revoked.len());
    disabled(&data, &revoked).await;
}

/// What must hold after a start, without anybody asking for it.
async fn stands(data: &Path, url: &str, known: &[Agent], revoked: &[Agent]) {
    let admin = connect(data, url);
    let began = Instant::now();
    loop {
        let ready = admin.get("/readyz").await.unwrap().json();
        if ready["crls_left"] == 0 && ready["key_tasks_left"] == 0 && ready["status"] == "ok" {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{ready}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let counts = on_record(&admin).await;
    assert!(counts.values().all(|count| *count == 1), "revoked twice: {counts:?}");
    let chain = admin.get("/api/v1/ca/chain").await.unwrap();
    let ders = pem::decode(pem::CERTIFICATE, std::str::from_utf8(&chain.body).unwrap()).unwrap();
    let issuer = Issuer::from_der(ders.into_iter().next().unwrap()).unwrap();
    let mut on = BTreeSet::new();
    let shards: BTreeSet<_> = known.iter().map(|agent| issuer.shard_of(&agent.serial)).collect();
    for shard in shards {
        let crl = admin.get(&format!("/api/v1/crl/{}/{shard}.crl", issuer.id())).await.unwrap();
        on.extend(CrlView::parse(&crl.body).unwrap().serials().map(|serial| serial.to_string()));
    }
    assert_eq!(on, counts.keys().cloned().collect(), "what is on record is on CRLs, and nothing else");
    for agent in revoked {
        assert!(counts.contains_key(&agent.serial.to_string()), "{} was acknowledged", agent.serial);
    }
}

/// Every key of theirs refuses to sign, although it is there.
async fn disabled(data: &Path, revoked: &[Agent]) {
    let secret = Secret::from_key_file(data.join("key.secret")).unwrap();
    let keys = LocalKeys::open(data.join("keys"), &secret).unwrap();
    for agent in revoked {
        let refused = match keys.open(&agent.key).await {
            Ok(signer) => signer.sign(b"x").await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(refused.code(), "key_refused", "{refused}");
    }
}
