//! Which files are opened.

use kakunin_core::error::StoreError;
use kakunin_core::store::sqlite::SqliteStore;
use rusqlite::Connection;

use crate::deployment::{certified, open};
use crate::former::{NOW, copied, opened};

#[test]
fn a_file_of_format_1_gets_what_it_lacks() {
    // What was written in that format is not encrypted.
    let (dir, _) = copied();
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    let before =
        "DROP TRIGGER IF EXISTS payload_new; DROP TABLE IF EXISTS bound_key; PRAGMA user_version = 1";
    raw.execute_batch(before).unwrap();
    raw.execute_batch("REPLACE INTO payload SELECT log_id, idx, salt, octets FROM payload").unwrap();
    drop(opened(dir.path(), NOW));
    let bound: u32 = raw.query_row("SELECT count(*) FROM bound_key", [], |row| row.get(0)).unwrap();
    assert!(bound > 3, "{bound}");
    let replaced = raw.execute_batch("REPLACE INTO payload SELECT log_id, idx, salt, octets FROM payload");
    assert!(replaced.unwrap_err().to_string().contains("append-only"));
}

/// The trigger as format 3 had it.
const FORMER: &str = "CREATE TRIGGER payload_new BEFORE INSERT ON payload
WHEN EXISTS (SELECT 1 FROM payload WHERE log_id = NEW.log_id AND idx = NEW.idx)
  OR NEW.idx < (SELECT coalesce(max(new_size), 0) FROM batch WHERE log_id = NEW.log_id)
  OR NOT EXISTS (SELECT 1 FROM leaf WHERE log_id = NEW.log_id AND idx = NEW.idx)
BEGIN SELECT RAISE(ABORT, 'append-only: payload'); END";

#[test]
fn a_file_of_format_3_gets_the_trigger_of_today_which_promises_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    certified(&kakunin, &acme);
    drop(kakunin);
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    raw.execute_batch(&format!("DROP TRIGGER payload_new; {FORMER}; PRAGMA user_version = 3")).unwrap();
    drop(open(dir.path(), &dir.path().join("keys")));
    let version: i64 = raw.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 4);
    raw.pragma_update(None, "recursive_triggers", "OFF").unwrap();
    for attack in [
        "REPLACE INTO payload SELECT log_id, idx, salt, x'00' FROM payload",
        "INSERT INTO payload SELECT log_id, idx + 1000, salt, octets FROM payload WHERE idx = 1",
        "INSERT INTO payload SELECT log_id, -1 - idx, salt, octets FROM payload WHERE idx = 1",
    ] {
        let refused = raw.execute_batch(attack).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{attack}: {refused}");
    }
}

#[test]
fn a_file_that_is_not_ours_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine(x)").unwrap();
    let refused = SqliteStore::open(&path).unwrap_err();
    assert!(
        matches!(refused, StoreError::Foreign(_)) && refused.to_string().contains("another application"),
        "{refused}"
    );
    std::fs::write(&path, vec![7; 10_000]).unwrap();
    let refused = SqliteStore::open(&path).unwrap_err();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused}");
    std::fs::remove_file(&path).unwrap();
    drop(SqliteStore::open(&path).unwrap());
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(StoreError::Corrupt(_))), "half a file");
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _held = SqliteStore::open(dir.path().join("k.db")).unwrap();
    let refused = SqliteStore::open(dir.path().join("k.db")).unwrap_err().to_string();
    assert!(refused.contains("in use by another process"), "{refused}");
}
