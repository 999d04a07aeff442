//! The SQLite file under attack, on a full disk, and killed.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::io::{BufRead, BufReader};
use std::num::NonZeroU32;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use kakunin_core::access::{ApiKey, JoinToken, KeyHash, Role};
use kakunin_core::agent::{Label, NewAgent};
use kakunin_core::error::StoreError;
use kakunin_core::event::{Event, Outcome, StreamSeq};
use kakunin_core::id::{Serial, SystemEntropy, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::merkle::{Frontier, leaf_hash};
use kakunin_core::log::note::VerifierKey;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_kms::local::{KdfCost, LocalKeys, Secret};
use pollster::block_on;
use rusqlite::Connection;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Opens the deployment of a folder, with keys that survive the process.
fn open(dir: &Path, keys: &Path) -> (Kakunin, TenantId) {
    let secret = Secret::new("passphrase").unwrap();
    let keys = LocalKeys::open_with_cost(keys, &secret, KdfCost(NonZeroU32::MIN)).unwrap();
    let parts = Parts::new(SqliteStore::open(dir.join("k.db")).unwrap(), Arc::new(keys));
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let kakunin = block_on(Kakunin::open(config, parts)).unwrap();
    let acme: TenantId = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    (kakunin, acme)
}

fn certified(kakunin: &Kakunin, acme: &TenantId) -> Serial {
    let agent = block_on(kakunin.register(acme, NewAgent::new("one", MODEL, ["read:a"]).unwrap())).unwrap();
    let source = KeySource::Provider(KeyAlgorithm::P256);
    block_on(kakunin.certify(acme, &agent.id, Profile::Standard, source)).unwrap().facts.serial
}

fn event(serial: Serial) -> Event {
    let mut event = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    event.details = Some("x".repeat(500).parse().unwrap());
    event
}

/// The log's size, once every record is there and they lead to the signed root.
fn checked_size(kakunin: &Kakunin, acme: &TenantId) -> u64 {
    let mut frontier = Frontier::default();
    loop {
        let entries = block_on(kakunin.entries(acme, frontier.size(), 1_000)).unwrap();
        if entries.is_empty() {
            break;
        }
        entries.iter().for_each(|e| frontier.push(leaf_hash(&e.leaf)));
    }
    let key = VerifierKey::parse(&block_on(kakunin.log_verifier(acme)).unwrap()).unwrap();
    let signed = Checkpoint::open(&block_on(kakunin.checkpoint(acme)).unwrap().unwrap(), &key).unwrap();
    assert_eq!((signed.size, signed.root), (frontier.size(), frontier.root()));
    frontier.size()
}

#[test]
fn history_cannot_be_rewritten_by_sql() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    let serial = certified(&kakunin, &acme);
    block_on(kakunin.observe(&acme, event(serial))).unwrap();
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
    let size = block_on(kakunin.entries(&acme, 0, 100)).unwrap().len();
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    raw.execute_batch("DROP TRIGGER leaf_delete; DELETE FROM leaf WHERE idx > 2;
        CREATE TRIGGER leaf_delete BEFORE DELETE ON leaf BEGIN SELECT RAISE(ABORT, 'append-only: leaf'); END;").unwrap();
    for (from, limit) in [(0, 100), (2, size), (3, 1), (u64::try_from(size).unwrap() - 1, 1)] {
        let short = block_on(kakunin.entries(&acme, from, limit)).unwrap_err();
        assert_eq!(short.code(), "storage_corrupt", "{from} {limit}");
    }
    assert_eq!(block_on(kakunin.entries(&acme, 0, 3)).unwrap().len(), 3, "what is there is read");
    assert!(block_on(kakunin.entries(&acme, u64::try_from(size).unwrap(), 9)).unwrap().is_empty());
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
    block_on(kakunin.revoke(&acme, &serial, Cause::KeyCompromise)).unwrap();
    let key = VerifierKey::parse(&block_on(kakunin.log_verifier(&acme)).unwrap()).unwrap();
    let kept = Checkpoint::open(&block_on(kakunin.checkpoint(&acme)).unwrap().unwrap(), &key).unwrap();
    drop(kakunin);
    std::fs::copy(&copy, &file).unwrap();
    let (kakunin, acme) = open(dir.path(), &keys);
    let reason = kakunin.revocations().reason(&kakunin.issuer().id(), &serial).unwrap();
    assert_eq!((reason, kakunin.damage().count), (None, 0), "it goes on from there, and finds nothing wrong");
    assert!(checked_size(&kakunin, &acme) < kept.size);
    while checked_size(&kakunin, &acme) < kept.size {
        block_on(kakunin.observe(&acme, event(serial))).unwrap();
    }
    let mut frontier = Frontier::default();
    let entries = block_on(kakunin.entries(&acme, 0, usize::try_from(kept.size).unwrap())).unwrap();
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
    let other = block_on(kakunin.register(&acme, NewAgent::new("two", MODEL, ["read:a"]).unwrap())).unwrap();
    let label: Label = "a".parse().unwrap();
    let (facts, key) = block_on(kakunin.create_api_key(&acme, Role::Admin, label, None)).unwrap();
    let (join, token) =
        block_on(kakunin.create_join_token(&acme, &other.id, Profile::Standard, 600_000)).unwrap();
    drop(kakunin);
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    let ca_key: Vec<u8> = raw
        .query_row(
            "SELECT value FROM state WHERE log_id = 1 AND kind = 2 AND key LIKE 'ca/%' ORDER BY key DESC",
            [],
            |r| r.get(0),
        )
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
    assert!(block_on(kakunin.observe(&acme, seen)).unwrap().index.is_some(), "recorded");
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

#[test]
fn a_file_of_format_1_gets_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
    certified(&kakunin, &acme);
    drop(kakunin);
    let raw = Connection::open(dir.path().join("k.db")).unwrap();
    raw.execute_batch("DROP TRIGGER payload_new; PRAGMA user_version = 1").unwrap();
    raw.execute_batch("REPLACE INTO payload SELECT log_id, idx, salt, octets FROM payload").unwrap();
    drop(open(dir.path(), &dir.path().join("keys")));
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

#[test]
fn a_full_disk_is_one_clear_error_and_loses_nothing_acknowledged() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=3m", "tmpfs"]).arg(dir.path()).status();
    assert!(mounted.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
    let _unmount = Unmount(dir.path());
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1_000_000]).unwrap();
    let (kakunin, acme) = open(dir.path(), keys.path());
    let serial = certified(&kakunin, &acme);
    let mut acknowledged = Vec::new();
    let error = loop {
        match block_on(kakunin.observe(&acme, event(serial))) {
            Ok(seen) => acknowledged.push(seen.index.unwrap()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "storage_full", "{error}");
    assert!(error.to_string().contains("free space") && acknowledged.len() > 50, "{error}");
    let size = checked_size(&kakunin, &acme);
    assert!(acknowledged.iter().all(|index| *index < size));
    assert_eq!(block_on(kakunin.observe(&acme, event(serial))).unwrap_err().code(), "storage_full");
    std::fs::remove_file(&ballast).unwrap();
    acknowledged.push(block_on(kakunin.observe(&acme, event(serial))).unwrap().index.unwrap());
    drop(kakunin);
    let (kakunin, acme) = open(dir.path(), keys.path());
    let size = checked_size(&kakunin, &acme);
    assert!(acknowledged.windows(2).all(|w| w[0] < w[1]) && acknowledged.iter().all(|index| *index < size));
}

#[test]
fn while_a_flood_fills_the_disk_every_halt_goes_through() {
    let (dir, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"]).arg(dir.path()).status();
    assert!(mounted.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
    let _unmount = Unmount(dir.path());
    let (kakunin, acme) = open(dir.path(), keys.path());
    let agent = |n: usize| {
        let new = NewAgent::new(&format!("a{n}"), MODEL, ["read:a"]).unwrap();
        let id = block_on(kakunin.register(&acme, new)).unwrap().id;
        let source = KeySource::Provider(KeyAlgorithm::P256);
        (id, block_on(kakunin.certify(&acme, &id, Profile::Standard, source)).unwrap().facts.serial)
    };
    let agents: Vec<_> = (0..31).map(agent).collect();
    let flooding = agents[0].1;
    let (recorded, refused, over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let set_aside = block_on(kakunin.room()).reserve;
    assert!(set_aside >= 1 << 20);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    match block_on(kakunin.observe_all(&acme, vec![event(flooding); 50])) {
                        Ok(each) => each.iter().for_each(|one| match one {
                            Ok(_) => _ = recorded.fetch_add(1, Ordering::Relaxed),
                            Err(error) => {
                                assert_eq!(error.code(), "storage_full");
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }),
                        Err(error) => assert_eq!(error.code(), "storage_full"),
                    }
                }
            });
        }
        for (n, (id, _)) in agents[1..].iter().enumerate() {
            // Some before there is no room, most after.
            while n == 5 && refused.load(Ordering::Relaxed) == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            block_on(kakunin.halt(&acme, id, Cause::OperatorInitiated, None)).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
    let room = block_on(kakunin.room());
    assert!(room.full && room.reserve > 0 && recorded.load(Ordering::Relaxed) > 100, "{room:?}");
    let size = checked_size(&kakunin, &acme);
    drop(kakunin);
    let (kakunin, acme) = open(dir.path(), keys.path());
    assert_eq!(checked_size(&kakunin, &acme), size);
    for (_, serial) in &agents[1..] {
        assert!(kakunin.revocations().reason(&kakunin.issuer().id(), serial).unwrap().is_some());
    }
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// Observes for ever, and prints each index it was given.
#[test]
#[ignore = "the child that the next test starts and kills"]
fn child_that_is_killed() {
    let dir = std::env::var("KAKUNIN_TEST_DIR").unwrap();
    let dir = Path::new(&dir);
    let (kakunin, acme) = open(dir, &dir.join("keys"));
    let serial = certified(&kakunin, &acme);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    println!(
                        "ack {}",
                        block_on(kakunin.observe(&acme, event(serial))).unwrap().index.unwrap()
                    );
                }
            });
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_is_killed", "--nocapture"])
            .env("KAKUNIN_TEST_DIR", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Not before it is at work; then at a moment that differs from round to round.
        let first = lines.by_ref().map(Result::unwrap).find(|l| l.starts_with("ack ")).unwrap();
        std::thread::sleep(Duration::from_millis(5 + round * 17 % 60));
        child.kill().unwrap();
        child.wait().unwrap();
        let acks = std::iter::once(first).chain(lines.map_while(Result::ok));
        // The last line may be cut off: only whole numbers before a newline count.
        let highest = acks.filter_map(|l| l.strip_prefix("ack ")?.parse::<u64>().ok()).max().unwrap();
        let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
        let size = checked_size(&kakunin, &acme);
        assert!(highest < size, "round {round}: {highest} was acknowledged, {size} are there");
        assert!(size > acknowledged, "round {round}");
        acknowledged = highest;
    }
}
