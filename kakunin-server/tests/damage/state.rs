//! What stands of agents, certificates and keys is not changed by SQL.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::binary::{kakunin, refused};
use crate::world::World;

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
    // What a row says is encrypted, so that nobody can choose what it becomes.
    let row = "UPDATE state SET value = CAST(substr(value, 1, 60) || x'00' || substr(value, 62) AS BLOB) WHERE kind = 1";
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
    let changed =
        |value: &str| format!("UPDATE state SET value = {value} WHERE kind = 9 AND length(key) = 16");
    let value_of = |id: &str| format!("(SELECT value FROM state WHERE kind = 9 AND key = x'{id}')");
    let listed = "kind = 9 AND length(key) = 24";
    for attack in [
        format!(
            "ATTACH '{old}' AS old; DELETE FROM main.state WHERE kind = 9; INSERT INTO main.state SELECT * FROM old.s;"
        ),
        changed("CAST(x'00' || substr(value, 2) AS BLOB)"),
        changed("CAST(substr(value, 1, 60) || x'00' || substr(value, 62) AS BLOB)"),
        changed("substr(value, 1, length(value) - 1)"),
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
    let attached =
        format!("ATTACH '{kept}' AS old; ATTACH '{}' AS v", world.data().join("vault.db").display());
    world.sql(&format!(
        "{attached}; CREATE TABLE old.s AS SELECT * FROM state WHERE log_id = 1; CREATE TABLE old.v AS SELECT * FROM v.secret;"
    ));
    assert_eq!(world.call("DELETE", &format!("/api/v1/api-keys/{id}"), "").0, "200");
    let bearer = format!("authorization: Bearer {key}");
    assert_eq!(world.call_as(&bearer, "GET", "/api/v1/agents", "").0, "401");
    let vault = format!(
        "{attached}; INSERT OR REPLACE INTO main.state SELECT * FROM old.s WHERE key = CAST('{id}' AS BLOB);
         INSERT OR REPLACE INTO v.secret SELECT * FROM old.v WHERE name = CAST('api-key/{id}' AS BLOB)"
    );
    let (reader_id, reader_key) =
        (reader["id"].as_str().unwrap(), reader["key"].as_str().unwrap().to_owned());
    let promote = format!(
        "UPDATE main.state SET value = (SELECT value FROM old.s WHERE key = CAST('{id}' AS BLOB)) WHERE key = CAST('{reader_id}' AS BLOB)"
    );
    let exchange = format!(
        "{attached}; {promote};
         UPDATE v.secret SET value = (SELECT CAST(replace(CAST(value AS TEXT), '{id}', '{reader_id}') AS BLOB)
           FROM old.v WHERE name = CAST('api-key/{id}' AS BLOB)) WHERE name = CAST('api-key/{reader_id}' AS BLOB)"
    );
    let promote = format!("{attached}; {promote}");
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
    let numbers = "SELECT count(*) FROM state WHERE kind = 16";
    let until = Instant::now() + Duration::from_secs(10);
    while world.sql(numbers) == "0" {
        assert!(Instant::now() < until, "no CRL was published");
        std::thread::sleep(Duration::from_millis(100));
    }
    world.stop();
    world.sql("UPDATE state SET value = x'0000000000000001' WHERE kind = 16");
    world.start();
    world.degraded("numbers");
    world.stop();
    world.start();
    world.well();
}
