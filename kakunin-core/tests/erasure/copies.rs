//! Who copies the database has no name: neither of an agent, nor of what it acted upon, nor what it said.

use std::path::Path;
use std::sync::Arc;

use kakunin_core::service::Parts;
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::store::state::Kind;
use kakunin_kms::local::LocalKeys;

use crate::world::{at, over, word};

/// Whether these octets are anywhere in the files of this folder.
fn finds(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        let octets = std::fs::read(&path).unwrap();
        if octets.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn a_copy_of_the_database_says_nothing_of_what_events_hold() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(dir.path().join("k.db")).unwrap();
    let w = over(Parts::new(store, Arc::new(LocalKeys::ephemeral())));
    let (one, serial) = w.agent("persephone-7");
    let index = w.does(&serial, 1);
    w.is_there(index, 1);
    // Fingerprints of events, after the time of an identifier, are no rows that somebody could try names against.
    let time = at("2026-11-15").millis().to_be_bytes();
    let seen: Vec<_> = w.rows().into_iter().filter(|((kind, _), _)| *kind == Kind::Dedup.code()).collect();
    assert!(!seen.is_empty() && seen.iter().all(|(_, row)| !row.windows(8).any(|part| part == time)));
    // What stands in leaves is there, so that the look is one.
    assert!(!finds(dir.path(), "read:accounts").is_empty());
    assert_eq!(finds(dir.path(), &word(1)), Vec::<String>::new(), "in the file and in its WAL");
    let why = "GDPR Art. 17, ticket 4711";
    w.erase(&one, "2026-11", "2026-11").unwrap();
    assert_eq!(finds(dir.path(), why), Vec::<String>::new(), "nor of why it was erased");
    assert_eq!(finds(dir.path(), "persephone-7"), Vec::<String>::new(), "neither in records nor in rows");
    let keys = finds(dir.path(), "payload-key/");
    assert_eq!(keys, Vec::<String>::new(), "no key lies beside what it opens");
}
