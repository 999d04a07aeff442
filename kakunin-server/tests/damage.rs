//! Who writes the database by the `sqlite3` command, with the server stopped or running: it changes nothing, it is
//! named, counted, and `readyz` says so; or the start is refused with what to do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use binary::{MODEL, Server, curl, kakunin, refused, run, start};
use serde_json::Value;
use tempfile::TempDir;

struct World {
    folder: TempDir,
    server: Option<Server>,
    bearer: String,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&folder.path().join("data"), &["--ca-algorithm", "p256"]);
        let key = std::fs::read_to_string(folder.path().join("data/admin.key")).unwrap();
        let bearer = format!("authorization: Bearer {}", key.trim_end());
        Self { folder, server: Some(server), bearer }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn call(&self, method: &str, path: &str, body: &str) -> (String, Value) {
        self.call_as(&self.bearer, method, path, body)
    }

    fn call_as(&self, bearer: &str, method: &str, path: &str, body: &str) -> (String, Value) {
        let url = format!("{}{path}", self.server.as_ref().unwrap().url);
        let json = "content-type: application/json";
        let mut arguments = vec!["-X", method, "-H", bearer, "-H", json];
        if !body.is_empty() {
            arguments.extend(["-d", body]);
        }
        arguments.push(&url);
        curl(&arguments)
    }

    fn made(&self, path: &str, body: &str) -> Value {
        let (status, answer) = self.call("POST", path, body);
        assert!(["200", "201"].contains(&status.as_str()), "{path}: {status} {answer}");
        answer["data"].clone()
    }

    /// An agent with a certificate: their identifiers.
    fn agent(&self, name: &str) -> (String, String) {
        let body = format!("{{\"name\":\"{name}\",\"model_hash\":\"{MODEL}\",\"scope\":[\"read:a\"]}}");
        let agent = self.made("/api/v1/agents", &body)["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/agents/{agent}/certify");
        let certified = self.made(&path, "{\"key_algorithm\":\"p256\"}");
        let serial = certified["serial_number"].as_str().or(certified["serial"].as_str());
        (agent, serial.unwrap_or_else(|| panic!("{certified}")).to_owned())
    }

    fn state(&self, agent: &str) -> String {
        let (_, answer) = self.call("GET", &format!("/api/v1/agents/{agent}"), "");
        answer["data"]["status"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn valid(&self, serial: &str) -> Value {
        self.call("GET", &format!("/api/v1/verify/{serial}"), "").1["data"]["valid"].clone()
    }

    /// Ends it well, as an operator does.
    fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        run("kill", &["-TERM", &server.child.id().to_string()], self.folder.path());
        assert!(server.child.wait().unwrap().success());
    }

    fn start(&mut self) {
        self.server = Some(start(&self.data(), &[]));
    }

    fn sql(&self, sql: &str) -> String {
        let out = self.try_sql(sql);
        assert!(out.1.is_empty(), "{sql}: {}", out.1);
        out.0
    }

    fn try_sql(&self, sql: &str) -> (String, String) {
        let sql = format!(".timeout 5000\n{sql}");
        let mut child = Command::new("sqlite3");
        child.arg(self.data().join("kakunin.db")).arg("-batch");
        child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = child.stderr(std::process::Stdio::piped()).spawn().expect("sqlite3: `make setup`");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), sql.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = |octets| String::from_utf8(octets).unwrap().trim_end().to_owned();
        (text(out.stdout), text(out.stderr))
    }

    /// Changes an append-only row, and leaves the triggers as they were.
    fn behind(&self, trigger: &str, change: &str) {
        let made = self.sql(&format!("SELECT sql FROM sqlite_schema WHERE name = '{trigger}'"));
        self.sql(&format!("DROP TRIGGER {trigger}; {change}; {made};"));
    }

    fn found(&self) -> u64 {
        let url = format!("{}/readyz", self.server.as_ref().unwrap().url);
        curl(&[&url]).1["damage_found"].as_u64().unwrap()
    }

    /// Waits until damage was found, and holds what operators see to be of one mind.
    fn degraded(&self, what: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.found() == 0 {
            assert!(Instant::now() < until, "nothing was found: {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let url = self.server.as_ref().unwrap().url.clone();
        assert_eq!(curl(&[&format!("{url}/readyz")]).1["status"], "degraded", "{what}");
        let metrics = curl(&[&format!("{url}/metrics")]).1;
        let counted = metrics.as_str().unwrap().lines().find(|l| l.starts_with("kakunin_damage_found "));
        assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{what}: {counted:?}");
    }

    fn well(&self) {
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(self.found(), 0);
    }
}

#[test]
fn a_halt_is_not_undone_by_sql_with_the_server_stopped_or_running() {
    let mut world = World::new();
    let (agent, serial) = world.agent("one");
    world.well();
    let before = "CREATE TABLE IF NOT EXISTS old.s AS SELECT * FROM state; CREATE TABLE IF NOT EXISTS old.a AS SELECT * FROM state_applied;";
    let old = world.folder.path().join("old.db").display().to_string();
    world.sql(&format!("ATTACH '{old}' AS old; {before}"));
    world.made(&format!("/api/v1/agents/{agent}/halt"), "{\"reason\":\"kill_switch_activated\"}");
    assert_eq!((world.state(&agent).as_str(), world.valid(&serial)), ("suspended", Value::Bool(false)));
    let row = "UPDATE state SET value = CAST(replace(replace(CAST(value AS TEXT), '\"suspended\"', '\"active\"'), '\"halt\":{', '\"x\":{') AS BLOB) WHERE kind = 1";
    let put_back = format!(
        "ATTACH '{old}' AS old; DELETE FROM main.state WHERE kind IN (1, 9) AND log_id > 1;
         INSERT INTO main.state SELECT * FROM old.s WHERE kind IN (1, 9) AND log_id > 1;"
    );
    let attacks = [
        (row, true),
        (&put_back, true),
        ("DELETE FROM revocation", true),
        ("DELETE FROM revocation; UPDATE revocation_applied SET size = 0", false),
        ("DELETE FROM state WHERE kind = 1 AND length(key) = 16", true),
        ("DELETE FROM state WHERE kind = 10", true),
        ("UPDATE state_applied SET size = size + 1000000 WHERE log_id > 1", false),
    ];
    for (attack, named) in attacks {
        // Running.
        world.sql(attack);
        world.degraded(attack);
        assert_eq!((world.state(&agent).as_str(), world.valid(&serial)), ("suspended", Value::Bool(false)));
        let until = Instant::now() + Duration::from_secs(5);
        while named && world.sql("SELECT count(*) FROM revocation") == "0" && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(100));
        }
        world.stop();
        if attack.contains("size + 1000000") {
            world.sql("UPDATE state_applied SET size = size - 1000000 WHERE size > 1000000");
        }
        world.start();
        world.well();
        // Stopped.
        world.stop();
        world.sql(attack);
        if attack.contains("size + 1000000") {
            let data = world.data().display().to_string();
            let said = refused(&["serve", "--data", &data, "--listen", "127.0.0.1:0"]);
            assert!(said.contains("ahead of its log"), "{said}");
            world.sql("UPDATE state_applied SET size = size - 1000000 WHERE size > 1000000");
        }
        world.start();
        assert_eq!((world.state(&agent).as_str(), world.valid(&serial)), ("suspended", Value::Bool(false)));
        if named {
            world.degraded(attack);
        }
        world.stop();
        world.start();
        world.well();
    }
    // All of the tenant's state as it was before, seal and index included, is an older state, and no other.
    world.stop();
    world.sql(&format!(
        "ATTACH '{old}' AS old; DELETE FROM main.state WHERE log_id > 1; INSERT INTO main.state SELECT * FROM old.s WHERE log_id > 1;
         DELETE FROM main.state_applied WHERE log_id > 1; INSERT INTO main.state_applied SELECT * FROM old.a WHERE log_id > 1;"
    ));
    world.start();
    assert_eq!((world.state(&agent).as_str(), world.valid(&serial)), ("suspended", Value::Bool(false)));
}

