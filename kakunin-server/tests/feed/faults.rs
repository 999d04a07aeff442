//! The feed when it is cut, recorded, killed, restored, crowded, or not read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kakunin_core::id::Serial;
use kakunin_core::time::{Clock, SECOND, SystemClock};
use kakunin_server::demo::Client;
use kakunin_server::serve::{ServeOptions, Server};
use kakunin_verify::RevocationHandle;
use kakunin_verify::feed::{FeedClient, FeedState};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::binary;
use crate::common::{World, code, loopback, world, world_with};
use crate::world::{Raw, Relying, SOON, authorities, certified, feed_path, revoke};

/// A port that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_server_that_is_killed_and_starts_again_is_followed_on_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let listen = format!("127.0.0.1:{}", free_port());
    let options = ["--public-url", "http://ca.example", "--listen", &listen];
    let start = || {
        // The last of two flags wins.
        let arguments = [&["serve", "--data", data.to_str().unwrap()], &options[..]].concat();
        let mut child = binary::kakunin(&arguments).stderr(std::process::Stdio::null()).spawn().unwrap();
        let mut said = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
        let ready = said.find(|line| line.as_ref().is_ok_and(|line| line.contains("ready at")));
        assert!(ready.is_some(), "the server did not start");
        binary::Server { child, url: format!("http://{listen}"), said: String::new() }
    };
    let mut server = start();
    let key = std::fs::read_to_string(data.join("admin.key")).unwrap();
    let admin = || Client::new(&format!("http://{listen}")).with_key(key.trim_end());
    let (one, two) = (certified(&admin(), "one").await, certified(&admin(), "two").await);
    let relying = Relying::on(&server.url).await;
    relying.until(&one, None).await;
    // Killed at once after it acknowledged.
    revoke(&admin(), &one).await;
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    relying.until_state(FeedState::Connecting).await;
    let _again = start();
    relying.until(&one, Some("agent_revoked")).await;
    assert_eq!(relying.refusal(&two, SystemClock.now()), None);
    revoke(&admin(), &two).await;
    relying.until(&two, Some("agent_revoked")).await;
    let status = relying.following.status(&relying.issuer).unwrap();
    assert_eq!((status.size, status.state), (2, FeedState::Following));
    assert!(status.errors > 0);
}

#[tokio::test]
async fn a_feed_that_is_cut_ends_acceptance_at_the_bound_and_not_later() {
    let world = world().await;
    let agent = certified(&world.admin, "agent").await;
    let relying = Relying::on(&world.url).await;
    relying.until(&agent, None).await;
    drop(world);
    relying.until_state(FeedState::Connecting).await;
    let as_of = relying.handle.current().as_of(&relying.issuer).unwrap();
    assert!(SystemClock.now().since(as_of) < 20 * SECOND);
    assert_eq!(relying.refusal(&agent, as_of.plus(20 * SECOND)), None);
    assert_eq!(relying.refusal(&agent, as_of.plus(20 * SECOND + 1)), Some("verify_unavailable"));
    let status = relying.following.status(&relying.issuer).unwrap();
    assert_eq!((status.as_of, status.last_error.unwrap().0), (Some(as_of), "feed_unreachable"));
}

#[tokio::test]
async fn streams_end_at_once_when_the_server_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::bind(&ServeOptions::new(folder.path().join("data"), loopback())).await.unwrap();
    let url = server.url().unwrap();
    let issuer = server.deployment().kakunin.issuer().id();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let mut raw = Raw::open(&url, &format!("{}/stream", feed_path(&issuer)), "").await;
    raw.event().await.unwrap();
    let began = Instant::now();
    stop.send(true).unwrap();
    assert!(raw.event().await.is_none());
    serving.await.unwrap().unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "less than the grace for requests under way, or a heartbeat"
    );
}

