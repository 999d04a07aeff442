//! What somebody wrote into the file, or cut off it, or put back.

use std::num::NonZeroU32;
use std::sync::Arc;

use kakunin_core::access::{ApiKey, JoinToken, KeyHash, Role};
use kakunin_core::agent::{Label, NewAgent};
use kakunin_core::error::StoreError;
use kakunin_core::event::StreamSeq;
use kakunin_core::id::SystemEntropy;
use kakunin_core::issue::Profile;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::merkle::{Frontier, leaf_hash};
use kakunin_core::log::note::VerifierKey;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, Kakunin, Parts};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_kms::local::{KdfCost, LocalKeys, Secret};
use pollster::block_on;
use rusqlite::Connection;

use crate::deployment::{MODEL, certified, checked_size, event, open};

#[test]
fn history_cannot_be_rewritten_by_sql() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    let serial = certified(&kakunin, &acme);
    block_on(kakunin.tenant(&acme).observe(event(serial))).unwrap();
    let size = checked_size(&kakunin, &acme);
    drop(kakunin);
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    raw.pragma_update(None, "recursive_triggers", "OFF").unwrap();
    for attack in [
        "UPDATE leaf SET leaf = x'00' WHERE idx = 1",
        "DELETE FROM leaf WHERE idx = 1",
        "DELETE FROM leaf",
        "INSERT OR REPLACE INTO leaf SELECT log_id, idx, x'00' FROM leaf WHERE idx = 1",
        "INSERT INTO leaf SELECT log_id, idx + 1000, leaf FROM leaf WHERE idx = 1",
        "UPDATE payload SET octets = x'00'",
        "DELETE FROM payload",
        "UPDATE batch SET root = zeroblob(32)",
        "DELETE FROM batch",
        "INSERT OR REPLACE INTO batch SELECT log_id, prev_size, new_size, zeroblob(32), frontier, time, '' FROM batch",
    ] {
        let refused = raw.execute_batch(attack).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{attack}: {refused}");
    }
    drop(raw);
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    assert_eq!(checked_size(&kakunin, &acme), size);
}

#[test]
fn a_file_whose_guards_were_removed_is_not_opened() {
    for attack in [
        "DROP TRIGGER leaf_update",
        "DROP TRIGGER leaf_order",
        "ALTER TABLE leaf ADD COLUMN x TEXT",
        "CREATE TABLE y(z)",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.db");
        drop(SqliteStore::open(&path).unwrap());
        Connection::open(&path).unwrap().execute_batch(attack).unwrap();
        assert!(matches!(SqliteStore::open(&path), Err(StoreError::Corrupt(_))), "{attack}");
    }
}

#[test]
fn a_changed_root_or_checkpoint_is_noticed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    certified(&kakunin, &acme);
    drop(kakunin);
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    raw.execute_batch("DROP TRIGGER batch_update; UPDATE batch SET time = time + 1, checkpoint = replace(checkpoint, 'agents', 'agentz');
        CREATE TRIGGER batch_update BEFORE UPDATE ON batch BEGIN SELECT RAISE(ABORT, 'append-only: batch'); END;").unwrap();
    drop(raw);
    let keys = LocalKeys::open_with_cost(
        dir.path().join("keys"),
        &Secret::new("passphrase").unwrap(),
        KdfCost(NonZeroU32::MIN),
    )
    .unwrap();
    let parts = Parts::new(SqliteStore::open(dir.path().join("k.db")).unwrap(), Arc::new(keys));
    let refused = block_on(Kakunin::open(Config::new("agents.example").unwrap(), parts)).unwrap_err();
    assert_eq!(refused.code(), "deployment_mismatch", "{refused}");
}

#[test]
fn leaves_that_were_cut_off_are_missed_when_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    certified(&kakunin, &acme);
    let size = block_on(kakunin.tenant(&acme).entries(0, 100)).unwrap().len();
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    raw.execute_batch("DROP TRIGGER leaf_delete; DELETE FROM leaf WHERE idx > 2;
        CREATE TRIGGER leaf_delete BEFORE DELETE ON leaf BEGIN SELECT RAISE(ABORT, 'append-only: leaf'); END;").unwrap();
    for (from, limit) in [(0, 100), (2, size), (3, 1), (u64::try_from(size).unwrap() - 1, 1)] {
        let short = block_on(kakunin.tenant(&acme).entries(from, limit)).unwrap_err();
        assert_eq!(short.code(), "storage_corrupt", "{from} {limit}");
    }
    assert_eq!(block_on(kakunin.tenant(&acme).entries(0, 3)).unwrap().len(), 3, "what is there is read");
    assert!(block_on(kakunin.tenant(&acme).entries(u64::try_from(size).unwrap(), 9)).unwrap().is_empty());
}

