//! Answers that nobody takes, and bodies that do not come.

use std::time::{Duration, Instant};

use kakunin_server::demo::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::common::{code, world, world_with};
use crate::h2::{self, RST_STREAM, Raw};
use crate::{SECOND, short};

const LARGE: &str = "/api/v1/openapi.json";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_whose_window_stays_shut_are_reset_after_twenty_seconds() {
    let w = world().await;
    let mut raw = Raw::open(&w.url, 0).await;
    let issuer = w.kakunin.issuer().id();
    let paths = [
        LARGE.to_owned(),
        "/healthz".to_owned(),
        "/api/v1/crl".to_owned(),
        format!("/api/v1/feed/{issuer}/stream"),
    ];
    for n in 0..32_u32 {
        raw.get(n * 2 + 1, &paths[usize::try_from(n).unwrap() % paths.len()]).await;
    }
    let began = Instant::now();
    let mut reset = std::collections::HashSet::new();
    let (all, octets) = raw
        .until(30 * SECOND, |frame| {
            if frame.kind == RST_STREAM {
                reset.insert(frame.stream);
            }
            reset.len() == 32
        })
        .await;
    assert!(all, "{} of 32 streams were reset", reset.len());
    assert!(octets.values().all(|octets| *octets == 0), "{octets:?}");
    assert!(began.elapsed() > 15 * SECOND, "not before their time: {:?}", began.elapsed());
    // The connection is well.
    raw.get(101, "/healthz").await;
    raw.update(101, 10_000).await;
    assert!(raw.until(5 * SECOND, |frame| frame.stream == 101 && h2::ends(frame)).await.0);
}

#[tokio::test]
async fn an_octet_of_window_now_and_then_is_no_progress() {
    let w = world_with(|options| options.patience = short()).await;
    for path in [LARGE, "/healthz", "/api/v1/crl"] {
        let mut raw = Raw::open(&w.url, 0).await;
        raw.get(1, path).await;
        let began = Instant::now();
        let mut reset = false;
        while !reset {
            assert!(began.elapsed() < 10 * SECOND, "{path}: still fed by the octet");
            raw.update(1, 1).await;
            reset = raw.until(SECOND / 5, |frame| frame.kind == RST_STREAM).await.0;
        }
        assert!(began.elapsed() > SECOND / 2, "{path}");
    }
}

#[tokio::test]
async fn who_takes_what_it_asked_for_gets_all_of_it() {
    let w = world_with(|options| options.patience = short()).await;
    let whole = w.admin.get(LARGE).await.unwrap().body.len();
    for window in [65_535, 1_000, u32::try_from(whole).unwrap()] {
        let mut raw = Raw::open(&w.url, window).await;
        raw.update(0, 10_000_000).await;
        raw.get(1, LARGE).await;
        let (mut got, mut ended) = (0, false);
        let began = Instant::now();
        while !ended && began.elapsed() < 20 * SECOND {
            let frame = timeout(5 * SECOND, raw.frame()).await.unwrap().expect("it is open");
            assert_ne!(frame.kind, RST_STREAM, "window {window}: reset after {got} octets");
            ended = h2::ends(&frame);
            if frame.kind == 0 && !frame.payload.is_empty() {
                got += frame.payload.len();
                // A window that is as large as the answer needs no update.
                if window != u32::try_from(whole).unwrap() {
                    raw.update(1, u32::try_from(frame.payload.len()).unwrap()).await;
                }
            }
        }
        assert_eq!((got, ended), (whole, true), "window {window}");
    }
}

#[tokio::test]
async fn there_are_thirty_two_streams_and_no_more() {
    let w = world().await;
    let mut raw = Raw::open(&w.url, 0).await;
    let mut allowed = None;
    for n in 0..40 {
        raw.get(n * 2 + 1, LARGE).await;
    }
    let (refused, _) = raw
        .until(5 * SECOND, |frame| {
            if frame.kind == 4 && frame.flags == 0 {
                let settings = frame.payload.chunks_exact(6).map(|s| s.split_at(2));
                allowed = settings.filter(|(id, _)| **id == [0, 3]).map(|(_, n)| n.to_vec()).next();
            }
            // REFUSED_STREAM
            frame.kind == RST_STREAM && frame.payload == [0, 0, 0, 7]
        })
        .await;
    assert_eq!((allowed, refused), (Some(vec![0, 0, 0, 32]), true));
}

