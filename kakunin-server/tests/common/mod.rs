//! A server of its own for each test, and callers of it.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part of this")]

use std::net::SocketAddr;

use axum::http::Method;
use kakunin_core::service::Kakunin;
use kakunin_server::demo::{Agent, Answer, Client};
use kakunin_server::serve::{ServeOptions, Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

pub struct World {
    pub url: String,
    pub admin: Client,
    pub folder: TempDir,
    pub kakunin: Kakunin,
    _stop: watch::Sender<bool>,
}

pub async fn world() -> World {
    world_with(|_| ()).await
}

pub async fn world_with(change: impl FnOnce(&mut ServeOptions)) -> World {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(folder.path().join("data"), loopback());
    change(&mut options);
    let server = Server::bind(&options).await.unwrap();
    let url = server.url().unwrap();
    let key = server.deployment().admin_key.as_ref().unwrap().reveal().to_owned();
    let kakunin = server.deployment().kakunin.clone();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(server.serve(stopped));
    World { admin: Client::new(&url).with_key(&key), url, folder, kakunin, _stop: stop }
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl World {
    pub async fn agent(&self, name: &str, scope: &[&str]) -> Agent {
        Agent::start(name, scope, &self.admin).await.unwrap()
    }

    /// A key of that role, for a tenant that is made if need be.
    pub async fn key(&self, tenant: &str, role: &str) -> Client {
        let made = self.admin.post("/api/v1/tenants", &json!({ "id": tenant })).await.unwrap();
        assert_eq!(made.status, 201);
        let asked = json!({ "tenant": tenant, "role": role, "label": "test" });
        let key = self.admin.post("/api/v1/api-keys", &asked).await.unwrap();
        assert_eq!(key.status, 201);
        self.admin.with_key(&key.text("key"))
    }

    pub async fn risk(&self, agent: &Agent) -> Value {
        let risk = self.admin.get(&format!("/api/v1/agents/{}/risk", agent.id)).await.unwrap();
        assert_eq!(risk.status, 200);
        risk.data()
    }

    pub async fn inbox(&self) -> Vec<String> {
        let inbox = self.admin.get("/api/v1/notifications?limit=100").await.unwrap().data();
        let kind = |item: &Value| item["notification_type"].as_str().unwrap().to_owned();
        inbox.as_array().unwrap().iter().map(kind).collect()
    }
}

/// The `error` or `code` of a refusal.
pub fn code(answer: &Answer) -> String {
    let body = answer.json();
    assert!(body["error"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    assert!(body["request_id"].as_str().is_some_and(|id| id.len() == 32), "{body}");
    body["code"].as_str().unwrap().to_owned()
}

/// A check with these fields beside the content type.
pub async fn check(client: &Client, fields: &[(&str, &str)], body: &Value) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend_from_slice(fields);
    client.send(Method::POST, "/api/v1/gateway/check", &headers, body.to_string().into_bytes()).await.unwrap()
}
