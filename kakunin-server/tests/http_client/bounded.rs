//! How long an answer may take, how long it may be, and whether it is whole.

use std::io::Write;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, Method, header};
use kakunin_verify::feed::http::{Bounds, HttpClient, HttpError, Tls};
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;

use crate::peers::{SHORT, client, get, sending, serving, whole};
use crate::secured::any_certificate;

const SOON: Duration = Duration::from_secs(5);

fn at_once(text: &str) -> String {
    sending(vec![text.as_bytes().to_vec()], Duration::ZERO)
}

#[tokio::test]
async fn an_answer_longer_than_the_bound_is_not_read_on() {
    let counted =
        |n: usize| at_once(&format!("HTTP/1.1 200 OK\r\ncontent-length: {n}\r\n\r\n{}", "x".repeat(n)));
    assert_eq!(whole(&counted(1_000), &SHORT).await.unwrap().len(), 1_000);
    assert_eq!(whole(&counted(0), &SHORT).await.unwrap(), b"");
    assert_eq!(whole(&counted(1_001), &SHORT).await, Err(HttpError::TooLong(1_000)));
    // One that says to be long is not waited for, and one that never ends is left.
    let said = at_once("HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n");
    assert_eq!(whole(&said, &SHORT).await, Err(HttpError::TooLong(1_000)));
    let endless = serving(|mut stream, _| {
        let piece = format!("64\r\n{}\r\n", "x".repeat(100));
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        while stream.write_all(piece.as_bytes()).is_ok() {}
    });
    assert_eq!(whole(&endless, &SHORT).await, Err(HttpError::TooLong(1_000)));
}

#[tokio::test]
async fn nothing_is_unpacked_and_nobody_is_asked_to_pack() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&vec![0; 100_000]).unwrap();
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1_000, "or it would be too long anyway");
    let (heads, seen) = std::sync::mpsc::channel();
    let content = packed.clone();
    let url = serving(move |mut stream, head| {
        heads.send(head).unwrap();
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", content.len());
        stream.write_all(&[head.as_bytes(), &content].concat()).unwrap();
    });
    assert_eq!(whole(&url, &SHORT).await.unwrap(), packed);
    let head = seen.recv().unwrap().to_lowercase();
    assert!(head.starts_with("get /it http/1.1\r\n") && !head.contains("accept-encoding"), "{head}");
}

