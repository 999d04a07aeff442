//! A server whose log is read as it comes.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part of this")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::binary::{MODEL, curl, kakunin, run};

/// A server, and the lines of its log. It is killed when the test ends.
pub struct Watched {
    child: Child,
    pub url: String,
    /// Its folder.
    pub data: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
    reading: Option<JoinHandle<()>>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Watched {
    pub fn start(folder: &Path, more: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_into(folder, more, environment, Stdio::piped())
    }

    /// One whose log goes there; in `data` of this folder.
    pub fn start_into(folder: &Path, more: &[&str], environment: &[(&str, &str)], stderr: Stdio) -> Self {
        let data = folder.join("data").display().to_string();
        let listen: &[&str] = if more.contains(&"--config") { &[] } else { &["--listen", "127.0.0.1:0"] };
        let arguments = [&["serve", "--data", &data], listen, more].concat();
        let child = kakunin(&arguments).envs(environment.iter().copied()).stderr(stderr).spawn().unwrap();
        Self::of(child, folder)
    }

    /// One that was started.
    pub fn of(mut child: Child, folder: &Path) -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let reading = child.stderr.take().map(|log| {
            let lines = lines.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(log).split(b'\n').map_while(Result::ok) {
                    lines.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
                }
            })
        });
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = said.into_iter().find_map(|line| {
            let rest = line.strip_prefix("kakunin: ready at ")?;
            Some(rest.split(',').next()?.to_owned())
        });
        let url = url.unwrap_or_else(|| panic!("it did not start: {:?}", lines.lock().unwrap()));
        Self { child, url, data: folder.join("data"), lines, reading }
    }

    pub fn child(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        run("kill", &[&format!("-{name}"), &self.child.id().to_string()], Path::new("/"));
    }

    /// Told to end, and ended.
    pub fn end(mut self) -> ExitStatus {
        self.signal("TERM");
        self.child.wait().unwrap()
    }

    /// Told to end, with all that it said.
    pub fn end_with_lines(mut self) -> Vec<String> {
        self.signal("TERM");
        assert!(self.child.wait().unwrap().success());
        self.reading.take().unwrap().join().unwrap();
        self.lines()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The first line that contains this, or is about to.
    pub fn line(&self, what: &str) -> String {
        self.find(what, |line| line.contains(what).then(|| line.to_owned()))
    }

    /// The first line in JSON with this message.
    pub fn said(&self, message: &str) -> Value {
        self.said_with(message, |_| true)
    }

    pub fn said_of(&self, message: &str, agent: &str) -> Value {
        self.said_with(message, |fields| fields["agent"] == json!(agent))
    }

    pub fn said_with(&self, message: &str, which: impl Fn(&Value) -> bool) -> Value {
        self.find(message, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let fields = &line["fields"];
            (fields["message"].as_str()?.starts_with(message) && which(fields)).then_some(line)
        })
    }

    fn find<T>(&self, what: &str, which: impl Fn(&str) -> Option<T>) -> T {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(10) {
            if let Some(found) = self.lines.lock().unwrap().iter().find_map(|line| which(line)) {
                return found;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the log lacks {what:?}: {:#?}", self.lines());
    }

    fn bearer(&self) -> String {
        let key = std::fs::read_to_string(self.data.join("admin.key")).unwrap();
        format!("authorization: Bearer {}", key.trim_end())
    }

    pub fn get(&self, path: &str) -> (String, Value) {
        curl(&["-k", "-H", &self.bearer(), &format!("{}{path}", self.url)])
    }

    pub fn post(&self, path: &str, body: &Value) -> (String, Value) {
        self.post_named(path, body).1
    }

    /// With the name of the request.
    pub fn post_named(&self, path: &str, body: &Value) -> (String, (String, Value)) {
        let (url, body, head) = (format!("{}{path}", self.url), body.to_string(), self.data.join("head"));
        let head = head.display().to_string();
        let kind = "content-type: application/json";
        let answer = curl(&["-k", "-D", &head, "-H", &self.bearer(), "-H", kind, "-d", &body, &url]);
        let head = std::fs::read_to_string(&head).unwrap();
        let id = head.lines().find_map(|line| line.strip_prefix("x-request-id: "));
        (id.unwrap_or_default().trim().to_owned(), answer)
    }

    pub fn agent(&self, name: &str) -> String {
        let body = json!({"name": name, "model_hash": MODEL, "permitted_actions": ["read:payments"]});
        let made = self.post("/api/v1/agents", &body);
        assert_eq!(made.0, "201", "{}", made.1);
        made.1["data"]["id"].as_str().unwrap().to_owned()
    }

    /// The serial number of its certificate.
    pub fn certify(&self, agent: &str) -> String {
        let made = self.post(&format!("/api/v1/agents/{agent}/certify"), &json!({}));
        assert_eq!(made.0, "201", "{}", made.1);
        let data = &made.1["data"];
        data["serial_number"].as_str().unwrap_or_else(|| panic!("{data}")).to_owned()
    }
}

/// A figure of `/metrics`.
pub fn figure(metrics: &Value, name: &str) -> f64 {
    let text = metrics.as_str().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
}
