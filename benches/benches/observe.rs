//! Taking events in, durable, one a call and in batches of 1,000, beside SQLite with the same rows and nothing else; and what
//! that costs in a log that grew: time, memory, and the next start.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on has failed")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use kakunin_benches::Suite;
use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::store::{MemoryStore, Store};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;
use rusqlite::Connection;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let bare = bare(&dir.path().join("bare.db"));
    let (sqlite, on_sqlite) = deployment(SqliteStore::open(dir.path().join("k.db")).unwrap());
    for batch in [1_u32, 1_000] {
        let title = format!("an event, durable, {batch} a call");
        Suite::new(&title)
            .case("floor: bare SQLite, WAL, synchronous=FULL, leaf and payload", batch, || {
                insert(&bare, batch)
            })
            .case("kakunin on SQLite: decide, score, hash, sign, commit", batch, || {
                observe(&sqlite, &on_sqlite, batch)
            })
            .case("kakunin on SQLite, two callers, ten calls each", 20 * batch, || {
                std::thread::scope(|callers| {
                    let calls = || (0..10).for_each(|_| observe(&sqlite, &on_sqlite, batch));
                    callers.spawn(calls);
                    calls();
                });
            })
            .run();
    }
    drop(sqlite);
    grown(dir.path(), &bare);
    // Last: what it keeps is spread over the heap, which slows down whoever comes after it.
    let (memory, in_memory) = deployment(MemoryStore::new());
    for batch in [1_u32, 1_000] {
        let title = format!("an event, in memory, not durable, {batch} a call");
        Suite::new(&title)
            .case("kakunin in memory: decide, score, hash, sign", batch, || {
                observe(&memory, &in_memory, batch)
            })
            .run();
    }
}

/// Fills a log, and says at some sizes what the next events cost, beside the floor at that moment, and what memory the process
/// has; then closes the file and opens it again.
fn grown(dir: &Path, bare: &Connection) {
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    let sizes: &[u32] = if quick { &[10, 100, 250] } else { &[10, 1_000, 5_000] };
    let (path, keys) = (dir.join("grown.db"), Arc::new(LocalKeys::ephemeral()));
    let (kakunin, of) = deployment_with(SqliteStore::open(&path).unwrap(), keys.clone());
    println!("\nevents in the log, 1,000 a call, two callers");
    println!(
        "{:<16} {:>12} {:>12} {:>8} {:>16}",
        "events", "an event", "bare SQLite", "ratio", "resident memory"
    );
    let mut thousands = 0;
    for size in sizes {
        while thousands < *size {
            let more = (*size - thousands).min(100);
            in_twos(&kakunin, &of, more);
            thousands += more;
            // As a process that runs does by itself once a minute, or each 250,000 records.
            block_on(kakunin.tend()).unwrap();
        }
        // In turns, so that a disturbance hits both.
        let rounds: Vec<_> = (0..10)
            .map(|_| {
                let ours = time(20, || in_twos(&kakunin, &of, 20));
                (ours, time(20, || (0..20).for_each(|_| insert(bare, 1_000))))
            })
            .collect();
        thousands += 200;
        let ours = median(rounds.iter().map(|round| round.0));
        let floor = median(rounds.iter().map(|round| round.1));
        println!(
            "{:<16} {:>9.2} us {:>9.2} us {:>8.2} {:>12} MiB",
            u64::from(*size) * 1_000,
            ours,
            floor,
            ours / floor,
            resident()
        );
    }
    block_on(kakunin.tend()).unwrap();
    drop(kakunin);
    let start = Instant::now();
    let (kakunin, _) = opened(SqliteStore::open(&path).unwrap(), keys);
    block_on(kakunin.load()).unwrap();
    println!("start with them: {} ms, then {} MiB", start.elapsed().as_millis(), resident());
}

/// So many thousand events, a thousand a call, by two callers at once.
fn in_twos(kakunin: &Kakunin, of: &(TenantId, Vec<Serial>), thousands: u32) {
    std::thread::scope(|callers| {
        let calls = |count: u32| (0..count).for_each(|_| observe(kakunin, of, 1_000));
        callers.spawn(move || calls(thousands / 2));
        calls(thousands.div_ceil(2));
    });
}

/// Microseconds an event, of so many thousand.
fn time(thousands: u32, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() * 1e3 / f64::from(thousands)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<_> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Resident memory of this process, in MiB; 0 where the system does not say.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1_024
}

fn deployment(store: impl Store + 'static) -> (Kakunin, (TenantId, Vec<Serial>)) {
    deployment_with(store, Arc::new(LocalKeys::ephemeral()))
}

fn opened(store: impl Store + 'static, keys: Arc<LocalKeys>) -> (Kakunin, TenantId) {
    let mut config = Config::new("bench.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    (block_on(Kakunin::open(config, Parts::new(store, keys))).unwrap(), "bench".parse().unwrap())
}

fn deployment_with(store: impl Store + 'static, keys: Arc<LocalKeys>) -> (Kakunin, (TenantId, Vec<Serial>)) {
    let (kakunin, tenant) = opened(store, keys);
    block_on(kakunin.create_tenant(&tenant)).unwrap();
    let serials = (0..50).map(|n| {
        let spec = NewAgent::new(&format!("agent {n}"), MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(kakunin.tenant(&tenant).register(spec)).unwrap();
        let source = KeySource::Provider(KeyAlgorithm::P256);
        block_on(kakunin.tenant(&tenant).certify(&agent.id, Profile::Standard, source)).unwrap().facts.serial
    });
    let serials = serials.collect();
    (kakunin, (tenant, serials))
}

fn observe(kakunin: &Kakunin, (tenant, serials): &(TenantId, Vec<Serial>), batch: u32) {
    let event = |serial: &Serial| {
        let mut event = Event::new(*serial, "read:accounts".parse().unwrap(), Outcome::Ok);
        event.tool = Some("get_balance".parse().unwrap());
        event.target = Some("account-7".parse().unwrap());
        event
    };
    let events = serials.iter().cycle().take(usize::try_from(batch).unwrap()).map(event).collect();
    block_on(kakunin.tenant(tenant).observe_all(events)).unwrap();
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

fn insert(connection: &Connection, batch: u32) {
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..batch {
        // As many octets as one of our events has.
        let mut leaf = connection.prepare_cached("INSERT INTO leaf(leaf) VALUES (?1)").unwrap();
        leaf.execute([&[7_u8; 165][..]]).unwrap();
        let mut payload =
            connection.prepare_cached("INSERT INTO payload(salt, octets) VALUES (?1, ?2)").unwrap();
        payload.execute([&[7_u8; 32][..], &[7; 190]]).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
}
