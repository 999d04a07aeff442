//! Events that come one a line: taken in as they come, answered line by line, and ended in order.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode, header};
use common::{World, world};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use kakunin_core::access::Role;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::note::VerifierKey;
use kakunin_server::demo::{Agent, Client};
use kakunin_server::serve::{ServeOptions, Server};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

const STREAM: &str = "/api/v1/events/stream";

/// Pieces as they are sent; `Err` cuts it off.
struct Pieces(mpsc::Receiver<io::Result<Bytes>>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// What is sent, as it is sent, and what is answered, as it comes.
struct Stream {
    to: Option<mpsc::Sender<io::Result<Bytes>>>,
    status: StatusCode,
    answer: Incoming,
    got: Vec<u8>,
}

async fn ask(w: &World, kind: &str, body: Body) -> hyper::Response<Incoming> {
    let tenant = w.kakunin.tenant(&"default".parse().unwrap());
    let key = tenant.create_api_key(Role::Reporter, "lines".parse().unwrap(), None).await.unwrap().1;
    ask_with(&w.url, key.reveal(), kind, body).await
}

async fn ask_with(url: &str, key: &str, kind: &str, body: Body) -> hyper::Response<Incoming> {
    let authority = url.strip_prefix("http://").unwrap();
    let socket = TcpStream::connect(authority).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(STREAM)
        .header(header::HOST, authority)
        .header(header::CONTENT_TYPE, kind)
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .body(body)
        .unwrap();
    sender.send_request(request).await.unwrap()
}

async fn begin(w: &World) -> Stream {
    let (to, pieces) = mpsc::channel(1);
    let response = ask(w, "application/x-ndjson", Body::new(Pieces(pieces))).await;
    let status = response.status();
    Stream { to: Some(to), status, answer: response.into_body(), got: Vec::new() }
}

impl Stream {
    async fn send(&mut self, text: &str) {
        self.to.as_ref().unwrap().send(Ok(text.to_owned().into())).await.unwrap();
    }

    /// The next line, or `None` once there is none.
    async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.got.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.got.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = timeout(Duration::from_secs(20), self.answer.frame()).await.unwrap()?;
            self.got.extend_from_slice(&frame.ok()?.into_data().unwrap());
        }
    }

    async fn rest(mut self) -> Vec<Value> {
        self.to = None;
        let mut all = Vec::new();
        while let Some(line) = self.line().await {
            all.push(line);
        }
        all
    }
}

fn event(serial: &str, n: usize) -> String {
    format!(
        "{}\n",
        json!({ "certificate_serial": serial, "action": "read:mail", "client_id": format!("event-{n}") })
    )
}

async fn serial(w: &World) -> String {
    w.agent("desk", &["read:mail"]).await.serial.to_string()
}

#[tokio::test]
async fn each_line_is_answered_once_it_is_durable() {
    let w = world().await;
    let serial = serial(&w).await;
    let mut stream = begin(&w).await;
    assert_eq!(stream.status, StatusCode::OK);
    let mut before = None;
    for n in 1..=3 {
        // In two pieces, and the next only after the answer.
        let text = event(&serial, n);
        let (one, other) = text.split_at(20);
        stream.send(one).await;
        stream.send(other).await;
        let line = stream.line().await.unwrap();
        let index = line["index"].as_u64().unwrap();
        assert_eq!((&line["line"], &line["status"]), (&json!(n), &json!("scored")), "{line}");
        assert!(before.is_none_or(|before| index == before + 1));
        let listed = w.admin.get("/api/v1/events?limit=1").await.unwrap().data();
        assert_eq!(listed[0]["id"], json!(index.to_string()), "it is on record when it is answered");
        before = Some(index);
    }
    let end = stream.rest().await.pop().unwrap();
    assert_eq!((&end["end"], &end["lines"], &end["recorded"]), (&json!("complete"), &json!(3), &json!(3)));
    let key = w.kakunin.tenant(&"default".parse().unwrap()).log_verifier().await.unwrap();
    let signed =
        Checkpoint::open(end["checkpoint"].as_str().unwrap(), &VerifierKey::parse(&key).unwrap()).unwrap();
    assert!(signed.size > before.unwrap());
}

