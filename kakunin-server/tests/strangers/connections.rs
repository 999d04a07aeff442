//! Connections that send nothing, or next to nothing, and too many of them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::common::{world, world_with};
use crate::h2::{self, GOAWAY, PREFACE, Raw};
use crate::{SECOND, binary, short};

async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.rsplit('/').next().unwrap()).await.unwrap()
}

/// How long it takes until the other side closes the connection, while `more` is sent now and then.
async fn closed(mut stream: TcpStream, first: &[u8], more: &'static [u8], at_most: Duration) -> Duration {
    let began = Instant::now();
    stream.write_all(first).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        while !more.is_empty() && writer.write_all(more).await.is_ok() {
            sleep(SECOND / 5).await;
        }
        // Not closed from this side.
        sleep(Duration::from_secs(60)).await;
        drop(writer);
    });
    let mut piece = [0; 1024];
    let reading = async { while reader.read(&mut piece).await.is_ok_and(|n| n > 0) {} };
    let ended = timeout(at_most, reading).await;
    drip.abort();
    assert!(ended.is_ok(), "{:?}, then {:?}: still open", String::from_utf8_lossy(first), more.first());
    began.elapsed()
}

const ATTEMPTS: [(&[u8], &[u8]); 10] = [
    (b"", b""),
    (b"P", b""),
    (b"PRI * HTTP/2.0\r\n", b""),
    (PREFACE, b""),
    (b"\r\n", b"\r\n"),
    (b"GET / HTTP/1.1", b""),
    (b"GET / HTTP/1.1\r\nhost: a\r\n", b"a: b\r\n"),
    (b"GET / HTTP/1.1\r\nhost: a\r\nx: ", b"y"),
    // The start of a TLS handshake, to a server without.
    (b"\x16\x03\x01", b""),
    (b"\0", b""),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sends_no_request_is_closed_after_ten_seconds() {
    let w = world().await;
    let mut open = tokio::task::JoinSet::new();
    for (first, more) in ATTEMPTS {
        let stream = connect(&w.url).await;
        open.spawn(async move { closed(stream, first, more, 13 * SECOND).await });
    }
    let settings = h2::settings(0);
    let pinging = [PREFACE, &settings].concat();
    let stream = connect(&w.url).await;
    open.spawn(async move { closed(stream, &pinging, b"\0\0\x08\x06\0\0\0\0\0pingpong", 13 * SECOND).await });
    while let Some(took) = open.join_next().await {
        assert!(took.unwrap() < 13 * SECOND);
    }
    let metrics = String::from_utf8(w.admin.get("/metrics").await.unwrap().body.to_vec()).unwrap();
    assert!(metrics.contains("# TYPE kakunin_connections_silent_total counter"), "{metrics}");
}

#[test]
fn silence_in_and_after_a_tls_handshake_is_closed_after_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let files = ["-keyout", "tls.key", "-out", "tls.pem", "-subj", "/CN=x", "-nodes", "-days", "2"];
    let key = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    binary::run("openssl", &[&key[..], &files[..]].concat(), folder.path());
    let tls = [at("tls.pem"), at("tls.key")];
    let server = binary::start(&folder.path().join("data"), &["--tls-cert", &tls[0], "--tls-key", &tls[1]]);
    let address = server.url.rsplit('/').next().unwrap().to_owned();
    let client = |protocol: &str| {
        Command::new("openssl")
            .args(["s_client", "-connect", &address, "-quiet", "-alpn", protocol])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let began = Instant::now();
    let mut shaken = [client("h2"), client("http/1.1")];
    let raw: Vec<_> = [&b""[..], b"\x16", b"\x16\x03\x01\x02\0\x01\0"]
        .map(|first| {
            use std::io::Write;
            let mut stream = std::net::TcpStream::connect(&address).unwrap();
            stream.write_all(first).unwrap();
            stream.set_read_timeout(Some(13 * SECOND)).unwrap();
            stream
        })
        .into();
    for mut stream in raw {
        use std::io::Read;
        let read = stream.read(&mut [0; 64]);
        let open = read.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!open && began.elapsed() < 14 * SECOND, "{read:?}");
    }
    while shaken.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        assert!(began.elapsed() < 16 * SECOND, "silent after the handshake, and still open");
        std::thread::sleep(SECOND / 10);
    }
    assert!(began.elapsed() > 5 * SECOND, "they were not refused at once");
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_and_not_for_ever() {
    let w = world_with(|options| options.patience = short()).await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
    let answered = async || {
        let mut stream = connect(&w.url).await;
        stream.write_all(request).await.unwrap();
        let mut piece = [0; 4096];
        assert!(stream.read(&mut piece).await.unwrap() > 0);
        stream
    };
    // Longer than the head of a request may take.
    let mut kept = answered().await;
    sleep(2 * SECOND).await;
    kept.write_all(request).await.unwrap();
    let mut piece = [0; 4096];
    assert!(kept.read(&mut piece).await.unwrap() > 0, "it was kept");
    let idle = closed(kept, b"", b"", 6 * SECOND).await;
    assert!(idle > 2 * SECOND, "{idle:?}");
    let slow = closed(answered().await, b"GET / HT", b"T", 3 * SECOND).await;
    assert!(slow < 3 * SECOND, "a head that is begun is waited for as the first one is: {slow:?}");
    // Over HTTP/2 it is told, whatever it sends that is no request.
    let mut raw = Raw::open(&w.url, 65_535).await;
    raw.get(1, "/healthz").await;
    assert!(raw.until(5 * SECOND, h2::ends).await.0);
    let began = Instant::now();
    let mut told = false;
    while !told && began.elapsed() < 8 * SECOND {
        raw.ping().await;
        told = raw.until(SECOND / 2, |frame| frame.kind == GOAWAY).await.0;
    }
    assert!(told && raw.closed(4 * SECOND).await);
}