#[tokio::test]
async fn floods_of_frames_end_the_connection_and_nothing_else() {
    let w = world().await;
    let reset = |n: u32| {
        [&h2::request(n, "GET", LARGE, &[], true)[..], &h2::frame(RST_STREAM, 0, n, &[0; 4])].concat()
    };
    let rapid: Vec<u8> = (0..20_000).flat_map(|n| reset(n * 2 + 1)).collect();
    let head = h2::request(1, "GET", "/", &[], true);
    // HEADERS that never end, and CONTINUATION after CONTINUATION.
    let endless: Vec<u8> = {
        let mut first = head.clone();
        first[4] = 1;
        let more = h2::frame(9, 0, 1, &[0; 1_000]);
        first.into_iter().chain((0..2_000).flat_map(|_| more.clone())).collect()
    };
    let large = h2::request(1, "GET", "/", &[("x", &"y".repeat(100_000))], true);
    assert!(large.len() > 100_000);
    let fields = vec![("a", "b"); 2_000];
    let many = h2::request(1, "GET", "/", &fields, true);
    for (what, octets) in
        [("resets", rapid), ("continuations", endless), ("a large field", large), ("fields", many)]
    {
        let mut raw = Raw::open(&w.url, 65_535).await;
        let (read, mut write) = raw.stream.into_split();
        let sending = tokio::spawn(async move {
            let _ = write.write_all(&octets).await;
            write
        });
        raw = Raw::of(read.reunite(sending.await.unwrap()).unwrap());
        let served = raw
            .until(5 * SECOND, |frame| frame.kind == 7 || frame.kind == RST_STREAM || h2::ends(frame))
            .await
            .0;
        assert!(served || raw.closed(SECOND).await, "{what}");
        let well = timeout(2 * SECOND, w.admin.get("/healthz")).await;
        assert_eq!(well.expect("others are served").unwrap().status, 200, "{what}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408_and_let_go() {
    let w = world_with(|options| options.patience = short()).await;
    for drip in [&b""[..], b" "] {
        let mut stream =
            tokio::net::TcpStream::connect(w.url.strip_prefix("http://").unwrap()).await.unwrap();
        let head = "POST /api/v1/verify/message HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let began = Instant::now();
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains("request_id") {
            assert!(began.elapsed() < 8 * SECOND, "{}", String::from_utf8_lossy(&answer));
            let _ = stream.write_all(drip).await;
            let mut piece = [0; 1024];
            if let Ok(Ok(n)) = timeout(SECOND / 5, stream.read(&mut piece)).await {
                answer.extend_from_slice(&piece[..n]);
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
        assert!(began.elapsed() > SECOND / 2);
    }
    let mut raw = Raw::open(&w.url, 65_535).await;
    let fields = [("content-type", "application/json")];
    raw.send(&h2::request(1, "POST", "/api/v1/verify/message", &fields, false)).await;
    let began = Instant::now();
    let mut ended = false;
    while !ended {
        assert!(began.elapsed() < 8 * SECOND, "fed by an octet");
        raw.data(1, b" ").await;
        ended = raw.until(SECOND / 5, h2::ends).await.0;
    }
}

#[tokio::test]
async fn who_reads_an_octet_now_and_then_is_cut_over_http_1_too() {
    let w = world_with(|options| options.patience = short()).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(w.url.strip_prefix("http://").unwrap().parse().unwrap()).await.unwrap();
    // More than sockets hold.
    let many = format!("GET {LARGE} HTTP/1.1\r\nhost: a\r\n\r\n").repeat(200);
    stream.write_all(many.as_bytes()).await.unwrap();
    let began = Instant::now();
    let whole = w.admin.get(LARGE).await.unwrap().body.len() * 200;
    sleep(3 * SECOND).await;
    let mut piece = [0; 1];
    for _ in 0..20 {
        sleep(SECOND / 10).await;
        if stream.read(&mut piece).await.is_err() {
            break;
        }
    }
    // What the system holds is there still; then it ends, before all was sent.
    let mut rest = vec![0; 1 << 20];
    let mut got = 0;
    while let Ok(Ok(n @ 1..)) = timeout(Duration::from_secs(5), stream.read(&mut rest)).await {
        got += n;
    }
    assert!(got < whole, "it was not cut");
    assert!(began.elapsed() < 30 * SECOND);
}

#[tokio::test]
async fn what_costs_has_a_limit_for_each_address_and_messages_a_size() {
    let w = world_with(|options| options.api.anonymous_rate = 40.try_into().unwrap()).await;
    let stranger = Client::new(&w.url);
    let issuer = w.kakunin.issuer().id();
    let agent = w.agent("one", &["read:mail"]).await;
    let message = serde_json::json!({
        "payload": { "a": "b".repeat(200_000) }, "signature": "AA==", "certificate_serial": agent.serial.to_string(),
    });
    let large = stranger.post("/api/v1/verify/message", &message).await.unwrap();
    assert_eq!((large.status.as_u16(), code(&large).as_str()), (413, "body_too_large"));
    let gets = [
        format!("/api/v1/feed/{issuer}"),
        format!("/api/v1/feed/{issuer}/snapshot"),
        format!("/api/v1/crl/{issuer}/0.crl"),
        "/api/v1/crl".to_owned(),
        "/api/v1/ca/chain".to_owned(),
        LARGE.to_owned(),
        format!("/api/v1/verify/{}", agent.serial),
    ];
    for path in gets {
        let mut limited = None;
        for _ in 0..400 {
            let answer = stranger.get(&path).await.unwrap();
            if answer.status == 429 {
                limited = Some(answer);
                break;
            }
            assert_eq!(answer.status, 200, "{path}");
        }
        let limited = limited.unwrap_or_else(|| panic!("{path} has no limit"));
        assert_eq!(code(&limited), "rate_limited");
        assert!(limited.headers["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    }
    let posts = [
        (
            "/api/v1/verify/message",
            serde_json::json!({ "payload": {}, "signature": "AA==", "certificate_serial": agent.serial.to_string() }),
        ),
        ("/api/v1/enroll", serde_json::json!({ "join_token": "x", "csr": "x" })),
        ("/api/v1/enroll/renew", serde_json::json!({})),
    ];
    for (path, body) in posts {
        let mut limited = false;
        for _ in 0..50 {
            limited |= stranger.post(path, &body).await.unwrap().status == 429;
        }
        assert!(limited, "{path} has no limit");
    }
    // Who has a key is served.
    assert_eq!(w.admin.get("/api/v1/agents").await.unwrap().status, 200);
}
