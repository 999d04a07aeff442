//! The stores of this crate, each through the suites that any store must pass; then SQLite's own promises,
//! without the service above it. `tests/sqlite` attacks the same file from above.

#![cfg(all(feature = "sqlite", feature = "conformance"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use kakunin_core::conformance::{at_once, audit_sink, revocation_store, state_store, vault};
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::merkle::{Frontier, leaf_hash};
use kakunin_core::store::audit::{AuditSink, Head};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::store::vault::{StateVault, Vault};
use kakunin_core::store::{MemoryStore, Store};
use pollster::block_on;
use rusqlite::Connection;
use tempfile::TempDir;

fn suites(store: &impl Store) {
    block_on(async {
        state_store::all(store).await;
        revocation_store::all(store).await;
        audit_sink::all(store).await;
        audit_sink::what_follows_from_an_append_is_applied_with_it(store).await;
    });
}

fn folder() -> (TempDir, impl Fn() -> SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k.db");
    (dir, move || SqliteStore::open(&path).unwrap())
}

fn tenant(n: usize) -> LogId {
    LogId::Tenant(format!("t{n}").parse().unwrap())
}

/// Appends `count` leaves that name log and index; gives the size after them.
fn grow(sink: &dyn AuditSink, log: &LogId, count: u64) -> Result<u64, StoreError> {
    let (head, _) = block_on(sink.head(log))?;
    let from = head.frontier.size();
    let leaves: Vec<_> = (from..from + count).map(|i| format!("{log}/{i}").repeat(20).into_bytes()).collect();
    let leaves: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
    block_on(sink.append(vec![audit_sink::append(log.clone(), &head, &leaves)]))?;
    Ok(from + count)
}

/// The size of a log, once every leaf was seen to be there and to lead to the stored head.
fn checked_size(sink: &dyn AuditSink, log: &LogId) -> u64 {
    let mut frontier = Frontier::default();
    loop {
        let entries = block_on(sink.read(log, frontier.size(), 1_000)).unwrap();
        if entries.is_empty() {
            break;
        }
        entries.iter().for_each(|e| frontier.push(leaf_hash(&e.leaf)));
    }
    assert_eq!(block_on(sink.head(log)).unwrap().0.frontier, frontier);
    frontier.size()
}

#[test]
fn memory() {
    suites(&MemoryStore::new());
    block_on(vault::all(&StateVault(Arc::new(MemoryStore::new()))));
}

#[test]
fn sqlite() {
    let (_dir, open) = folder();
    suites(&open());
}

#[test]
fn sqlite_keeps_secrets() {
    let (_dir, open) = folder();
    block_on(vault::all(&StateVault(Arc::new(open()))));
    let (_dir, open) = folder();
    block_on(vault::secrets_survive_reopening(|| -> Arc<dyn Vault> {
        Arc::new(StateVault(Arc::new(open())))
    }));
}

#[test]
fn sqlite_keeps_what_it_acknowledged() {
    let (_dir, open) = folder();
    block_on(async {
        audit_sink::acknowledged_is_present_after_reopening(|| Arc::new(open())).await;
        state_store::acknowledged_is_present_after_reopening(|| Arc::new(open())).await;
        revocation_store::acknowledged_is_present_after_reopening(|| Arc::new(open())).await;
    });
}

#[test]
fn a_call_that_conflicts_fails_none_that_it_is_committed_with() {
    let (_dir, open) = folder();
    let store = open();
    (0..64).for_each(|i| _ = grow(&store, &tenant(i), 1).unwrap());
    for round in 2..6 {
        let results = at_once(64, |i| {
            let log = tenant(i);
            let head = if i % 2 == 0 { block_on(store.head(&log)).unwrap().0 } else { Head::default() };
            store.append(vec![audit_sink::append(log, &head, &[b"x"])])
        });
        for (i, result) in results.iter().enumerate() {
            assert_eq!(result.is_ok(), i % 2 == 0, "{i}: {result:?}");
            assert_eq!(checked_size(&store, &tenant(i)), if i % 2 == 0 { round } else { 1 });
        }
    }
}

#[test]
fn what_a_log_is_called_and_how_long_it_is_cannot_be_changed_by_sql() {
    let (dir, open) = folder();
    grow(&open(), &tenant(1), 2).unwrap();
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    raw.pragma_update(None, "recursive_triggers", "OFF").unwrap();
    raw.pragma_update(None, "foreign_keys", "OFF").unwrap();
    for attack in [
        "UPDATE log SET name = 't2'",
        "DELETE FROM log",
        "INSERT OR REPLACE INTO log SELECT id, 't2' FROM log",
        "INSERT OR REPLACE INTO log SELECT id + 1, name FROM log",
        "INSERT INTO leaf SELECT log_id, idx, x'00' FROM leaf WHERE true ON CONFLICT DO UPDATE SET leaf = x'00'",
        "INSERT INTO batch SELECT log_id, new_size, new_size + 1, root, frontier, time, '' FROM batch",
        "INSERT INTO batch SELECT log_id, 0, 2, zeroblob(32), frontier, time, '' FROM batch",
    ] {
        let refused = raw.execute_batch(attack).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{attack}: {refused}");
    }
    drop(raw);
    assert_eq!(checked_size(&open(), &tenant(1)), 2);
}

