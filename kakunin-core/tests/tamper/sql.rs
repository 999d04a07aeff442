//! What somebody attempts by SQL, over a connection that this program did not set up.

use kakunin_core::error::StoreError;
use kakunin_core::service::Error;
use rusqlite::Connection;

use crate::world::World;

fn closed() -> World {
    let world = World::new(false);
    let running = world.open();
    let serial = running.certified("one");
    running.observe(serial, 4);
    world
}

fn refuses(raw: &Connection, sql: &str, why: &str) {
    let refused = raw.execute_batch(sql).expect_err(sql).to_string();
    assert!(refused.contains(why), "{sql}: {refused}");
}

#[test]
fn append_only_tables_refuse_changes_whatever_the_connection_says_of_triggers() {
    let world = closed();
    let raw = world.sql();
    for recursive in ["OFF", "ON"] {
        raw.pragma_update(None, "recursive_triggers", recursive).unwrap();
        for attack in [
            "UPDATE leaf SET leaf = x'00' WHERE idx = 1",
            "DELETE FROM leaf WHERE idx = 1",
            "UPDATE payload SET octets = x'00'",
            "DELETE FROM payload",
            "UPDATE batch SET root = zeroblob(32)",
            "DELETE FROM batch",
            "UPDATE log SET name = 'other'",
            "DELETE FROM bound_key",
            // Replaced in silence, were there only triggers on DELETE and they did not fire.
            "INSERT OR REPLACE INTO leaf SELECT log_id, idx, x'00' FROM leaf WHERE idx = 1",
            "REPLACE INTO payload SELECT log_id, idx, salt, x'00' FROM payload",
            "INSERT OR REPLACE INTO batch SELECT log_id, prev_size, new_size, zeroblob(32), frontier, time, '' FROM batch",
            "INSERT INTO leaf SELECT log_id, idx, x'00' FROM leaf WHERE idx = 1 ON CONFLICT DO UPDATE SET leaf = x'00'",
            // A gap.
            "INSERT INTO leaf SELECT log_id, idx + 1000, leaf FROM leaf WHERE idx = 1",
        ] {
            refuses(&raw, attack, "append-only");
        }
    }
    // There are triggers on rows alone.
    raw.execute_batch("UPDATE leaf SET leaf = x'00' WHERE idx < 0; DELETE FROM leaf WHERE idx < 0").unwrap();
    drop(raw);
    let running = world.open();
    assert_eq!(running.verify(&running.checkpoint()), Ok(()));
    assert_eq!(running.finds(), Vec::<String>::new());
}

#[test]
fn a_value_of_another_type_is_refused_and_one_that_no_check_saw_is_found() {
    let world = closed();
    let raw = world.sql();
    let last =
        "SELECT log_id, max(idx) + 1, %1 FROM leaf WHERE log_id = (SELECT id FROM log WHERE name = 'acme')";
    let insert = |value: &str| format!("INSERT INTO leaf {}", last.replace("%1", value));
    refuses(&raw, &insert("'text'"), "cannot store TEXT");
    refuses(&raw, &insert("zeroblob(600)"), "CHECK constraint");
    raw.pragma_update(None, "ignore_check_constraints", "ON").unwrap();
    refuses(&raw, &insert("'text'"), "cannot store TEXT");
    raw.execute_batch(&insert("zeroblob(600)")).unwrap();
    drop(raw);
    let refused = world.try_open().err().expect("it opens");
    assert!(matches!(refused, Error::Store(StoreError::Corrupt(_))), "{refused}");
    assert!(refused.to_string().contains("acme"), "{refused}");
}

#[test]
fn a_file_whose_triggers_were_removed_is_refused_and_what_was_done_then_with_it() {
    let delete = "DELETE FROM leaf WHERE idx = 1";
    for (attack, then) in [
        ("DROP TRIGGER leaf_delete", delete),
        ("PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE type = 'trigger'", delete),
        ("CREATE TRIGGER mine AFTER INSERT ON leaf BEGIN DELETE FROM state; END", ""),
    ] {
        let world = closed();
        world.sql().execute_batch(attack).unwrap();
        // Another connection, which has read the schema since: both work.
        world.sql().execute_batch(then).unwrap();
        assert_eq!(world.refused(), "storage_corrupt", "{attack}");
    }
}

#[test]
fn a_running_server_makes_triggers_what_they_were_and_says_so() {
    let world = World::new(false);
    let running = world.open();
    let serial = running.certified("one");
    world.sql().execute_batch("DROP TRIGGER leaf_delete; CREATE VIEW seen AS SELECT * FROM payload").unwrap();
    running.observe(serial, 1);
    refuses(&world.sql(), "DELETE FROM leaf", "append-only");
    let found = running.finds();
    for what in ["trigger leaf_delete was removed", "view seen was changed or added"] {
        assert!(found.iter().any(|found| found.contains(what)), "{what}: {found:?}");
    }
    assert_eq!(running.verify(&running.checkpoint()), Ok(()));
}
