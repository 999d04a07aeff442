//! Webhooks of a server that runs: from a revocation to the first octet at the receivers, of which some hang; deliveries a
//! second beside a floor of bare posts; what 100,000 waiting deliveries cost in memory; and the gateway check beside them.
//! Server, receivers and callers share the machine.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kakunin_benches::certify::{MODEL, signing_requests};
use kakunin_benches::load::{median, probe, same};
use kakunin_core::agent::NewAgent;
use kakunin_core::id::Serial;
use kakunin_core::issue::Profile;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{KeySource, NewWebhook, Tenant, WebhookChange};
use kakunin_core::webhook::{Scheme, WebhookEvent, WebhookUrl};
use kakunin_server::serve::{ServeOptions, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const AGENTS: usize = 64;

/// Receivers, by path: `/well`, `/hangs`, and `/maybe`, which fails while it is told to.
#[derive(Clone)]
struct Receivers {
    at: SocketAddr,
    taken: Arc<AtomicU64>,
    fails: Arc<AtomicBool>,
    /// When serial numbers came to `/well`.
    came: Arc<Mutex<Vec<(String, Instant)>>>,
    notes: Arc<AtomicBool>,
}

impl Receivers {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let all = Self {
            at,
            taken: Arc::default(),
            fails: Arc::default(),
            came: Arc::default(),
            notes: Arc::default(),
        };
        let serving = all.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        all
    }

    async fn serve(self, mut stream: TcpStream) {
        let (mut octets, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            let at = Instant::now();
            octets.extend_from_slice(&buffer[..read]);
            let Some(head) = octets.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let text = String::from_utf8_lossy(&octets[..head]).to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
            let whole = head + 4 + length.parse::<usize>().unwrap();
            if octets.len() < whole {
                continue;
            }
            if text.starts_with("post /hangs") {
                return std::future::pending().await;
            }
            if self.notes.load(Ordering::Relaxed) {
                let body = String::from_utf8_lossy(&octets[head + 4..whole]).into_owned();
                let serial = body.split("\"serial_number\":\"").nth(1).unwrap()[..32].to_owned();
                self.came.lock().unwrap().push((serial, at));
            }
            let fails = text.starts_with("post /maybe") && self.fails.load(Ordering::Relaxed);
            let status = if fails { "500 No" } else { "204 No Content" };
            self.taken.fetch_add(u64::from(!fails), Ordering::Relaxed);
            octets.drain(..whole);
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    fn endpoint(&self, path: &str, event: &[WebhookEvent]) -> NewWebhook {
        let url = WebhookUrl::parse(&format!("http://{}{path}", self.at)).unwrap();
        NewWebhook { url, events: event.to_vec(), scheme: Scheme::Standard, label: None }
    }

    async fn until_taken(&self, count: u64) -> Duration {
        let began = Instant::now();
        while self.taken.load(Ordering::Relaxed) < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        began.elapsed()
    }
}

/// Their workloads keep their keys, so that nobody has to tell a provider of what becomes of them.
async fn agents(tenant: &Tenant, name: &str, count: usize) -> Vec<Serial> {
    let mut all = Vec::new();
    for (n, request) in signing_requests(count).await.into_iter().enumerate() {
        let agent = NewAgent::new(&format!("{name} {n}"), MODEL, ["read:mail"]).unwrap();
        let agent = tenant.register(agent).await.unwrap();
        let key = KeySource::Request(request.as_bytes());
        all.push(tenant.certify(&agent.id, Profile::Standard, key).await.unwrap().facts.serial);
    }
    all
}

/// Holds and releases, about so many records, all agents at once; `pace` waits between rounds. Says how many it were.
async fn happen(tenant: &Tenant, agents: &[Serial], records: usize, pace: Option<Duration>) -> usize {
    let mut next = Instant::now();
    // Who is held is released again.
    let rounds = records.div_ceil(agents.len()).next_multiple_of(2);
    for round in 0..rounds {
        let mut all = JoinSet::new();
        for serial in agents {
            let (tenant, serial) = (tenant.clone(), *serial);
            all.spawn(async move {
                if round % 2 == 0 {
                    tenant.hold(&serial).await.unwrap();
                } else {
                    tenant.release(&serial).await.unwrap();
                }
            });
        }
        while all.join_next().await.is_some() {}
        if let Some(pace) = pace {
            next += pace;
            tokio::time::sleep_until(next.into()).await;
        }
    }
    rounds * agents.len()
}

fn resident() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<f64>().unwrap() * 4096.0 / 1e6
}

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    // The floor's client asks for one, of TLS that it does not speak.
    rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(folder.path().join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
    options.webhooks.allow = vec!["127.0.0.1".parse().unwrap()];
    options.webhooks.insecure_http = true;
    options.api.key_rate = u32::MAX.try_into().unwrap();
    options.api.insecure_serial_only = true;
    let server = Server::bind(&options).await.unwrap();
    let (url, kakunin) = (server.url().unwrap(), server.deployment().kakunin.clone());
    let key = server.deployment().admin_key.as_ref().unwrap().reveal().to_owned();
    let tenant = kakunin.tenant(&server.deployment().tenant);
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let receivers = Receivers::start().await;
    latency(&tenant, &receivers, if quick { 20 } else { 200 }).await;
    let held = agents(&tenant, "held", AGENTS).await;
    rate(&tenant, &receivers, &held, if quick { 5_000 } else { 30_000 }).await;
    check(&tenant, &receivers, &held, (&url, &key), quick).await;
    memory(&tenant, &receivers, &held, if quick { 20_000 } else { 100_000 }).await;
    stop.send(true).unwrap();
    serving.await.unwrap().unwrap();
}

/// From when a revocation is answered to the first octet, at 40 receivers beside 10 that hang.
async fn latency(tenant: &Tenant, receivers: &Receivers, rounds: usize) {
    let mut made = Vec::new();
    for n in 0..50 {
        let path = if n % 5 == 0 { "/hangs" } else { "/well" };
        let new = receivers.endpoint(path, &[WebhookEvent::CertificateRevoked]);
        made.push(tenant.create_webhook(new).await.unwrap().0.id);
    }
    let revoked = agents(tenant, "revoked", rounds).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    receivers.notes.store(true, Ordering::Relaxed);
    let mut accepted = HashMap::new();
    for serial in &revoked {
        tenant.revoke(serial, Cause::KeyCompromise).await.unwrap();
        accepted.insert(serial.to_string(), Instant::now());
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    while receivers.came.lock().unwrap().len() < 40 * rounds {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    receivers.notes.store(false, Ordering::Relaxed);
    let came = std::mem::take(&mut *receivers.came.lock().unwrap());
    let mut waits: Vec<_> =
        came.iter().map(|(serial, at)| at.saturating_duration_since(accepted[serial])).collect();
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!(
        "{rounds} revocations, 50 webhooks of which 10 hang: accepted to first octet (goal: p50 50 ms, p99 1 s)"
    );
    println!("  p50 {:.1} ms  p99 {:.1} ms  worst {:.1} ms", at(50), at(99), at(100));
    for id in made {
        tenant.delete_webhook(&id).await.unwrap();
    }
}

/// Deliveries a second, beside bare posts of the same size by the same client, in turns.
async fn rate(tenant: &Tenant, receivers: &Receivers, held: &[Serial], records: usize) {
    let body = vec![b'x'; 620];
    let events = [WebhookEvent::AgentHeld, WebhookEvent::AgentReleased];
    let facts = tenant.create_webhook(receivers.endpoint("/well", &events)).await.unwrap().0;
    let switch = |active| WebhookChange { active: Some(active), ..WebhookChange::default() };
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        tenant.change_webhook(&facts.id, switch(false)).await.unwrap();
        let told = happen(tenant, held, records / 3, None).await;
        floors.push(bare(receivers, &body, records / 3).await);
        let before = receivers.taken.load(Ordering::Relaxed);
        tenant.change_webhook(&facts.id, switch(true)).await.unwrap();
        let took = receivers.until_taken(before + told as u64).await;
        ours.push(told as f64 / took.as_secs_f64());
    }
    let middle = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let (floor, ours) = (middle(&mut floors), middle(&mut ours));
    println!("deliveries to one webhook, {AGENTS} agents, median of 3 rounds in turns (goal: 1,000/s)");
    println!("  floor: bare posts, 16 at once  {floor:>8.0}/s");
    println!("  kakunin                        {ours:>8.0}/s  ratio {:.2}", ours / floor);
    tenant.delete_webhook(&facts.id).await.unwrap();
}

async fn bare(receivers: &Receivers, body: &[u8], count: usize) -> f64 {
    let client = reqwest::Client::builder().no_proxy().http1_only().build().unwrap();
    let (left, began) = (Arc::new(AtomicU64::new(count as u64)), Instant::now());
    let mut all = JoinSet::new();
    for _ in 0..16 {
        let (client, left, body) = (client.clone(), left.clone(), body.to_vec());
        let url = format!("http://{}/well", receivers.at);
        all.spawn(async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                client.post(&url).body(body.clone()).send().await.unwrap();
            }
        });
    }
    while all.join_next().await.is_some() {}
    count as f64 / began.elapsed().as_secs_f64()
}

