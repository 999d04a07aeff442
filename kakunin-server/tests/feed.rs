//! The revocation feed over real connections: revoked here is refused there, whatever happens in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "binary/mod.rs"]
mod binary;
mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{World, code, loopback, world, world_with};
use kakunin_core::id::{IssuerId, Serial};
use kakunin_core::time::{Clock, SECOND, SystemClock, UnixTime};
use kakunin_core::x509::pem;
use kakunin_server::demo::Client;
use kakunin_server::serve::{ServeOptions, Server};
use kakunin_verify::feed::{Events, FeedClient, FeedState, Following};
use kakunin_verify::{RevocationHandle, TrustAnchor, Verifier};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// How long something may take that takes milliseconds, on a machine that has much else to do.
const SOON: Duration = Duration::from_secs(20);

/// An agent as its relying parties see it.
struct Certified {
    serial: String,
    chain: Vec<Vec<u8>>,
}

/// A relying party: a verifier, and the client that it is fed by.
struct Relying {
    verifier: Verifier,
    handle: RevocationHandle,
    following: Following,
    issuer: IssuerId,
}

async fn certified(admin: &Client, name: &str) -> Certified {
    let agent = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
    let id = admin.post("/api/v1/agents", &agent).await.unwrap().text("id");
    let path = format!("/api/v1/agents/{id}/certify");
    let issued = admin.post(&path, &json!({ "key_algorithm": "p256" })).await.unwrap();
    assert_eq!(issued.status, 201, "{}", issued.json());
    let text = issued.text("certificate_pem") + &issued.text("chain_pem");
    let chain = pem::decode(pem::CERTIFICATE, &text).unwrap();
    Certified { serial: issued.text("serial_number"), chain }
}

async fn order(admin: &Client, agent: &Certified, what: &str, body: &Value) {
    let done = admin.post(&format!("/api/v1/certificates/{}/{what}", agent.serial), body).await.unwrap();
    assert!(done.status.is_success(), "{}", done.json());
}

async fn revoke(admin: &Client, agent: &Certified) {
    order(admin, agent, "revoke", &json!({ "reason": "key_compromise" })).await;
}

/// Issuer, feed key, root and trust domain, as anybody can read them.
async fn authorities(client: &Client) -> (IssuerId, String, Vec<u8>, String) {
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
    async fn on(url: &str) -> Self {
        Self::through(url, url).await
    }

    /// Follows the feed that is at `feed`, of the deployment at `url`.
    async fn through(url: &str, feed: &str) -> Self {
        let (issuer, key, root, domain) = authorities(&Client::new(url)).await;
        let handle = RevocationHandle::default();
        let anchor = TrustAnchor::new(&root, domain.parse().unwrap()).unwrap();
        let verifier = Verifier::builder(handle.clone()).anchor(anchor).build(SystemClock.now()).unwrap();
        let client = FeedClient::new(feed, &key, handle.clone()).unwrap().issuer(issuer);
        Self { verifier, handle, following: client.start().unwrap(), issuer }
    }

    /// Why the agent is refused now, if it is.
    fn refusal(&self, agent: &Certified, now: UnixTime) -> Option<&'static str> {
        self.verifier.check(&agent.chain, "read:mail", now).err().map(|denied| denied.code())
    }

    async fn until(&self, agent: &Certified, expected: Option<&str>) {
        let began = Instant::now();
        while self.refusal(agent, SystemClock.now()) != expected {
            let status = self.following.status(&self.issuer);
            assert!(began.elapsed() < SOON, "{:?}, {status:?}", self.refusal(agent, SystemClock.now()));
            sleep(Duration::from_millis(2)).await;
        }
    }

    async fn until_state(&self, expected: FeedState) {
        let began = Instant::now();
        while self.following.status(&self.issuer).unwrap().state != expected {
            assert!(began.elapsed() < SOON, "{:?}", self.following.status(&self.issuer));
            sleep(Duration::from_millis(2)).await;
        }
    }
}

/// A stream as it comes over the wire.
struct Raw {
    stream: TcpStream,
    head: String,
    body: Vec<u8>,
}