#[test]
fn how_certificates_stand_their_list_and_receipts_are_not_changed_by_sql() {
    let mut world = World::new();
    let ((agent, serial), (_, other)) = (world.agent("one"), world.agent("two"));
    let old = world.folder.path().join("old.db").display().to_string();
    world.sql(&format!("ATTACH '{old}' AS old; CREATE TABLE old.s AS SELECT * FROM state WHERE kind = 9;"));
    world.made(&format!("/api/v1/agents/{agent}/halt"), "{\"reason\":\"kill_switch_activated\"}");
    let seen = |world: &World| {
        let verified = world.call("GET", &format!("/api/v1/verify/{serial}"), "").1["data"].clone();
        let listed =
            world.call("GET", &format!("/api/v1/agents/{agent}"), "").1["data"]["certificates"].clone();
        let of_other = world.valid(&other);
        (verified["valid"].clone(), verified["halt_receipt"].clone(), listed, of_other)
    };
    let rows = "SELECT hex(key), hex(value) FROM state WHERE kind = 9 ORDER BY key";
    let (before, stored) = (seen(&world), world.sql(rows));
    assert_eq!((&before.0, &before.3), (&Value::Bool(false), &Value::Bool(true)));
    assert!(
        before.1["receipt_signature"].is_string() && before.2.as_array().unwrap().len() == 1,
        "{before:?}"
    );
    let text = |from: &str, to: &str| {
        format!(
            "UPDATE state SET value = CAST(replace(CAST(value AS TEXT), '{from}', '{to}') AS BLOB) WHERE kind = 9 AND length(key) = 16"
        )
    };
    let value_of = |id: &str| format!("(SELECT value FROM state WHERE kind = 9 AND key = x'{id}')");
    let listed = "kind = 9 AND length(key) = 24";
    for attack in [
        format!(
            "ATTACH '{old}' AS old; DELETE FROM main.state WHERE kind = 9; INSERT INTO main.state SELECT * FROM old.s;"
        ),
        text("\"standing\":{\"revoked\"", "\"standing\":\"good\",\"x\":{\"revoked\""),
        text("\"receipt\":{", "\"x\":{"),
        text("\"halt\":{", "\"x\":{"),
        format!("UPDATE state SET value = {} WHERE kind = 9 AND key = x'{serial}'", value_of(&other)),
        format!("UPDATE state SET value = {} WHERE kind = 9 AND key = x'{other}'", value_of(&serial)),
        format!("UPDATE state SET value = x'{other}' WHERE {listed}"),
        format!(
            "INSERT INTO state SELECT log_id, kind, CAST(substr(key, 1, 16) || zeroblob(8) AS BLOB), value FROM state WHERE {listed}"
        ),
        format!(
            "INSERT INTO state SELECT log_id, kind, x'00000000000000000000000000000001', value FROM state WHERE {listed} LIMIT 1"
        ),
        format!("DELETE FROM state WHERE {listed}"),
        "DELETE FROM state WHERE kind = 9 AND length(key) = 16".to_owned(),
        "UPDATE state SET value = x'7b7d' WHERE kind = 9".to_owned(),
        "DELETE FROM state WHERE kind = 9".to_owned(),
    ] {
        for running in [true, false] {
            if !running {
                world.stop();
            }
            world.sql(&attack);
            assert_ne!(world.sql(rows), stored, "{attack}");
            if !running {
                world.start();
            }
            // At once: what anybody is told of a certificate.
            assert_eq!(
                (world.valid(&serial), world.valid(&other)),
                (before.0.clone(), before.3.clone()),
                "{attack}"
            );
            world.degraded(&attack);
            let until = Instant::now() + Duration::from_secs(5);
            while world.sql(rows) != stored && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(100));
            }
            assert_eq!(world.sql(rows), stored, "{attack}");
            assert_eq!(seen(&world), before, "{attack}");
            world.stop();
            world.start();
            assert_eq!((seen(&world), world.found()), (before.clone(), 0), "{attack}");
        }
    }
    world.well();
}

