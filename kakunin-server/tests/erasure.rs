//! What events hold is erased over HTTP and by `kakunin erase`, and lies in no file of the server's but under keys of a
//! vault that is a file of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use binary::{MODEL, Server, curl, kakunin, run, start};
use serde_json::{Value, json};
use tempfile::TempDir;

struct World {
    folder: TempDir,
    server: Option<Server>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&folder.path().join("data"), &["--ca-algorithm", "p256"]);
        Self { folder, server: Some(server) }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        run("kill", &["-TERM", &server.child.id().to_string()], self.folder.path());
        assert!(server.child.wait().unwrap().success());
    }

    fn start(&mut self) {
        self.server = Some(start(&self.data(), &[]));
    }

    fn url(&self) -> &str {
        &self.server.as_ref().unwrap().url
    }

    fn call(&self, key: &str, path: &str, body: Option<&Value>) -> (String, Value) {
        let bearer = format!("authorization: Bearer {key}");
        let (url, body) = (format!("{}{path}", self.url()), body.map(Value::to_string));
        let mut arguments = vec!["-H", &bearer, "-H", "content-type: application/json"];
        body.iter().for_each(|body| arguments.extend(["-d", body]));
        arguments.push(&url);
        curl(&arguments)
    }

    fn admin(&self) -> String {
        std::fs::read_to_string(self.data().join("admin.key")).unwrap().trim().to_owned()
    }

    fn made(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.call(&self.admin(), path, Some(body));
        assert!(["200", "201"].contains(&status.as_str()), "{path}: {status} {answer}");
        answer["data"].clone()
    }

    fn read(&self, path: &str) -> Value {
        let (status, answer) = self.call(&self.admin(), path, None);
        assert_eq!(status, "200", "{path}: {answer}");
        answer
    }

    /// An agent of this name, and an event of it with such details.
    fn acts(&self, name: &str, details: &str) -> String {
        let spec = json!({ "name": name, "model_hash": MODEL, "scope": ["read:a"] });
        let agent = self.made("/api/v1/agents", &spec)["id"].as_str().unwrap().to_owned();
        let wanted = json!({ "key_algorithm": "p256" });
        let serial = self.made(&format!("/api/v1/agents/{agent}/certify"), &wanted)["serial_number"].clone();
        let event = json!({
            "serial": serial, "action": "read:a", "outcome": "ok", "target": "hyacinth-clinic",
            "details": { "patient": details },
        });
        self.made("/api/v1/events", &event);
        agent
    }

    fn erase(&self, more: &[&str]) -> Output {
        let key = self.data().join("admin.key").display().to_string();
        let server = ["--url", self.url(), "--key-file", &key];
        kakunin(&[&["erase"], more, &server].concat()).output().unwrap()
    }
}

