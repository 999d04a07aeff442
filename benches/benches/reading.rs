//! Searching a long log: a page of what is there, and that there is none. 1,000,000 records, 200,000 in the quick form.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark that cannot go on has failed")]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use kakunin_benches::Suite;
use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, EventKind, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::service::{Config, Kakunin, KeySource, Page, Parts, ReadFrom, RecordFilter, Tenant};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const AGENTS: usize = 50;

fn main() {
    let records = if std::env::var_os("KAKUNIN_BENCH_QUICK").is_some() { 200_000 } else { 1_000_000 };
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, tenant, agents) = deployment(dir.path());
    fill(&tenant, &agents, records);
    let agent = agents.first().unwrap().0;
    let absent = of(AgentId::from_bytes([7; 16]));
    let before = Instant::now();
    let (calls, found) = walk(&tenant, &absent);
    println!("without an index: none of an agent after {calls} calls, {:.0?} ({found})", before.elapsed());
    index(&kakunin, dir.path(), records);

    let middle = ReadFrom::Before(u64::try_from(records / 2).unwrap());
    let nobody = absent;
    let never =
        RecordFilter { act: Some(EventKind::Transaction), outcome: Some(Outcome::Denied), ..of(agent) };
    let errors = RecordFilter { outcome: Some(Outcome::Error), ..of(agent) };
    let all = RecordFilter::default();
    let long_ago = RecordFilter { until: Some(kakunin_core::time::UnixTime::from_secs(1)), ..all.clone() };
    Suite::new("a page of 20 of a long log, on SQLite")
        .case("floor: the newest 20", 1, || find(&tenant, &all, ReadFrom::End))
        .case("20 of one agent that failed, in the midst", 1, || find(&tenant, &errors, middle))
        .case("none: of an agent that there is not", 1, || find(&tenant, &nobody, ReadFrom::End))
        .case("none: agent, kind and outcome, each of which there is", 1, || {
            find(&tenant, &never, ReadFrom::End)
        })
        .case("none: before the first", 1, || find(&tenant, &long_ago, ReadFrom::End))
        .run();
}

fn of(agent: AgentId) -> RecordFilter {
    RecordFilter { agent: Some(agent), ..RecordFilter::default() }
}

fn find(tenant: &Tenant, filter: &RecordFilter, from: ReadFrom) -> Page {
    let page = block_on(tenant.find(filter, from, 20, |_| true)).unwrap();
    assert!(page.items.len() == 20 || page.next.is_none());
    page
}

fn walk(tenant: &Tenant, filter: &RecordFilter) -> (usize, usize) {
    let (mut calls, mut found, mut from) = (0, 0, ReadFrom::End);
    loop {
        let page = block_on(tenant.find(filter, from, 100, |_| true)).unwrap();
        (calls, found) = (calls + 1, found + page.items.len());
        let Some(next) = page.next else { return (calls, found) };
        from = ReadFrom::Before(next);
    }
}

fn deployment(folder: &Path) -> (Kakunin, Tenant, Vec<(AgentId, Serial)>) {
    let mut config = Config::new("bench.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let store = SqliteStore::open(folder.join("k.db")).unwrap();
    let kakunin =
        block_on(Kakunin::open(config, Parts::new(store, Arc::new(LocalKeys::ephemeral())))).unwrap();
    let id: TenantId = "bench".parse().unwrap();
    block_on(kakunin.create_tenant(&id)).unwrap();
    let tenant = kakunin.tenant(&id);
    let agents = (0..AGENTS).map(|n| {
        let spec = NewAgent::new(&format!("agent {n}"), MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(tenant.register(spec)).unwrap().id;
        let source = KeySource::Provider(KeyAlgorithm::P256);
        (agent, block_on(tenant.certify(&agent, Profile::Standard, source)).unwrap().facts.serial)
    });
    let agents = agents.collect();
    (kakunin, tenant, agents)
}

/// One event in twenty failed; what was denied is no transaction.
fn fill(tenant: &Tenant, agents: &[(AgentId, Serial)], records: usize) {
    for first in (0..records).step_by(1_000) {
        let event = |n: usize, serial: Serial| {
            let (kind, outcome) = match n / AGENTS % 20 {
                0 => (EventKind::DataAccess, Outcome::Error),
                1 => (EventKind::ApiCall, Outcome::Denied),
                n if n % 2 == 0 => (EventKind::Transaction, Outcome::Ok),
                _ => (EventKind::DataAccess, Outcome::Ok),
            };
            let mut event = Event::new(serial, "read:accounts".parse().unwrap(), outcome);
            event.kind = kind;
            event.attribution = kakunin_core::event::Attribution::Asserted;
            event
        };
        let serials = agents.iter().cycle().map(|(_, serial)| *serial);
        let events = (first..first + 1_000).zip(serials).map(|(n, serial)| event(n, serial)).collect();
        block_on(tenant.observe_all(events)).unwrap();
    }
}

fn index(kakunin: &Kakunin, folder: &Path, records: usize) {
    let pages = || {
        let connection = rusqlite::Connection::open(folder.join("k.db")).unwrap();
        let size =
            "SELECT (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)";
        connection.query_row(size, [], |row| row.get::<_, u32>(0)).unwrap()
    };
    let (before, began) = (pages(), Instant::now());
    loop {
        block_on(kakunin.tend()).unwrap();
        if kakunin.followers().iter().any(|follower| follower.name == "index" && follower.left == 0) {
            break;
        }
    }
    let (took, octets) = (began.elapsed(), pages() - before);
    let records = u32::try_from(records).unwrap();
    println!(
        "indexed in {:.1?}, {:.2?} a record; {} octets a record",
        took,
        took / records,
        octets / records
    );
}
