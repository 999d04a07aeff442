//! Whoever has the file changes it, and whoever checks the logs names the first record that does not fit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use kakunin_core::id::{Serial, TenantId};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::leaf::Leaf;
use kakunin_core::log::note::VerifierKey;
use kakunin_core::service::{CheckedLog, Kakunin, LogCheck, decrypted};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::heads::Newest;
use kakunin_core::store::sqlite::{SqliteReader, SqliteStore};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::deployment::{certified, event, open, secret};

/// A folder with a life in it that is over: eight appends of five events at the end of the tenant's log.
struct World {
    dir: TempDir,
    acme: TenantId,
    /// Index of the first of these events.
    first: u64,
    /// Checkpoint of the tenant's log before them, and after.
    kept: [String; 2],
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    let serial = certified(&kakunin, &acme);
    // So that there is a log of revocations.
    block_on(kakunin.tenant(&acme).hold(&serial)).unwrap();
    block_on(kakunin.tenant(&acme).release(&serial)).unwrap();
    let checkpoint = || block_on(kakunin.tenant(&acme).checkpoint()).unwrap().unwrap();
    let before = checkpoint();
    let first = before.lines().nth(1).unwrap().parse().unwrap();
    (0..8).for_each(|_| act(&kakunin, &acme, serial, 5));
    let kept = [before, checkpoint()];
    drop(kakunin);
    World { dir, acme, first, kept }
}

pub(crate) fn act(kakunin: &Kakunin, acme: &TenantId, serial: Serial, count: usize) {
    let events = (0..count).map(|_| event(serial)).collect();
    block_on(kakunin.tenant(acme).observe_all(events))
        .unwrap()
        .into_iter()
        .for_each(|seen| _ = seen.unwrap());
}

impl World {
    fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("k.db")
    }

    fn log(&self) -> LogId {
        LogId::Tenant(self.acme.clone())
    }

    /// The tenant's log of a copy of the file, after somebody without a key was at it.
    fn after(&self, from: u64, kept: &[String], attack: impl FnOnce(&Connection)) -> CheckedLog {
        let copy = self.dir.path().join("copy.db");
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", copy.display()));
        }
        std::fs::copy(self.file(), &copy).unwrap();
        let connection = Connection::open(&copy).unwrap();
        let sql =
            "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema WHERE type = 'trigger'";
        let drops: String = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        connection.execute_batch(&drops).unwrap();
        attack(&connection);
        drop(connection);
        checked((&copy, &self.keys()), &self.log(), from, kept, None)
    }

    /// What is named after that: first, last, and what does not fit.
    fn bad(&self, attack: impl FnOnce(&Connection, i64)) -> Option<(u64, u64, &'static str)> {
        let checked = self.after(0, &[], |connection| attack(connection, self.id(connection)));
        checked.bad.map(|bad| (bad.first, bad.last, bad.fault.code()))
    }

    fn id(&self, connection: &Connection) -> i64 {
        let name = self.log().to_string();
        connection.query_row("SELECT id FROM log WHERE name = ?1", [name], |row| row.get(0)).unwrap()
    }
}

/// A file, and what its log says, for who has the keys.
pub(crate) fn read(file: &Path, keys: &Path) -> (Arc<SqliteReader>, Arc<dyn AuditSink>) {
    let store = Arc::new(SqliteReader::open(file).unwrap());
    let sink =
        block_on(decrypted(store.clone(), store.clone(), &LocalKeys::open_to_read(keys, &secret()).unwrap()))
            .unwrap();
    (store, sink)
}

pub(crate) fn checked(
    (file, keys): (&Path, &Path),
    log: &LogId,
    from: u64,
    kept: &[String],
    key: Option<&str>,
) -> CheckedLog {
    let (store, sink) = read(file, keys);
    let key = key.map(|key| VerifierKey::parse(key).unwrap());
    let check = block_on(LogCheck::new(&*sink, &*store, key)).unwrap();
    block_on(check.log(log, from, kept, &mut |_| {})).unwrap()
}

/// Flips the last octet of a value.
fn flip(connection: &Connection, table: &str, column: &str, place: &str) {
    let sql = format!("SELECT CAST({column} AS BLOB), typeof({column}) FROM {table} WHERE {place}");
    let (mut value, kind): (Vec<u8>, String) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    *value.last_mut().unwrap() ^= 1;
    let sql = format!("UPDATE {table} SET {column} = CAST(?1 AS {kind}) WHERE {place}");
    assert_eq!(connection.execute(&sql, params![value]).unwrap(), 1);
}

