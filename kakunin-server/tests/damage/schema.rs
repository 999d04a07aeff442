//! The logs, the triggers and the folder itself.

use std::path::Path;

use serde_json::Value;

use crate::binary::{refused, start};
use crate::world::World;

#[test]
fn the_logs_are_append_only_for_every_verb_and_what_was_changed_all_the_same_is_named() {
    let mut world = World::new();
    let (agent, _) = world.agent("one");
    for verb in [
        "REPLACE INTO payload SELECT log_id, idx, salt, x'00' FROM payload",
        "INSERT OR REPLACE INTO payload SELECT log_id, idx, salt, x'00' FROM payload",
        "INSERT INTO payload SELECT log_id, idx, salt, octets FROM payload WHERE true ON CONFLICT DO UPDATE SET octets = x'00'",
        "INSERT INTO payload SELECT log_id, 100000, salt, octets FROM payload LIMIT 1",
        "INSERT OR IGNORE INTO payload SELECT log_id, idx, salt, octets FROM payload",
        "UPDATE payload SET octets = x'00'",
        "UPDATE OR REPLACE payload SET idx = 0",
        "DELETE FROM payload",
        "REPLACE INTO leaf SELECT log_id, idx, x'00' FROM leaf",
        "UPDATE leaf SET leaf = x'00'",
        "DELETE FROM leaf",
        "REPLACE INTO batch SELECT * FROM batch",
        "UPDATE batch SET time = 0",
        "DELETE FROM batch",
        "REPLACE INTO log SELECT * FROM log",
        "UPDATE log SET name = 'x'",
        "DELETE FROM log",
    ] {
        let said = world.try_sql(&format!("PRAGMA recursive_triggers = OFF; {verb};")).1;
        assert!(said.contains("append-only"), "{verb}: {said}");
    }
    world.well();
    world.stop();
    // A payload in the middle of the tenant's log.
    let log = world.sql("SELECT id FROM log WHERE name = 'default'");
    world.behind(
        "payload_update",
        &format!("UPDATE payload SET octets = x'7b7d' WHERE log_id = {log} AND idx = 1"),
    );
    world.start();
    world.degraded("a payload");
    let listed = world.call("GET", "/api/v1/audit-log?limit=100", "").1;
    let rows = listed["data"].as_array().unwrap();
    let kinds: Vec<_> = rows.iter().map(|row| row["event_type"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "record.damaged").count(), 1, "{kinds:?}");
    assert!(kinds.len() > 3 && kinds.contains(&"agent.registered"), "{kinds:?}");
    assert_eq!(world.state(&agent), "active");
    world.stop();
    // A leaf that is gone: what is left is listed.
    world.behind("leaf_delete", &format!("DELETE FROM leaf WHERE log_id = {log} AND idx = 1"));
    world.start();
    world.degraded("a leaf");
    let listed = world.call("GET", "/api/v1/audit-log?limit=100", "").1;
    assert!(listed["data"].as_array().unwrap().len() >= kinds.len() - 1, "{listed}");
    // The end of a log: what was sealed is ahead of it.
    world.stop();
    let cut = format!(
        "DELETE FROM leaf WHERE log_id = {log} AND idx >= (SELECT max(prev_size) FROM batch WHERE log_id = {log})"
    );
    world.behind("leaf_delete", &cut);
    let cut = format!(
        "DELETE FROM batch WHERE log_id = {log} AND new_size = (SELECT max(new_size) FROM batch WHERE log_id = {log})"
    );
    world.behind("batch_delete", &cut);
    let data = world.data().display().to_string();
    let said = refused(&["serve", "--data", &data, "--listen", "127.0.0.1:0"]);
    assert!(
        said.contains("default")
            && ["its head is at", "its guard signed", "end of log"].iter().any(|what| said.contains(what)),
        "{said}"
    );
}