#[tokio::test]
async fn a_silent_peer_is_left() {
    let never = serving(|stream, _| {
        std::thread::sleep(SOON);
        drop(stream);
    });
    let stops = serving(|mut stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx").unwrap();
        std::thread::sleep(SOON);
    });
    for url in [&never, &stops] {
        let began = Instant::now();
        assert_eq!(whole(url, &SHORT).await, Err(HttpError::TooSlow));
        assert!((SHORT.silence..SOON / 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
    // Nobody takes the connection up: it stands, and TLS does not.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let patient = Bounds { silence: SOON, ..SHORT };
    let tls = Tls::trusting([CertificateDer::from(any_certificate())]).unwrap();
    let began = Instant::now();
    let refused = get(&HttpClient::new(&url, &tls, None, &patient).unwrap()).await.unwrap_err();
    assert_eq!(refused, HttpError::Unreachable("no connection in time".to_owned()));
    assert!((SHORT.connect..SOON / 2).contains(&began.elapsed()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stream_outlives_its_silence_and_an_answer_that_drips_ends_with_its_time() {
    let drips = || {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n".to_vec();
        let pieces = std::iter::once(head).chain((0..10).map(|_| b"x".to_vec()));
        sending(pieces.collect(), Duration::from_millis(150))
    };
    assert_eq!(whole(&drips(), &SHORT).await.unwrap(), b"xxxxxxxxxx");
    let bounds = Bounds { whole: Some(Duration::from_millis(700)), ..SHORT };
    assert_eq!(whole(&drips(), &bounds).await, Err(HttpError::TooSlow));
    let mut answer = get(&client(&drips(), &SHORT)).await.unwrap();
    assert_eq!(answer.piece().await.unwrap().unwrap(), "x", "it is not held back until it is whole");
}

#[tokio::test]
async fn what_is_cut_off_is_no_answer() {
    for cut in [
        "",
        "HTTP/1.1 200 OK\r\ncontent-le",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "SSH-2.0-none\r\n",
    ] {
        let error = whole(&at_once(cut), &SHORT).await.unwrap_err();
        assert!(matches!(&error, HttpError::Broken(why) if !why.is_empty()), "{cut:?}: {error:?}");
    }
    // So is a handshake that somebody ends: there was somebody.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let tls = Tls::trusting([CertificateDer::from(any_certificate())]).unwrap();
    let error = get(&HttpClient::new(&url, &tls, None, &SHORT).unwrap()).await.unwrap_err();
    assert!(matches!(error, HttpError::Broken(_)), "{error:?}");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = whole(&format!("http://{closed}"), &SHORT).await.unwrap_err();
    assert!(matches!(&error, HttpError::Unreachable(why) if why.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn a_path_leads_to_no_other_host_and_a_url_holds_no_password() {
    for base in ["", "ftp://x", "x", "http://", "file:///etc", "http://a:b@x", "https://a@x", "data:,"] {
        let error = HttpClient::new(base, &Tls::system(), None, &SHORT).unwrap_err();
        assert_eq!(error, HttpError::Url, "{base}");
    }
    let url = at_once("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let ask = async |path| client(&url, &SHORT).send(Method::GET, path, HeaderMap::new(), Vec::new()).await;
    let other = ["@127.0.0.1:1/", "9", ".example/", "?x"];
    // What a URL would make another path of is not sent as that.
    let changed = [
        "/a/../b",
        "/..",
        "/.",
        "/%2e%2E/b",
        "/a\\b",
        "/a b",
        "/a\tb",
        "/\u{e9}",
        "/a#b",
        "/a?b#c",
        "/\"",
        "/a\n",
        "/{a}",
    ];
    for path in other.iter().chain(&changed) {
        assert_eq!(ask(path).await.unwrap_err(), HttpError::Path, "{path:?}");
    }
    for path in
        ["", "/", "//", "//a//b", "/a%2fb", "/a?b/../c", "/a?", "/a|b", "/~a;b=1,c", "/%zz", "/a:80@b"]
    {
        assert!(ask(path).await.is_ok(), "{path:?}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_where_that_is_asked_for() {
    for (keep, expected) in [(true, 1), (false, 3)] {
        let (connections, seen) = std::sync::mpsc::channel();
        let url = serving(move |mut stream, mut head| {
            connections.send(()).unwrap();
            while !head.is_empty() {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
                head = crate::peers::head(&mut stream);
            }
        });
        let client = client(&url, &Bounds { keep, ..SHORT });
        for _ in 0..3 {
            assert_eq!(get(&client).await.unwrap().whole().await.unwrap(), b"hi");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(seen.try_iter().count(), expected);
    }
}

#[tokio::test]
async fn what_is_sent_arrives_and_errors_do_not_repeat_it() {
    let (heads, seen) = std::sync::mpsc::channel();
    let url = serving(move |stream, head| {
        heads.send(head).unwrap();
        drop(stream);
    });
    let mut fields = HeaderMap::new();
    fields.insert(header::AUTHORIZATION, kakunin_verify::feed::http::bearer(" kak_live_x\n").unwrap());
    fields.append("x-two", HeaderValue::from_static("1"));
    fields.append("x-two", HeaderValue::from_static("2"));
    assert!(!format!("{fields:?}").contains("kak_live_x"));
    let error = client(&url, &SHORT).send(Method::POST, "/a?b", fields, b"{}".to_vec()).await.unwrap_err();
    let head = seen.recv().unwrap();
    for line in [
        "POST /a?b HTTP/1.1\r\n",
        "authorization: Bearer kak_live_x\r\n",
        "x-two: 1\r\nx-two: 2\r\n",
        "length: 2\r\n",
    ] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!format!("{error} {error:?}").contains("kak_live_x"), "{error}");
    for none in ["", " \n", "a\u{0}b"] {
        assert!(kakunin_verify::feed::http::bearer(none).is_none());
    }
}