#[test]
fn a_log_that_is_what_was_signed_is_good() {
    let world = world();
    let (store, sink) = read(&world.file(), &world.keys());
    let check = block_on(LogCheck::new(&*sink, &*store, None)).unwrap();
    let logs = block_on(store.logs()).unwrap();
    assert_eq!(logs.len(), 3, "{logs:?}");
    for log in &logs {
        let mut told = Vec::new();
        let checked =
            block_on(check.log(log, 0, &world.kept, &mut |at| told.push((at.done, at.of)))).unwrap();
        assert_eq!(checked.bad, None, "{log}");
        assert_eq!((checked.records, checked.from), (checked.size, 0));
        assert_eq!(told.last(), Some(&(checked.size, checked.size)));
        assert_eq!(checked.root, block_on(store.head(log)).unwrap().0.frontier.root());
    }
    // From the middle of an append: from where it began.
    let from = checked((&world.file(), &world.keys()), &world.log(), world.first + 7, &world.kept, None);
    assert_eq!((from.from, from.records, from.heads, from.bad), (world.first + 5, 35, 7, None));
    assert_eq!(from.payloads, 35);
}

#[test]
fn each_octet_that_is_not_what_was_signed_is_named_by_its_index() {
    let world = world();
    let n = world.first + 12;
    let place = |id: i64| format!("log_id = {id} AND idx = {n}");
    let append = (world.first + 10, world.first + 14);
    let beside = |code| Some((n, n, code));
    assert_eq!(world.bad(|c, id| flip(c, "leaf", "leaf", &place(id))), beside("payload_altered"));
    assert_eq!(world.bad(|c, id| flip(c, "payload", "octets", &place(id))), beside("payload_altered"));
    assert_eq!(world.bad(|c, id| flip(c, "payload", "salt", &place(id))), beside("payload_altered"));
    let delete = |c: &Connection, table: &str, place: String| {
        assert_ne!(c.execute(&format!("DELETE FROM {table} WHERE {place}"), []).unwrap(), 0);
    };
    assert_eq!(world.bad(|c, id| delete(c, "payload", place(id))), beside("payload_missing"));
    assert_eq!(world.bad(|c, id| delete(c, "leaf", place(id))), beside("record_missing"));
    // Only the head shows which leaves were signed: of those of one append, that is.
    let other_at = |c: &Connection, place: String, change: &dyn Fn(&mut Leaf)| {
        let sql = format!("SELECT leaf FROM leaf WHERE {place}");
        let leaf: Vec<u8> = c.query_row(&sql, [], |row| row.get(0)).unwrap();
        let mut leaf = Leaf::decode(&leaf).unwrap();
        change(&mut leaf);
        let sql = format!("UPDATE leaf SET leaf = ?1 WHERE {place}");
        c.execute(&sql, params![leaf.encode().unwrap()]).unwrap();
    };
    let other = |c: &Connection, id: i64, change: &dyn Fn(&mut Leaf)| other_at(c, place(id), change);
    let by_head = |code| Some((append.0, append.1, code));
    let denied = |leaf: &mut Leaf| leaf.act.as_mut().unwrap().tool = Some("another".into());
    assert_eq!(world.bad(|c, id| other(c, id, &denied)), by_head("root_differs"));
    // What it is says by which key it is read.
    assert_eq!(world.bad(|c, id| other(c, id, &|leaf| leaf.kind = 300)), beside("payload_altered"));
    let first = |id: i64| format!("log_id = {id} AND idx = 0");
    let unknown = world.bad(|c, id| other_at(c, first(id), &|leaf| leaf.kind = 300));
    assert_eq!(unknown, Some((0, 0, "kind_unknown")));
    assert_eq!(
        world.bad(|c, id| other(c, id, &|leaf| leaf.time = leaf.time.minus(86_400_000))),
        beside("time_went_back")
    );
    let swap = |c: &Connection, id: i64| {
        for table in ["leaf", "payload"] {
            for (from, to) in [(n, 1_000_000), (n + 1, n), (1_000_000, n + 1)] {
                let sql = format!("UPDATE {table} SET idx = {to} WHERE log_id = {id} AND idx = {from}");
                assert_eq!(c.execute(&sql, []).unwrap(), 1);
            }
        }
    };
    assert_eq!(world.bad(swap), by_head("root_differs"));
}

