//! Taking events in, durable, in batches of 1,000, beside SQLite with the same rows and nothing else.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on has failed")]

use std::sync::Arc;

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
    let (memory, in_memory) = deployment(MemoryStore::new());
    for batch in [1_u32, 1_000] {
        let title = format!("an event, durable, {batch} a call");
        Suite::new(&title)
            .case("floor: bare SQLite, WAL, synchronous=FULL, leaf and payload", batch, || {
                insert(&bare, batch)
            })
            .case("kakunin on SQLite: decide, score, hash, sign, commit", batch, || {
                observe(&sqlite, &on_sqlite, batch)
            })
            .case("kakunin in memory (not durable)", batch, || observe(&memory, &in_memory, batch))
            .run();
    }
}

fn deployment(store: impl Store + 'static) -> (Kakunin, (TenantId, Vec<Serial>)) {
    let mut config = Config::new("bench.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let parts = Parts::new(store, Arc::new(LocalKeys::ephemeral()));
    let kakunin = block_on(Kakunin::open(config, parts)).unwrap();
    let tenant: TenantId = "bench".parse().unwrap();
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

fn bare(path: &std::path::Path) -> Connection {
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
