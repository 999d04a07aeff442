//! Connections that a gateway keeps to the server, and that end while it sends its next question: asked once more, on
//! another connection, so that no agent is refused for it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::client::Protocol;
use crate::world::World;

/// Stands between gateway and server: passes one question and its answer on, and ends each connection when the next
/// question comes on it. Counts these. Gives its port.
fn fickle(server: &str, cut: &Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let (server, cut) = (format!("127.0.0.1:{server}"), cut.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, server, cut) = (stream.unwrap(), server.clone(), cut.clone());
            std::thread::spawn(move || pass_one_on(stream, &server, &cut));
        }
    });
    port
}

fn pass_one_on(mut gateway: TcpStream, server: &str, cut: &AtomicUsize) {
    let Some(question) = head(&mut gateway) else { return };
    let mut server = TcpStream::connect(server).unwrap();
    server.write_all(&question).unwrap();
    // A yes has no content; after a no the connection is not kept.
    let Some(answer) = head(&mut server) else { return };
    gateway.write_all(&answer).unwrap();
    if !answer.starts_with(b"HTTP/1.1 200") {
        let _ = std::io::copy(&mut server.take(64 * 1024), &mut gateway);
    } else if gateway.read(&mut [0; 1]).is_ok_and(|read| read > 0) {
        cut.fetch_add(1, Ordering::Relaxed);
    }
    let _ = gateway.shutdown(Shutdown::Both);
}

/// Up to the empty line.
fn head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut head, mut octet) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        (stream.read(&mut octet).ok()? > 0).then(|| head.push(octet[0]))?;
    }
    Some(head)
}

async fn asks_once_more(gateway: &str) {
    let cut = Arc::default();
    let w = World::asking(gateway, &[], |server| fickle(server, &cut));
    let client = w.client(Some(&w.agent("one", "write:payments")));
    w.until_ready(&client).await;
    let mut kept = client.open(Protocol::Http1).await.unwrap();
    for n in 0..20 {
        assert_eq!(kept.get("/pay", &[]).await, Some(200), "{gateway}, {n}");
    }
    let cut = cut.load(Ordering::Relaxed);
    assert!(cut > 0, "{gateway}: no question met a connection that ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_asks_once_more() {
    asks_once_more("nginx").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_asks_once_more() {
    asks_once_more("envoy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_asks_once_more() {
    asks_once_more("haproxy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caddy_asks_once_more() {
    asks_once_more("caddy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traefik_asks_once_more() {
    asks_once_more("traefik").await;
}