impl Raw {
    async fn open(url: &str, path: &str, field: &str) -> Self {
        Self::open_with(url, path, field, None).await
    }

    /// With so many octets that the system takes in unread.
    async fn open_with(url: &str, path: &str, field: &str, unread: Option<u32>) -> Self {
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
    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        let n = timeout(SOON, self.stream.read(&mut piece)).await.expect("something comes").unwrap_or(0);
        self.body.extend_from_slice(&piece[..n]);
        n > 0
    }

    /// The next event: its id, and its frame.
    async fn event(&mut self) -> Option<(u64, Value)> {
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

fn feed_path(issuer: &IssuerId) -> String {
    format!("/api/v1/feed/{issuer}")
}

#[tokio::test]
async fn revoked_here_is_refused_there_and_holds_come_and_go() {
    let world = world().await;
    let (one, two) = (certified(&world.admin, "one").await, certified(&world.admin, "two").await);
    let relying = Relying::on(&world.url).await;
    assert_eq!(relying.refusal(&one, SystemClock.now()), Some("revocation_unknown"), "until it knows");
    relying.until(&one, None).await;
    revoke(&world.admin, &one).await;
    relying.until(&one, Some("agent_revoked")).await;
    assert_eq!(relying.refusal(&two, SystemClock.now()), None);
    for (what, expected) in [("hold", Some("agent_inactive")), ("release", None)] {
        order(&world.admin, &two, what, &json!({})).await;
        relying.until(&two, expected).await;
    }
    assert_eq!(relying.following.status(&relying.issuer).unwrap().size, 3);
    // Somebody new is told what stands.
    let late = Relying::on(&world.url).await;
    late.until(&one, Some("agent_revoked")).await;
    late.until(&two, None).await;
}

#[tokio::test]
async fn pages_and_streams_go_on_where_they_were_cut() {
    let world = world().await;
    let (issuer, ..) = authorities(&world.admin).await;
    let path = feed_path(&issuer);
    let agents = [certified(&world.admin, "a").await, certified(&world.admin, "b").await];
    let stranger = world.admin.without_key();
    let empty = stranger.get(&path).await.unwrap();
    assert_eq!(
        (empty.status.as_u16(), empty.headers["cache-control"].as_bytes()),
        (200, &b"public, max-age=1"[..])
    );
    assert!(
        empty.data()["checkpoint"]
            .as_str()
            .unwrap()
            .contains("/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
    );
    let mut raw = Raw::open(&world.url, &format!("{path}/stream"), "").await;
    assert!(raw.head.contains("text/event-stream") && raw.head.contains("no-store"), "{}", raw.head);
    assert_eq!(raw.event().await.unwrap().0, 0);
    revoke(&world.admin, &agents[0]).await;
    let (id, frame) = raw.event().await.unwrap();
    assert_eq!((id, frame["entries"].as_array().unwrap().len()), (1, 1));
    drop(raw);
    revoke(&world.admin, &agents[1]).await;
    let mut raw = Raw::open(&world.url, &format!("{path}/stream?after=0"), "Last-Event-ID: 1\r\n").await;
    let (id, frame) = raw.event().await.unwrap();
    assert_eq!((id, frame["from"].as_u64(), frame["entries"].as_array().unwrap().len()), (2, Some(1), 1));
    let (id, heartbeat) = raw.event().await.unwrap();
    assert_eq!((id, heartbeat["entries"].as_array().unwrap().len()), (2, 0));
    assert_ne!(heartbeat["checkpoint"], frame["checkpoint"], "as of a later time");
    let page = stranger.get(&format!("{path}?after=1&limit=1")).await.unwrap().data();
    assert_eq!(page["entries"], frame["entries"]);
    let beyond = stranger.get(&format!("{path}?after=99")).await.unwrap();
    assert_eq!((beyond.status.as_u16(), beyond.data()["entries"].as_array().unwrap().len()), (200, 0));
    for (path, expected) in [
        (format!("{path}?limit=0"), "limit_invalid"),
        (format!("{path}?limit=1001"), "limit_invalid"),
        (format!("{path}?after=-1"), "query_invalid"),
        (format!("{path}/stream?before=1"), "query_invalid"),
        ("/api/v1/feed/00".to_owned(), "not_found"),
        (format!("/api/v1/feed/{}/snapshot", "0".repeat(40)), "not_found"),
        (format!("/api/v1/feed/{}/stream", "0".repeat(40)), "not_found"),
    ] {
        assert_eq!(code(&stranger.get(&path).await.unwrap()), expected, "{path}");
    }
    let wrong = [("last-event-id", "x")];
    let stream = format!("{path}/stream");
    let refused = stranger.send(axum::http::Method::GET, &stream, &wrong, Vec::new()).await.unwrap();
    assert_eq!(code(&refused), "cursor_malformed");
}

/// A port that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_server_that_is_killed_and_starts_again_is_followed_on_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let listen = format!("127.0.0.1:{}", free_port());
    let options = ["--public-url", "http://ca.example", "--listen", &listen];
    let start = || {
        // The last of two flags wins.
        let arguments = [&["serve", "--data", data.to_str().unwrap()], &options[..]].concat();
        let mut child = binary::kakunin(&arguments).stderr(std::process::Stdio::null()).spawn().unwrap();
        let mut said = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let ready = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("ready at")));
        assert!(ready.is_some(), "the server did not start");
        binary::Server { child, url: format!("http://{listen}"), said: String::new() }
    };
    let mut server = start();
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    let admin = || Client::new(&format!("http://{listen}")).with_key(key.trim_end());
    let (one, two) = (certified(&admin(), "one").await, certified(&admin(), "two").await);
    let relying = Relying::on(&server.url).await;
    relying.until(&one, None).await;
    // Killed at once after it acknowledged.
    revoke(&admin(), &one).await;
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    relying.until_state(FeedState::Connecting).await;
    let _again = start();
    relying.until(&one, Some("agent_revoked")).await;
    assert_eq!(relying.refusal(&two, SystemClock.now()), None);
    revoke(&admin(), &two).await;
    relying.until(&two, Some("agent_revoked")).await;
    let status = relying.following.status(&relying.issuer).unwrap();
    assert_eq!((status.size, status.state), (2, FeedState::Following));
    assert!(status.errors > 0);
}

