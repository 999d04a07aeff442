//! What an operator and a stranger are told of authorities that are revoked, and of CRLs of roots that end.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use common::{Rig, code};
use kakunin_core::id::{AgentId, Serial};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::revoke::{Cause, Revocation};
use kakunin_core::service::{Config, Kakunin, OfflineRoot, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{Clock, DAY, ManualClock, SECOND, UnixTime};
use kakunin_core::x509::ca::{Issuer, sign_issuing, sign_root};
use kakunin_core::x509::crl::{self, BACKDATE, Coverage};
use kakunin_core::x509::csr::Proven;
use kakunin_kms::local::LocalKeys;
use serde_json::{Value, json};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A deployment under a root on another machine.
struct Below {
    rig: Rig,
    root: Issuer,
    key: Arc<dyn Signer>,
    issuing: Serial,
    crls: u64,
}

impl Below {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_795_420_800)));
        let now = clock.now();
        let keys = LocalKeys::ephemeral();
        let made = keys.generate(&PlannedKeyId::new([1; 16]), KeyAlgorithm::P256).await.unwrap();
        let key = keys.open(&made).await.unwrap();
        let serial = |n| Serial::from_bytes([n; 16]).unwrap();
        let root = sign_root(&*key, &serial(1), None, now).await.unwrap();
        let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
        parts.clock = clock.clone();
        let mut config = Config::new("agents.example").unwrap();
        config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
        let request = Kakunin::request_first_issuing(&config, &parts).await.unwrap();
        let spki = Proven::read(&request).unwrap().key;
        let issuing = sign_issuing(&root, &*key, &spki, &serial(2), None, None, now).await.unwrap();
        let (issuing, of_root) = (issuing.as_der().to_vec(), root.as_der().to_vec());
        config.offline = Some(OfflineRoot { root: of_root, issuing });
        Self { rig: Rig::over(config, parts, clock).await, root, key, issuing: serial(2), crls: 0 }
    }

    /// Installs the next CRL of the root, for so many days, with the issuing CA on it if there is a cause.
    async fn install(&mut self, days: u64, cause: Option<Cause>) -> UnixTime {
        self.crls += 1;
        let at = self.rig.clock.now().plus(SECOND);
        self.rig.clock.set(at);
        let entry = cause.map(|cause| {
            crl::entry(&Revocation {
                issuer: self.root.id(),
                serial: self.issuing,
                agent: AgentId::from_bytes([0; 16]),
                at,
                cause,
                expires: at.plus(DAY),
                shard: 0,
            })
        });
        let window = (at.minus(BACKDATE), at.plus(days * DAY));
        let entries = entry.unwrap_or_default();
        let signed = crl::sign(&self.root, &*self.key, Coverage::Full, self.crls, &entries, window).await;
        self.rig.kakunin.install_root_crl(signed.unwrap()).await.unwrap();
        window.1
    }

    async fn agent(&self, name: &str) -> String {
        let agent = json!({ "name": name, "model_hash": MODEL, "scope": ["read:accounts"] });
        format!("/api/v1/agents/{}/certify", self.rig.post("/api/v1/agents", &agent).await.text("id"))
    }

    async fn ready(&self, members: &[&str]) -> Vec<Value> {
        // What keys sign is asked once a second.
        self.rig.clock.set(self.rig.clock.now().plus(SECOND));
        let answer = self.rig.get("/readyz").await.json();
        members.iter().map(|name| answer[*name].clone()).collect()
    }

    async fn metric(&self, name: &str) -> String {
        let all = String::from_utf8(self.rig.get("/metrics").await.body.to_vec()).unwrap();
        let line = all.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap().to_owned()
    }
}

#[tokio::test]
async fn what_a_revoked_authority_issued_is_valid_nowhere_and_it_issues_nothing_more() {
    let mut w = Below::new().await;
    let p256 = json!({ "key_algorithm": "p256" });
    let issued = w.rig.post(&w.agent("one").await, &p256).await;
    let page = format!("/api/v1/verify/{}", issued.text("serial_number"));
    let members = ["status", "reasons", "signing", "authorities_revoked"];
    assert_eq!(w.ready(&members).await, [json!("ok"), json!([]), json!(true), json!(0)]);
    for (cause, status) in [(Cause::Hold, "suspended"), (Cause::KeyCompromise, "revoked")] {
        w.install(365, Some(cause)).await;
        let refused = w.rig.post(&w.agent(status).await, &p256).await;
        assert_eq!((refused.status.as_u16(), code(&refused)), (503, "issuer_revoked".to_owned()));
        let said = refused.json()["error"].as_str().unwrap().to_owned();
        assert!(said.contains("its root's CRL") && said.contains("ca install"), "{said}");
        let reasons = json!(["signing", "authority_revoked"]);
        assert_eq!(w.ready(&members).await, [json!("degraded"), reasons, json!(false), json!(1)]);
        assert_eq!(w.metric("kakunin_authorities_revoked").await, "1");
        // As others may have kept it.
        w.rig.clock.set(w.rig.clock.now().plus(5 * SECOND));
        let shown = w.rig.get(&page).await.data();
        let shown = ["status", "valid", "revocation_reason"].map(|name| shown[name].clone());
        assert_eq!(shown, [json!(status), json!(false), json!("issuer_revoked")]);
    }
}

#[tokio::test]
async fn the_end_of_an_offline_root_s_crl_is_told_of() {
    let mut w = Below::new().await;
    let members = ["status", "reasons", "root_crls_ending"];
    assert_eq!(w.ready(&members).await, [json!("ok"), json!([]), json!(0)], "nobody has to have one");
    let end = w.install(365, None).await;
    for (days, expected) in [(40, ("ok", 0)), (20, ("degraded", 1)), (0, ("degraded", 1))] {
        w.rig.clock.set(end.minus(days * DAY));
        let reasons = if expected.1 == 0 { json!([]) } else { json!(["root_crls_ending"]) };
        assert_eq!(w.ready(&members).await, [json!(expected.0), reasons, json!(expected.1)], "{days}");
        assert_eq!(w.metric("kakunin_root_crls_ending").await, expected.1.to_string());
    }
    w.install(365, None).await;
    assert_eq!(w.ready(&members).await, [json!("ok"), json!([]), json!(0)]);
}
