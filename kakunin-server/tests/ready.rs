//! `/readyz` and `/metrics`: looked at once for all who ask, whatever comes of it, and how what follows the logs stands.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::{Rig, code};
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};
use kakunin_core::service::{Config, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{Clock, ManualClock, SECOND, UnixTime};
use kakunin_kms::local::LocalKeys;
use serde_json::{Value, json};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What a test does to keys, and how often they are asked to sign that they are there.
#[derive(Debug, Default)]
struct Hand {
    asked: AtomicUsize,
    refuses: AtomicBool,
    hangs: AtomicBool,
}

/// Software keys in a hand, as if they were far.
#[derive(Debug)]
struct Keys(LocalKeys, Arc<Hand>);

#[derive(Debug)]
struct Key(Arc<dyn Signer>, Arc<Hand>);

#[async_trait]
impl Signer for Key {
    fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm()
    }

    fn public_key(&self) -> &Spki {
        self.0.public_key()
    }

    fn is_in_process(&self) -> bool {
        false
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        if message == b"kakunin: are you there?" {
            self.1.asked.fetch_add(1, Ordering::SeqCst);
            // Whoever else asks does so meanwhile.
            tokio::time::sleep(Duration::from_millis(20)).await;
            if self.1.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            self.1.off()?;
        }
        self.0.sign(message).await
    }
}

impl Hand {
    fn off(&self) -> Result<(), SignError> {
        match self.refuses.load(Ordering::SeqCst) {
            true => Err(SignError::unavailable("use", "arn:of:a:key", "connection refused")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl KeyProvider for Keys {
    fn is_near(&self) -> bool {
        false
    }

    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        self.0.generate(planned, algorithm).await
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        Ok(Arc::new(Key(self.0.open(key).await?, self.1.clone())))
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.1.off()?;
        self.0.disable(key).await
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.enable(key).await
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        self.1.off()?;
        self.0.retire(key).await
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        self.0.list().await
    }
}

/// The hands that CA and agents' keys are in, and log and feed key.
async fn rig() -> (Rig, [Arc<Hand>; 2]) {
    let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_795_420_800)));
    let hands: [Arc<Hand>; 2] = Default::default();
    let [keys, log_keys] = hands.each_ref().map(|hand| Arc::new(Keys(LocalKeys::ephemeral(), hand.clone())));
    let mut parts = Parts::new(MemoryStore::new(), keys);
    (parts.log_keys, parts.clock) = (log_keys, clock.clone());
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    (Rig::over(config, parts, clock).await, hands)
}

impl Rig {
    fn later(&self, millis: u64) {
        self.clock.set(self.clock.now().plus(millis));
    }

    async fn follower(&self, name: &str) -> Value {
        let ready = self.get("/readyz").await.json();
        ready["followers"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
    }

    async fn metric(&self, name: &str) -> String {
        let all = String::from_utf8(self.get("/metrics").await.body.to_vec()).unwrap();
        let line = all.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_default().to_owned()
    }
}

#[tokio::test]
async fn all_who_ask_within_a_second_are_told_what_one_look_found_also_if_it_failed() {
    let (rig, [ca, log]) = rig().await;
    let counts = || (log.asked.load(Ordering::SeqCst), ca.asked.load(Ordering::SeqCst));
    let ask = || async { tokio::join!(rig.get("/readyz"), rig.get("/readyz"), rig.get("/readyz")) };
    let all = ask().await;
    assert!([all.0, all.1, all.2].iter().all(|answer| answer.json()["status"] == "ok"));
    assert_eq!(counts(), (1, 1), "one look for all");
    // What failed is remembered as what did not.
    for (round, (hand, status, looks)) in [(&ca, 200, (2, 2)), (&log, 503, (3, 2))].into_iter().enumerate() {
        rig.later(SECOND);
        hand.refuses.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            let all = ask().await;
            for answer in [all.0, all.1, all.2] {
                assert_eq!(answer.status.as_u16(), status);
                if status == 200 {
                    assert_eq!(answer.json()["reasons"], json!(["signing"]));
                } else {
                    assert_eq!(code(&answer), "key_unavailable");
                }
            }
        }
        assert_eq!(counts(), looks, "{round}");
        hand.refuses.store(false, Ordering::SeqCst);
    }
    rig.later(SECOND);
    assert_eq!(rig.get("/readyz").await.json()["status"], "ok", "and no longer than that");
}

#[tokio::test]
async fn keys_that_do_not_answer_are_not_waited_for() {
    let (rig, [ca, log]) = rig().await;
    for (hand, status) in [(&ca, 200), (&log, 503)] {
        rig.later(SECOND);
        hand.hangs.store(true, Ordering::SeqCst);
        let began = Instant::now();
        let answer = tokio::time::timeout(Duration::from_secs(8), rig.get("/readyz")).await.unwrap();
        assert_eq!((answer.status.as_u16(), began.elapsed() > Duration::from_secs(4)), (status, true));
        if status == 200 {
            assert_eq!(answer.json()["signing"], false);
        }
        hand.hangs.store(false, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_follower_that_fails_shows_with_why_and_until_it_is_done() {
    let (rig, [keys, _]) = rig().await;
    let running = tokio::spawn(rig.kakunin.clone().run(|_| tokio::time::sleep(Duration::from_millis(2))));
    let agent = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:accounts"] });
    let agent = rig.post("/api/v1/agents", &agent).await.text("id");
    let p256 = json!({ "key_algorithm": "p256" });
    assert_eq!(rig.post(&format!("/api/v1/agents/{agent}/certify"), &p256).await.status, 201);
    keys.refuses.store(true, Ordering::SeqCst);
    let halted = rig.post(&format!("/api/v1/agents/{agent}/halt"), &json!({})).await;
    assert!(halted.status.is_success(), "{}", halted.json());
    let mut shown = Value::Null;
    // Tenants that were loaded since are looked for once a second.
    rig.later(SECOND);
    for _ in 0..1_000 {
        shown = rig.follower("key_tasks").await;
        if shown["state"] == "failing" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((&shown["state"], &shown["code"]), (&json!("failing"), &json!("key_unavailable")), "{shown}");
    assert!(shown["error"].as_str().unwrap().contains("can be reached"), "{shown}");
    assert!(shown["since"].is_string() && shown["next_attempt"].is_string() && shown["left"] != 0, "{shown}");
    let ready = rig.get("/readyz").await;
    let told = ready.json();
    assert!(told["reasons"].as_array().unwrap().contains(&json!("key_tasks_failing")), "{told}");
    assert!(!String::from_utf8(ready.body.to_vec()).unwrap().contains("arn:of:a:key"), "{told}");
    assert_eq!(rig.metric("kakunin_follower_failing{follower=\"key_tasks\"}").await, "1");
    assert_ne!(rig.metric("kakunin_follower_left{follower=\"key_tasks\"}").await, "0");
    keys.refuses.store(false, Ordering::SeqCst);
    for _ in 0..1_000 {
        rig.later(SECOND);
        if rig.get("/readyz").await.json()["status"] == "ok" && rig.follower("key_tasks").await["left"] == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let shown = rig.follower("key_tasks").await;
    assert_eq!(
        (&shown["state"], &shown["code"], &shown["error"]),
        (&json!("level"), &Value::Null, &Value::Null)
    );
    assert_eq!(rig.metric("kakunin_follower_failing{follower=\"key_tasks\"}").await, "0");
    let level = rig.metric("kakunin_follower_level_timestamp_seconds{follower=\"key_tasks\"}").await;
    assert!(level.parse::<u64>().is_ok_and(|at| at >= 1_795_420_800), "{level}");
    running.abort();
}
