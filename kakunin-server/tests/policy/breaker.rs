//! The breaker: one broken target takes no identity, and a person decides for all.

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use crate::world::{World, certified, fails, public, records, refused, risk, set, until_lost, why, world};

const BREAKER: &str = "/api/v1/tenants/default/breaker";

async fn breaker(w: &World) -> Value {
    let answer = w.admin.get(BREAKER).await.unwrap();
    assert_eq!(answer.status, 200);
    answer.data()
}

async fn figure(w: &World, name: &str) -> String {
    let text = w.admin.get("/metrics").await.unwrap().body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("kakunin_{name} ")));
    line.unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
}

/// What the revocation log tells anybody, as JSON.
async fn feed(w: &World) -> Vec<String> {
    let path = format!("/api/v1/feed/{}", w.kakunin.issuer().id());
    let page = w.admin.without_key().get(&path).await.unwrap().data();
    let decoded = |entry: &Value| Base64::decode_vec(entry["payload"].as_str().unwrap()).unwrap();
    let entries = page["entries"].as_array().unwrap();
    entries.iter().map(|entry| String::from_utf8(decoded(entry)).unwrap()).collect()
}

/// Agents that all fail at one target, of which all are held.
async fn outage(w: &World) -> Vec<(String, String)> {
    let mut agents = Vec::new();
    for n in 0..4 {
        agents.push(certified(&w.admin, &format!("desk {n}")).await);
    }
    for (_, serial) in &agents {
        for _ in 0..2 {
            assert_eq!(
                w.admin.post("/api/v1/events", &fails(serial, "payments-api")).await.unwrap().status,
                201
            );
        }
    }
    for (_, serial) in &agents {
        let seen = until_lost(&w.admin, &fails(serial, "payments-api")).await;
        assert_eq!((&seen["held"], &seen["revoked"]), (&json!(true), &json!(false)));
    }
    agents
}

#[tokio::test]
async fn an_outage_is_held_shown_and_released_by_one_call() {
    let w = world().await;
    assert_eq!(breaker(&w).await["tripped"], Value::Null);
    let release = format!("{BREAKER}/release");
    let reason = json!({ "reason": "payments-api was down" });
    assert_eq!(why(&w.admin.post(&release, &reason).await.unwrap()), (409, "breaker_not_tripped".to_owned()));
    let agents = outage(&w).await;
    let now = breaker(&w).await;
    let in_common = &now["tripped"]["in_common"];
    assert_eq!((&in_common["kind"], &in_common["target"]), (&json!("target"), &json!("payments-api")));
    assert!(in_common["agents"].as_u64().unwrap() >= 3 && in_common["event_id"].is_string());
    assert_eq!((&now["tripped"]["window_seconds"], &now["held_total"]), (&json!(3600), &json!(4)));
    assert!(now["tripped"]["since"].as_str().unwrap().starts_with("20"));
    let held: Vec<_> =
        now["held"].as_array().unwrap().iter().map(|one| one["certificate_serial"].clone()).collect();
    assert!(agents.iter().all(|(_, serial)| held.contains(&json!(serial))), "{now}");
    // Others see a hold like any.
    for (id, serial) in &agents {
        let seen = public(&w.admin, serial).await;
        assert_eq!((&seen["status"], &seen["revocation_reason"]), (&json!("suspended"), &json!("hold")));
        assert!(!seen.to_string().contains("breaker") && !seen.to_string().contains("payments"), "{seen}");
        assert_eq!(risk(&w.admin, id).await["held_by_breaker"], true);
    }
    let told = feed(&w).await;
    assert_eq!(told.len(), agents.len());
    for (one, (_, serial)) in told.iter().zip(&agents) {
        assert!(one.contains("\"hold\"") && one.contains(serial), "{one}");
        assert!(
            ["breaker", "braked", "payments", "score", "key:"].iter().all(|word| !one.contains(word)),
            "{one}"
        );
    }
    // It is no fault of the server's.
    let ready = w.admin.get("/readyz").await.unwrap();
    assert_eq!((ready.status.as_u16(), &ready.json()["status"]), (200, &json!("ok")));
    assert_eq!(figure(&w, "breakers_tripped").await, "1");
    assert!(figure(&w, "breaker_holds_total").await.parse::<u64>().unwrap() >= 4);
    let record = &records(&w.admin, "breaker.tripped").await;
    assert_eq!((record.len(), &record[0]["id"]), (1, &now["tripped"]["record"]));

    for (wrong, code) in [(json!({}), "body_invalid"), (json!({ "reason": "  " }), "note_malformed")] {
        assert_eq!(why(&w.admin.post(&release, &wrong).await.unwrap()), (422, code.to_owned()));
    }
    let reader = w.key("default", "reader").await;
    assert_eq!(why(&reader.post(&release, &reason).await.unwrap()), (403, "role_insufficient".to_owned()));
    let released = w.admin.post(&release, &reason).await.unwrap();
    assert_eq!(
        (released.status.as_u16(), released.data()),
        (200, json!({ "status": "released", "agents": 4 }))
    );
    for (id, serial) in &agents {
        assert_eq!(public(&w.admin, serial).await["status"], "active");
        let now = risk(&w.admin, id).await;
        assert_eq!((&now["risk_state"], &now["held_by_breaker"]), (&json!("dismissed"), &json!(false)));
        assert_eq!(now["agent_status"], "active");
    }
    assert_eq!((&breaker(&w).await["tripped"], &breaker(&w).await["held_total"]), (&Value::Null, &json!(0)));
    assert_eq!(figure(&w, "breakers_tripped").await, "0");
    assert!(records(&w.admin, "certificate.revoked").await.is_empty());
    assert_eq!(why(&w.admin.post(&release, &reason).await.unwrap()), (409, "breaker_not_tripped".to_owned()));
}

