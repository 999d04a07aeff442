//! A server of its own for each test, and callers of it.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its own part of this")]

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kakunin_core::access::Role;
use kakunin_core::id::TenantId;
use kakunin_core::service::{Config, Kakunin, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use kakunin_server::demo::{Agent, Answer, Client};
use kakunin_server::http::{ApiOptions, router};
use kakunin_server::serve::{ServeOptions, Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tower::Service;

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

/// The API without a socket, over a deployment whose clock is the test's.
pub struct Rig {
    router: Router,
    key: String,
    pub kakunin: Kakunin,
    pub clock: Arc<ManualClock>,
}

impl Rig {
    pub async fn new() -> Self {
        let clock = Arc::new(ManualClock::at(UnixTime::from_secs(1_795_420_800)));
        let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
        parts.clock = clock.clone();
        Self::over(Config::new("agents.example").unwrap(), parts, clock).await
    }

    pub async fn over(config: Config, parts: Parts, clock: Arc<ManualClock>) -> Self {
        let kakunin = Kakunin::open(config, parts).await.unwrap();
        let tenant: TenantId = "default".parse().unwrap();
        kakunin.create_tenant(&tenant).await.unwrap();
        let label = "test".parse().unwrap();
        let key = kakunin.tenant(&tenant).create_api_key(Role::Admin, label, None).await.unwrap().1;
        let router = router(kakunin.clone(), clock.clone(), ApiOptions::default()).unwrap();
        Self { router, key: key.reveal().to_owned(), kakunin, clock }
    }

    async fn send(&self, method: Method, path: &str, key: bool, body: Vec<u8>) -> Answer {
        let mut request =
            Request::builder().method(method).uri(path).header("content-type", "application/json");
        if key {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        let response = self.router.clone().call(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// As an operator.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, true, body.to_string().into()).await
    }

    /// As anybody.
    pub async fn post_without_key(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, false, body.to_string().into()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, true, Vec::new()).await
    }
}

/// A request for a path as it is spelt, on a connection of its own.
pub async fn as_it_is(url: &str, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
    let authority = url.strip_prefix("http://").unwrap();
    let stream = TokioIo::new(TcpStream::connect(authority).await.unwrap());
    let (mut sender, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", authority);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { status: head.status, headers: head.headers, body }
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
