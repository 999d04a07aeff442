//! The client of webhooks: what it sends, to whom it does not, and receivers of every kind.

#![cfg(feature = "webhooks")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kakunin_core::webhook::{
    Barred, Guard, GuardError, HttpWebhooks, MAX_ANSWER, Means, PostError, Resolver, WebhookTransport,
    WebhookUrl,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a receiver does with each connection, once a request came.
#[derive(Clone, Copy)]
enum Does {
    Says(&'static str),
    Hangs,
    Closes,
    Drips,
    Floods,
}

/// A receiver, and how often somebody connected.
async fn receiver(at: &str, does: Does) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(at).await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let connected = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connected.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, does));
        }
    });
    (address, count)
}

async fn serve(mut stream: TcpStream, does: Does) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(6).any(|w| w == b"\"body\"") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        request.extend_from_slice(&buffer[..read]);
    }
    match does {
        Does::Says(answer) => stream.write_all(answer.as_bytes()).await?,
        Does::Hangs => tokio::time::sleep(Duration::from_secs(60)).await,
        Does::Closes => {}
        Does::Drips => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n").await?;
            loop {
                stream.write_all(b"x").await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Does::Floods => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                stream.write_all(&[b'x'; 65_536]).await?;
            }
        }
    }
    Ok(())
}

fn guard(allow: &[&str]) -> Guard {
    Guard { allow: allow.iter().map(|text| text.parse().unwrap()).collect(), http: true }
}

async fn post(client: &HttpWebhooks, url: &str) -> Result<kakunin_core::webhook::Answer, PostError> {
    let fields = vec![("webhook-id".to_owned(), "msg_1".to_owned())];
    client.post(&WebhookUrl::parse(url).unwrap(), fields, b"{\"body\"".to_vec()).await
}

#[tokio::test]
async fn an_answer_is_its_status_and_the_beginning_of_its_body() {
    let client = HttpWebhooks::new(guard(&["127.0.0.1"]), &[]).unwrap();
    let (here, count) =
        receiver("127.0.0.1:0", Does::Says("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")).await;
    let answer = post(&client, &format!("http://{here}/a?b")).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice(), answer.means()), (200, &b"ok"[..], Means::Delivered));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    let busy = "HTTP/1.1 429 Too Many\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n";
    let (here, _) = receiver("127.0.0.1:0", Does::Says(busy)).await;
    let answer = post(&client, &format!("http://{here}/")).await.unwrap();
    assert_eq!(answer.means(), Means::Again(Some(120_000)));
}

