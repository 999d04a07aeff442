//! The revocation feed over real connections: revoked here is refused there, whatever happens in between.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../binary/mod.rs"]
mod binary;
#[path = "../common/mod.rs"]
mod common;
mod faults;
mod private;
mod world;

use common::{code, world};
use kakunin_core::time::{Clock, SystemClock};
use serde_json::json;
use world::{Raw, Relying, authorities, certified, feed_path, order, revoke};

#[tokio::test]
async fn revoked_here_is_refused_there_and_holds_come_and_go() {
    let world = world().await;
    let (one, two) = (certified(&world.admin, "one").await, certified(&world.admin, "two").await);
    let relying = Relying::on(&world.url).await;
    assert_eq!(relying.refusal(&one, SystemClock.now()), Some("revocation_unknown"), "until it knows");
    relying.until(&one, None).await;
    revoke(&world.admin, &one).await;
    relying.until(&one, Some("agent_revoked")).await;
    assert_eq!(relying.refusal(&two, SystemClock.now()), None);
    for (what, expected) in [("hold", Some("agent_inactive")), ("release", None)] {
        order(&world.admin, &two, what, &json!({})).await;
        relying.until(&two, expected).await;
    }
    assert_eq!(relying.following.status(&relying.issuer).unwrap().size, 3);
    // Somebody new is told what stands.
    let late = Relying::on(&world.url).await;
    late.until(&one, Some("agent_revoked")).await;
    late.until(&two, None).await;
}

#[tokio::test]
async fn pages_and_streams_go_on_where_they_were_cut() {
    let world = world().await;
    let (issuer, ..) = authorities(&world.admin).await;
    let path = feed_path(&issuer);
    let agents = [certified(&world.admin, "a").await, certified(&world.admin, "b").await];
    let stranger = world.admin.without_key();
    let empty = stranger.get(&path).await.unwrap();
    assert_eq!(
        (empty.status.as_u16(), empty.headers["cache-control"].as_bytes()),
        (200, &b"public, max-age=1"[..])
    );
    assert!(
        empty.data()["checkpoint"]
            .as_str()
            .unwrap()
            .contains("/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
    );
    let mut raw = Raw::open(&world.url, &format!("{path}/stream"), "").await;
    assert!(raw.head.contains("text/event-stream") && raw.head.contains("no-store"), "{}", raw.head);
    assert_eq!(raw.event().await.unwrap().0, 0);
    revoke(&world.admin, &agents[0]).await;
    let (id, frame) = raw.event().await.unwrap();
    assert_eq!((id, frame["entries"].as_array().unwrap().len()), (1, 1));
    drop(raw);
    revoke(&world.admin, &agents[1]).await;
    let mut raw = Raw::open(&world.url, &format!("{path}/stream?after=0"), "Last-Event-ID: 1\r\n").await;
    let (id, frame) = raw.event().await.unwrap();
    assert_eq!((id, frame["from"].as_u64(), frame["entries"].as_array().unwrap().len()), (2, Some(1), 1));
    let (id, heartbeat) = raw.event().await.unwrap();
    assert_eq!((id, heartbeat["entries"].as_array().unwrap().len()), (2, 0));
    assert_ne!(heartbeat["checkpoint"], frame["checkpoint"], "as of a later time");
    let page = stranger.get(&format!("{path}?after=1&limit=1")).await.unwrap().data();
    assert_eq!(page["entries"], frame["entries"]);
    let beyond = stranger.get(&format!("{path}?after=99")).await.unwrap();
    assert_eq!((beyond.status.as_u16(), beyond.data()["entries"].as_array().unwrap().len()), (200, 0));
    for (path, expected) in [
        (format!("{path}?limit=0"), "limit_invalid"),
        (format!("{path}?limit=1001"), "limit_invalid"),
        (format!("{path}?after=-1"), "query_invalid"),
        (format!("{path}/stream?before=1"), "query_invalid"),
        ("/api/v1/feed/00".to_owned(), "not_found"),
        (format!("/api/v1/feed/{}/snapshot", "0".repeat(40)), "not_found"),
        (format!("/api/v1/feed/{}/stream", "0".repeat(40)), "not_found"),
    ] {
        assert_eq!(code(&stranger.get(&path).await.unwrap()), expected, "{path}");
    }
    let wrong = [("last-event-id", "x")];
    let stream = format!("{path}/stream");
    let refused = stranger.send(axum::http::Method::GET, &stream, &wrong, Vec::new()).await.unwrap();
    assert_eq!(code(&refused), "cursor_malformed");
}
