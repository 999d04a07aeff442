//! What was opened before a revocation. nginx looks at CRLs in handshakes only, and at files when it is told to:
//! what goes on without a handshake goes on.

use std::io::Write;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::client::{Connection, Protocol};
use crate::world::{Nginx, Process, World, free_port};

/// The longest that crl-sync and a reload may take here; they take 1.2 s.
const SYNCED: Duration = Duration::from_secs(10);
/// `worker_shutdown_timeout`, as `examples/gateways` recommends it.
const DRAIN: Duration = Duration::from_secs(5);
/// `ssl_session_timeout`, in place of its 5 min.
const LIFETIME: Duration = Duration::from_secs(10);

/// What an agent has open at one nginx.
struct Opened {
    /// A request every 100 ms, over HTTP/1.1 and HTTP/2; when the first was refused.
    busy: Vec<JoinHandle<Instant>>,
    /// A connection that was used once.
    idle: Connection,
    /// One that was not used.
    silent: Connection,
    /// A download without end.
    running: Process,
}

impl Opened {
    async fn at(w: &World, port: u16) -> Self {
        let client = w.client("gone", port);
        let mut busy = Vec::new();
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let mut connection = client.open(protocol).await.unwrap();
            assert_eq!(connection.get("/", &[]).await, Some(200));
            busy.push(tokio::spawn(async move {
                while connection.get("/", &[]).await == Some(200) {
                    sleep(Duration::from_millis(100)).await;
                }
                Instant::now()
            }));
        }
        let [mut idle, silent] =
            [client.open(Protocol::Http1).await.unwrap(), client.open(Protocol::Http1).await.unwrap()];
        assert_eq!(idle.get("/", &[]).await, Some(200));
        let [tls, pem, key] = ["tls.pem", "gone.pem", "gone.key"].map(|name| w.at(name));
        let url = format!("https://127.0.0.1:{port}/endless");
        let shown = ["--cacert", &tls, "--cert", &pem, "--key", &key, "-sSfN", &url];
        let running = Process::spawn(Command::new("curl").args(shown));
        Self { busy, idle, silent, running }
    }
}

/// Answers every request, and is never done with it.
fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
                while stream.write_all(b"more\n").is_ok() {
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        }
    });
    url
}