#[test]
fn a_trigger_that_was_added_or_dropped_does_nothing_and_is_named() {
    let mut world = World::new();
    let (agent, serial) = world.agent("one");
    let unrevoke = "CREATE TRIGGER mine AFTER INSERT ON revocation BEGIN DELETE FROM revocation; END;
        CREATE TRIGGER yours AFTER INSERT ON leaf BEGIN UPDATE state SET value = x'00' WHERE kind = 1; END;
        CREATE VIEW peek AS SELECT * FROM state; DROP TRIGGER leaf_update;";
    world.sql(unrevoke);
    world.made(&format!("/api/v1/agents/{agent}/halt"), "{\"reason\":\"kill_switch_activated\"}");
    world.degraded("triggers");
    assert_eq!(world.sql("SELECT count(*) FROM revocation"), "1");
    assert_eq!(world.sql("SELECT count(*) FROM sqlite_schema WHERE name IN ('mine', 'yours', 'peek')"), "0");
    assert_eq!(world.sql("SELECT count(*) FROM sqlite_schema WHERE name = 'leaf_update'"), "1");
    assert_eq!(world.valid(&serial), Value::Bool(false));
    world.stop();
    for (attack, undo, name) in [
        ("CREATE TRIGGER mine AFTER INSERT ON leaf BEGIN SELECT 1; END", "DROP TRIGGER mine", "mine"),
        ("CREATE VIEW mine AS SELECT 1", "DROP VIEW mine", "mine"),
    ] {
        world.sql(attack);
        let data = world.data().display().to_string();
        let said = refused(&["serve", "--data", &data, "--listen", "127.0.0.1:0"]);
        assert!(said.contains(name) && said.contains("restore"), "{said}");
        world.sql(undo);
    }
    world.start();
    world.well();
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let mut world = World::new();
    world.stop();
    let chmod =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let data = world.data();
    let text = data.display().to_string();
    let serve = ["serve", "--data", &text, "--listen", "127.0.0.1:0"];
    let folder = world.folder.path().to_owned();
    for (path, bad, good) in [
        (data.clone(), 0o770, 0o700),
        (data.clone(), 0o702, 0o700),
        (data.join("keys"), 0o720, 0o700),
        (data.join("kakunin.db"), 0o660, 0o600),
        (data.join("key.secret"), 0o602, 0o600),
        (data.join("admin.key"), 0o666, 0o600),
        (data.join("keys/keystore.json"), 0o666, 0o600),
        (folder.clone(), 0o777, 0o700),
    ] {
        chmod(&path, bad);
        for command in [&serve[..], &["ca", "request", "--data", &text], &["admin-key", "--data", &text]] {
            let said = refused(command);
            assert!(said.contains("chmod"), "{} {bad:o}: {said}", path.display());
        }
        chmod(&path, good);
    }
    for path in [data.clone(), data.join("kakunin.db"), data.join("keys")] {
        chown(&path, Some(12_345), None).expect("this test gives files away: run it as root");
        let said = refused(&serve);
        assert!(said.contains("chown"), "{}: {said}", path.display());
        chown(&path, Some(0), None).unwrap();
    }
    // A link is followed, if nobody else can exchange it or what it leads to.
    let (link, shared) = (folder.join("link"), folder.join("shared"));
    symlink(&data, &link).unwrap();
    std::fs::create_dir(&shared).unwrap();
    symlink(&data, shared.join("link")).unwrap();
    chmod(&shared, 0o777);
    let through = shared.join("link").display().to_string();
    assert!(refused(&["serve", "--data", &through, "--listen", "127.0.0.1:0"]).contains("chmod"));
    std::fs::rename(data.join("admin.key"), folder.join("elsewhere")).unwrap();
    symlink(folder.join("elsewhere"), data.join("admin.key")).unwrap();
    assert!(refused(&serve).contains("a file of its own"));
    std::fs::remove_file(data.join("admin.key")).unwrap();
    let server = start(&link, &[]);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
}
