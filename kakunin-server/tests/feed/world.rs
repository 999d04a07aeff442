//! Agents, relying parties, and streams as they come over the wire.
#![allow(unreachable_pub, missing_docs, reason = "for the tests of this folder")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kakunin_core::id::IssuerId;
use kakunin_core::time::{Clock, SystemClock, UnixTime};
use kakunin_core::x509::pem;
use kakunin_server::demo::Client;
use kakunin_verify::feed::{Events, FeedClient, FeedState, Following};
use kakunin_verify::{RevocationHandle, TrustAnchor, Verifier};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

pub const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// How long something may take that takes milliseconds, on a machine that has much else to do.
pub const SOON: Duration = Duration::from_secs(20);

/// An agent as its relying parties see it.
pub struct Certified {
    pub serial: String,
    pub chain: Vec<Vec<u8>>,
}

/// A relying party: a verifier, and the client that it is fed by.
pub struct Relying {
    pub verifier: Verifier,
    pub handle: RevocationHandle,
    pub following: Following,
    pub issuer: IssuerId,
}

pub async fn certified(admin: &Client, name: &str) -> Certified {
    let agent = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
    let id = admin.post("/api/v1/agents", &agent).await.unwrap().text("id");
    let path = format!("/api/v1/agents/{id}/certify");
    let issued = admin.post(&path, &json!({ "key_algorithm": "p256" })).await.unwrap();
    assert_eq!(issued.status, 201, "{}", issued.json());
    let text = issued.text("certificate_pem") + &issued.text("chain_pem");
    let chain = pem::decode(pem::CERTIFICATE, &text).unwrap();
    Certified { serial: issued.text("serial_number"), chain }
}

pub async fn order(admin: &Client, agent: &Certified, what: &str, body: &Value) {
    let done = admin.post(&format!("/api/v1/certificates/{}/{what}", agent.serial), body).await.unwrap();
    assert!(done.status.is_success(), "{}", done.json());
}

pub async fn revoke(admin: &Client, agent: &Certified) {
    order(admin, agent, "revoke", &json!({ "reason": "key_compromise" })).await;
}

/// Issuer, feed key, root and trust domain, as anybody can read them.
pub async fn authorities(client: &Client) -> (IssuerId, String, Vec<u8>, String) {
    let ca = client.get("/api/v1/ca").await.unwrap().data();
    let all = ca["authorities"].as_array().unwrap();
    let of = |role: &str| all.iter().find(|ca| ca["role"] == role).unwrap();
    let issuer = of("issuing")["key_id"].as_str().unwrap().to_owned();
    let root =
        pem::decode(pem::CERTIFICATE, of("root")["certificate_pem"].as_str().unwrap()).unwrap().remove(0);
    let text = |name: &str| ca[name].as_str().unwrap().to_owned();
    (IssuerId::try_from(issuer).unwrap(), text("feed_verifier"), root, text("trust_domain"))
}

impl Relying {
    pub async fn on(url: &str) -> Self {
        Self::through(url, url).await
    }

    /// Follows the feed that is at `feed`, of the deployment at `url`.
    pub async fn through(url: &str, feed: &str) -> Self {
        let (issuer, key, root, domain) = authorities(&Client::new(url)).await;
        let handle = RevocationHandle::default();
        let anchor = TrustAnchor::new(&root, domain.parse().unwrap()).unwrap();
        let verifier = Verifier::builder(handle.clone()).anchor(anchor).build(SystemClock.now()).unwrap();
        let client = FeedClient::new(feed, &key, handle.clone()).unwrap().issuer(issuer);
        Self { verifier, handle, following: client.start().unwrap(), issuer }
    }

    /// Why the agent is refused now, if it is.
    pub fn refusal(&self, agent: &Certified, now: UnixTime) -> Option<&'static str> {
        self.verifier.check(&agent.chain, "read:mail", now).err().map(|denied| denied.code())
    }

    pub async fn until(&self, agent: &Certified, expected: Option<&str>) {
        let began = Instant::now();
        while self.refusal(agent, SystemClock.now()) != expected {
            let status = self.following.status(&self.issuer);
            assert!(began.elapsed() < SOON, "{:?}, {status:?}", self.refusal(agent, SystemClock.now()));
            sleep(Duration::from_millis(2)).await;
        }
    }

    pub async fn until_state(&self, expected: FeedState) {
        let began = Instant::now();
        while self.following.status(&self.issuer).unwrap().state != expected {
            assert!(began.elapsed() < SOON, "{:?}", self.following.status(&self.issuer));
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// A stream as it comes over the wire.
pub struct Raw {
    stream: TcpStream,
    pub head: String,
    body: Vec<u8>,
}

impl Raw {
    pub async fn open(url: &str, path: &str, field: &str) -> Self {
        Self::open_with(url, path, field, None).await
    }

    /// With so many octets that the system takes in unread.
    pub async fn open_with(url: &str, path: &str, field: &str, unread: Option<u32>) -> Self {
        let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(octets) = unread {
            socket.set_recv_buffer_size(octets).unwrap();
        }
        let mut stream = socket.connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nhost: a\r\n{field}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut raw = Self { stream, head: String::new(), body: Vec::new() };
        while raw.head.is_empty() {
            assert!(raw.more().await, "the server hung up");
            let end = raw.body.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                raw.head = String::from_utf8(raw.body.drain(..end + 4).collect()).unwrap();
            }
        }
        raw
    }

    /// Whether something came.
    pub async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        let n = timeout(SOON, self.stream.read(&mut piece)).await.expect("something comes").unwrap_or(0);
        self.body.extend_from_slice(&piece[..n]);
        n > 0
    }

    /// The next event: its id, and its frame.
    pub async fn event(&mut self) -> Option<(u64, Value)> {
        loop {
            if let Some(end) = self.body.windows(2).position(|w| w == b"\n\n") {
                let event: Vec<u8> = self.body.drain(..end + 2).collect();
                let text = std::str::from_utf8(&event).unwrap();
                let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().parse().unwrap();
                let data = Events::default().push(&event).unwrap().remove(0);
                return Some((id, serde_json::from_slice(&data).unwrap()));
            }
            if !self.more().await {
                return None;
            }
        }
    }
}

pub fn feed_path(issuer: &IssuerId) -> String {
    format!("/api/v1/feed/{issuer}")
}