/// crl-sync that has these read their files again, once it did so for the first time.
async fn follow(w: &World, all: &[&Nginx]) -> Process {
    let reloads: String = all.iter().map(|nginx| format!("{} && ", nginx.reload)).collect();
    let told = w.at("told");
    let sync = Process::spawn(&mut w.crl_sync(&["--exec", &format!("{reloads}touch {told}")]));
    while !std::path::Path::new(&told).exists() {
        sleep(Duration::from_millis(20)).await;
    }
    // The old workers leave.
    sleep(Duration::from_millis(500)).await;
    sync
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_ends_kept_connections_and_the_shutdown_timeout_ends_the_rest() {
    let w = World::start();
    let serial = w.agent("gone");
    let proxy = format!("location /endless {{ proxy_pass {}; proxy_buffering off; }}", endless());
    let nginx = |name: &str, main: &str| {
        let port = free_port();
        (w.nginx(name, main, &w.mutual_tls(port, &proxy), port), port)
    };
    let (defaults, at_defaults) = nginx("defaults", "");
    let (drained, at_drained) = nginx("drained", &format!("worker_shutdown_timeout {}s;", DRAIN.as_secs()));
    let (_stale, at_stale) = nginx("stale", "");
    let _sync = follow(&w, &[&defaults, &drained]).await;
    let mut by_default = Opened::at(&w, at_defaults).await;
    let mut by_timeout = Opened::at(&w, at_drained).await;
    let mut unread = Opened::at(&w, at_stale).await;
    sleep(Duration::from_millis(500)).await;

    w.revoke(&serial);
    let revoked = Instant::now();
    for (name, opened) in [("defaults", &mut by_default), ("worker_shutdown_timeout", &mut by_timeout)] {
        for busy in opened.busy.drain(..) {
            let after = busy.await.unwrap() - revoked;
            println!("nginx, {name}: revocation to refusal on a kept connection {after:?}");
            assert!(after < SYNCED, "{name}: {after:?}");
        }
        assert_eq!(opened.idle.get("/", &[]).await, None, "{name}: idle");
    }
    while !by_timeout.running.ended() {
        assert!(revoked.elapsed() < SYNCED + DRAIN, "a download outlives worker_shutdown_timeout");
        sleep(Duration::from_millis(20)).await;
    }
    println!("nginx, worker_shutdown_timeout: revocation to the end of a download {:?}", revoked.elapsed());
    assert_eq!(by_timeout.silent.get("/", &[]).await, None);
    // The gap of nginx as it comes: what runs goes on, and who was silent has one request left.
    assert!(!by_default.running.ended());
    assert_eq!(by_default.silent.get("/", &[]).await, Some(200));
    assert_eq!(by_default.silent.get("/", &[]).await, None);
    // The gap without `--exec`: nothing changes, not even for new connections.
    assert_eq!(w.client("gone", at_stale).get(Protocol::Http1, "/", &[]).await, Some(200));
    for connection in [&mut unread.idle, &mut unread.silent] {
        assert_eq!(connection.get("/", &[]).await, Some(200));
    }
    assert!(unread.busy.iter().all(|busy| !busy.is_finished()) && !unread.running.ended());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_resumed_after_the_reload_only_if_its_key_or_cache_outlives_it() {
    let w = World::start();
    let serial = w.agent("gone");
    std::fs::write(w.at("ticket.key"), [7; 48]).unwrap();
    let key = format!(
        "ssl_session_ticket_key {}; ssl_session_timeout {}s;",
        w.at("ticket.key"),
        LIFETIME.as_secs()
    );
    // The default of nginx 1.22 is without TLS 1.3.
    let [old, new] = ["ssl_protocols TLSv1.2;", "ssl_protocols TLSv1.3;"];
    let off = "ssl_session_tickets off;";
    // Whether the agent is let in by a session from before.
    let kinds = [
        ("defaults, TLS 1.3", new.to_owned(), false),
        ("defaults, TLS 1.2", old.to_owned(), false),
        ("shared cache, TLS 1.3", format!("{new} {off} ssl_session_cache shared:a:1m;"), true),
        ("shared cache, TLS 1.2", format!("{old} {off} ssl_session_cache shared:b:1m;"), true),
        ("ticket key, TLS 1.2", format!("{old} {key}"), true),
        ("ticket key, TLS 1.3", format!("{new} {key}"), true),
        ("none", format!("{new} {off} ssl_session_cache off;"), false),
    ]
    .map(|(name, more, gap)| (name, more, gap, free_port()));
    let http: String = kinds.iter().map(|(_, more, _, port)| w.mutual_tls(*port, more)).collect();
    let [.., (_, _, _, port)] = kinds;
    let nginx = w.nginx("nginx", "", &http, port);
    let _sync = follow(&w, &[&nginx]).await;
    let newcomer = w.client("gone", port);
    let clients = kinds.map(|(name, _, gap, port)| (name, gap, w.client("gone", port)));
    let handshaken = Instant::now();
    for (name, _, client) in &clients {
        for resumed in [false, *name != "none"] {
            let mut connection = client.open(Protocol::Http1).await.unwrap();
            assert_eq!((connection.resumed, connection.get("/", &[]).await), (resumed, Some(200)), "{name}");
        }
    }

    w.revoke(&serial);
    let revoked = Instant::now();
    while newcomer.get(Protocol::Http1, "/", &[]).await == Some(200) {
        assert!(revoked.elapsed() < SYNCED, "nginx does not refuse a newcomer");
        sleep(Duration::from_millis(20)).await;
    }
    // New workers answer before the old ones leave.
    sleep(Duration::from_millis(500)).await;
    for (name, gap, client) in &clients {
        let mut connection = client.open(Protocol::Http1).await.unwrap();
        let seen = (connection.resumed, connection.get("/", &[]).await);
        println!("nginx, {name}: resumed after revocation and reload, answer: {seen:?}");
        assert_eq!(seen, (*gap, Some(if *gap { 200 } else { 400 })), "{name}");
    }
    // Over TLS 1.3 resuming makes a session young again, and so lasts for ever, before nginx 1.23.2.
    let [.., (_, _, old), (_, _, new), _] = &clients;
    let mut last = [None; 2];
    while handshaken.elapsed() < LIFETIME + Duration::from_secs(2) {
        sleep(Duration::from_millis(500)).await;
        last = [old.get(Protocol::Http1, "/", &[]).await, new.get(Protocol::Http1, "/", &[]).await];
    }
    println!("nginx, ticket key, after ssl_session_timeout over TLS 1.2 and 1.3: {last:?}");
    assert_eq!(last, [Some(400), Some(if version() < [1, 23, 2] { 200 } else { 400 })]);
}

/// nginx's.
fn version() -> [u32; 3] {
    let said = Command::new("nginx").arg("-v").output().unwrap().stderr;
    let said = String::from_utf8(said).unwrap();
    let numbers = said.split_once("nginx/").unwrap().1.split(|c: char| !c.is_ascii_digit());
    let numbers: Vec<_> = numbers.map_while(|number| number.parse().ok()).collect();
    numbers.try_into().unwrap()
}