#[tokio::test]
async fn a_feed_that_is_cut_ends_acceptance_at_the_bound_and_not_later() {
    let world = world().await;
    let agent = certified(&world.admin, "agent").await;
    let relying = Relying::on(&world.url).await;
    relying.until(&agent, None).await;
    drop(world);
    relying.until_state(FeedState::Connecting).await;
    let as_of = relying.handle.current().as_of(&relying.issuer).unwrap();
    assert!(SystemClock.now().since(as_of) < 20 * SECOND);
    assert_eq!(relying.refusal(&agent, as_of.plus(20 * SECOND)), None);
    assert_eq!(relying.refusal(&agent, as_of.plus(20 * SECOND + 1)), Some("verify_unavailable"));
    let status = relying.following.status(&relying.issuer).unwrap();
    assert_eq!((status.as_of, status.last_error.unwrap().0), (Some(as_of), "feed_unreachable"));
}

#[tokio::test]
async fn streams_end_at_once_when_the_server_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::bind(&ServeOptions::new(folder.path().join("data"), loopback())).await.unwrap();
    let url = server.url().unwrap();
    let issuer = server.deployment().kakunin.issuer().id();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let mut raw = Raw::open(&url, &format!("{}/stream", feed_path(&issuer)), "").await;
    raw.event().await.unwrap();
    let began = Instant::now();
    stop.send(true).unwrap();
    assert!(raw.event().await.is_none());
    serving.await.unwrap().unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "less than the grace for requests under way, or a heartbeat"
    );
}

/// Serves what was recorded: a snapshot, then a stream of these frames that goes on for ever.
async fn recorded(snapshot: Vec<u8>, frames: Vec<Value>) -> String {
    use axum::routing::get;
    let events: String = frames.iter().map(|frame| format!("data: {frame}\n\n")).collect();
    let stream = move || {
        let events = events.clone();
        async move {
            let (out, held) = tokio::sync::mpsc::channel::<axum::body::Bytes>(4);
            out.send(events.into()).await.unwrap();
            tokio::spawn(async move {
                sleep(SOON).await;
                drop(out);
            });
            axum::body::Body::new(Held(held))
        }
    };
    let router = axum::Router::new()
        .route("/api/v1/feed/{issuer}/snapshot", get(move || async move { snapshot }))
        .route("/api/v1/feed/{issuer}/stream", get(stream));
    let listener = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    url
}

