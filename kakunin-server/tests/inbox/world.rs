//! Agents that are held, which is told each time; and streams as curl reads them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use kakunin_server::demo::Client;
use serde_json::{Value, json};

use crate::binary::MODEL;

pub(crate) const INBOX: &str = "/api/v1/notifications";
/// How long something may take that takes milliseconds, on a machine that has much else to do.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The serial number of an agent that is certified.
pub(crate) async fn certified(client: &Client, name: &str) -> String {
    let agent = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
    let id = client.post("/api/v1/agents", &agent).await.unwrap().text("id");
    let path = format!("/api/v1/agents/{id}/certify");
    client.post(&path, &json!({ "key_algorithm": "p256" })).await.unwrap().text("serial_number")
}

/// One more item: it is held, and released again.
pub(crate) async fn hold(client: &Client, serial: &str) {
    for what in ["hold", "release"] {
        let done = client.post(&format!("/api/v1/certificates/{serial}/{what}"), &json!({})).await.unwrap();
        assert!(done.status.is_success(), "{}", done.json());
    }
}

pub(crate) async fn page(client: &Client, query: &str) -> Value {
    let page = client.get(&format!("{INBOX}?{query}")).await.unwrap();
    assert_eq!(page.status, 200, "{}", page.json());
    page.json()
}

/// Identifiers of a page, newest first.
pub(crate) fn ids(page: &Value) -> Vec<u64> {
    let id = |item: &Value| item["id"].as_str().unwrap().parse().unwrap();
    page["data"].as_array().unwrap().iter().map(id).collect()
}

/// A stream as curl reads it, line by line.
pub(crate) struct Stream {
    curl: Child,
    lines: Receiver<String>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

impl Stream {
    /// With this key; perhaps with `Last-Event-ID`, and `?after=`.
    pub(crate) fn open(url: &str, key: &str, query: &str, last: Option<&str>) -> Self {
        let mut command = Command::new("curl");
        command.args(["-sSN", "-i", "-H", &format!("authorization: Bearer {key}")]);
        // A field without a value is written with a semicolon.
        let field = last.map(|last| {
            if last.is_empty() { "last-event-id;".into() } else { format!("last-event-id: {last}") }
        });
        command.args(field.iter().flat_map(|field| ["-H", field]));
        let mut curl = command
            .arg(format!("{url}{INBOX}/stream{query}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("curl is installed by `make setup`");
        let (out, lines) = channel();
        let read = BufReader::new(curl.stdout.take().unwrap());
        std::thread::spawn(move || read.lines().map_while(Result::ok).try_for_each(|line| out.send(line)));
        Self { curl, lines }
    }

    /// The next line; `None` at the end.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(SOON) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing came"),
        }
    }

    /// The status of the answer, after whose head it is.
    pub(crate) fn status(&self) -> u16 {
        let first = self.line().expect("an answer");
        while self.line().is_some_and(|line| !line.is_empty()) {}
        first.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The next notification, with the id of its event; `None` at the end.
    pub(crate) fn next(&self) -> Option<(u64, Value)> {
        let mut id = None;
        loop {
            let line = self.line()?;
            if let Some(cursor) = line.strip_prefix("id: ") {
                id = Some(cursor.parse().unwrap());
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some((id.unwrap(), serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// So many identifiers of notifications.
    pub(crate) fn take(&self, count: usize) -> Vec<u64> {
        (0..count)
            .map(|_| self.next().expect("one more").1["id"].as_str().unwrap().parse().unwrap())
            .collect()
    }
}