/// The deployment itself knows nothing better; whoever kept a checkpoint does, at once and ever after.
#[test]
fn an_older_copy_of_the_file_is_noticed_against_a_checkpoint_that_was_kept_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, file, copy) = (dir.path().join("keys"), dir.path().join("k.db"), dir.path().join("copy"));
    let (kakunin, acme) = open(dir.path(), &keys);
    let serial = certified(&kakunin, &acme);
    drop(kakunin);
    std::fs::copy(&file, &copy).unwrap();
    let (kakunin, acme) = open(dir.path(), &keys);
    block_on(kakunin.tenant(&acme).revoke(&serial, Cause::KeyCompromise)).unwrap();
    let key = VerifierKey::parse(&block_on(kakunin.tenant(&acme).log_verifier()).unwrap()).unwrap();
    let kept =
        Checkpoint::open(&block_on(kakunin.tenant(&acme).checkpoint()).unwrap().unwrap(), &key).unwrap();
    drop(kakunin);
    std::fs::copy(&copy, &file).unwrap();
    let (kakunin, acme) = open(dir.path(), &keys);
    let reason = kakunin.revocations().reason(&kakunin.issuer().id(), &serial).unwrap();
    assert_eq!((reason, kakunin.damage().count), (None, 0), "it goes on from there, and finds nothing wrong");
    assert!(checked_size(&kakunin, &acme) < kept.size);
    while checked_size(&kakunin, &acme) < kept.size {
        block_on(kakunin.tenant(&acme).observe(event(serial))).unwrap();
    }
    let mut frontier = Frontier::default();
    let entries = block_on(kakunin.tenant(&acme).entries(0, usize::try_from(kept.size).unwrap())).unwrap();
    entries.iter().for_each(|e| frontier.push(leaf_hash(&e.leaf)));
    assert_eq!(frontier.size(), kept.size);
    assert_ne!(frontier.root(), kept.root, "what grew from it is another log");
}

/// Secrets of somebody's own under identifiers that are on record, a stream that was never reported, an order to
/// retire the key of the CA: by SQL, while the deployment is closed.
#[test]
fn what_somebody_wrote_into_the_vault_and_beside_the_log_opens_and_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    let serial = certified(&kakunin, &acme);
    let other =
        block_on(kakunin.tenant(&acme).register(NewAgent::new("two", MODEL, ["read:a"]).unwrap())).unwrap();
    let label: Label = "a".parse().unwrap();
    let (facts, key) = block_on(kakunin.tenant(&acme).create_api_key(Role::Admin, label, None)).unwrap();
    let (join, token) =
        block_on(kakunin.tenant(&acme).create_join_token(&other.id, Profile::Standard, 600_000)).unwrap();
    drop(kakunin);
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    let ca_key: Vec<u8> = raw
        .query_row("SELECT value FROM state WHERE log_id = 1 AND kind = 12 ORDER BY key DESC", [], |r| {
            r.get(0)
        })
        .unwrap();
    let ca_key: serde_json::Value = serde_json::from_slice(&ca_key).unwrap();
    let ca_key = ca_key["ca_created"]["key"].as_str().unwrap().to_owned();
    let mine = |kind: &str, hash: KeyHash| {
        let hash: String = hash.as_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
        let sql = "UPDATE state SET value = CAST(json_set(CAST(value AS TEXT), '$.sha256', ?1) AS BLOB) WHERE kind = 7 AND CAST(key AS TEXT) LIKE ?2";
        assert_eq!(raw.execute(sql, (hash, format!("{kind}/%"))).unwrap(), 1);
    };
    let my_key = ApiKey::generate(&facts.id, &SystemEntropy).unwrap();
    let my_token = JoinToken::generate(&join.id, &SystemEntropy).unwrap();
    mine("api-key", my_key.hash().unwrap());
    mine("join-token", my_token.hash().unwrap());
    let log: i64 = raw.query_row("SELECT id FROM log WHERE name = 'acme'", [], |r| r.get(0)).unwrap();
    let agent = other.id.as_bytes();
    let stream = [agent.as_slice(), &[0], &1_u64.to_be_bytes()].concat();
    let high = [u64::MAX.to_be_bytes(), u64::MAX.to_be_bytes()].concat();
    let retire =
        format!(r#"{{"key":"{ca_key}","task":"retire","agent":"{}","serial":null,"told":false}}"#, other.id);
    let insert = "INSERT INTO state(log_id, kind, key, value) VALUES (?1, ?2, ?3, ?4)";
    raw.execute(insert, (log, 4, stream, high)).unwrap();
    raw.execute(insert, (log, 3, vec![0_u8; 8], retire.into_bytes())).unwrap();
    drop(raw);
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    assert!(kakunin.authenticate(my_key.reveal()).is_none() && kakunin.authenticate(key.reveal()).is_none());
    for token in [&my_token, &token] {
        let refused = block_on(kakunin.enrol(token.reveal(), b"")).unwrap_err();
        assert_eq!(refused.code(), "join_token_invalid", "{refused}");
    }
    let mut seen = event(serial);
    seen.stream = Some(StreamSeq { stream: 1, seq: 5 });
    assert!(block_on(kakunin.tenant(&acme).observe(seen)).unwrap().index.is_some(), "recorded");
    block_on(kakunin.tend()).unwrap();
    block_on(kakunin.check_signing()).unwrap();
    let found = kakunin.damage();
    for what in ["the hash of API key", "join token", "of kind `dedup`", "of kind `plan`"] {
        assert!(found.named.iter().any(|named| named.contains(what)), "{what}: {found:?}");
    }
    drop(kakunin);
    let (kakunin, _) = open(dir.path(), &dir.path().join("keys"));
    block_on(kakunin.tend()).unwrap();
    assert_eq!(kakunin.damage().count, 1, "the key whose hash is gone: {:?}", kakunin.damage());
}
