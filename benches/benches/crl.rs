//! One revocation with 1,000,000 revoked already: decided, durable, and on its CRL shard, beside the signature
//! that nobody can do without; then the same over HTTP; then 5,000 revocations at once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark that cannot go on has failed"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use kakunin_benches::certify::{post, signing_requests};
use kakunin_benches::load::{all, each};
use kakunin_core::agent::NewAgent;
use kakunin_core::error::StoreError;
use kakunin_core::id::{AgentId, IssuerId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::{Cause, Revocation, RevocationChange};
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::revocations::RevocationStore;
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::time::{DAY, UnixTime};
use kakunin_core::x509::ca::SHARDS;
use kakunin_core::x509::crl::CrlView;
use kakunin_core::x509::pem;
use kakunin_kms::local::LocalKeys;
use kakunin_server::demo::Client;
use kakunin_server::serve::{ServeOptions, Server};
use kakunin_verify::RevocationHandle;
use kakunin_verify::feed::FeedClient;
use kakunin_verify::revocation::{RevocationView, Status};
use serde_json::json;
use tokio::sync::watch;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const REVOKED: u64 = 1_000_000;

/// A store in which a million are revoked before its own first revocation.
#[derive(Debug)]
struct Filled(Arc<SqliteStore>);

#[async_trait]
impl RevocationStore for Filled {
    async fn apply(&self, issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<(), StoreError> {
        RevocationStore::apply(&*self.0, issuer, changes).await
    }

    async fn applied(&self, issuer: &IssuerId) -> Result<u64, StoreError> {
        RevocationStore::applied(&*self.0, issuer).await
    }

    async fn find(&self, issuer: &IssuerId, serial: &Serial) -> Result<Option<Revocation>, StoreError> {
        self.0.find(issuer, serial).await
    }

    async fn after(
        &self,
        issuer: &IssuerId,
        cursor: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Revocation)>, StoreError> {
        let until = REVOKED.min(cursor.saturating_add(u64::try_from(limit).unwrap()));
        if cursor < until {
            return Ok((cursor..until).map(|n| (n, old(issuer, n))).collect());
        }
        let own = self.0.after(issuer, cursor.saturating_sub(REVOKED), limit).await?;
        Ok(own.into_iter().map(|(index, revocation)| (index + REVOKED, revocation)).collect())
    }

    // What it adds is in no log, and is to stay.
    async fn replace(&self, _: &IssuerId, _: u64, _: &[(u64, Revocation)]) -> Result<(), StoreError> {
        Ok(())
    }
}

fn old(issuer: &IssuerId, n: u64) -> Revocation {
    let mut serial = [0x41; 16];
    serial[8..].copy_from_slice(&n.to_be_bytes());
    let now = UnixTime::from_secs(1_795_420_800);
    Revocation {
        issuer: *issuer,
        serial: Serial::from_bytes(serial).unwrap(),
        agent: AgentId::from_bytes([7; 16]),
        at: now,
        cause: Cause::RiskThresholdExceeded,
        expires: now.plus(3_650 * DAY),
        shard: u16::try_from(n % u64::from(SHARDS)).unwrap(),
    }
}

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    let count = if quick { 30 } else { 300 };
    // One part alone: `million`, `http` or `at_once`.
    let only = std::env::var("KAKUNIN_BENCH_ONLY").ok();
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if wanted("million") {
        in_process(count).await;
    }
    if wanted("http") {
        over_http(count).await;
    }
    if wanted("at_once") {
        for keys_here in [false, true] {
            at_once(if quick { 500 } else { 5_000 }, keys_here).await;
        }
    }
}

async fn in_process(count: usize) {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(dir.path().join("k.db")).unwrap());
    let keys = Arc::new(LocalKeys::ephemeral());
    let mut config = Config::new("bench.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::Rsa2048);
    let empty = Parts::new(kakunin_core::store::MemoryStore::new(), keys);
    let revocations = Arc::new(Filled(store.clone()));
    let parts = Parts { sink: store.clone(), state: store, revocations, ..empty };
    let kakunin = Kakunin::open(config, parts).await.unwrap();
    let tenant: TenantId = "bench".parse().unwrap();
    kakunin.create_tenant(&tenant).await.unwrap();
    let mut serials = Vec::new();
    for n in 0..count {
        let spec = NewAgent::new(&format!("agent {n}"), MODEL, ["read:accounts"]).unwrap();
        let agent = kakunin.tenant(&tenant).register(spec).await.unwrap().id;
        let source = KeySource::Provider(KeyAlgorithm::P256);
        let facts = kakunin.tenant(&tenant).certify(&agent, Profile::Standard, source).await.unwrap().facts;
        serials.push((facts.serial, facts.shard));
    }
    let began = Instant::now();
    assert!(kakunin.publish_due().await.failing.is_empty());
    println!("index of {REVOKED} revocations, from the store: {:.2?}", began.elapsed());
    let issuer = kakunin.issuer().id();
    let (mut floor, mut revoke, mut publish, mut both) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut size = 0;
    for (serial, shard) in serials {
        let began = Instant::now();
        kakunin.check_signing().await.unwrap();
        floor.push(began.elapsed());
        let began = Instant::now();
        kakunin.tenant(&tenant).revoke(&serial, Cause::KeyCompromise).await.unwrap();
        revoke.push(began.elapsed());
        let crl = kakunin.published_crl(&issuer, Some(shard)).await.unwrap();
        both.push(began.elapsed());
        publish.push(both.last().unwrap().saturating_sub(*revoke.last().unwrap()));
        assert!(CrlView::parse(&crl.der).unwrap().serials().any(|on| on == serial));
        size = size.max(crl.der.len());
    }
    println!("one revocation with {REVOKED} revoked, SQLite, {count} times (shards of {size} octets)");
    print("floor: one RSA-2048 signature", floor);
    print("decided and durable", revoke);
    print("its shard: encoded, held against the last, signed, durable", publish);
    print("both (goal: 20 ms)", both);
    let began = Instant::now();
    let full = kakunin.published_crl(&issuer, None).await.unwrap();
    println!("  the full CRL, {} octets, at most every 30 s: {:.2?}", full.der.len(), began.elapsed());
}

async fn over_http(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let options = ServeOptions::new(folder.path().join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = Server::bind(&options).await.unwrap();
    let key = server.deployment().admin_key.as_ref().unwrap().reveal().to_owned();
    let admin = Client::new(&server.url().unwrap()).with_key(&key);
    let issuer = server.deployment().kakunin.issuer().clone();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let mut took = Vec::new();
    for n in 0..count {
        let made = json!({ "name": format!("agent {n}"), "model_hash": MODEL, "scope": ["read:mail"] });
        let id = admin.post("/api/v1/agents", &made).await.unwrap().text("id");
        let certify = format!("/api/v1/agents/{id}/certify");
        let issued = admin.post(&certify, &json!({ "key_algorithm": "p256" })).await.unwrap();
        let serial: Serial = issued.text("serial_number").parse().unwrap();
        let why = json!({ "reason": "key_compromise" });
        let began = Instant::now();
        admin.post(&format!("/api/v1/certificates/{serial}/revoke"), &why).await.unwrap();
        let path = format!("/api/v1/crl/{}/{}.crl", issuer.id(), issuer.shard_of(&serial));
        let crl = admin.get(&path).await.unwrap();
        assert!(CrlView::parse(&crl.body).unwrap().serials().any(|on| on == serial));
        took.push(began.elapsed());
    }
    println!("over HTTP, a revocation is ordered, then the shard is asked for and has it (goal: p99 2 s)");
    print("kakunin", took);
    stop.send(true).unwrap();
    serving.await.unwrap().unwrap();
}

/// So many agents, each revoked over HTTP, all at once; their keys are with them, or in the folder of the server, which
/// then disables each.
async fn at_once(count: usize, keys_here: bool) {
    let folder = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(folder.path().join("data"), SocketAddr::from(([127, 0, 0, 1], 0)));
    // One key orders all of it.
    options.api.key_rate = std::num::NonZeroU32::MAX;
    let server = Server::bind(&options).await.unwrap();
    let (url, deployment) = (server.url().unwrap(), server.deployment());
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    let (kakunin, tenant) = (deployment.kakunin.clone(), deployment.tenant.clone());
    let key = deployment.admin_key.as_ref().unwrap().reveal().to_owned();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(server.serve(stopped));
    let issuer = kakunin.issuer();
    let mut serials = Vec::with_capacity(count);
    let requests = signing_requests(count).await;
    for some in requests.iter().enumerate().collect::<Vec<_>>().chunks(64) {
        let certified = some.iter().map(|(n, request)| {
            let (kakunin, tenant) = (kakunin.clone(), tenant.clone());
            let spec = NewAgent::new(&format!("agent-{n}"), MODEL, ["read:accounts"]).unwrap();
            let request = pem::decode(pem::CERTIFICATE_REQUEST, request).unwrap().remove(0);
            tokio::spawn(async move {
                let agent = kakunin.tenant(&tenant).register(spec).await.unwrap().id;
                let source = match keys_here {
                    true => KeySource::Provider(KeyAlgorithm::P256),
                    false => KeySource::Request(&request),
                };
                kakunin.tenant(&tenant).certify(&agent, Profile::Standard, source).await.unwrap().facts.serial
            })
        });
        for serial in certified.collect::<Vec<_>>() {
            serials.push(serial.await.unwrap());
        }
    }
    let handle = RevocationHandle::default();
    let client = FeedClient::new(&url, kakunin.feed_verifier(), handle.clone()).unwrap().issuer(issuer.id());
    let following = client.start().unwrap();
    let until_known = async |size: u64| {
        while following.status(&issuer.id()).is_none_or(|status| status.as_of.is_none() || status.size < size)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    until_known(0).await;
    let authorization = format!("authorization: Bearer {key}\r\n");
    let why = json!({ "reason": "key_compromise" });
    let order = |serial| post(&format!("/api/v1/certificates/{serial}/revoke"), &authorization, &why);
    let orders = each(serials.iter().map(order).collect());
    let began = Instant::now();
    let revoking = tokio::spawn(async move { (all(address, 64, &orders).await, began.elapsed()) });
    until_known(u64::try_from(count).unwrap()).await;
    let known = began.elapsed();
    let (round, answered) = revoking.await.unwrap();
    let now = UnixTime::from_secs(1_795_420_800);
    let refused = |serial: &Serial| matches!(handle.status(&issuer.id(), serial, now).0, Status::Revoked(_));
    assert!(serials.iter().all(refused), "each is refused by a verifier elsewhere");
    while kakunin.publish_due().await.left > 0 {}
    let published = began.elapsed();
    let full = kakunin.published_crl(&issuer.id(), None).await.unwrap();
    assert_eq!(CrlView::parse(&full.der).unwrap().serials().count(), count);
    println!(
        "{count} agents revoked over HTTP, keys {}, 64 at a time ({} us in the median, p99 {} us)",
        if keys_here { "in the server's folder" } else { "with the workloads" },
        round.p50,
        round.p99
    );
    println!(
        "  all answered {answered:>9.2?}, known to a verifier elsewhere {known:>9.2?}, on CRLs {published:>9.2?}"
    );
    stop.send(true).unwrap();
    serving.await.unwrap().unwrap();
}

fn print(name: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("  {name:<60} median {median:>9.2?}  p99 {p99:>9.2?}");
}