struct Held(tokio::sync::mpsc::Receiver<axum::body::Bytes>);

impl hyper::body::Body for Held {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(hyper::body::Frame::data(piece))))
    }
}

#[tokio::test]
async fn a_recording_of_an_old_feed_is_refused_and_goes_stale() {
    let world = world().await;
    let (issuer, ..) = authorities(&world.admin).await;
    let agent = certified(&world.admin, "agent").await;
    let path = feed_path(&issuer);
    let old = world.admin.get(&path).await.unwrap().data();
    sleep(Duration::from_millis(1_100)).await;
    let snapshot = world.admin.get(&format!("{path}/snapshot")).await.unwrap().body.to_vec();
    revoke(&world.admin, &agent).await;
    let url = recorded(snapshot, vec![old]).await;
    let relying = Relying::through(&world.url, &url).await;
    relying.until(&agent, None).await;
    let began = Instant::now();
    let error = loop {
        let status = relying.following.status(&relying.issuer).unwrap();
        if let Some((code, _)) = status.last_error {
            break code;
        }
        assert!(began.elapsed() < SOON);
        sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(error, "feed_replayed");
    // What the recording hides is hidden for the time of the bound, and no longer.
    let as_of = relying.handle.current().as_of(&issuer).unwrap();
    assert_eq!(relying.refusal(&agent, as_of.plus(20 * SECOND + 1)), Some("verify_unavailable"));
}

#[tokio::test]
async fn a_deployment_restored_from_a_backup_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup"));
    let listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let serve = |data: std::path::PathBuf| async move {
        let server = Server::bind(&ServeOptions::new(data, listen)).await.unwrap();
        let key = server.deployment().admin_key.as_ref().map(|key| key.reveal().to_owned());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(server.serve(stopped));
        (stop, task, key)
    };
    let url = format!("http://{listen}");
    let (stop, task, key) = serve(data.clone()).await;
    let admin = Client::new(&url).with_key(&key.unwrap());
    let agent = certified(&admin, "agent").await;
    stop.send(true).unwrap();
    task.await.unwrap().unwrap();
    copy(&data, &backup);
    let (stop, task, _) = serve(data).await;
    let relying = Relying::on(&url).await;
    relying.until(&agent, None).await;
    let admin =
        Client::new(&url).with_key(std::fs::read_to_string(backup.join("admin.key")).unwrap().trim_end());
    revoke(&admin, &agent).await;
    relying.until(&agent, Some("agent_revoked")).await;
    stop.send(true).unwrap();
    task.await.unwrap().unwrap();
    let _restored = serve(backup).await;
    relying.until_state(FeedState::Forked).await;
    assert_eq!(relying.refusal(&agent, SystemClock.now()), Some("agent_revoked"));
    let status = relying.following.status(&relying.issuer).unwrap();
    assert_eq!(status.last_error.unwrap().0, "feed_forked");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscribers_come_go_and_come_back_together() {
    let world = world().await;
    let (issuer, ..) = authorities(&world.admin).await;
    let agents = [certified(&world.admin, "a").await, certified(&world.admin, "b").await];
    let path = format!("{}/stream", feed_path(&issuer));
    let all = || async {
        let opening: Vec<_> = (0..1_000)
            .map(|_| {
                let (url, path) = (world.url.clone(), path.clone());
                tokio::spawn(async move {
                    loop {
                        let mut raw = Raw::open(&url, &path, "").await;
                        // Those who hung up just now may be counted still.
                        if raw.head.starts_with("HTTP/1.0 200") {
                            let first = raw.event().await.unwrap();
                            return (raw, first.0);
                        }
                        assert!(
                            raw.head.contains("503") && raw.head.contains("retry-after: 5"),
                            "{}",
                            raw.head
                        );
                        sleep(Duration::from_millis(20)).await;
                    }
                })
            })
            .collect();
        let mut open = Vec::new();
        for raw in opening {
            open.push(raw.await.unwrap());
        }
        open
    };
    let mut first = all().await;
    let refused = world.admin.without_key().get(&path).await.unwrap();
    assert_eq!((refused.status.as_u16(), code(&refused).as_str()), (503, "feed_full"));
    assert_eq!(refused.headers["retry-after"], "5");
    revoke(&world.admin, &agents[0]).await;
    for (raw, _) in &mut first {
        while raw.event().await.unwrap().0 < 1 {}
    }
    drop(first);
    revoke(&world.admin, &agents[1]).await;
    let second = all().await;
    assert!(second.len() == 1_000 && second.iter().all(|(_, size)| *size == 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_does_not_read_is_cut_and_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(folder.path().join("data"), loopback());
    options.api.feed_subscribers = 2;
    let server = Server::bind(&options).await.unwrap();
    let (url, kakunin) = (server.url().unwrap(), server.deployment().kakunin.clone());
    let (tenant, issuer) = (server.deployment().tenant.clone(), kakunin.issuer().id());
    let admin = Client::new(&url).with_key(server.deployment().admin_key.as_ref().unwrap().reveal());
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(server.serve(stopped));
    let mut agents = Vec::new();
    for n in 0..16 {
        agents.push(certified(&admin, &format!("agent-{n}")).await);
    }
    let path = format!("{}/stream", feed_path(&issuer));
    let silent = Raw::open_with(&url, &path, "", Some(4_096)).await;
    let mut reader = Raw::open(&url, &path, "").await;
    // Far more than the sockets between them hold; many at once, so that they share appends.
    let records: u64 = 9_600;
    let mut writers = tokio::task::JoinSet::new();
    for agent in &agents {
        let (kakunin, tenant, serial) =
            (kakunin.clone(), tenant.clone(), agent.serial.parse::<Serial>().unwrap());
        writers.spawn(async move {
            for _ in 0..records / 32 {
                kakunin.hold(&tenant, &serial).await.unwrap();
                kakunin.release(&tenant, &serial).await.unwrap();
            }
        });
    }
    while reader.event().await.unwrap().0 < records {}
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    // The place of the silent one is free again once its time is over.
    let began = Instant::now();
    while !Raw::open(&url, &path, "").await.head.contains("200 OK") {
        assert!(began.elapsed() < Duration::from_secs(60), "it was not cut");
        sleep(Duration::from_millis(500)).await;
    }
    let mut silent = silent;
    let mut events = 0;
    while let Some((id, _)) = silent.event().await {
        assert!(id < records, "it got the end, so it was never cut");
        events += 1;
    }
    assert!(events > 0);
}

#[tokio::test]
async fn a_stream_outlives_the_time_limit_of_requests() {
    let world: World = world_with(|options| options.api.feed_subscribers = 1).await;
    let (issuer, ..) = authorities(&world.admin).await;
    let mut raw = Raw::open(&world.url, &format!("{}/stream", feed_path(&issuer)), "").await;
    let began = Instant::now();
    let mut beats = 0;
    while began.elapsed() < Duration::from_secs(32) {
        raw.event().await.expect("it goes on");
        beats += 1;
    }
    assert!(beats >= 6, "{beats} heartbeats");
}

/// Shares one clock between the verifier and the test.
#[tokio::test]
async fn a_machine_whose_clock_is_behind_believes_nothing_from_its_future() {
    let world = world().await;
    let (issuer, key, ..) = authorities(&world.admin).await;
    let handle = RevocationHandle::default();
    let behind = kakunin_core::time::ManualClock::at(SystemClock.now().minus(62 * SECOND));
    let client =
        FeedClient::new(&world.url, &key, handle.clone()).unwrap().issuer(issuer).clock(Arc::new(behind));
    let following = client.start().unwrap();
    let began = Instant::now();
    while following.status(&issuer).unwrap().errors == 0 {
        assert!(began.elapsed() < SOON);
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(following.status(&issuer).unwrap().last_error.unwrap().0, "feed_ahead");
    assert_eq!(handle.current().as_of(&issuer), None);
}
