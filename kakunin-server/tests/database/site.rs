//! A database, and what servers over it are given.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binary::{MODEL, curl, kakunin};
use crate::cluster::{ADMIN, APPLICATION, Cluster, Database, shared};

/// What must be shown nowhere.
pub(crate) const PASSWORD: &str = "correct-horse-7";

pub(crate) struct Site {
    pub(crate) database: Database<'static>,
    pub(crate) folder: TempDir,
    pub(crate) logs: std::cell::Cell<u32>,
}

/// A server, with what it logs in a file.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) said: String,
    pub(crate) log: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Site {
    /// A database with tables, made by the command.
    pub(crate) fn new() -> Self {
        Self::with_tables(shared())
    }

    /// In this cluster.
    pub(crate) fn with_tables(cluster: &'static Cluster) -> Self {
        Self::over(cluster.empty()).migrated()
    }

    pub(crate) fn migrated(self) -> Self {
        let site = self;
        let made = site.ran(&["migrate", "--database", &site.database.url(ADMIN)]);
        assert!(made.contains("of version 0, and is of version"), "{made}");
        site
    }

    /// Without tables.
    pub(crate) fn empty() -> Self {
        Self::over(shared().empty())
    }

    /// Over a database that may be another cluster's.
    pub(crate) fn over(database: Database<'static>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, octet) in [("seal", "5e"), ("other-seal", "77"), ("secret", "3c")] {
            private(&folder.path().join(name), &octet.repeat(32));
        }
        Self { database, folder, logs: std::cell::Cell::new(0) }
    }

    pub(crate) fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The servers' login, with a password.
    pub(crate) fn url(&self) -> String {
        self.database.url(APPLICATION).replace('@', &format!(":{PASSWORD}@"))
    }

    pub(crate) fn keys(&self) -> String {
        format!("local:{}?key-file={}", self.at("keys"), self.at("secret"))
    }

    /// What every command over the database is given.
    pub(crate) fn options(&self) -> Vec<String> {
        self.options_with(&self.keys())
    }

    fn options_with(&self, keys: &str) -> Vec<String> {
        let seal = format!("file:{}", self.at("seal"));
        ["--seal", &seal, "--keys", keys, "--insecure-software-keys"].map(str::to_owned).to_vec()
    }

    /// The output of a command over the database.
    pub(crate) fn command(&self, words: &[&str]) -> Output {
        let options = self.options();
        let options = options.iter().map(String::as_str);
        let words: Vec<&str> = words.iter().copied().chain(options).collect();
        kakunin(&words).env("KAKUNIN_DATABASE", self.url()).output().unwrap()
    }

    pub(crate) fn ran(&self, words: &[&str]) -> String {
        let out = kakunin(words).output().unwrap();
        assert!(out.status.success(), "{words:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    /// Begins to start one.
    pub(crate) fn spawn(&self, more: &[&str]) -> Starting {
        self.spawn_with(&self.keys(), more)
    }

    /// With keys of CAs and agents that lie elsewhere.
    pub(crate) fn spawn_with(&self, keys: &str, more: &[&str]) -> Starting {
        self.spawn_at(&self.url(), keys, more, &[])
    }

    /// That reaches the database by a URL of its own, with variables in its environment.
    pub(crate) fn spawn_at(
        &self,
        url: &str,
        keys: &str,
        more: &[&str],
        environment: &[(String, String)],
    ) -> Starting {
        self.logs.set(self.logs.get() + 1);
        let log = self.folder.path().join(format!("log-{}", self.logs.get()));
        let options = self.options_with(keys);
        let words: Vec<&str> = ["serve", "--listen", "127.0.0.1:0", "--public-url", "http://ca.example"]
            .into_iter()
            .chain(options.iter().map(String::as_str))
            .chain(more.iter().copied())
            .collect();
        let mut command = kakunin(&words);
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.env("KAKUNIN_DATABASE", url).stderr(std::fs::File::create(&log).unwrap());
        Starting { child: command.spawn().unwrap(), log }
    }

    pub(crate) fn start(&self, more: &[&str]) -> Server {
        self.spawn(more).ready()
    }
}

pub(crate) struct Starting {
    child: Child,
    log: PathBuf,
}

impl Starting {
    pub(crate) fn ready(mut self) -> Server {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        loop {
            let Some(Ok(line)) = lines.next() else {
                self.child.wait().unwrap();
                panic!("the server did not start: {said}{}", std::fs::read_to_string(&self.log).unwrap());
            };
            said.push_str(&line);
            said.push('\n');
            if let Some(rest) = line.strip_prefix("kakunin: ready at ") {
                let url = rest.split(',').next().unwrap().to_owned();
                return Server { child: self.child, url, said, log: self.log };
            }
        }
    }
}

impl Server {
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        std::fs::File::open(&self.log).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn get(&self, key: &str, path: &str) -> (String, Value) {
        curl(&["-H", &format!("authorization: Bearer {key}"), &format!("{}{path}", self.url)])
    }

    pub(crate) fn post(&self, key: &str, path: &str, body: &Value) -> (String, Value) {
        let (bearer, url) = (format!("authorization: Bearer {key}"), format!("{}{path}", self.url));
        curl(&["-H", &bearer, "-H", "content-type: application/json", "-d", &body.to_string(), &url])
    }

    /// An agent with a certificate: its id and serial.
    pub(crate) fn agent(&self, key: &str, name: &str) -> (String, String) {
        let body = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
        let (status, made) = self.post(key, "/api/v1/agents", &body);
        assert_eq!(status, "201", "{made}");
        let id = made["data"]["id"].as_str().unwrap().to_owned();
        let (status, issued) =
            self.post(key, &format!("/api/v1/agents/{id}/certify"), &json!({ "key_algorithm": "p256" }));
        assert_eq!(status, "201", "{issued}");
        (id, issued["data"]["serial_number"].as_str().unwrap().to_owned())
    }

    /// What strangers are told of a certificate.
    pub(crate) fn status(&self, serial: &str) -> String {
        let shown = curl(&[&format!("{}/api/v1/verify/{serial}", self.url)]).1;
        shown["data"]["status"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn ready(&self) -> Value {
        curl(&[&format!("{}/readyz", self.url)]).1
    }

    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

/// Waits for something, and says how long it took.
pub(crate) fn within(limit: Duration, what: &str, mut is: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    began.elapsed()
}

pub(crate) fn private(path: &std::path::Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The admin key that a start printed.
pub(crate) fn printed_key(said: &str) -> String {
    let line = said.lines().find(|line| line.contains("kak_live_")).unwrap();
    line.rsplit(' ').next().unwrap().to_owned()
}
