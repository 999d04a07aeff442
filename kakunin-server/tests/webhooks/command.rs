//! `kakunin webhook`, against a server that runs.

use std::path::Path;

use serde_json::{Value, json};

use crate::binary::{kakunin, ran, start};
use crate::receiver::Receiver;

const FLAGS: [&str; 3] = ["--webhook-allow", "127.0.0.1", "--insecure-webhook-http"];

struct Asks<'a> {
    url: &'a str,
    key: &'a Path,
}

impl Asks<'_> {
    fn says(&self, arguments: &[&str]) -> String {
        let key = self.key.display().to_string();
        let all = [&["webhook"], arguments, &["--url", self.url, "--key-file", &key]].concat();
        String::from_utf8(ran(&mut kakunin(&all)).stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.says(&[arguments, &["--json"]].concat())).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_made_tried_looked_at_and_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &FLAGS);
    let asks = Asks { url: &server.url, key: &data.join("admin.key") };
    let receiver = Receiver::taking().await;
    let made = asks.says(&[
        "create",
        &receiver.url("/a"),
        "--event",
        "certificate.issued,risk.alert",
        "--label",
        "ours",
    ]);
    let id = made.split(' ').next().unwrap();
    assert!(
        made.contains("active certificate.issued,risk.alert (ours)") && made.contains("\nsecret whsec_"),
        "{made}"
    );
    assert_eq!(asks.says(&["list"]), made.lines().next().unwrap().to_owned() + "\n");
    let pinged = asks.says(&["ping", id]);
    assert!(pinged.contains(" delivered: 204 in "), "{pinged}");
    assert_eq!(receiver.got()[0].path, "/a");

    let admin = kakunin_server::demo::Client::new(&server.url);
    let admin = admin.with_key(std::fs::read_to_string(asks.key).unwrap().trim_end());
    let agent = json!({ "name": "desk-7", "model_hash": crate::binary::MODEL, "scope": ["read:mail"] });
    let agent = admin.post("/api/v1/agents", &agent).await.unwrap().text("id");
    admin
        .post(&format!("/api/v1/agents/{agent}/certify"), &json!({ "key_algorithm": "p256" }))
        .await
        .unwrap();
    let told = receiver.until("the certificate is told", |got| got.len() == 2).await[1].id();
    let again = asks.says(&["redeliver", id, &told]);
    assert_eq!(again, format!("{told} queued\n"));
    receiver.until("it comes again", |got| got.len() == 3).await;
    let mut listed = Value::Null;
    for _ in 0..200 {
        listed = asks.json(&["deliveries", id]);
        if listed[0]["attempt_count"] == json!(2) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!((&listed[0]["id"], &listed[0]["status"]), (&json!(told), &json!("delivered")));
    let line = asks.says(&["deliveries", id, "--limit", "1"]);
    assert!(line.contains(&format!(" {told} certificate.issued delivered: 204 in ")), "{line}");

    assert!(asks.says(&["rotate", id, "--overlap", "60"]).contains("\nsecret whsec_"));
    assert!(asks.says(&["disable", id]).contains(" disabled: ordered "));
    assert!(asks.says(&["enable", id]).contains(" active "));
    assert_eq!(asks.says(&["delete", id]), format!("{id} deleted\n"));
    assert_eq!(asks.says(&["list"]), "");
    let key = asks.key.display().to_string();
    let refused = kakunin(&["webhook", "ping", id, "--url", asks.url, "--key-file", &key]).output().unwrap();
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && why.contains("no such webhook"), "{why}");
}