#[tokio::test]
async fn a_bad_line_costs_itself_alone() {
    let w = world().await;
    let serial = serial(&w).await;
    let mut stream = begin(&w).await;
    let long = format!("{{\"tool\":\"{}\"}}", "x".repeat(70_000));
    let lines = [
        event(&serial, 1),
        "not json\n".into(),
        "\n".into(),
        "[1,2]\r\n".into(),
        format!("{long}\n"),
        event(&serial, 1),
        event(&"41".repeat(16), 9),
        event(&serial, 2).trim_end().to_owned(),
    ];
    for line in &lines {
        stream.send(line).await;
    }
    let all = stream.rest().await;
    let said: Vec<_> = all
        .iter()
        .map(|line| (line["line"].as_u64(), line["status"].as_str(), line["code"].as_str()))
        .collect();
    let refused = Some("refused");
    assert_eq!(
        said,
        [
            (Some(1), Some("scored"), None),
            (Some(2), refused, Some("json_malformed")),
            (Some(4), refused, Some("body_invalid")),
            (Some(5), refused, Some("line_too_long")),
            (Some(6), Some("duplicate"), None),
            (Some(7), refused, Some("not_found")),
            (Some(8), Some("scored"), None),
            (None, None, None),
        ]
    );
    assert_eq!((&all[5 - 1]["index"], &all[5]["field"]), (&all[0]["index"], &json!("certificate_serial")));
    let end = all.last().unwrap();
    let counts = ["lines", "recorded", "duplicates", "refused"].map(|name| end[name].as_u64().unwrap());
    assert_eq!((counts, &end["end"]), ([8, 2, 1, 4], &json!("complete")));
}

/// More than a body, or what an address may hold, has room for otherwise: nothing of it waits in memory.
#[tokio::test]
async fn a_stream_is_of_any_length() {
    let w = world().await;
    let serial = serial(&w).await;
    let details = "d".repeat(15_000);
    let stream = begin(&w).await;
    let Stream { to, answer, got, status } = stream;
    let to = to.unwrap();
    let count = 2_400;
    let sending = tokio::spawn(async move {
        for n in 0..count {
            let line = json!({ "certificate_serial": serial, "action": "read:mail", "client_id": format!("{n}"), "details": { "text": details } });
            to.send(Ok(format!("{line}\n").into())).await.unwrap();
        }
    });
    let reading = Stream { to: None, status, answer, got };
    let all = reading.rest().await;
    sending.await.unwrap();
    let end = all.last().unwrap();
    assert_eq!(
        (all.len(), &end["recorded"], &end["end"]),
        (count + 1, &json!(count), &json!("complete")),
        "{end}"
    );
    assert!(count * 15_000 > 32 * 1024 * 1024);
}