#[tokio::test]
async fn what_the_breaker_holds_is_on_the_crl_and_confirmed_by_one_call() {
    let w = world().await;
    let change = [("/breaker/revocations", json!(1)), ("/breaker/share", json!(0))];
    assert_eq!(set(&w.admin, &change).await.status, 200);
    let mut agents = Vec::new();
    for n in 0..3 {
        let (id, serial) = certified(&w.admin, &format!("desk {n}")).await;
        agents.push((until_lost(&w.admin, &refused(&serial)).await, id, serial));
    }
    let fates: Vec<_> = agents.iter().map(|(seen, ..)| seen["held"] == true).collect();
    assert_eq!(fates, [false, true, true]);
    let now = breaker(&w).await;
    assert_eq!(now["tripped"]["in_common"], json!({ "kind": "revocations", "count": 1, "allowed": 1 }));
    assert_eq!(now["recent_revocations"], 1);
    let crl = w.admin.without_key().get("/api/v1/crl").await.unwrap();
    let crl = String::from_utf8(crl.body.to_vec()).unwrap();
    let der = kakunin_core::x509::pem::decode(kakunin_core::x509::pem::CRL, &crl).unwrap().pop().unwrap();
    for (.., serial) in &agents {
        let serial: kakunin_core::id::Serial = serial.parse().unwrap();
        assert!(der.windows(16).any(|octets| octets == serial.as_bytes()), "{serial} is not on the CRL");
    }
    let body = json!({ "reason": "they were all led astray by one page" });
    let confirmed = w.admin.post(&format!("{BREAKER}/confirm"), &body).await.unwrap();
    assert_eq!(
        (confirmed.status.as_u16(), confirmed.data()),
        (200, json!({ "status": "confirmed", "agents": 2 }))
    );
    for (_, id, serial) in &agents {
        assert_eq!(public(&w.admin, serial).await["status"], "revoked");
        assert_eq!(risk(&w.admin, id).await["agent_status"], "suspended");
    }
    assert_eq!(breaker(&w).await["tripped"], Value::Null);
}

#[tokio::test]
async fn one_agent_is_released_by_a_verdict_or_with_its_certificate() {
    let w = world().await;
    let agents = outage(&w).await;
    let said = json!({ "verdict": "confirmSafe", "reason": "it is the payments API" });
    let judged = w.admin.post(&format!("/api/v1/agents/{}/verdict", agents[0].0), &said).await.unwrap();
    assert_eq!(
        (judged.text("agent_status"), judged.text("risk_state")),
        ("active".into(), "confirmedSafe".into())
    );
    let path = format!("/api/v1/certificates/{}/release", agents[1].1);
    assert_eq!(w.admin.post(&path, &json!({})).await.unwrap().status, 200);
    assert_eq!(risk(&w.admin, &agents[1].0).await["risk_state"], "dismissed");
    assert_eq!(breaker(&w).await["held_total"], 2);
}
