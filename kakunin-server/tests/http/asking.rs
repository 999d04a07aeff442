//! Requests as they are, and what they are about.

use std::time::Duration;

use axum::http::Method;
use kakunin_server::demo::{Answer, Client};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::World;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) async fn ask(client: &Client, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
    client.send(method, path, fields, Vec::new()).await.unwrap()
}

pub(crate) async fn get(client: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    ask(client, Method::GET, path, fields).await
}

/// What comes back on a connection of its own until it is closed, or nothing more comes.
pub(crate) async fn raw(w: &World, request: &str) -> String {
    let mut stream = TcpStream::connect(w.url.rsplit('/').next().unwrap()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    let limit = Duration::from_millis(if request.contains("close") { 10_000 } else { 1_500 });
    while let Ok(Ok(n @ 1..)) = timeout(limit, stream.read(&mut piece)).await {
        all.extend_from_slice(&piece[..n]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

pub(crate) fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

/// An agent with a certificate: identifier and serial number.
pub(crate) async fn certified(w: &World) -> (String, String) {
    let body = json!({ "name": "one", "model_hash": MODEL, "scope": ["read:mail"] });
    let id = w.admin.post("/api/v1/agents", &body).await.unwrap().text("id");
    let made = w.admin.post(&format!("/api/v1/agents/{id}/certify"), &json!({})).await.unwrap();
    assert_eq!(made.status, 201);
    (id, made.text("serial_number"))
}

pub(crate) async fn issuer(w: &World) -> String {
    let all = w.admin.get("/api/v1/ca").await.unwrap().data()["authorities"].clone();
    let issuing = all.as_array().unwrap().iter().find(|ca| ca["role"] == "issuing").unwrap();
    issuing["key_id"].as_str().unwrap().to_owned()
}