#[tokio::test]
async fn what_is_cut_off_is_not_recorded() {
    let w = world().await;
    let serial = serial(&w).await;
    let mut stream = begin(&w).await;
    stream.send(&event(&serial, 1)).await;
    assert_eq!(stream.line().await.unwrap()["status"], "scored");
    // The connection goes in the middle of a line.
    stream.send(event(&serial, 2).trim_end()).await;
    stream.to.take().unwrap().send(Err(io::Error::other("gone"))).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let listed = w.admin.get("/api/v1/events?limit=10").await.unwrap().data();
    assert_eq!(listed.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn streams_have_bounds_and_say_what_they_take() {
    let w = world().await;
    let serial = serial(&w).await;
    for kind in ["application/json", "text/plain", ""] {
        let refused = ask(&w, kind, Body::from(event(&serial, 1))).await;
        assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    let empty = ask(&w, "application/x-ndjson; charset=utf-8", Body::empty()).await;
    let end: Value = serde_json::from_slice(&empty.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&end["end"], &end["lines"]), (&json!("complete"), &json!(0)));
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(begin(&w).await);
    }
    let full = ask(&w, "application/x-ndjson", Body::from(event(&serial, 1))).await;
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(full.headers().contains_key(header::RETRY_AFTER));
    // Others are not held up by them.
    let one = json!({ "certificate_serial": serial, "action": "read:mail" });
    assert_eq!(w.admin.post("/api/v1/events", &one).await.unwrap().status, StatusCode::CREATED);
    drop(held);
    for _ in 0..100 {
        let again = ask(&w, "application/x-ndjson", Body::empty()).await;
        if again.status() == StatusCode::OK {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unreachable!("the places are free again");
}

/// A key that is taken away, and a server that ends: what was sent before is answered, and the last line says why.
#[tokio::test]
async fn a_stream_is_ended_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions::new(folder.path().join("data"), common::loopback());
    let server = Server::bind(&options).await.unwrap();
    let (url, key) =
        (server.url().unwrap(), server.deployment().admin_key.as_ref().unwrap().reveal().to_owned());
    let (kakunin, admin) = (server.deployment().kakunin.clone(), Client::new(&url).with_key(&key));
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let serial = Agent::start("desk", &["read:mail"], &admin).await.unwrap().serial.to_string();
    let tenant = kakunin.tenant(&"default".parse().unwrap());
    let (facts, key) = tenant.create_api_key(Role::Reporter, "lines".parse().unwrap(), None).await.unwrap();
    let mut streams = Vec::new();
    for n in 0..2 {
        let (to, pieces) = mpsc::channel(1);
        let response = ask_with(&url, key.reveal(), "application/x-ndjson", Body::new(Pieces(pieces))).await;
        let mut stream =
            Stream { to: Some(to), status: response.status(), answer: response.into_body(), got: Vec::new() };
        stream.send(&event(&serial, n)).await;
        assert_eq!(stream.line().await.unwrap()["status"], "scored");
        streams.push(stream);
    }
    stop.send(true).unwrap();
    for mut stream in streams {
        let end = stream.line().await.unwrap();
        assert_eq!(
            (&end["end"], &end["code"], &end["lines"], &end["recorded"]),
            (&json!("cut"), &json!("server_ending"), &json!(1), &json!(1)),
            "{end}"
        );
        assert!(stream.line().await.is_none());
    }
    serving.await.unwrap().unwrap();
    drop(facts);
}

#[tokio::test]
async fn a_key_that_is_taken_away_ends_its_streams() {
    let w = world().await;
    let serial = serial(&w).await;
    let tenant = w.kakunin.tenant(&"default".parse().unwrap());
    let (facts, key) = tenant.create_api_key(Role::Reporter, "lines".parse().unwrap(), None).await.unwrap();
    let (to, pieces) = mpsc::channel(1);
    let response = ask_with(&w.url, key.reveal(), "application/x-ndjson", Body::new(Pieces(pieces))).await;
    let mut stream =
        Stream { to: Some(to), status: response.status(), answer: response.into_body(), got: Vec::new() };
    stream.send(&event(&serial, 1)).await;
    assert_eq!(stream.line().await.unwrap()["status"], "scored");
    w.kakunin.revoke_api_key(&facts.id).await.unwrap();
    stream.send(&event(&serial, 2)).await;
    let end = stream.line().await.unwrap();
    assert_eq!(
        (&end["end"], &end["code"], &end["lines"]),
        (&json!("cut"), &json!("api_key_invalid"), &json!(1)),
        "{end}"
    );
    let listed = w.admin.get("/api/v1/events?limit=10").await.unwrap().data();
    assert_eq!(listed.as_array().unwrap().len(), 1, "what came after it is not on record");
}
