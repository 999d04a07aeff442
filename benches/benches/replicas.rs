//! Servers over one PostgreSQL: events over HTTP at one, and at three, beside a bare writer that fills a table like ours; and how
//! soon what one takes away is refused at another. Database, servers and callers share the machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]

#[path = "../../kakunin-core/tests/shared/cluster.rs"]
mod cluster;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kakunin_benches::open::{Plan, Seen};
use kakunin_core::access::Role;
use kakunin_core::agent::NewAgent;
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Kakunin, KeySource, Tenant};
use kakunin_kms::seal::FileSeal;
use kakunin_server::serve::{Database, ServeOptions, Server};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Events of a batch.
const BATCH: usize = 100;
/// Rows of a transaction of the floor.
const BARE: usize = 1_000;
const SERVERS: usize = 3;
const TENANTS: usize = 10;
/// Agents of each.
const AGENTS: usize = 50;

/// Somebody who reports.
struct Reporter {
    key: String,
    serials: Vec<Serial>,
}

struct Replica {
    address: SocketAddr,
    kakunin: Kakunin,
}

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    let (rounds, length) = if quick { (1, Duration::from_secs(2)) } else { (5, Duration::from_secs(4)) };
    let folder = tempfile::tempdir().unwrap();
    let database = tokio::task::spawn_blocking(cluster::database).await.unwrap();
    let seal = folder.path().join("seal");
    FileSeal::create(&seal).unwrap();
    let secret = folder.path().join("secret");
    FileSeal::create(&secret).unwrap();
    let (stop, stopped) = watch::channel(false);
    let (mut replicas, mut serving) = (Vec::new(), JoinSet::new());
    for _ in 0..SERVERS {
        let mut options = ServeOptions::new(folder.path(), SocketAddr::from(([127, 0, 0, 1], 0)));
        options.database = Some(Database {
            url: database.options(cluster::APPLICATION),
            seal: format!("file:{}", seal.display()).parse().unwrap(),
            admin_key_file: Some(folder.path().join("admin.key")),
        });
        options.keys = Some(format!("local:{}", folder.path().join("keys").display()).parse().unwrap());
        options.key_file = Some(secret.clone());
        options.public_url = Some("http://ca.example".into());
        options.insecure_software_keys = true;
        options.api.key_rate = u32::MAX.try_into().unwrap();
        options.ca_algorithm = KeyAlgorithm::P256;
        let server = Server::bind(&options).await.unwrap();
        let address = server.url().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        replicas.push(Replica { address, kakunin: server.deployment().kakunin.clone() });
        serving.spawn(server.serve(stopped.clone()));
    }
    let mut reporters = Vec::new();
    for n in 0..TENANTS {
        let id: TenantId = format!("bench-{n}").parse().unwrap();
        reporters.push(Reporter::of(&replicas[0].kakunin.create_tenant(&id).await.unwrap()).await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    database.admin("CREATE TABLE bare (LIKE audit.entry, PRIMARY KEY (log, idx, month)); GRANT ALL ON bare TO kakunin_app");
    let bare = Bare::open(&database.url(cluster::APPLICATION)).await;
    closed_loop(&replicas, &reporters, &bare, (rounds, length)).await;
    open_loop(&replicas, &reporters[0], &bare, length).await;
    refused(&replicas, if quick { 20 } else { 200 }).await;
    stop.send(true).unwrap();
    while let Some(ended) = serving.join_next().await {
        ended.unwrap().unwrap();
    }
}

impl Reporter {
    async fn of(tenant: &Tenant) -> Self {
        let mut serials = Vec::new();
        for n in 0..AGENTS {
            let spec = NewAgent::new(&format!("agent {n}"), MODEL, ["read:accounts"]).unwrap();
            let agent = tenant.register(spec).await.unwrap();
            let source = KeySource::Provider(KeyAlgorithm::P256);
            serials.push(tenant.certify(&agent.id, Profile::Standard, source).await.unwrap().facts.serial);
        }
        let (_, key) = tenant.create_api_key(Role::Reporter, "bench".parse().unwrap(), None).await.unwrap();
        Self { key: key.reveal().to_owned(), serials }
    }

    fn event(&self, n: usize) -> serde_json::Value {
        json!({
            "certificate_serial": self.serials[n % AGENTS].to_string(), "action": "read:accounts", "outcome": "ok",
            "tool": "get_balance", "target": "account-7", "session_id": "session-1",
        })
    }

    fn plan(
        &self,
        at: &Replica,
        connections: u32,
        rate: Option<u32>,
        events: usize,
        length: Duration,
    ) -> Plan {
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
        Plan { address: at.address, connections, rate, request: [head, body].concat().into_bytes(), length }
    }
}

/// All of these plans at once: events a second.
async fn together(plans: Vec<Plan>, events: usize) -> f64 {
    let mut all = JoinSet::new();
    plans.into_iter().for_each(|plan| drop(all.spawn(plan.run())));
    let seen = all.join_all().await;
    assert_eq!(seen.iter().map(|seen| seen.refused).sum::<usize>(), 0);
    seen.iter().map(|seen| seen.rate).sum::<f64>() * events as f64
}

/// As fast as it goes, in turns with the floor.
async fn closed_loop(
    replicas: &[Replica],
    reporters: &[Reporter],
    bare: &Bare,
    (rounds, length): (usize, Duration),
) {
    let mut all: [Vec<f64>; 6] = Default::default();
    let one = &reporters[0];
    for _ in 0..rounds {
        all[0].push(bare.fill(length).await);
        all[1].push(together(vec![one.plan(&replicas[0], 32, None, BATCH, length)], BATCH).await);
        let spread = replicas.iter().map(|at| one.plan(at, 11, None, BATCH, length)).collect();
        all[2].push(together(spread, BATCH).await);
        let ten = reporters.iter().map(|of| of.plan(&replicas[0], 4, None, BATCH, length)).collect();
        all[3].push(together(ten, BATCH).await);
        let spread =
            reporters.iter().flat_map(|of| replicas.iter().map(|at| of.plan(at, 2, None, BATCH, length)));
        all[4].push(together(spread.collect(), BATCH).await);
        all[5].push(together(vec![one.plan(&replicas[0], 64, None, 1, length)], 1).await);
    }
    let [floor, one, three, ten, ten_at_three, singles] = all.map(median);
    println!("events a second, as many as there can be, median of {rounds} rounds in turns");
    println!("  floor: bare UNNEST, {BARE} a transaction, one connection          {floor:>9.0}/s");
    for (name, rate, beside, to) in [
        ("one server, one tenant, batches of 100 (goal: 40000)", one, floor, "floor"),
        ("three servers, one tenant (goal: 0.7 of one)", three, one, "one server"),
        ("one server, ten tenants", ten, floor, "floor"),
        ("three servers, ten tenants (goal: 1 of one)", ten_at_three, ten, "one server"),
        ("one server, single events, 64 connections", singles, floor, "floor"),
    ] {
        println!("  {name:<58} {rate:>9.0}/s  {:.2} of {to}", rate / beside);
    }
}

/// At a rate that leaves room: how long one waits, beside a bare commit.
async fn open_loop(replicas: &[Replica], reporter: &Reporter, bare: &Bare, length: Duration) {
    let raw = bare.commits(length).await;
    let seen = reporter.plan(&replicas[0], 64, Some(1_000), 1, length).run().await;
    let goal = (5 * raw.quantile(990)).max(20_000);
    let [p50, p99] = [500, 990].map(|at| seen.quantile(at));
    println!(
        "latency at 1,000 single events/s; a bare commit p50 {} us, p99 {} us",
        raw.quantile(500),
        raw.quantile(990)
    );
    println!(
        "  {:>6.0}/s  p50 {p50} us  p99 {p99} us  (goal: p99 <= {goal} us; {})",
        seen.rate,
        if p99 <= goal && seen.refused == 0 { "reached" } else { "NOT reached" }
    );
}

/// From the call that revokes at one server until another one's verifiers refuse.
async fn refused(replicas: &[Replica], times: usize) {
    let id: TenantId = "refused".parse().unwrap();
    let tenant = replicas[0].kakunin.create_tenant(&id).await.unwrap();
    let issuer = replicas[0].kakunin.authorities()[0].issuer.id();
    let (mut from_call, mut from_answer) = (Vec::new(), Vec::new());
    for n in 0..times {
        let spec = NewAgent::new(&format!("agent {n}"), MODEL, ["read:accounts"]).unwrap();
        let agent = tenant.register(spec).await.unwrap();
        let source = KeySource::Provider(KeyAlgorithm::P256);
        let serial = tenant.certify(&agent.id, Profile::Standard, source).await.unwrap().facts.serial;
        let live = replicas[1 + n % 2].kakunin.revocations();
        let seen = Arc::new(tokio::sync::Notify::new());
        let heard = seen.clone();
        let waits = std::thread::spawn(move || {
            while live.reason(&issuer, &serial).unwrap().is_none() {
                std::thread::sleep(Duration::from_micros(200));
            }
            heard.notify_one();
            Instant::now()
        });
        let called = Instant::now();
        tenant.revoke(&serial, Cause::KeyCompromise).await.unwrap();
        let answered = Instant::now();
        seen.notified().await;
        let refused = waits.join().unwrap();
        from_call.push(micros(refused.duration_since(called)));
        from_answer.push(micros(refused.saturating_duration_since(answered)));
    }
    from_call.sort_unstable();
    from_answer.sort_unstable();
    let at = |all: &[u64], per_mille: usize| all[(all.len() - 1) * per_mille / 1_000];
    println!(
        "revoked at one server, refused at another ({times} times; goal: p99 250 ms): from the call p50 {} us, p99 {} us; after the answer p50 {} us, p99 {} us",
        at(&from_call, 500),
        at(&from_call, 990),
        at(&from_answer, 500),
        at(&from_answer, 990)
    );
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const FILL: &str = "INSERT INTO bare(log, month, idx, kind, agent, at, leaf, salt, payload) \
    SELECT $1, $2::text::date, $3 + e.n - 1, e.kind, NULL, now(), e.leaf, e.salt, e.payload \
    FROM unnest($4::int4[], $5::bytea[], $6::bytea[], $7::bytea[]) WITH ORDINALITY AS e(kind, leaf, salt, payload, n)";

/// The same rows by the quickest plain means.
struct Bare {
    client: tokio_postgres::Client,
    statement: tokio_postgres::Statement,
    next: std::sync::atomic::AtomicI64,
}

impl Bare {
    async fn open(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let statement = client.prepare(FILL).await.unwrap();
        Self { client, statement, next: std::sync::atomic::AtomicI64::new(0) }
    }

    async fn insert(&self, rows: usize) {
        let first = self.next.fetch_add(i64::try_from(rows).unwrap(), std::sync::atomic::Ordering::Relaxed);
        let (leaves, salts) = (vec![vec![7_u8; 165]; rows], vec![vec![7_u8; 32]; rows]);
        let (payloads, kinds) = (vec![vec![7_u8; 190]; rows], vec![32_i32; rows]);
        self.client
            .execute(&self.statement, &[&"bare", &"2026-11-01", &first, &kinds, &leaves, &salts, &payloads])
            .await
            .unwrap();
    }

    /// Rows a second; two transactions are under way at once.
    async fn fill(&self, length: Duration) -> f64 {
        let (began, mut rows) = (Instant::now(), 0);
        while began.elapsed() < length {
            tokio::join!(self.insert(BARE), self.insert(BARE));
            rows += 2 * BARE;
        }
        rows as f64 / began.elapsed().as_secs_f64()
    }

    async fn commits(&self, length: Duration) -> Seen {
        let (began, mut seen) = (Instant::now(), Seen::default());
        while began.elapsed() < length {
            let one = Instant::now();
            self.insert(1).await;
            seen.latencies.push(micros(one.elapsed()));
        }
        seen.latencies.sort_unstable();
        seen
    }
}
