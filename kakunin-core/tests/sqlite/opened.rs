//! Which files are opened.

use kakunin_core::error::StoreError;
use kakunin_core::store::sqlite::SqliteStore;
use rusqlite::Connection;

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