#[tokio::test]
async fn endless_answers_cost_a_kilobyte_and_a_second() {
    let client = HttpWebhooks::new(guard(&["127.0.0.1"]), &[]).unwrap();
    for (does, most, body) in [(Does::Floods, 900, MAX_ANSWER..=MAX_ANSWER), (Does::Drips, 2_500, 5..=20)] {
        let (here, _) = receiver("127.0.0.1:0", does).await;
        let began = Instant::now();
        let answer = post(&client, &format!("http://{here}/")).await.unwrap();
        assert_eq!(answer.status, 200);
        assert!(body.contains(&answer.body.len()), "{}", answer.body.len());
        assert!(began.elapsed() < Duration::from_millis(most), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn whoever_hangs_hangs_up_or_talks_nonsense_is_a_failure_in_time() {
    let client = HttpWebhooks::new(guard(&["127.0.0.1"]), &[]).unwrap();
    let (hangs, _) = receiver("127.0.0.1:0", Does::Hangs).await;
    let (closes, count) = receiver("127.0.0.1:0", Does::Closes).await;
    let (nonsense, _) = receiver("127.0.0.1:0", Does::Says("\0\u{1}garbage\r\n\r\n")).await;
    let began = Instant::now();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = |address| format!("http://{address}/");
    let (hangs, closes, nonsense, nobody) = (url(hangs), url(closes), url(nonsense), url(nobody));
    let [hung, closed, garbage, refused] = [hangs, closes, nonsense, nobody].map(|url| {
        let client = client.clone();
        tokio::spawn(async move { post(&client, &url).await.unwrap_err() })
    });
    assert_eq!(closed.await.unwrap().code(), "broken");
    assert_eq!(count.load(Ordering::SeqCst), 1, "nothing is tried again by itself");
    assert_eq!(garbage.await.unwrap().code(), "broken");
    assert_eq!(refused.await.unwrap().code(), "unreachable");
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(hung.await.unwrap(), PostError::TooSlow);
    assert!((10..12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_literals_are_checked_in_every_form() {
    let (inner, inner_count) =
        receiver("127.0.0.2:0", Does::Says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    for to in ["http://169.254.169.254/latest/meta-data".to_owned(), format!("http://{inner}/")] {
        let says = format!("HTTP/1.1 307 Temporary\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
        let (here, _) = receiver("127.0.0.1:0", Does::Says(says.leak())).await;
        let client = HttpWebhooks::new(guard(&["127.0.0.1"]), &[]).unwrap();
        let answer = post(&client, &format!("http://{here}/")).await.unwrap();
        assert_eq!((answer.status, answer.means()), (307, Means::Again(None)));
    }
    let client = HttpWebhooks::new(guard(&["127.0.0.1"]), &[]).unwrap();
    let port = inner.port();
    for form in ["127.0.0.2", "[::ffff:127.0.0.2]", "[::ffff:7f00:2]", "[64:ff9b::7f00:2]", "[2002:7f00:2::]"]
    {
        let refused = post(&client, &format!("http://{form}:{port}/")).await.unwrap_err();
        assert!(
            matches!(refused, PostError::Barred(GuardError::Barred(_, Barred::Loopback))),
            "{form}: {refused}"
        );
    }
    let refused = post(&client, &format!("http://localhost:{port}/")).await;
    assert!(matches!(refused, Ok(_) | Err(PostError::Barred(_) | PostError::Unreachable(_))), "{refused:?}");
    assert_eq!(inner_count.load(Ordering::SeqCst), 0);
    // Without an exception this machine has no name that leads to it.
    let client = HttpWebhooks::new(Guard { http: true, ..Guard::default() }, &[]).unwrap();
    let refused = post(&client, &format!("http://localhost:{port}/")).await.unwrap_err();
    assert!(matches!(refused, PostError::Barred(_)), "{refused}");
    let refused =
        post(&HttpWebhooks::new(Guard::default(), &[]).unwrap(), "http://1.1.1.1/").await.unwrap_err();
    assert_eq!(refused, PostError::Barred(GuardError::Clear));
}

/// Says another address each time.
#[derive(Debug)]
struct Rebinding(AtomicUsize, Vec<Vec<IpAddr>>);

#[async_trait]
impl Resolver for Rebinding {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        self.1.get(asked).cloned().ok_or_else(|| io::Error::other("asked too often"))
    }
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_the_second_time_leads_nowhere() {
    let says = Does::Says("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let (good, good_count) = receiver("127.0.0.1:0", says).await;
    let (bad, bad_count) = receiver(&format!("127.0.0.2:{}", good.port()), says).await;
    let answers = vec![vec![good.ip()], vec![bad.ip()], vec![good.ip(), bad.ip()], vec![]];
    let resolver = Arc::new(Rebinding(AtomicUsize::new(0), answers));
    let client = HttpWebhooks::resolving(guard(&["127.0.0.1"]), &[], resolver.clone()).unwrap();
    let url = format!("http://hooks.example:{}/", good.port());
    assert_eq!(post(&client, &url).await.unwrap().status, 200);
    for _ in 0..2 {
        let refused = post(&client, &url).await.unwrap_err();
        assert_eq!(refused, PostError::Barred(GuardError::Barred(bad.ip(), Barred::Loopback)));
    }
    assert_eq!(post(&client, &url).await.unwrap_err(), PostError::Unresolved);
    assert_eq!(post(&client, &url).await.unwrap_err(), PostError::Unresolved);
    // One look for each connection: what was checked is what was connected to.
    assert_eq!((good_count.load(Ordering::SeqCst), bad_count.load(Ordering::SeqCst)), (1, 0));
    assert_eq!(resolver.0.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn the_environment_names_no_proxy_for_deliveries() {
    let (proxy, count) =
        receiver("127.0.0.1:0", Does::Says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")).await;
    let says = "HTTP/1.1 204 No Content\r\n\r\n";
    let (here, _) = receiver("127.0.0.1:0", Does::Says(says)).await;
    let mut run = std::process::Command::new(std::env::current_exe().unwrap());
    run.args(["--exact", "one_delivery", "--include-ignored"])
        .env("http_proxy", format!("http://{proxy}"))
        .env("ALL_PROXY", format!("http://{proxy}"))
        .env("KAKUNIN_TEST_RECEIVER", here.to_string());
    let ended = tokio::task::spawn_blocking(move || run.output().unwrap()).await.unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
#[ignore = "the process that the test above starts"]
async fn one_delivery() {
    let Ok(here) = std::env::var("KAKUNIN_TEST_RECEIVER") else { return };
    let client = HttpWebhooks::new(guard(&["127.0.0.1"]), &[]).unwrap();
    assert_eq!(post(&client, &format!("http://{here}/")).await.unwrap().status, 204);
}