#[test]
fn api_keys_come_from_the_log_and_the_last_admin_key_stays_revoked() {
    let mut world = World::new();
    let admin = world.made("/api/v1/api-keys", "{\"role\":\"admin\",\"label\":\"a\"}");
    let reader = world.made("/api/v1/api-keys", "{\"role\":\"reader\",\"label\":\"b\"}");
    let (id, key) = (admin["id"].as_str().unwrap(), admin["key"].as_str().unwrap().to_owned());
    let kept = world.folder.path().join("old.db").display().to_string();
    world
        .sql(&format!("ATTACH '{kept}' AS old; CREATE TABLE old.s AS SELECT * FROM state WHERE log_id = 1;"));
    assert_eq!(world.call("DELETE", &format!("/api/v1/api-keys/{id}"), "").0, "200");
    let bearer = format!("authorization: Bearer {key}");
    assert_eq!(world.call_as(&bearer, "GET", "/api/v1/agents", "").0, "401");
    let vault = format!(
        "ATTACH '{kept}' AS old; INSERT OR REPLACE INTO main.state SELECT * FROM old.s WHERE key = CAST('api-key/{id}' AS BLOB)"
    );
    let (reader_id, reader_key) =
        (reader["id"].as_str().unwrap(), reader["key"].as_str().unwrap().to_owned());
    let exchange = format!(
        "ATTACH '{kept}' AS old; UPDATE main.state SET value = (SELECT CAST(replace(CAST(value AS TEXT), '{id}', '{reader_id}') AS BLOB)
           FROM old.s WHERE kind = 7 AND key = CAST('api-key/{id}' AS BLOB)) WHERE kind = 7 AND key = CAST('api-key/{reader_id}' AS BLOB)"
    );
    let promote = format!(
        "UPDATE state SET value = CAST(replace(CAST(value AS TEXT), '\"reader\"', '\"admin\"') AS BLOB) WHERE key = CAST('api-key/{reader_id}' AS BLOB)"
    );
    let reader_bearer = format!("authorization: Bearer {reader_key}");
    for attack in [&vault, &promote, &exchange] {
        for running in [true, false] {
            if !running {
                world.stop();
            }
            world.sql(attack);
            if !running {
                world.start();
            }
            world.degraded(attack);
            assert_eq!(world.call_as(&bearer, "GET", "/api/v1/agents", "").0, "401", "{attack}");
            assert_eq!(world.call_as(&reader_bearer, "GET", "/api/v1/api-keys", "").0.len(), 3);
            assert_ne!(world.call_as(&reader_bearer, "GET", "/api/v1/api-keys", "").0, "200", "{attack}");
            assert_eq!(world.call("GET", "/api/v1/agents", "").0, "200", "others work");
            world.stop();
            world.start();
        }
    }
    // The last admin key: revoked, it is not replaced by a start.
    let own = world.call("GET", "/api/v1/api-keys", "").1;
    let own = own["data"].as_array().unwrap().iter().find(|key| key["role"] == "admin").unwrap();
    let path = format!("/api/v1/api-keys/{}", own["id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &path, "").0, "200");
    world.stop();
    std::fs::remove_file(world.data().join("admin.key")).unwrap();
    world.start();
    let said = &world.server.as_ref().unwrap().said;
    assert!(!said.contains("kak_live_") && said.contains("kakunin admin-key --data"), "{said}");
    assert!(!world.data().join("admin.key").exists());
    world.stop();
    let data = world.data().display().to_string();
    let made = kakunin(&["admin-key", "--data", &data]).output().unwrap();
    let key = String::from_utf8(made.stdout).unwrap();
    world.start();
    let bearer = format!("authorization: Bearer {}", key.trim_end());
    assert_eq!(world.call_as(&bearer, "GET", "/api/v1/api-keys", "").0, "200");
    let none = world.folder.path().join("none").display().to_string();
    assert!(refused(&["admin-key", "--data", &none]).contains("holds no deployment"));
}

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
        said.contains("default") && (said.contains("end of log") || said.contains("ahead of its log")),
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
fn a_risk_history_and_the_rows_of_two_tenants_are_not_exchanged() {
    let mut world = World::new();
    world.made("/api/v1/tenants", "{\"id\":\"acme\"}");
    let (agent, serial) = world.agent("one");
    for n in 0..5 {
        let body = format!(
            "{{\"serial\":\"{serial}\",\"action\":\"write:b\",\"outcome\":\"denied\",\"event_id\":\"e{n}\"}}"
        );
        let (status, said) = world.call("POST", "/api/v1/events", &body);
        assert!(["201", "200"].contains(&status.as_str()), "{status} {said}");
    }
    let score =
        |world: &World| world.call("GET", &format!("/api/v1/agents/{agent}/risk"), "").1["data"].clone();
    let before = score(&world);
    world.stop();
    // Lower by SQL: folded anew from the log, the score is what it was.
    world.sql("UPDATE state SET value = zeroblob(length(value)) WHERE kind = 6 AND length(key) = 16");
    world.start();
    world.degraded("a history");
    let after = score(&world);
    assert_eq!(after["risk_band"], before["risk_band"], "{after} {before}");
    world.stop();
    world.sql("DELETE FROM state WHERE kind = 6");
    world.start();
    world.degraded("histories");
    world.stop();
    // Certificates: without them, what the agent does would not be recorded.
    world.sql("UPDATE state SET value = x'00' WHERE kind = 2 AND log_id > 1");
    world.start();
    assert_eq!(world.valid(&serial), Value::Bool(true));
    world.degraded("a certificate");
    world.sql("DELETE FROM state WHERE kind = 2 AND log_id > 1");
    let body = format!("{{\"serial\":\"{serial}\",\"action\":\"write:b\",\"outcome\":\"denied\"}}");
    assert_eq!(world.call("POST", "/api/v1/events", &body).0, "201");
    world.stop();
    // A row of one tenant as another's.
    world.sql(
        "INSERT INTO log(name) SELECT 'acme' WHERE NOT EXISTS (SELECT 1 FROM log WHERE name = 'acme');
         INSERT OR REPLACE INTO state SELECT (SELECT id FROM log WHERE name = 'acme'), kind, key, value FROM state WHERE kind IN (1, 2, 4) AND log_id = (SELECT id FROM log WHERE name = 'default')",
    );
    world.start();
    world.degraded("rows of two tenants");
    // The number of the last CRL.
    world.made(&format!("/api/v1/agents/{agent}/halt"), "{}");
    let numbers = "SELECT count(*) FROM state WHERE kind = 8 AND CAST(key AS TEXT) LIKE 'crl-number/%'";
    let until = Instant::now() + Duration::from_secs(10);
    while world.sql(numbers) == "0" {
        assert!(Instant::now() < until, "no CRL was published");
        std::thread::sleep(Duration::from_millis(100));
    }
    world.stop();
    world.sql("UPDATE state SET value = x'0000000000000001' WHERE CAST(key AS TEXT) LIKE 'crl-number/%'");
    world.start();
    world.degraded("numbers");
    world.stop();
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
