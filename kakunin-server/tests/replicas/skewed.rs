//! Servers whose clocks differ by a minute: they go by the database's.

use std::time::Instant;

use base64ct::{Base64, Encoding};
use kakunin_server::demo::{Agent, Answer};
use serde_json::json;

use crate::cluster::shared;
use crate::load::told;
use crate::winners::{check, request};
use crate::world::{ALONE, World};

/// Octets of a cosignature with a time: the key's hash, the time, the signature.
const COSIGNATURE: usize = 4 + 8 + 64;

/// As of when a page of the feed is cosigned, in seconds.
fn cosigned_at(page: &Answer) -> u64 {
    let note = page.text("checkpoint");
    let signatures = note.lines().filter_map(|line| line.strip_prefix("\u{2014} ")?.split(' ').nth(1));
    let mut octets = signatures.map(|text| Base64::decode_vec(text).unwrap());
    let octets = octets.find(|octets| octets.len() == COSIGNATURE).expect("it is cosigned");
    u64::from_be_bytes(octets[4..12].try_into().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ_by_a_minute_change_no_time_that_anybody_is_told() {
    let _alone = ALONE.lock().await;
    let w = World::over(shared(), false, &["", "+30s", "-30s"]).await;
    let cas = w.client(0).get("/api/v1/ca").await.unwrap().data();
    let all = cas["authorities"].as_array().unwrap();
    let issuer = all.iter().find(|ca| ca["role"] == "issuing").unwrap()["key_id"].as_str().unwrap();
    let mut spare = Vec::new();
    for number in 0..4 {
        spare.push(w.agent(number % 3, &format!("spare-{number}")).await.1);
    }
    w.level().await;
    let load = w.load(6);
    let (began, mut last, mut most_back) = (Instant::now(), 0_u64, 0);
    let mut turn = 0;
    while began.elapsed().as_millis() < 3_500 {
        let page = w.client(turn % 3).get(&format!("/api/v1/feed/{issuer}")).await.unwrap();
        let at = cosigned_at(&page);
        most_back = most_back.max(last.saturating_sub(at));
        assert!(at + 1 >= last, "server {}: {at} after {last}", turn % 3);
        last = last.max(at);
        if turn % 20 == 19
            && let Some(serial) = spare.pop()
        {
            w.revoke(turn % 3, &serial).await;
        }
        turn += 1;
    }
    assert!(turn >= 9, "{turn}");
    let reports = load.end().await;
    // A token lives for ten seconds: by clocks of their own it would have ended, or not begun.
    for (maker, other) in [(0, 1), (1, 2), (2, 0), (2, 1), (1, 0)] {
        let agent = w.registered(maker, &format!("joins-{maker}-{other}")).await;
        let path = format!("/api/v1/agents/{agent}/join-tokens");
        let made = w.client(maker).post(&path, &json!({ "expires_in": 10 })).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.json());
        w.level().await;
        let body = json!({ "join_token": made.text("token"), "csr": request().await });
        let joined = w.client(other).without_key().post("/api/v1/enroll", &body).await.unwrap();
        assert_eq!(joined.status, 201, "{maker} to {other}: {}", joined.json());
    }
    let walker = Agent::start("walker", &["read:mail"], &w.client(1)).await.unwrap();
    w.level().await;
    let content = json!({ "action": "read:mail" }).to_string().into_bytes();
    for first in 0..3 {
        let signed =
            walker.sign_for("http://ca.example", "POST", "/api/v1/gateway/check", &content).await.unwrap();
        let passed = check(w.client(first), signed.clone(), content.clone()).await;
        assert_eq!(passed.status, 200, "{first}: {}", passed.json());
        for again in 0..3 {
            let refused = check(w.client(again), signed.clone(), content.clone()).await;
            assert_eq!(refused.json()["code"], "possession_replayed", "{first}, {again}");
        }
    }
    for number in 0..3 {
        let ready = w.ready(number).await.json();
        let off = (&ready["clock_disbelieved_seconds"], &ready["log_ahead_seconds"]);
        assert_eq!(off, (&json!(0), &json!(0)), "{ready}");
    }
    println!("skewed: {turn} pages of the feed, {most_back} s back at most");
    w.holds(&told(&reports)).await;
}