/// The gateway check while 1,000 records a second are appended, which nobody and which a webhook is told.
async fn check(
    tenant: &Tenant,
    receivers: &Receivers,
    held: &[Serial],
    (url, key): (&str, &str),
    quick: bool,
) {
    let asking = agents(tenant, "asking", 1).await[0];
    let body = r#"{"action":"read:mail"}"#;
    let request = same(format!(
        "POST /api/v1/gateway/check HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\nx-kakunin-cert-serial: {asking}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    let address: SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    let (rounds, length) = if quick { (3, 2) } else { (5, 6) };
    let pace = Duration::from_secs_f64(held.len() as f64 / 1_000.0);
    let events = [WebhookEvent::AgentHeld, WebhookEvent::AgentReleased];
    let facts = tenant.create_webhook(receivers.endpoint("/well", &events)).await.unwrap().0;
    let (mut alone, mut beside, mut told) = (Vec::new(), Vec::new(), 0);
    for round in 0..2 * rounds {
        let active = round % 2 == 1;
        let change = WebhookChange { active: Some(active), ..WebhookChange::default() };
        tenant.change_webhook(&facts.id, change).await.unwrap();
        if active {
            // What was not told meanwhile is, before it is timed.
            tokio::time::sleep(Duration::from_secs(6)).await;
        }
        let before = receivers.taken.load(Ordering::Relaxed);
        let length = Duration::from_secs(length);
        let records = 1_000 * length.as_secs() as usize;
        let (_, probed) = tokio::join!(
            happen(tenant, held, records, Some(pace)),
            probe(address, &request, Duration::from_millis(2), length)
        );
        told += receivers.taken.load(Ordering::Relaxed) - before;
        if active { &mut beside } else { &mut alone }.push(probed);
    }
    let (alone, beside) = (median(&alone), median(&beside));
    println!("gateway check while 1,000 records a second are appended, median of {rounds} rounds in turns");
    println!("  told to nobody     p50 {:>6} us  p99 {:>7} us", alone.p50, alone.p99);
    let ratio = beside.p50 as f64 / alone.p50 as f64;
    println!(
        "  told to a webhook  p50 {:>6} us  p99 {:>7} us  ratio of p50 {ratio:.2} ({told} told)",
        beside.p50, beside.p99
    );
    tenant.delete_webhook(&facts.id).await.unwrap();
}

/// What waiting deliveries cost in memory.
async fn memory(tenant: &Tenant, receivers: &Receivers, held: &[Serial], records: usize) {
    receivers.fails.store(true, Ordering::Relaxed);
    let events = [WebhookEvent::AgentHeld, WebhookEvent::AgentReleased];
    let facts = tenant.create_webhook(receivers.endpoint("/maybe", &events)).await.unwrap().0;
    let first = happen(tenant, held, records / 10, None).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let few = resident();
    let told = first + happen(tenant, held, records - first, None).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let many = resident();
    println!("memory of the whole process: {few:.1} MB with {first} waiting, {many:.1} MB with {told}");
    receivers.fails.store(false, Ordering::Relaxed);
    let before = receivers.taken.load(Ordering::Relaxed);
    let deliveries = tenant.deliveries(&facts.id, None, 100).await.unwrap();
    for (message, _) in &deliveries {
        tenant.redeliver(&facts.id, message).await.unwrap();
    }
    let took = receivers.until_taken(before + told as u64).await;
    println!("  once they are taken: {:.0}/s, {:.1} MB", told as f64 / took.as_secs_f64(), resident());
    tenant.delete_webhook(&facts.id).await.unwrap();
}