#[test]
fn without_any_one_of_its_guards_the_file_is_not_opened() {
    let (dir, open) = folder();
    let path = dir.path().join("k.db");
    drop(open());
    let guards: Vec<(String, String)> = {
        let raw = Connection::open(&path).unwrap();
        let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
        let mut statement = raw.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert!(guards.len() >= 12, "{guards:?}");
    for (name, sql) in guards {
        Connection::open(&path).unwrap().execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        assert!(matches!(SqliteStore::open(&path), Err(StoreError::Corrupt(_))), "{name}");
        Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
        drop(open());
    }
}

#[test]
fn a_missing_leaf_is_an_error_and_not_the_end_of_the_log() {
    let (dir, open) = folder();
    grow(&open(), &tenant(1), 5).unwrap();
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    let guard: String = raw
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'leaf_delete'", [], |row| row.get(0))
        .unwrap();
    raw.execute_batch(&format!("DROP TRIGGER leaf_delete; DELETE FROM leaf WHERE idx = 2; {guard}")).unwrap();
    drop(raw);
    let read = block_on(open().read(&tenant(1), 0, 9));
    assert!(matches!(&read, Err(StoreError::Corrupt(what)) if what.contains("index 2")), "{read:?}");
}

#[test]
fn not_a_byte_of_a_refused_file_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine(x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Foreign(_))));
    assert!(std::fs::read(&path).unwrap() == before && !dir.path().join("mine.db-wal").exists());
}

#[test]
fn a_later_format_is_refused_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("later.db");
    drop(SqliteStore::open(&path).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(&refused, StoreError::Foreign(what) if what.contains("format 99")), "{refused}");
}

#[test]
#[cfg(unix)]
fn the_file_is_its_owners_alone_and_is_whole_when_closed() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, open) = folder();
    let store = open();
    grow(&store, &tenant(1), 1).unwrap();
    for name in ["k.db", "k.db-wal", "k.db-shm", "k.db.lock"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} {mode:o}");
    }
    drop(store);
    // Whoever copies the one file of a stopped store has everything.
    let copy = dir.path().join("copy.db");
    std::fs::copy(dir.path().join("k.db"), &copy).unwrap();
    assert_eq!(checked_size(&SqliteStore::open(&copy).unwrap(), &tenant(1)), 1);
}

struct Tmpfs(TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let done =
            mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(dir.path()).status();
        assert!(done.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
        Self(dir)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn many_writers_on_a_full_disk_lose_nothing_acknowledged() {
    const WRITERS: usize = 8;
    let disk = Tmpfs::mount("6m");
    let (ballast, path) = (disk.0.path().join("ballast"), disk.0.path().join("k.db"));
    std::fs::write(&ballast, vec![0; 2_000_000]).unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let sizes = at_once(WRITERS, |i| {
        let (mut size, store) = (0, &store);
        async move {
            loop {
                match grow(store, &tenant(i), 1 + u64::try_from(i).unwrap() * 10) {
                    Ok(grown) => size = grown,
                    Err(error) => break (size, error),
                }
            }
        }
    });
    for (i, (size, error)) in sizes.iter().enumerate() {
        assert!(matches!(error, StoreError::Full), "{i}: {error:?}");
        assert_eq!(checked_size(&store, &tenant(i)), *size, "{i}");
    }
    std::fs::remove_file(&ballast).unwrap();
    let later: Vec<_> = (0..WRITERS).map(|i| grow(&store, &tenant(i), 5).unwrap()).collect();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    for (i, size) in later.iter().enumerate() {
        assert_eq!((checked_size(&store, &tenant(i)), *size), (*size, sizes[i].0 + 5), "{i}");
    }
}

/// The child of the next test: four logs grow in steps of different sizes, and each new size is printed.
#[test]
#[ignore = "the child that the next test starts and kills"]
fn child_that_is_killed() {
    let path = std::env::var("KAKUNIN_TEST_STORE").unwrap();
    let store = SqliteStore::open(path).unwrap();
    at_once(4, |i| {
        let store = &store;
        async move {
            for step in (1..).map(|n| 1 + n * 37 % 200) {
                let size = grow(store, &tenant(i), step).unwrap();
                writeln!(std::io::stdout(), "ack {i} {size} ok").unwrap();
            }
        }
    });
}

#[test]
fn batches_of_many_logs_survive_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k.db");
    let mut acknowledged = [0; 4];
    for round in 0..15_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_is_killed", "--nocapture"])
            .env("KAKUNIN_TEST_STORE", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Not before it is at work; then at a moment that differs from round to round.
        let first = lines.by_ref().map(Result::unwrap).find(|l| l.starts_with("ack ")).unwrap();
        std::thread::sleep(Duration::from_micros(round * 7_919 % 50_000));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in std::iter::once(first).chain(lines.map_while(Result::ok)) {
            // The last line may be cut off: only one that has its end counts.
            let ["ack", log, size, "ok"] = line.split(' ').collect::<Vec<_>>()[..] else { continue };
            acknowledged[log.parse::<usize>().unwrap()] = size.parse().unwrap();
        }
        let store = SqliteStore::open(&path).unwrap();
        for (i, size) in acknowledged.iter_mut().enumerate() {
            let there = checked_size(&store, &tenant(i));
            assert!(there >= *size, "round {round}, log {i}: {size} acknowledged, {there} there");
            *size = there;
        }
    }
    assert!(acknowledged.iter().all(|size| *size > 0));
}
