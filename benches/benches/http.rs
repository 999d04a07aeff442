//! `GET /api/v1/verify/{serial}` beside axum's empty handler, and what a start costs; server and callers
//! share the machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kakunin_server::demo::{Agent, Client};
use kakunin_server::serve::{ServeOptions, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const CONNECTIONS: usize = 32;

/// Requests a second, and latencies in microseconds.
struct Round {
    rate: f64,
    p50: u64,
    p99: u64,
}

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    let (rounds, length) = if quick { (3, Duration::from_millis(500)) } else { (7, Duration::from_secs(3)) };
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions::new(folder.path().join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
    let first = Instant::now();
    let server = Server::bind(&options).await.unwrap();
    let first = first.elapsed();
    let (url, key) =
        (server.url().unwrap(), server.deployment().admin_key.as_ref().unwrap().reveal().to_owned());
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let admin = Client::new(&url).with_key(&key);
    let agent = Agent::start("bench", &["read:accounts"], &admin).await.unwrap();
    let ours = format!("/api/v1/verify/{}", agent.serial);
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let floor_address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/", axum::routing::get(|| async {}));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let (mut floor, mut verify, mut health) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        floor.push(load(floor_address, "/", length).await);
        verify.push(load(address, &ours, length).await);
        health.push(load(address, "/healthz", length).await);
    }
    println!("HTTP, {CONNECTIONS} connections, median of {rounds} rounds in turns");
    let base = median(&floor);
    for (name, rounds) in [
        ("floor: axum, empty handler", &floor),
        ("kakunin: verify/{serial} (goal: 0.40)", &verify),
        ("kakunin: healthz, for the cost of the frame alone", &health),
    ] {
        let m = median(rounds);
        let (rate, ratio) = (m.rate, m.rate / base.rate);
        println!("  {name:<52} {rate:>9.0}/s  ratio {ratio:.2}  p50 {:>5} us  p99 {:>6} us", m.p50, m.p99);
    }
    stop.send(true).unwrap();
    serving.await.unwrap().unwrap();
    let again = Instant::now();
    let server = Server::bind(&options).await.unwrap();
    println!(
        "start of a new deployment {first:.0?}, of one that is there {:.0?} (goal: 1 s)",
        again.elapsed()
    );
    drop(server);
}

fn median(rounds: &[Round]) -> &Round {
    let mut order: Vec<_> = rounds.iter().collect();
    order.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    order[order.len() / 2]
}

/// Asks over kept-alive connections, one request after the other on each.
async fn load(address: SocketAddr, path: &str, length: Duration) -> Round {
    let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\naccept: application/json\r\n\r\n");
    let began = Instant::now();
    let callers: Vec<_> =
        (0..CONNECTIONS).map(|_| tokio::spawn(call(address, request.clone(), began + length))).collect();
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await.unwrap());
    }
    let rate = latencies.len() as f64 / began.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Round { rate, p50: latencies[latencies.len() / 2], p99: latencies[latencies.len() * 99 / 100] }
}

async fn call(address: SocketAddr, request: String, end: Instant) -> Vec<u64> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut buffer, mut latencies) = (vec![0; 16 * 1024], Vec::new());
    while Instant::now() < end {
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut got = 0;
        while !whole(&buffer[..got]) {
            let n = stream.read(&mut buffer[got..]).await.unwrap();
            assert!(n > 0, "the server closed the connection");
            got += n;
        }
        latencies.push(u64::try_from(began.elapsed().as_micros()).unwrap());
    }
    latencies
}

/// Whether this is a whole answer of status 200.
fn whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return false };
    let head = std::str::from_utf8(&answer[..end]).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length = head.split("content-length: ").nth(1).and_then(|t| t.split("\r\n").next());
    answer.len() >= end + 4 + length.map_or(0, |n| n.parse::<usize>().unwrap())
}