#[test]
fn heads_are_held_against_leaves_and_key() {
    let world = world();
    let (n, size) = (world.first + 15, world.first + 40);
    let head = |id: i64| format!("log_id = {id} AND new_size = {n}");
    let by_head = |code| Some((world.first + 10, world.first + 14, code));
    let at_head = |column: &'static str| {
        world.bad(|c, id| {
            if column == "checkpoint" {
                // In the signature.
                let sql = format!("SELECT checkpoint FROM batch WHERE {}", head(id));
                let note: String = c.query_row(&sql, [], |row| row.get(0)).unwrap();
                let at = note.len() - 20;
                let other = if note.as_bytes()[at] == b'A' { "B" } else { "A" };
                let note = format!("{}{other}{}", &note[..at], &note[at + 1..]);
                c.execute(&format!("UPDATE batch SET checkpoint = ?1 WHERE {}", head(id)), [note]).unwrap();
            } else {
                flip(c, "batch", column, &head(id));
            }
        })
    };
    assert_eq!(at_head("checkpoint"), by_head("checkpoint_unsigned"));
    assert_eq!([at_head("root"), at_head("frontier")], [by_head("root_differs"); 2]);
    let sql =
        |what: &'static str| world.bad(|c, id| c.execute_batch(&what.replace("ID", &head(id))).unwrap());
    assert_eq!(sql("UPDATE batch SET time = time + 1 WHERE ID"), by_head("head_time_differs"));
    let missing = Some((world.first + 10, world.first + 19, "append_missing"));
    assert_eq!(sql("DELETE FROM batch WHERE ID"), missing);
    // A checkpoint of another moment, or log, is by the key, and not over these leaves.
    let other = "UPDATE batch SET checkpoint = (SELECT b.checkpoint FROM batch b WHERE b.log_id = OTHER LIMIT 1) WHERE ID";
    let moved = |which: &str| {
        world.bad(|c, id| {
            let which = if which == "same" {
                id.to_string()
            } else {
                format!("(SELECT id FROM log WHERE name = '{which}')")
            };
            c.execute_batch(&other.replace("OTHER", &which).replace("ID", &head(id))).unwrap();
        })
    };
    assert_eq!(moved("same"), by_head("checkpoint_differs"));
    assert_eq!(moved("_system"), by_head("checkpoint_of_another_log"));
    // The end.
    let end = |what: &str| {
        world.bad(|c, id| c.execute_batch(&what.replace("ID", &format!("log_id = {id}"))).unwrap())
    };
    let cut = format!("DELETE FROM leaf WHERE ID AND idx >= {}", size - 2);
    assert_eq!(end(&cut), Some((size - 2, size - 2, "record_missing")));
    let headless = format!("DELETE FROM batch WHERE ID AND new_size = {size}");
    assert_eq!(end(&headless), Some((size - 5, size - 5, "append_missing")));
}

#[test]
fn what_no_file_shows_a_checkpoint_kept_elsewhere_does() {
    let world = world();
    let size = world.first + 40;
    let cut = |c: &Connection| {
        let id = world.id(c);
        let end = size - 5;
        c.execute_batch(&format!(
            "DELETE FROM leaf WHERE log_id = {id} AND idx >= {end}; DELETE FROM payload WHERE log_id = {id} AND idx >= {end};
             DELETE FROM batch WHERE log_id = {id} AND new_size > {end}"
        ))
        .unwrap();
    };
    assert_eq!(world.after(0, &[], cut).bad, None);
    let bad = world.after(0, &world.kept, cut).bad.unwrap();
    assert_eq!((bad.first, bad.last, bad.fault.code()), (size - 5, size - 1, "log_cut_off"));
    // A copy of before goes on in another way.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(world.file(), copy.path().join("k.db")).unwrap();
    let go_on = |dir: &Path, count| {
        let (kakunin, acme) = open(dir, &world.dir.path().join("keys"));
        let serial = certified(&kakunin, &acme);
        act(&kakunin, &acme, serial, count);
        block_on(kakunin.tenant(&acme).checkpoint()).unwrap().unwrap()
    };
    let kept = [go_on(world.dir.path(), 3)];
    go_on(copy.path(), 9);
    assert_eq!(checked((&world.file(), &world.keys()), &world.log(), 0, &kept, None).bad, None);
    let bad = checked((&copy.path().join("k.db"), &world.keys()), &world.log(), 0, &kept, None).bad.unwrap();
    assert_eq!(bad.fault.code(), "kept_checkpoint_differs");
    // What is before the index is believed for the checkpoint over it.
    let flipped = |from| {
        world.after(from, &[], |c| {
            flip(c, "payload", "octets", &format!("log_id = {} AND idx = {}", world.id(c), world.first + 3))
        })
    };
    assert_eq!((flipped(0).bad.unwrap().first, flipped(world.first + 5).bad), (world.first + 3, None));
}

