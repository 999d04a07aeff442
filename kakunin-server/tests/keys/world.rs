//! A server, its agents, and what they are certified as.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::binary::{MODEL, Server, curl, run, start_with};

/// A server, and who may do everything there.
pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) bearer: String,
}

impl World {
    pub(crate) fn start(data: &Path, keys: &str, environment: &[(&str, &str)]) -> Self {
        let server = start_with(data, &["--keys", keys], environment);
        let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
        Self { server, bearer: format!("authorization: Bearer {}", key.trim_end()) }
    }

    pub(crate) fn get(&self, path: &str) -> (String, Value) {
        curl(&["-H", &self.bearer, &format!("{}{path}", self.server.url)])
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (String, Value) {
        let (json, url, body) =
            ("content-type: application/json", format!("{}{path}", self.server.url), body.to_string());
        curl(&["-H", &self.bearer, "-H", json, "-d", &body, &url])
    }

    pub(crate) fn agent(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let agent = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
        let (status, made) = self.post("/api/v1/agents", &agent);
        assert_eq!(status, "201", "{made}");
        made["data"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn certify(&self, agent: &str, body: Value) -> Value {
        let (status, issued) = self.post(&format!("/api/v1/agents/{agent}/certify"), &body);
        assert_eq!(status, "201", "{issued}");
        issued["data"].clone()
    }

    /// Acts that the agent was not allowed, until its certificate is taken away.
    pub(crate) fn led_astray(&self, agent: &str) {
        let event =
            |n: u32| json!({ "agent_id": agent, "action": format!("delete:mail{n}"), "outcome": "denied" });
        for n in 0..2_000 {
            let (status, seen) = self.post("/api/v1/events", &event(n));
            if status == "422" {
                return;
            }
            assert_eq!(status, "201", "{seen}");
        }
        panic!("never revoked");
    }

    /// Waits until `path` gives what is wanted.
    pub(crate) fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let (status, body) = self.get(path);
            if status == "200" && wanted(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path}: {status} {body}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

pub(crate) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

pub(crate) fn verified_by_openssl(folder: &Path, certified: &Value) {
    let chain = text(certified, "chain_pem");
    let root = chain.rfind("-----BEGIN").unwrap();
    std::fs::write(folder.join("issuing.pem"), &chain[..root]).unwrap();
    std::fs::write(folder.join("root.pem"), &chain[root..]).unwrap();
    std::fs::write(folder.join("leaf.pem"), text(certified, "certificate_pem")).unwrap();
    let verify = ["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "leaf.pem"];
    run("openssl", &verify, folder);
}
