//! The stream of what is new, read by curl.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use axum::http::Method;
use kakunin_server::demo::Client;
use kakunin_server::serve::{ServeOptions, Server};
use serde_json::json;
use tokio::sync::watch;

use crate::common::{World, code, loopback, world};
use crate::world::{INBOX, SOON, Stream, certified, hold, ids, page};

/// A key of the default tenant that reads, and its identifier.
async fn reader(w: &World) -> (String, String) {
    let asked = json!({ "role": "reader", "label": "test" });
    let made = w.admin.post("/api/v1/api-keys", &asked).await.unwrap();
    (made.text("key"), made.text("id"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_a_page_and_the_stream_and_over_a_cut_nothing_is_missed_or_said_twice() {
    let w = world().await;
    let serial = certified(&w.admin, "one").await;
    let (key, _) = reader(&w).await;
    let empty = page(&w.admin, "").await;
    assert_eq!(empty["stream_cursor"], "0");
    let all = Stream::open(&w.url, &key, "?after=0", None);
    assert_eq!(all.status(), 200);
    for _ in 0..3 {
        hold(&w.admin, &serial).await;
    }
    let seen = page(&w.admin, "").await;
    let cursor = seen["stream_cursor"].as_str().unwrap();
    let later = Stream::open(&w.url, &key, &format!("?after={cursor}"), None);
    let now = Stream::open(&w.url, &key, "", None);
    assert_eq!((later.status(), now.status()), (200, 200));
    // Where it begins, before anything comes.
    assert_eq!((now.line(), now.line()), (Some(format!("id: {cursor}")), Some(String::new())));
    for _ in 0..3 {
        hold(&w.admin, &serial).await;
    }
    let mut every = ids(&page(&w.admin, "").await);
    every.reverse();
    assert_eq!(later.take(3), every[3..]);
    assert_eq!(now.take(3), every[3..]);
    assert_eq!(all.take(2), every[..2]);
    // Cut after the third, and resumed with its id, which wins over what else is said.
    let (id, third) = all.next().unwrap();
    assert_eq!(
        (third["id"].as_str().unwrap().parse(), third["kind"].as_str()),
        (Ok(every[2]), Some("agent_held"))
    );
    assert!(third.get("read").is_none());
    drop(all);
    let resumed = Stream::open(&w.url, &key, "?after=0", Some(&id.to_string()));
    assert_eq!((resumed.status(), resumed.take(3)), (200, every[3..].to_vec()));
    // Nothing comes, and that is said every few seconds.
    let began = Instant::now();
    while resumed.line().unwrap() != ":" {}
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    hold(&w.admin, &serial).await;
    assert_eq!(resumed.take(1), [ids(&page(&w.admin, "limit=1").await)[0]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_cut_again_and_again_while_items_come_gets_each_once() {
    let w = world().await;
    let mut agents = Vec::new();
    for n in 0..4 {
        agents.push(certified(&w.admin, &format!("agent-{n}")).await);
    }
    let (key, _) = reader(&w).await;
    let mut writers = tokio::task::JoinSet::new();
    for serial in agents {
        let admin = w.admin.clone();
        writers.spawn(async move {
            for _ in 0..50 {
                hold(&admin, &serial).await;
            }
        });
    }
    let url = w.url.clone();
    let followed = tokio::task::spawn_blocking(move || {
        let (mut seen, mut cursor) = (Vec::new(), "0".to_owned());
        while seen.len() < 200 {
            let stream = Stream::open(&url, &key, "", Some(&cursor));
            assert_eq!(stream.status(), 200);
            for _ in 0..17.min(200 - seen.len()) {
                let (id, item) = stream.next().unwrap();
                cursor = id.to_string();
                seen.push(item["id"].as_str().unwrap().parse::<u64>().unwrap());
            }
        }
        seen
    });
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let seen = followed.await.unwrap();
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
    let (mut all, mut before) = (BTreeSet::new(), String::new());
    loop {
        let page = page(&w.admin, &format!("limit=100{before}")).await;
        all.extend(ids(&page));
        let Some(next) = page["pagination"]["next_cursor"].as_str() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(seen, all.into_iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_that_are_none_are_refused_and_one_that_is_too_high_waits_for_what_comes() {
    let w = world().await;
    let serial = certified(&w.admin, "one").await;
    hold(&w.admin, &serial).await;
    let (key, _) = reader(&w).await;
    for last in ["", "-1", "x", "1.5", "99999999999999999999", "0x10", "1, 2"] {
        assert_eq!(Stream::open(&w.url, &key, "", Some(last)).status(), 400, "{last:?}");
    }
    for after in ["", "-1", "x", "99999999999999999999"] {
        assert_eq!(Stream::open(&w.url, &key, &format!("?after={after}"), None).status(), 400, "{after:?}");
    }
    let high = Stream::open(&w.url, &key, "", Some("9007199254740993"));
    assert_eq!(high.status(), 200);
    let began = high.line().unwrap();
    assert_eq!(began, format!("id: {}", ids(&page(&w.admin, "").await)[0] + 1));
    hold(&w.admin, &serial).await;
    assert_eq!(high.take(1), [ids(&page(&w.admin, "").await)[0]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_its_tenant_s_own_and_ends_with_its_key() {
    let w = world().await;
    let serial = certified(&w.admin, "one").await;
    let other = w.key("other", "operator").await;
    let asked = json!({ "tenant": "other", "role": "reader", "label": "test" });
    let theirs = w.admin.post("/api/v1/api-keys", &asked).await.unwrap().text("key");
    let (key, id) = reader(&w).await;
    let (ours, theirs) =
        (Stream::open(&w.url, &key, "", None), Stream::open(&w.url, &theirs, "?after=0", None));
    assert_eq!((ours.status(), theirs.status()), (200, 200));
    hold(&w.admin, &serial).await;
    assert_eq!(ours.take(1).len(), 1);
    hold(&other, &certified(&other, "theirs").await).await;
    let (_, item) = theirs.next().unwrap();
    assert_eq!(item["id"], page(&other, "").await["data"][0]["id"]);
    assert_ne!(item["agent_id"], page(&w.admin, "").await["data"][0]["agent_id"]);
    let path = format!("/api/v1/api-keys/{id}");
    assert_eq!(w.admin.send(Method::DELETE, &path, &[], Vec::new()).await.unwrap().status, 200);
    // What comes now is not for it.
    hold(&w.admin, &serial).await;
    let began = Instant::now();
    assert!(ours.next().is_none());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(Stream::open(&w.url, &key, "", None).status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_so_many_streams_and_has_them_back() {
    let w = world().await;
    let (key, _) = reader(&w).await;
    w.key("other", "reader").await;
    let asked = json!({ "tenant": "other", "role": "reader", "label": "test" });
    let theirs = w.admin.post("/api/v1/api-keys", &asked).await.unwrap().text("key");
    let mut open: Vec<_> = (0..64).map(|_| Stream::open(&w.url, &key, "", None)).collect();
    assert!(open.iter().all(|stream| stream.status() == 200));
    let refused = w.admin.with_key(&key).get(&format!("{INBOX}/stream")).await.unwrap();
    assert_eq!((refused.status.as_u16(), code(&refused).as_str()), (503, "inbox_full"));
    assert_eq!(refused.headers["retry-after"], "30");
    assert_eq!(Stream::open(&w.url, &theirs, "", None).status(), 200, "others have theirs");
    open.pop();
    let began = Instant::now();
    while Stream::open(&w.url, &key, "", None).status() != 200 {
        assert!(began.elapsed() < SOON, "its place is not free again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_at_once_when_the_server_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::bind(&ServeOptions::new(folder.path().join("data"), loopback())).await.unwrap();
    let url = server.url().unwrap();
    let key = server.deployment().admin_key.as_ref().unwrap().reveal().to_owned();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let stream = Stream::open(&url, &key, "", None);
    assert_eq!(stream.status(), 200);
    let client = Client::new(&url).with_key(&key);
    hold(&client, &certified(&client, "one").await).await;
    assert_eq!(stream.take(1).len(), 1);
    let began = Instant::now();
    stop.send(true).unwrap();
    assert!(stream.next().is_none());
    serving.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