#[test]
fn a_deployment_written_anew_under_another_key_is_none_of_the_key_that_was_kept() {
    let (kept, forged) = (world(), world());
    let key = |world: &World| {
        let store = SqliteReader::open(world.file()).unwrap();
        block_on(LogCheck::new(&store, &store, None)).unwrap().key().to_string()
    };
    let check = |key: &str| checked((&forged.file(), &forged.keys()), &LogId::System, 0, &[], Some(key)).bad;
    assert_eq!(check(&key(&forged)), None);
    let bad = check(&key(&kept)).unwrap();
    assert_eq!((bad.first, bad.fault.code()), (0, "checkpoint_unsigned"));
    // The key of another log says nothing of all.
    let store = SqliteReader::open(kept.file()).unwrap();
    let tenants = key(&kept).replace("_system", "acme");
    assert!(VerifierKey::parse(&tenants).is_err(), "the name is part of what the key's id hashes");
    let tenants = VerifierKey::parse(&key(&kept)).unwrap().named("host/acme/1").unwrap();
    assert!(block_on(LogCheck::new(&store, &store, Some(tenants))).is_err());
}

/// Says so once it is dropped, also by a panic.
struct Ends<'e>(&'e AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn it_runs_beside_whoever_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    let (serial, ended) = (certified(&kakunin, &acme), AtomicBool::new(false));
    let log = LogId::Tenant(acme.clone());
    std::thread::scope(|scope| {
        for count in [1, 7] {
            let (kakunin, acme, ended) = (&kakunin, &acme, &ended);
            scope.spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    act(kakunin, acme, serial, count);
                }
            });
        }
        let _ended = Ends(&ended);
        let (mut sizes, until) = (Vec::new(), Instant::now() + Duration::from_secs(60));
        while sizes.len() < 12 || sizes.last() < Some(&(sizes[0] + 60)) && Instant::now() < until {
            let checked = checked((&dir.path().join("k.db"), &dir.path().join("keys")), &log, 0, &[], None);
            assert_eq!(checked.bad, None);
            assert_eq!(checked.records, checked.size);
            sizes.push(checked.size);
        }
        assert!(sizes.is_sorted() && sizes.last() >= Some(&(sizes[0] + 60)), "{sizes:?}");
    });
}

#[test]
fn who_only_reads_writes_nothing_and_takes_no_file_that_is_not_ours() {
    let world = world();
    let reader = SqliteReader::open(world.file()).unwrap();
    assert!(block_on(reader.append(Vec::new())).is_err());
    // Beside the one that writes; and that one is kept out by nobody who reads.
    let writer = SqliteStore::open(world.file()).unwrap();
    assert_eq!(block_on(writer.logs()).unwrap(), block_on(reader.logs()).unwrap());
    let other = world.dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    assert_eq!(SqliteReader::open(&other).unwrap_err().code(), "storage_foreign");
    assert!(SqliteReader::open(world.dir.path().join("none.db")).is_err());
    assert!(!world.dir.path().join("none.db").exists());
}

/// Any sink can be checked, by the one head that it keeps.
#[test]
fn a_sink_that_keeps_one_head_is_checked_by_that() {
    let world = world();
    let ((_, store), memory) = (read(&world.file(), &world.keys()), MemoryStore::new());
    for log in block_on(store.logs()).unwrap() {
        let (head, checkpoint) = block_on(store.head(&log)).unwrap();
        let entries = block_on(store.read(&log, 0, 10_000)).unwrap();
        let append = kakunin_core::store::audit::Append {
            log,
            expected: kakunin_core::store::audit::Head::default(),
            next: head,
            entries,
            checkpoint: checkpoint.unwrap(),
            changes: Vec::new().into(),
            revocations: Vec::new(),
            bindings: Vec::new(),
            reserved: false,
        };
        block_on(memory.append(vec![append])).unwrap();
    }
    let newest = Newest(&memory);
    let check = block_on(LogCheck::new(&memory, &newest, None)).unwrap();
    let checked = block_on(check.log(&world.log(), 0, &world.kept, &mut |_| {})).unwrap();
    assert_eq!((checked.records, checked.heads, checked.bad), (world.first + 40, 1, None));
}