/// Files below this folder in which a text is found.
fn finds(dir: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(finds(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|octets| octets == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}

fn sqlite(database: &Path, sql: &str) -> String {
    let out = Command::new("sqlite3").arg(database).arg(sql).output().expect("sqlite3: `make setup`");
    assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

#[test]
fn what_an_agent_did_is_erased_by_a_command_and_shown_as_that() {
    let mut world = World::new();
    let (agent, other) = (world.acts("one", "marguerite"), world.acts("other", "persephone"));
    let events =
        |world: &World, of: &str| world.read(&format!("/api/v1/events?agent_id={of}"))["data"][0].clone();
    let before = events(&world, &agent);
    assert_eq!((&before["details"]["patient"], &before["erased"]), (&json!("marguerite"), &json!(false)));
    let month = before["created_at"].as_str().unwrap()[..7].to_owned();
    let why = "GDPR Art. 17, ticket 4711";
    let order = ["--agent", &agent, "--from", &month, "--to", &month, "--reason", why];
    let out = world.erase(&order);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((&said["keys_destroyed"], &said["from"]), (&json!(true), &json!(month)));
    let again: Value = serde_json::from_slice(&world.erase(&order).stdout).unwrap();
    assert_eq!(again, said, "the same again");
    for round in 0..2 {
        let after = events(&world, &agent);
        let shown = (&after["details"], &after["erased"], &after["erased_by"]);
        assert_eq!(shown, (&Value::Null, &json!(true), &said["record"]), "{after}");
        assert_eq!((&after["action"], &after["risk_score"]), (&before["action"], &before["risk_score"]));
        assert_eq!(events(&world, &other)["details"]["patient"], "persephone");
        let log = world.read(&format!("/api/v1/audit-log?affected_id={agent}&limit=100"))["data"].clone();
        let of = |kind: &str| {
            log.as_array().unwrap().iter().find(|row| row["event_type"] == kind).unwrap().clone()
        };
        let (event, erased) = (of("agent.event"), of("payload.erased"));
        let shown = (&event["metadata"], &event["erased"], &event["erased_by"]);
        assert_eq!(shown, (&Value::Null, &json!(true), &said["record"]));
        assert_eq!(erased["metadata"]["record"]["payload_erased"]["reason"], why);
        assert!(erased["actor_id"].as_str().unwrap().starts_with("key:"));
        if round == 0 {
            world.stop();
            world.start();
        }
    }
    assert_eq!(curl(&[&format!("{}/readyz", world.url())]).1["damage_found"], 0);
}

#[test]
fn only_an_admin_erases_and_only_months_that_there_are() {
    let world = World::new();
    let agent = world.acts("one", "marguerite");
    let path = format!("/api/v1/agents/{agent}/erase");
    let key = world.made("/api/v1/api-keys", &json!({ "role": "operator", "label": "an operator" }));
    let body = json!({ "from": "2026-01", "reason": "because" });
    let (status, said) = world.call(key["key"].as_str().unwrap(), &path, Some(&body));
    assert_eq!((status.as_str(), &said["code"]), ("403", &json!("role_insufficient")));
    let refused = |body: Value| {
        let (status, said) = world.call(&world.admin(), &path, Some(&body));
        (status, said["code"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned())
    };
    for (body, code) in [
        (json!({ "from": "2026-13", "reason": "because" }), "month_malformed"),
        (json!({ "from": "2026-01", "to": "soon", "reason": "because" }), "month_malformed"),
        (json!({ "from": "2026-02", "to": "2026-01", "reason": "because" }), "erasure_months"),
        (json!({ "from": "2026-01", "to": "9999-12", "reason": "because" }), "erasure_months"),
    ] {
        assert_eq!(refused(body.clone()), ("422".to_owned(), code.to_owned()), "{body}");
    }
    assert_eq!(refused(json!({ "from": "2026-01", "reason": "  " })).0, "422");
    for body in [json!({ "from": "2026-01" }), json!({}), json!({ "from": 1, "reason": "because", "x": 1 })] {
        assert!(refused(body.clone()).0.starts_with('4'), "{body}");
    }
    let nobody = "/api/v1/agents/01900000-0000-7000-8000-000000000000/erase";
    assert_eq!(world.call(&world.admin(), nobody, Some(&body)).0, "404");
    let typed = world.erase(&["--agent", &agent, "--from", "2026", "--reason", "because"]);
    assert!(!typed.status.success() && String::from_utf8_lossy(&typed.stderr).contains("2026-11"));
}

#[test]
fn who_copies_the_database_has_no_name_and_the_vault_is_apart() {
    let mut world = World::new();
    let agent = world.acts("hyacinth-agent", "marguerite");
    let data = world.data();
    for round in 0..2 {
        for text in ["marguerite", "hyacinth-clinic", "hyacinth-agent"] {
            assert_eq!(finds(&data, text), Vec::<PathBuf>::new(), "{text}, round {round}");
        }
        world.stop();

        world.start();
    }
    let names = finds(&data, &format!("payload-key/default/{agent}/"));
    let names: Vec<_> = names.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("vault.db")), "{names:?}");
    assert_eq!(sqlite(&data.join("kakunin.db"), "SELECT count(*) FROM state WHERE kind = 7"), "0");
}

/// A folder of a version before, whose secrets lay among the rows of the database.
#[test]
fn secrets_of_a_version_before_are_moved_to_the_vault() {
    let mut world = World::new();
    let agent = world.acts("one", "marguerite");
    world.stop();
    let (database, vault) = (world.data().join("kakunin.db"), world.data().join("vault.db"));
    let back = format!(
        "ATTACH '{}' AS v; INSERT INTO main.state SELECT (SELECT id FROM log WHERE name = '_system'), 7, name, value FROM v.secret;
         SELECT count(*) FROM main.state WHERE kind = 7;",
        vault.display()
    );
    let count: u32 = sqlite(&database, &back).parse().unwrap();
    assert!(count > 2, "{count}");
    std::fs::remove_file(&vault).unwrap();
    world.start();
    let event = world.read(&format!("/api/v1/events?agent_id={agent}"))["data"][0].clone();
    assert_eq!(event["details"]["patient"], "marguerite");
    world.stop();
    assert_eq!(sqlite(&database, "SELECT count(*) FROM state WHERE kind = 7"), "0");
    assert_eq!(sqlite(&vault, "SELECT count(*) FROM secret").parse::<u32>().unwrap(), count);
    // Without its vault it does not start as something else.
    std::fs::remove_file(&vault).unwrap();
    let said =
        binary::refused(&["serve", "--data", &world.data().display().to_string(), "--listen", "127.0.0.1:0"]);
    assert!(said.contains("vault"), "{said}");
}