#[tokio::test]
async fn an_address_has_only_so_many_connections_and_a_proxy_has_more() {
    let w = world_with(|options| options.connections_per_address = 5).await;
    let mut held = Vec::new();
    // The client of this test has one.
    assert_eq!(w.admin.get("/healthz").await.unwrap().status, 200);
    for _ in 0..4 {
        held.push(connect(&w.url).await);
    }
    sleep(SECOND / 5).await;
    let began = Instant::now();
    let mut refused = connect(&w.url).await;
    let mut piece = [0; 16];
    assert!(!refused.read(&mut piece).await.is_ok_and(|n| n > 0) && began.elapsed() < SECOND);
    let metrics = String::from_utf8(w.admin.get("/metrics").await.unwrap().body.to_vec()).unwrap();
    let refusals =
        metrics.lines().find(|line| line.starts_with("kakunin_connections_refused_total")).unwrap();
    assert!(!refusals.ends_with(" 0"), "{refusals}");
    held.pop();
    sleep(SECOND / 5).await;
    let mut again = connect(&w.url).await;
    again.write_all(b"GET /healthz HTTP/1.0\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(again.read(&mut piece).await.unwrap() > 0, "a place that was left is free again");
    let behind = world_with(|options| {
        options.connections_per_address = 1;
        options.api.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let behind = behind.await;
    for _ in 0..10 {
        let mut one = connect(&behind.url).await;
        one.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        assert!(one.read(&mut piece).await.unwrap() > 0);
        held.push(one);
    }
}

#[test]
fn the_server_ends_when_it_is_told_to_whoever_is_connected() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let many = ["--connections-per-address", "3000"];
    let mut server = binary::start(&folder.path().join("data"), &many);
    let url = server.url.clone();
    let held = runtime.block_on(async {
        let mut held = Vec::new();
        for n in 0..1_000 {
            let mut stream = connect(&url).await;
            stream.write_all(ATTEMPTS[n % ATTEMPTS.len()].0).await.unwrap();
            held.push(stream);
        }
        for _ in 0..20 {
            let mut stream = connect(&url).await;
            let head = b"POST /api/v1/verify/message HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
            stream.write_all(head).await.unwrap();
            held.push(stream);
        }
        let mut streams = Vec::new();
        for _ in 0..20 {
            let mut raw = Raw::open(&url, 0).await;
            for stream in 0..10 {
                raw.get(stream * 2 + 1, "/api/v1/openapi.json").await;
            }
            streams.push(raw);
        }
        sleep(SECOND).await;
        (held, streams)
    });
    let began = Instant::now();
    binary::run("kill", &["-TERM", &server.child.id().to_string()], folder.path());
    while server.child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < 20 * SECOND, "it goes on");
        std::thread::sleep(SECOND / 10);
    }
    assert!(server.child.wait().unwrap().success());
    drop(held);
}

#[test]
fn a_server_with_every_place_taken_ends_when_it_is_told_to() {
    // Of 192 files a third is left to others: it accepts no more long before that.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let program = env!("CARGO_BIN_EXE_kakunin");
    let command = format!("ulimit -n 192 && exec {program} serve --data {data} --listen 127.0.0.1:0");
    let mut child = Command::new("sh")
        .args(["-c", &command])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let ready = said.map_while(Result::ok).find(|line| line.contains("ready at")).unwrap();
    let address = ready.split("http://").nth(1).unwrap().split(',').next().unwrap().to_owned();
    let held: Vec<_> = (0..400).map_while(|_| std::net::TcpStream::connect(&address).ok()).collect();
    std::thread::sleep(SECOND);
    let began = Instant::now();
    binary::run("kill", &["-INT", &child.id().to_string()], folder.path());
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < 15 * SECOND, "it goes on");
        std::thread::sleep(SECOND / 10);
    }
    assert!(child.wait().unwrap().success() && held.len() > 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_2_the_host_field_is_the_authority() {
    let w = world().await;
    for (hosts, refused) in [
        (&[][..], false),
        (&["a"][..], false),
        (&["A"][..], false),
        (&["b"][..], true),
        (&["a", "a"][..], true),
        (&["a:8443"][..], true),
    ] {
        let mut raw = Raw::open(&w.url, 64 * 1024).await;
        let fields: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        raw.send(&h2::request(1, "GET", "/healthz", &fields, true)).await;
        let mut said = Vec::new();
        let ended = raw.until(5 * SECOND, |frame| {
            said.extend_from_slice(&frame.payload);
            frame.stream == 1 && h2::ends(frame)
        });
        assert!(ended.await.0, "{hosts:?}");
        let said = String::from_utf8_lossy(&said);
        assert_eq!(
            (said.contains("host_invalid"), said.contains("\"ok\"")),
            (refused, !refused),
            "{hosts:?}: {said}"
        );
    }
}
