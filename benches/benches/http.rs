//! `GET /api/v1/verify/{serial}` beside axum's empty handler, and what a start costs; server and callers
//! share the machine.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use kakunin_benches::load::{load, median, same};
use kakunin_server::demo::{Agent, Client};
use kakunin_server::serve::{ServeOptions, Server};
use tokio::net::TcpListener;
use tokio::sync::watch;

const CONNECTIONS: usize = 32;

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    let (rounds, length) = if quick { (3, Duration::from_millis(500)) } else { (7, Duration::from_secs(3)) };
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(folder.path().join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
    options.api.anonymous_rate = u32::MAX.try_into().unwrap();
    let first = Instant::now();
    let server = Server::bind(&options).await.unwrap();
    let first = first.elapsed();
    let (url, key) =
        (server.url().unwrap(), server.deployment().admin_key.as_ref().unwrap().reveal().to_owned());
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let admin = Client::new(&url).with_key(&key);
    let agent = Agent::start("bench", &["read:accounts"], &admin).await.unwrap();
    let get =
        |path: &str| same(format!("GET {path} HTTP/1.1\r\nhost: a\r\naccept: application/json\r\n\r\n"));
    let (empty, ours, alive) = (get("/"), get(&format!("/api/v1/verify/{}", agent.serial)), get("/healthz"));
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let floor_address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/", axum::routing::get(|| async {}));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let (mut floor, mut verify, mut health) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        floor.push(load(floor_address, CONNECTIONS, &empty, length).await);
        verify.push(load(address, CONNECTIONS, &ours, length).await);
        health.push(load(address, CONNECTIONS, &alive, length).await);
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
