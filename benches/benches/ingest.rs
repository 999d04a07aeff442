//! Events over HTTP, authenticated, scored and proved, beside a bare writer that fills the same tables and beside
//! `fdatasync`; server and callers share the machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use kakunin_benches::open::{Plan, Seen};
use kakunin_core::access::Role;
use kakunin_core::agent::NewAgent;
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::service::{KeySource, Tenant};
use kakunin_server::serve::{ServeOptions, Server};
use rusqlite::Connection;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Events of a batch.
const BATCH: usize = 100;
/// Tenants, of which the last floods.
const TENANTS: usize = 11;
/// Agents of each.
const AGENTS: usize = 50;

/// Somebody who reports.
struct Reporter {
    address: SocketAddr,
    key: String,
    serials: Vec<Serial>,
}

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    let (rounds, length) = if quick { (1, Duration::from_secs(1)) } else { (5, Duration::from_secs(3)) };
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(folder.path().join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
    options.api.key_rate = u32::MAX.try_into().unwrap();
    options.ca_algorithm = KeyAlgorithm::P256;
    let server = Server::bind(&options).await.unwrap();
    let address = server.url().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    let kakunin = server.deployment().kakunin.clone();
    let mut reporters = Vec::new();
    for n in 0..TENANTS {
        let id: TenantId = format!("bench-{n}").parse().unwrap();
        reporters.push(Reporter::of(&kakunin.create_tenant(&id).await.unwrap(), address).await);
    }
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let bare = bare(&folder.path().join("bare.db"));
    closed_loop(&reporters[0], &bare, (rounds, length)).await;
    open_loop(&reporters[0], folder.path(), length).await;
    fair(&reporters, length).await;
    stop.send(true).unwrap();
    serving.await.unwrap().unwrap();
}

impl Reporter {
    async fn of(tenant: &Tenant, address: SocketAddr) -> Self {
        let mut serials = Vec::new();
        for n in 0..AGENTS {
            let spec = NewAgent::new(&format!("agent {n}"), MODEL, ["read:accounts"]).unwrap();
            let agent = tenant.register(spec).await.unwrap();
            let source = KeySource::Provider(KeyAlgorithm::P256);
            serials.push(tenant.certify(&agent.id, Profile::Standard, source).await.unwrap().facts.serial);
        }
        let (_, key) = tenant.create_api_key(Role::Reporter, "bench".parse().unwrap(), None).await.unwrap();
        Self { address, key: key.reveal().to_owned(), serials }
    }

    fn event(&self, n: usize) -> serde_json::Value {
        json!({
            "certificate_serial": self.serials[n % AGENTS].to_string(), "action": "read:accounts", "outcome": "ok",
            "tool": "get_balance", "target": "account-7", "session_id": "session-1",
        })
    }

    fn plan(&self, connections: u32, rate: Option<u32>, events: usize, length: Duration) -> Plan {
        let (path, body) = match events {
            1 => ("/api/v1/events", self.event(0)),
            _ => (
                "/api/v1/events/batch",
                json!({ "events": (0..events).map(|n| self.event(n)).collect::<Vec<_>>() }),
            ),
        };
        let (key, body) = (&self.key, body.to_string());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Plan { address: self.address, connections, rate, request: [head, body].concat().into_bytes(), length }
    }
}

/// As fast as it goes, in turns with the floor.
async fn closed_loop(reporter: &Reporter, bare: &Connection, (rounds, length): (usize, Duration)) {
    let (mut floor, mut batches, mut singles) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        floor.push(filled(bare, length));
        let seen = reporter.plan(32, None, BATCH, length).run().await;
        assert_eq!(seen.refused, 0);
        batches.push(seen.rate * BATCH as f64);
        let seen = reporter.plan(64, None, 1, length).run().await;
        assert_eq!(seen.refused, 0);
        singles.push(seen.rate);
    }
    let [floor, batches, singles] = [floor, batches, singles].map(median);
    println!("events a second, as many as there can be, median of {rounds} rounds in turns");
    println!("  floor: bare SQLite, WAL, synchronous=FULL, {BATCH} a transaction  {floor:>9.0}/s");
    println!(
        "  batches of {BATCH} with range proof, 32 connections (goals: 100000, 0.30) {batches:>9.0}/s  ratio {:.2}",
        batches / floor
    );
    println!(
        "  single events, 64 connections (goal: 25000)             {singles:>9.0}/s  ratio {:.2}",
        singles / floor
    );
}

