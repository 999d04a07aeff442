//! Receivers that others wrote verify what is sent, and refuse what somebody changed on the way: those of
//! `docs/WEBHOOKS.md`, by PyPI's and npm's `standardwebhooks`, and one by PyPI's `svix`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Method;
use kakunin_server::demo::Client;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::binary::start;

const FLAGS: [&str; 3] = ["--webhook-allow", "127.0.0.1", "--insecure-webhook-http"];

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tools() -> PathBuf {
    let named = std::env::var_os("KAKUNIN_TOOLS").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/kakunin/tools"))
}

/// The block of the page after this mark.
fn block(name: &str) -> String {
    let page = include_str!("../../../docs/WEBHOOKS.md");
    let after = page.split(&format!("<!-- run: {name} -->")).nth(1).unwrap();
    let block = after.split("```").nth(1).unwrap();
    block.split_once('\n').unwrap().1.to_owned()
}

/// Starts a receiver, and waits until it listens.
async fn peer(name: &str, secret: &str) -> (Peer, u16) {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (python, node) = (tools().join("venv/bin/python"), tools().join("venv/bin/node"));
    let (program, option, text) = match name {
        "svix" => {
            let std = ["from standardwebhooks import Webhook", "from svix.webhooks import Webhook"];
            let text = block("python").replace(std[0], std[1]);
            assert!(text.contains("svix"));
            // It gives nothing back.
            (python, "-c", text.replace("message[\"type\"]", "message"))
        }
        "python" => (python, "-c", block("python")),
        _ => (node, "-e", block("node")),
    };
    let child = Command::new(&program)
        .args([option, &text])
        .env("WEBHOOK_SECRET", secret)
        .env("PORT", port.to_string())
        .env("NODE_PATH", tools().join("node/node_modules"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let peer = Peer(child.unwrap_or_else(|error| panic!("{}: {error}; run `make setup`", program.display())));
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return (peer, port);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{name} does not listen; run `make setup`");
}

/// How a delivery is changed on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Nothing,
    Body,
    Id,
    Time,
    Signature,
    NoSignature,
}

/// Somebody on the way: passes requests on to the port, changed.
async fn meddler(to: Arc<Mutex<(u16, Change)>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (port, change) = *to.lock().unwrap();
            tokio::spawn(pass_on(stream, port, change));
        }
    });
    port
}

async fn pass_on(mut from: TcpStream, port: u16, change: Change) -> std::io::Result<()> {
    let (mut octets, mut buffer) = (Vec::new(), [0; 65_536]);
    let (head, body) = loop {
        let read = from.read(&mut buffer).await?;
        octets.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8(octets.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && head.to_ascii_lowercase().contains(&format!("content-length: {}", body.len()))
        {
            break (head.to_owned(), body.to_owned());
        }
    };
    let line = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match (change, name) {
            (Change::Id, "webhook-id") => format!("{name}: {value}0"),
            (Change::Time, "webhook-timestamp") => format!("{name}: {}", value.parse::<u64>().unwrap() + 1),
            (Change::Signature, "webhook-signature") => {
                let first = if value.contains("v1,A") { 'B' } else { 'A' };
                format!("{name}: v1,{first}{}", &value[4..])
            }
            (Change::NoSignature, "webhook-signature") => "x-nothing: x".to_owned(),
            _ => line.to_owned(),
        }
    };
    let head: Vec<_> = head.split("\r\n").map(line).collect();
    let body = if change == Change::Body { body.replace("\"ping\"", "\"pong\"") } else { body };
    let head = head.join("\r\n");
    let mut to = TcpStream::connect(("127.0.0.1", port)).await?;
    to.write_all(format!("{head}\r\nconnection: close\r\n\r\n{body}").as_bytes()).await?;
    let mut answer = Vec::new();
    to.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split("\r\n").next().unwrap_or("HTTP/1.1 502 No").to_owned();
    from.write_all(format!("{status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes()).await
}

async fn send(client: &Client, method: Method, path: &str, body: &Value) -> Value {
    let json = [("content-type", "application/json")];
    let answer = client.send(method, path, &json, body.to_string().into_bytes()).await.unwrap();
    assert!(answer.status.is_success(), "{path}: {}", answer.json());
    answer.data()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_verify_what_is_sent_and_refuse_what_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = start(&data, &FLAGS);
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    let admin = Client::new(&server.url).with_key(key.trim_end());
    let route = Arc::new(Mutex::new((0, Change::Nothing)));
    let through = meddler(route.clone()).await;
    let mut said = HashMap::new();
    for name in ["python", "svix", "node"] {
        let asked =
            json!({ "url": format!("http://127.0.0.1:{through}/"), "events": ["certificate.issued"] });
        let made = send(&admin, Method::POST, "/api/v1/webhooks", &asked).await;
        let one = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
        let (peer, port) = peer(name, made["secret"].as_str().unwrap()).await;
        for change in
            [Change::Nothing, Change::Body, Change::Id, Change::Time, Change::Signature, Change::NoSignature]
        {
            *route.lock().unwrap() = (port, change);
            let pinged = send(&admin, Method::POST, &format!("{one}/ping"), &json!({})).await;
            let status = if change == Change::Nothing { 204 } else { 400 };
            assert_eq!(pinged["status"], json!(status), "{name}: {change:?}: {pinged}");
        }
        // Both secrets verify while one is replaced, also to who knows the first alone.
        *route.lock().unwrap() = (port, Change::Nothing);
        send(&admin, Method::POST, &format!("{one}/rotate"), &json!({})).await;
        let pinged = send(&admin, Method::POST, &format!("{one}/ping"), &json!({})).await;
        assert_eq!(pinged["delivered"], json!(true), "{name}");
        // And what happens, straight to it.
        let there = json!({ "url": format!("http://127.0.0.1:{port}/") });
        send(&admin, Method::PATCH, &one, &there).await;
        said.insert(name, (one, peer));
    }
    let made = json!({ "name": "desk-7", "model_hash": crate::binary::MODEL, "scope": ["read:mail"] });
    let id = admin.post("/api/v1/agents", &made).await.unwrap().text("id");
    admin.post(&format!("/api/v1/agents/{id}/certify"), &json!({ "key_algorithm": "p256" })).await.unwrap();
    for (name, (one, _peer)) in said {
        let mut state = Value::Null;
        for _ in 0..500 {
            let page = admin.get(&format!("{one}/deliveries")).await.unwrap().json();
            state = page["data"][0]["status"].clone();
            if !state.is_null() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(state, "delivered", "{name}");
    }
}
