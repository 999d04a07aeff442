//! A server, its database, and who writes it.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::binary::{MODEL, Server, curl, run, start};

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) server: Option<Server>,
    pub(crate) bearer: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&folder.path().join("data"), &["--ca-algorithm", "p256"]);
        let key = std::fs::read_to_string(folder.path().join("data/admin.key")).unwrap();
        let bearer = format!("authorization: Bearer {}", key.trim_end());
        Self { folder, server: Some(server), bearer }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> (String, Value) {
        self.call_as(&self.bearer, method, path, body)
    }

    pub(crate) fn call_as(&self, bearer: &str, method: &str, path: &str, body: &str) -> (String, Value) {
        let url = format!("{}{path}", self.server.as_ref().unwrap().url);
        let json = "content-type: application/json";
        let mut arguments = vec!["-X", method, "-H", bearer, "-H", json];
        if !body.is_empty() {
            arguments.extend(["-d", body]);
        }
        arguments.push(&url);
        curl(&arguments)
    }

    pub(crate) fn made(&self, path: &str, body: &str) -> Value {
        let (status, answer) = self.call("POST", path, body);
        assert!(["200", "201"].contains(&status.as_str()), "{path}: {status} {answer}");
        answer["data"].clone()
    }

    /// An agent with a certificate: their identifiers.
    pub(crate) fn agent(&self, name: &str) -> (String, String) {
        let body = format!("{{\"name\":\"{name}\",\"model_hash\":\"{MODEL}\",\"scope\":[\"read:a\"]}}");
        let agent = self.made("/api/v1/agents", &body)["id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/agents/{agent}/certify");
        let certified = self.made(&path, "{\"key_algorithm\":\"p256\"}");
        let serial = certified["serial_number"].as_str().or(certified["serial"].as_str());
        (agent, serial.unwrap_or_else(|| panic!("{certified}")).to_owned())
    }

    pub(crate) fn state(&self, agent: &str) -> String {
        let (_, answer) = self.call("GET", &format!("/api/v1/agents/{agent}"), "");
        answer["data"]["status"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    pub(crate) fn valid(&self, serial: &str) -> Value {
        self.call("GET", &format!("/api/v1/verify/{serial}"), "").1["data"]["valid"].clone()
    }

    /// Ends it well, as an operator does.
    pub(crate) fn stop(&mut self) {
        let mut server = self.server.take().unwrap();
        run("kill", &["-TERM", &server.child.id().to_string()], self.folder.path());
        assert!(server.child.wait().unwrap().success());
    }

    pub(crate) fn start(&mut self) {
        self.server = Some(start(&self.data(), &[]));
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        let out = self.try_sql(sql);
        assert!(out.1.is_empty(), "{sql}: {}", out.1);
        out.0
    }

    pub(crate) fn try_sql(&self, sql: &str) -> (String, String) {
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
    pub(crate) fn behind(&self, trigger: &str, change: &str) {
        let made = self.sql(&format!("SELECT sql FROM sqlite_schema WHERE name = '{trigger}'"));
        self.sql(&format!("DROP TRIGGER {trigger}; {change}; {made};"));
    }

    pub(crate) fn found(&self) -> u64 {
        let url = format!("{}/readyz", self.server.as_ref().unwrap().url);
        curl(&[&url]).1["damage_found"].as_u64().unwrap()
    }

    /// Waits until damage was found, and holds what operators see to be of one mind.
    pub(crate) fn degraded(&self, what: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.found() == 0 {
            assert!(Instant::now() < until, "nothing was found: {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
        let url = self.server.as_ref().unwrap().url.clone();
        let ready = curl(&[&format!("{url}/readyz")]).1;
        assert_eq!(ready["status"], "degraded", "{what}");
        assert!(ready["reasons"].as_array().unwrap().contains(&"damage_found".into()), "{what}: {ready}");
        let metrics = curl(&[&format!("{url}/metrics")]).1;
        let counted = metrics.as_str().unwrap().lines().find(|l| l.starts_with("kakunin_damage_found "));
        assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{what}: {counted:?}");
    }

    pub(crate) fn well(&self) {
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(self.found(), 0);
    }
}
