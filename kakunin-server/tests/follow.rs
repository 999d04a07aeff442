//! Verifiers in other processes, as far as they are from the server by HTTP: what was revoked is refused there
//! within moments, and a feed that is cut or comes back late lets nobody in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;
mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::world;
use kakunin_core::time::{Clock, SystemClock};
use kakunin_core::x509::pem;
use kakunin_server::demo::{Agent, Client};
use kakunin_verify::feed::{FeedClient, FeedOptions};
use kakunin_verify::{TrustAnchor, VerifiedAgent, Verifier};
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// A relying party: a feed that is followed, and a verifier over it.
struct Relying {
    feed: Arc<FeedClient>,
    verifier: Verifier,
    _running: tokio::task::JoinSet<()>,
}

impl Relying {
    /// Knows a deployment by what `GET /api/v1/ca` says, and follows it at `url`.
    fn start(ca: &Value, url: &str) -> Self {
        let certificates = |role: &str| -> Vec<Vec<u8>> {
            let all = ca["authorities"].as_array().unwrap().iter().filter(|a| a["role"] == role);
            let pems = all.map(|a| a["certificate_pem"].as_str().unwrap());
            pems.flat_map(|text| pem::decode(pem::CERTIFICATE, text).unwrap()).collect()
        };
        let key_ids = ca["authorities"].as_array().unwrap().iter().filter(|a| a["role"] == "issuing");
        let issuers = key_ids.map(|a| a["key_id"].as_str().unwrap().to_owned().try_into().unwrap());
        let options = FeedOptions {
            url: url.to_owned(),
            feed_verifier: ca["feed_verifier"].as_str().unwrap().to_owned(),
            issuers: issuers.collect(),
            ca_pem: None,
        };
        let feed = Arc::new(FeedClient::new(&options, Arc::new(SystemClock)).unwrap());
        let domain: kakunin_core::id::TrustDomain = ca["trust_domain"].as_str().unwrap().parse().unwrap();
        let mut builder = Verifier::builder(feed.revocations());
        for root in certificates("root") {
            builder = builder.anchor(TrustAnchor::new(&root, domain.clone()).unwrap());
        }
        for issuing in certificates("issuing") {
            builder = builder.issuer(issuing);
        }
        let verifier = builder.build(SystemClock.now()).unwrap();
        let mut running = tokio::task::JoinSet::new();
        running.spawn(feed.clone().run());
        Self { feed, verifier, _running: running }
    }

    /// The agent as it is let in here, once the feed is known.
    async fn lets_in(&self, certificate: &[u8]) -> VerifiedAgent {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.verifier.verify(&[certificate], SystemClock.now()) {
                Ok(agent) => return agent,
                Err(denied) => assert!(Instant::now() < deadline, "{denied}: {:?}", self.feed),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Waits until the agent is refused, and says with which code.
async fn refused(agent: &VerifiedAgent) -> &'static str {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Err(denied) = agent.authorize("read:mail", SystemClock.now()) {
            return denied.code();
        }
        assert!(Instant::now() < deadline, "still let in");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn authorities(client: &Client) -> Value {
    client.get("/api/v1/ca").await.unwrap().data()
}

/// A way to the server that can be cut, and lead elsewhere.
#[derive(Clone)]
struct Way {
    address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    cut: tokio::sync::watch::Sender<u64>,
}

impl Way {
    async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = Self { address, to: Arc::default(), cut: tokio::sync::watch::Sender::new(0) };
        way.lead(target);
        let this = way.clone();
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let Some(to) = *this.to.lock().unwrap() else { continue };
                let mut cut = this.cut.subscribe();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        way
    }

    fn lead(&self, target: &str) {
        *self.to.lock().unwrap() = Some(target.strip_prefix("http://").unwrap().parse().unwrap());
    }

    fn cut(&self) {
        *self.to.lock().unwrap() = None;
        self.cut.send_modify(|n| *n += 1);
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_loses_its_identity_is_refused_by_verifiers_elsewhere() {
    let w = world().await;
    let relying = Relying::start(&authorities(&w.admin).await, &w.url);
    let agent = w.agent("astray", &["read:mail"]).await;
    let der = agent.certificate_der();
    let here = relying.lets_in(&der).await;
    here.authorize("read:mail", SystemClock.now()).unwrap();
    // By its own refusals at the gateway, which nobody but the server sees.
    for n in 0..2_000 {
        let answer = agent.ask(&format!("delete:mail{n}"), "shell", "s").await.unwrap();
        if answer.json()["error"] == "agent_revoked" {
            break;
        }
        assert_eq!(answer.status, 403);
    }
    assert_eq!(refused(&here).await, "agent_revoked");
    assert!(relying.feed.age() < 20_000 && relying.feed.states()[0].error.is_none(), "{:?}", relying.feed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_is_followed_again_where_it_left_off() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = binary::start(&data, &[]);
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    let admin = Client::new(&server.url).with_key(key.trim_end());
    let way = Way::to(&server.url).await;
    let relying = Relying::start(&authorities(&admin).await, &way.url());
    let (one, two) =
        (Agent::start("one", &["read:mail"], &admin), Agent::start("two", &["read:mail"], &admin));
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    let first = relying.lets_in(&one.certificate_der()).await;
    let second = relying.lets_in(&two.certificate_der()).await;
    revoke(&admin, &one).await;
    assert_eq!(refused(&first).await, "agent_revoked");
    // Cut; what is revoked meanwhile is not heard of, and the server is killed.
    way.cut();
    revoke(&admin, &two).await;
    let mut server = server;
    server.child.kill().unwrap();
    drop(server);
    second.authorize("read:mail", SystemClock.now()).unwrap();
    let again = binary::start(&data, &[]);
    way.lead(&again.url);
    assert_eq!(refused(&second).await, "agent_revoked");
    assert_eq!(first.authorize("read:mail", SystemClock.now()).unwrap_err().code(), "agent_revoked");
    assert_eq!(relying.feed.states()[0].size, 2);
}

async fn revoke(admin: &Client, agent: &Agent) {
    let path = format!("/api/v1/certificates/{}/revoke", agent.serial);
    let revoked = admin.post(&path, &serde_json::json!({ "reason": "key_compromise" })).await.unwrap();
    assert_eq!(revoked.status, 200);
}
