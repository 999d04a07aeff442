//! A hundred readers who ask for what is not there keep nobody waiting who stops an agent, checks a request, verifies, or
//! follows revocations: not in another tenant, and not in their own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{World, code, world};
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::id::{Serial, TenantId};
use kakunin_server::demo::{Agent, Client};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const RECORDS: usize = 200_000;
const READERS: usize = 100;
const ATTACK: Duration = Duration::from_secs(8);

/// What a reader's key may list and search; none of the filters fits anything.
const LISTS: [&str; 7] = [
    "/api/v1/audit-log?event_type=no.such&limit=100",
    "/api/v1/audit-log?actor_type=user&since=2020-01-01T00:00:00Z&limit=100",
    "/api/v1/audit-log?affected_id=01890000-0000-7000-8000-000000000000",
    "/api/v1/events?action_type=nothing&limit=100",
    "/api/v1/events?band=high&limit=100",
    "/api/v1/agents?status=retired&limit=100",
    "/api/v1/notifications?agent_id=01890000-0000-7000-8000-000000000000&limit=100",
];

/// A log that takes long to search.
async fn lengthen(w: &World, agent: &Agent) {
    let (tenant, serial): (TenantId, Serial) = ("default".parse().unwrap(), agent.serial);
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let (kakunin, tenant) = (w.kakunin.clone(), tenant.clone());
        writers.spawn(async move {
            for _ in 0..RECORDS / 4 / 1_000 {
                let mut event = Event::new(serial, "read:mail".parse().unwrap(), Outcome::Ok);
                event.attribution = Attribution::Asserted;
                kakunin.tenant(&tenant).observe_all(vec![event; 1_000]).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
}

/// Readers that ask again and again.
struct Crowd {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    readers: JoinSet<()>,
}

impl Crowd {
    fn start(key: &str, base: &str, agent: &str) -> Self {
        let (stop, answers, refused) = (Arc::default(), Arc::default(), Arc::default());
        let mut crowd = Self { stop, answers, refused, readers: JoinSet::new() };
        for n in 0..READERS {
            let mut lists = LISTS.map(str::to_owned).to_vec();
            lists.extend(["", "/risk"].map(|what| format!("/api/v1/agents/{agent}{what}")));
            let path = lists.swap_remove(n % lists.len());
            // A connection of its own for each.
            let reader = Client::new(base).with_key(key);
            let (stop, answers, refused) = (crowd.stop.clone(), crowd.answers.clone(), crowd.refused.clone());
            crowd.readers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = reader.get(&path).await.unwrap();
                    match answer.status.as_u16() {
                        200 => answers.fetch_add(1, Ordering::Relaxed),
                        503 => {
                            assert_eq!(code(&answer), "listings_busy");
                            assert!(answer.headers.contains_key("retry-after"));
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        429 => refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other}: {}", answer.json()),
                    };
                }
            });
        }
        crowd
    }

    async fn end(mut self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(done) = self.readers.join_next().await {
            done.unwrap();
        }
        (self.answers.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}

/// The longest time between two frames of the feed, until told to stop.
async fn longest_gap(w: &World, stop: Arc<AtomicBool>) -> Duration {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let issuer = w.kakunin.issuer().id();
    let mut stream = tokio::net::TcpStream::connect(w.url.strip_prefix("http://").unwrap()).await.unwrap();
    let request = format!("GET /api/v1/feed/{issuer}/stream HTTP/1.0\r\nhost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut last, mut longest, mut piece) = (Instant::now(), Duration::ZERO, vec![0; 64 * 1024]);
    while !stop.load(Ordering::Relaxed) {
        let read = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut piece)).await;
        if let Ok(read) = read {
            assert!(read.unwrap() > 0, "the stream ended");
            last = Instant::now();
        }
        longest = longest.max(last.elapsed());
    }
    longest
}

async fn quickly(what: &str, bound: Duration, work: impl Future<Output = u16>) {
    let began = Instant::now();
    let status = work.await;
    let took = began.elapsed();
    println!("{what}: {took:.0?}");
    assert_eq!(status, 200, "{what}");
    assert!(took < bound, "{what} took {took:?}");
}

async fn halt(client: &Client, agent: &Agent) -> u16 {
    let path = format!("/api/v1/agents/{}/halt", agent.id);
    client.post(&path, &json!({ "reason": "operator_initiated" })).await.unwrap().status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_readers_keep_nobody_waiting() {
    let w = world().await;
    let ours = w.agent("ours", &["read:mail"]).await;
    let other_operator = w.key("other", "operator").await;
    let asked = json!({ "role": "reader", "label": "test" });
    let reader = w.admin.post("/api/v1/api-keys", &asked).await.unwrap().text("key");
    let theirs = Agent::start("theirs", &["read:mail"], &other_operator).await.unwrap();
    let began = Instant::now();
    lengthen(&w, &ours).await;
    println!("{RECORDS} records in {:.1?}", began.elapsed());
    let listening = Arc::new(AtomicBool::new(false));
    let gap = longest_gap(&w, listening.clone());
    let crowd = Crowd::start(&reader, &w.url, &ours.id);
    let attack = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let bound = Duration::from_secs(1);
        let verify = format!("/api/v1/verify/{}", theirs.serial);
        let until = Instant::now() + ATTACK;
        while Instant::now() < until {
            quickly("verify", bound, async {
                w.admin.without_key().get(&verify).await.unwrap().status.into()
            })
            .await;
            for agent in [&ours, &theirs] {
                quickly("check", bound, async {
                    agent.ask("read:mail", "mail", "session").await.unwrap().status.into()
                })
                .await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        quickly("another tenant's halt", bound, halt(&other_operator, &theirs)).await;
        quickly("the same tenant's halt", bound, halt(&w.admin, &ours)).await;
        listening.store(true, Ordering::Relaxed);
    };
    let (longest, ()) = tokio::join!(gap, attack);
    let (answers, refused) = crowd.end().await;
    println!("longest gap of the feed {longest:.1?}; {answers} lists, {refused} refused");
    assert!(longest < Duration::from_secs(6), "{longest:?}");
    assert!(answers > 0, "readers are served too");
}

#[tokio::test]
async fn a_condition_that_no_index_has_is_followed_to_its_end_by_cursors() {
    let w = world().await;
    let agent = w.agent("one", &["read:mail"]).await;
    let (tenant, serial): (TenantId, Serial) = ("default".parse().unwrap(), agent.serial);
    for _ in 0..5 {
        let event = Event::new(serial, "read:mail".parse().unwrap(), Outcome::Ok);
        w.kakunin.tenant(&tenant).observe_all(vec![event; 1_000]).await.unwrap();
    }
    let (mut pages, mut found, mut cursor) = (0, Vec::<Value>::new(), String::new());
    loop {
        let path = format!("/api/v1/audit-log?actor_type=user{cursor}");
        let page = w.admin.get(&path).await.unwrap().json();
        found.extend(page["data"].as_array().unwrap().iter().cloned());
        pages += 1;
        let Some(next) = page["pagination"]["next_cursor"].as_str() else { break };
        assert_eq!(page["pagination"]["has_next_page"], true);
        cursor = format!("&before={next}");
    }
    assert!((3..10).contains(&pages), "{pages} pages, none of which reads more than its share");
    let registered = found.iter().find(|row| row["event_type"] == "agent.registered").unwrap();
    assert_eq!(registered["affected_id"], agent.id.as_str());
}

#[tokio::test]
async fn lists_say_at_once_what_was_decided() {
    let w = world().await;
    let mut agents = Vec::new();
    for n in 0..3 {
        agents.push(w.agent(&format!("agent-{n}"), &["read:mail"]).await);
    }
    let count = async |status: &str| {
        let list = w.admin.get(&format!("/api/v1/agents?status={status}")).await.unwrap().json();
        list["meta"]["total"].as_u64().unwrap()
    };
    assert_eq!((count("active").await, count("suspended").await), (3, 0));
    assert_eq!(halt(&w.admin, &agents[1]).await, 200);
    assert_eq!((count("active").await, count("suspended").await), (2, 1));
    let all = w.admin.get("/api/v1/agents?limit=2&offset=1").await.unwrap().json();
    let ids: Vec<_> = all["data"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [agents[1].id.as_str(), agents[2].id.as_str()]);
    assert_eq!(all["data"][0]["status"], "suspended");
    let one = w.admin.get(&format!("/api/v1/agents/{}", agents[1].id)).await.unwrap().data();
    assert_eq!(one["certificates"][0]["status"], "revoked", "{one}");
}