/// At a rate that leaves room: how long one waits, beside `fdatasync`.
async fn open_loop(reporter: &Reporter, folder: &Path, length: Duration) {
    let synced = synced(&folder.join("raw"), length);
    let (raw, ms) = (synced.quantile(990), |micros: u64| micros as f64 / 1e3);
    println!("latency at a rate; raw append and fdatasync p50 {} us, p99 {raw} us", synced.quantile(500));
    let single = reporter.plan(64, Some(1_000), 1, length).run().await;
    let goal = (5 * raw).max(20_000);
    shown("1,000 single events/s", &single);
    println!(
        "    goal: p99 <= {:.1} ms; {}",
        ms(goal),
        verdict(single.quantile(990) <= goal && single.refused == 0)
    );
    let batches = reporter.plan(32, Some(100), BATCH, length).run().await;
    let goal = (8 * raw).max(50_000);
    shown("10,000 events/s in batches of 100", &batches);
    println!(
        "    goal: p99 <= {:.1} ms; {}",
        ms(goal),
        verdict(batches.quantile(990) <= goal && batches.refused == 0)
    );
}

/// Ten at 1,000 events/s each, while another sends as much as it can.
async fn fair(reporters: &[Reporter], length: Duration) {
    let (flooding, ten) = reporters.split_last().unwrap();
    let flood = tokio::spawn(flooding.plan(32, None, BATCH, length).run());
    let mut all = JoinSet::new();
    ten.iter().for_each(|one| drop(all.spawn(one.plan(8, Some(100), 10, length).run())));
    let all = all.join_all().await;
    let worst = all.iter().max_by_key(|seen| seen.quantile(990)).unwrap();
    let refused: usize = all.iter().map(|seen| seen.refused).sum();
    let flood = flood.await.unwrap();
    println!(
        "ten tenants at 1,000 events/s each in batches of 10, while an eleventh sends {:.0}/s",
        flood.rate * BATCH as f64
    );
    shown("the slowest of the ten", worst);
    let good = refused == 0 && worst.quantile(990) < 200_000;
    println!(
        "    refused: {refused} (and {} of the eleventh); goal: 0, p99 < 200 ms; {}",
        flood.refused,
        verdict(good)
    );
}

fn shown(name: &str, seen: &Seen) {
    let [p50, p99, worst] = [500, 990, 999].map(|at| seen.quantile(at));
    println!("  {name:<40} {:>6.0} requests/s  p50 {p50} us  p99 {p99} us  p99.9 {worst} us", seen.rate);
}

const fn verdict(good: bool) -> &'static str {
    if good { "reached" } else { "NOT reached" }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn bare(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536;
             CREATE TABLE leaf(idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT;
             CREATE TABLE payload(idx INTEGER PRIMARY KEY, salt BLOB NOT NULL, octets BLOB NOT NULL) STRICT;",
        )
        .unwrap();
    connection
}

/// Rows a second, with as many octets as our events have.
fn filled(connection: &Connection, length: Duration) -> f64 {
    let (began, mut rows) = (Instant::now(), 0);
    while began.elapsed() < length {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..BATCH {
            let mut leaf = connection.prepare_cached("INSERT INTO leaf(leaf) VALUES (?1)").unwrap();
            leaf.execute([&[7_u8; 165][..]]).unwrap();
            let mut payload =
                connection.prepare_cached("INSERT INTO payload(salt, octets) VALUES (?1, ?2)").unwrap();
            payload.execute([&[7_u8; 32][..], &[7; 190]]).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
        rows += BATCH;
    }
    rows as f64 / began.elapsed().as_secs_f64()
}

fn synced(path: &Path, length: Duration) -> Seen {
    let (mut file, began, mut seen) = (File::create(path).unwrap(), Instant::now(), Seen::default());
    while began.elapsed() < length {
        let one = Instant::now();
        file.write_all(&[7; 400]).unwrap();
        file.sync_data().unwrap();
        seen.latencies.push(u64::try_from(one.elapsed().as_micros()).unwrap());
    }
    seen.latencies.sort_unstable();
    seen
}