/// Serves what was recorded: a snapshot, then a stream of these frames that goes on for ever.
async fn recorded(snapshot: Vec<u8>, frames: Vec<Value>) -> String {
    use axum::routing::get;
    let events: String = frames.iter().map(|frame| format!("data: {frame}\n\n")).collect();
    let stream = move || {
        let events = events.clone();
        async move {
            let (out, held) = tokio::sync::mpsc::channel::<axum::body::Bytes>(4);
            out.send(events.into()).await.unwrap();
            tokio::spawn(async move {
                sleep(SOON).await;
                drop(out);
            });
            axum::body::Body::new(Held(held))
        }
    };
    let router = axum::Router::new()
        .route("/api/v1/feed/{issuer}/snapshot", get(move || async move { snapshot }))
        .route("/api/v1/feed/{issuer}/stream", get(stream));
    let listener = tokio::net::TcpListener::bind(loopback()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    url
}

struct Held(tokio::sync::mpsc::Receiver<axum::body::Bytes>);

impl hyper::body::Body for Held {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(hyper::body::Frame::data(piece))))
    }
}

#[tokio::test]
async fn a_recording_of_an_old_feed_is_refused_and_goes_stale() {
    let world = world().await;
    let (issuer, ..) = authorities(&world.admin).await;
    let agent = certified(&world.admin, "agent").await;
    let path = feed_path(&issuer);
    let old = world.admin.get(&path).await.unwrap().data();
    sleep(Duration::from_millis(1_100)).await;
    let snapshot = world.admin.get(&format!("{path}/snapshot")).await.unwrap().body.to_vec();
    revoke(&world.admin, &agent).await;
    let url = recorded(snapshot, vec![old]).await;
    let relying = Relying::through(&world.url, &url).await;
    relying.until(&agent, None).await;
    let began = Instant::now();
    let error = loop {
        let status = relying.following.status(&relying.issuer).unwrap();
        if let Some((code, _)) = status.last_error {
            break code;
        }
        assert!(began.elapsed() < SOON);
        sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(error, "feed_replayed");
    // What the recording hides is hidden for the time of the bound, and no longer.
    let as_of = relying.handle.current().as_of(&issuer).unwrap();
    assert_eq!(relying.refusal(&agent, as_of.plus(20 * SECOND + 1)), Some("verify_unavailable"));
}

#[tokio::test]
async fn a_deployment_restored_from_a_backup_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backup) = (folder.path().join("data"), folder.path().join("backup"));
    let listen: SocketAddr = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let serve = |data: std::path::PathBuf| async move {
        let server = Server::bind(&ServeOptions::new(data, listen)).await.unwrap();
        let key = server.deployment().admin_key.as_ref().map(|key| key.reveal().to_owned());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(server.serve(stopped));
        (stop, task, key)
    };
    let url = format!("http://{listen}");
    let (stop, task, key) = serve(data.clone()).await;
    let admin = Client::new(&url).with_key(&key.unwrap());
    let agent = certified(&admin, "agent").await;
    stop.send(true).unwrap();
    task.await.unwrap().unwrap();
    copy(&data, &backup);
    let (stop, task, _) = serve(data).await;
    let relying = Relying::on(&url).await;
    relying.until(&agent, None).await;
    let admin =
        Client::new(&url).with_key(std::fs::read_to_string(backup.join("admin.key")).unwrap().trim_end());
    revoke(&admin, &agent).await;
    relying.until(&agent, Some("agent_revoked")).await;
    stop.send(true).unwrap();
    task.await.unwrap().unwrap();
    let _restored = serve(backup).await;
    relying.until_state(FeedState::Forked).await;
    assert_eq!(relying.refusal(&agent, SystemClock.now()), Some("agent_revoked"));
    let status = relying.following.status(&relying.issuer).unwrap();
    assert_eq!(status.last_error.unwrap().0, "feed_forked");
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_subscribers_come_go_and_come_back_together() {
    // They all have the address of this machine.
    let world = world_with(|options| {
        options.api.feed_subscribers_per_address = 2_000;
        options.api.anonymous_rate = u32::MAX.try_into().unwrap();
        options.connections_per_address = 4_000;
    });
    let world = world.await;
    let (issuer, ..) = authorities(&world.admin).await;
    let agents = [certified(&world.admin, "a").await, certified(&world.admin, "b").await];
    let path = format!("{}/stream", feed_path(&issuer));
    let all = || async {
        let opening: Vec<_> = (0..1_000)
            .map(|_| {
                let (url, path) = (world.url.clone(), path.clone());
                tokio::spawn(async move {
                    loop {
                        let mut raw = Raw::open(&url, &path, "").await;
                        // Those who hung up just now may be counted still.
                        if raw.head.starts_with("HTTP/1.0 200") {
                            let first = raw.event().await.unwrap();
                            return (raw, first.0);
                        }
                        assert!(
                            raw.head.contains("503") && raw.head.contains("retry-after: 5"),
                            "{}",
                            raw.head
                        );
                        sleep(Duration::from_millis(20)).await;
                    }
                })
            })
            .collect();
        let mut open = Vec::new();
        for raw in opening {
            open.push(raw.await.unwrap());
        }
        open
    };
    let mut first = all().await;
    let refused = world.admin.without_key().get(&path).await.unwrap();
    assert_eq!((refused.status.as_u16(), code(&refused).as_str()), (503, "feed_full"));
    assert_eq!(refused.headers["retry-after"], "5");
    revoke(&world.admin, &agents[0]).await;
    for (raw, _) in &mut first {
        while raw.event().await.unwrap().0 < 1 {}
    }
    drop(first);
    revoke(&world.admin, &agents[1]).await;
    let second = all().await;
    assert!(second.len() == 1_000 && second.iter().all(|(_, size)| *size == 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_does_not_read_is_cut_and_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(folder.path().join("data"), loopback());
    options.api.feed_subscribers = 2;
    let server = Server::bind(&options).await.unwrap();
    let (url, kakunin) = (server.url().unwrap(), server.deployment().kakunin.clone());
    let (tenant, issuer) = (server.deployment().tenant.clone(), kakunin.issuer().id());
    let admin = Client::new(&url).with_key(server.deployment().admin_key.as_ref().unwrap().reveal());
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(server.serve(stopped));
    let mut agents = Vec::new();
    for n in 0..16 {
        agents.push(certified(&admin, &format!("agent-{n}")).await);
    }
    let path = format!("{}/stream", feed_path(&issuer));
    let silent = Raw::open_with(&url, &path, "", Some(4_096)).await;
    let mut reader = Raw::open(&url, &path, "").await;
    // Far more than the sockets between them hold; many at once, so that they share appends.
    let records: u64 = 9_600;
    let mut writers = tokio::task::JoinSet::new();
    for agent in &agents {
        let (kakunin, tenant, serial) =
            (kakunin.clone(), tenant.clone(), agent.serial.parse::<Serial>().unwrap());
        writers.spawn(async move {
            for _ in 0..records / 32 {
                kakunin.tenant(&tenant).hold(&serial).await.unwrap();
                kakunin.tenant(&tenant).release(&serial).await.unwrap();
            }
        });
    }
    while reader.event().await.unwrap().0 < records {}
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    // The place of the silent one is free again once its time is over.
    let began = Instant::now();
    while !Raw::open(&url, &path, "").await.head.contains("200 OK") {
        assert!(began.elapsed() < Duration::from_secs(60), "it was not cut");
        sleep(Duration::from_millis(500)).await;
    }
    let mut silent = silent;
    let mut events = 0;
    while let Some((id, _)) = silent.event().await {
        assert!(id < records, "it got the end, so it was never cut");
        events += 1;
    }
    assert!(events > 0);
}

#[tokio::test]
async fn a_stream_outlives_the_time_limit_of_requests() {
    let world: World = world_with(|options| options.api.feed_subscribers = 1).await;
    let (issuer, ..) = authorities(&world.admin).await;
    let mut raw = Raw::open(&world.url, &format!("{}/stream", feed_path(&issuer)), "").await;
    let began = Instant::now();
    let mut beats = 0;
    while began.elapsed() < Duration::from_secs(32) {
        raw.event().await.expect("it goes on");
        beats += 1;
    }
    assert!(beats >= 6, "{beats} heartbeats");
}

/// Shares one clock between the verifier and the test.
#[tokio::test]
async fn a_machine_whose_clock_is_behind_believes_nothing_from_its_future() {
    let world = world().await;
    let (issuer, key, ..) = authorities(&world.admin).await;
    let handle = RevocationHandle::default();
    let behind = kakunin_core::time::ManualClock::at(SystemClock.now().minus(62 * SECOND));
    let client =
        FeedClient::new(&world.url, &key, handle.clone()).unwrap().issuer(issuer).clock(Arc::new(behind));
    let following = client.start().unwrap();
    let began = Instant::now();
    while following.status(&issuer).unwrap().errors == 0 {
        assert!(began.elapsed() < SOON);
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(following.status(&issuer).unwrap().last_error.unwrap().0, "feed_ahead");
    assert_eq!(handle.current().as_of(&issuer), None);
}
