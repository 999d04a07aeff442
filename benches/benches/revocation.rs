//! From the event that takes an identity away to the first refusal by a verifier on another connection, while
//! 200 others follow the same feed; server, callers and followers share the machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use kakunin_core::id::IssuerId;
use kakunin_core::time::{Clock, SystemClock};
use kakunin_server::demo::{Agent, Client};
use kakunin_server::serve::{ServeOptions, Server};
use kakunin_verify::feed::{FeedClient, FeedState, Following};
use kakunin_verify::{RevocationHandle, TrustAnchor, Verifier};
use tokio::sync::watch;

const SUBSCRIBERS: usize = 200;
/// How often the verifier is asked.
const LOOK: Duration = Duration::from_micros(100);

/// When the crossing event was sent, and when it was answered.
struct Crossed {
    sent: Instant,
    answered: Instant,
}

#[tokio::main]
async fn main() {
    let rounds = if std::env::var_os("KAKUNIN_BENCH_QUICK").is_some() { 20 } else { 250 };
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(folder.path().join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
    // All subscribers have the address of this machine.
    options.api.feed_subscribers_per_address = usize::MAX;
    options.api.anonymous_rate = u32::MAX.try_into().unwrap();
    options.connections_per_address = usize::MAX;
    let server = Server::bind(&options).await.unwrap();
    let (url, kakunin) = (server.url().unwrap(), server.deployment().kakunin.clone());
    let admin = Client::new(&url).with_key(server.deployment().admin_key.as_ref().unwrap().reveal());
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let issuer = kakunin.issuer().id();
    let follow = |handle: &RevocationHandle| {
        let client = FeedClient::new(&url, kakunin.feed_verifier(), handle.clone()).unwrap();
        client.issuer(issuer).start().unwrap()
    };
    let others: Vec<_> = (0..SUBSCRIBERS).map(|_| follow(&RevocationHandle::default())).collect();
    let handle = RevocationHandle::default();
    let ours = follow(&handle);
    for following in others.iter().chain([&ours]) {
        until_following(following, &issuer).await;
    }
    let anchor = TrustAnchor::new(kakunin.root().as_der(), kakunin.place().trust_domain.clone()).unwrap();
    let verifier = Verifier::builder(handle)
        .anchor(anchor)
        .issuer(kakunin.issuer().as_der())
        .build(SystemClock.now())
        .unwrap();
    let (mut from_sent, mut from_answered) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let agent = Agent::start(&format!("astray {round}"), &["read:mail"], &admin).await.unwrap();
        let chain = vec![agent.certificate_der()];
        assert!(verifier.check(&chain, "read:mail", SystemClock.now()).is_ok());
        let refused = first_refusal(verifier.clone(), chain);
        let crossed =
            lead_astray(&agent, |serial| kakunin.revocations().reason(&issuer, serial).unwrap().is_some())
                .await;
        let refused = tokio::task::spawn_blocking(move || refused.recv().unwrap()).await.unwrap();
        from_sent.push(refused.saturating_duration_since(crossed.sent));
        from_answered.push(refused.saturating_duration_since(crossed.answered));
    }
    println!(
        "revocation of {rounds} agents by their score, {SUBSCRIBERS} followers beside the one that is timed"
    );
    println!("  {:<60} {:>10} {:>10} {:>10}", "to the first refusal by the verifier", "p50", "p99", "worst");
    for (name, samples) in [
        ("from sending the event that crosses", &mut from_sent),
        ("from its answer (goal: p50 50 ms, p99 500 ms)", &mut from_answered),
    ] {
        samples.sort_unstable();
        let at = |percent: usize| millis(samples[(samples.len() - 1) * percent / 100]);
        println!("  {name:<60} {:>10} {:>10} {:>10}", at(50), at(99), at(100));
    }
    let cut = others.iter().filter(|f| f.status(&issuer).unwrap().errors > 0).count();
    println!("  followers that were cut meanwhile: {cut}");
    drop((others, ours));
    stop.send(true).unwrap();
    serving.await.unwrap().unwrap();
}

async fn until_following(following: &Following, issuer: &IssuerId) {
    while following.status(issuer).unwrap().state != FeedState::Following {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Asks for what it may not, until its score takes it away; that is in the answer's transaction.
async fn lead_astray(agent: &Agent, gone: impl Fn(&kakunin_core::id::Serial) -> bool) -> Crossed {
    for attempt in 0..100 {
        let sent = Instant::now();
        agent.ask(&format!("delete:vault-{attempt}"), "t", "s").await.unwrap();
        let answered = Instant::now();
        if gone(&agent.serial) {
            return Crossed { sent, answered };
        }
    }
    unreachable!("nothing was taken away");
}

/// Asks the verifier again and again, on a thread of its own, and says when it first refused.
fn first_refusal(verifier: Verifier, chain: Vec<Vec<u8>>) -> mpsc::Receiver<Instant> {
    let (said, refused) = mpsc::channel();
    std::thread::spawn(move || {
        while verifier.check(&chain, "read:mail", SystemClock.now()).is_ok() {
            std::thread::sleep(LOOK);
        }
        said.send(Instant::now()).unwrap();
    });
    refused
}

fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}
