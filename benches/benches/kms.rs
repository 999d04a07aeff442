//! Issuing with the CA's key in a KMS: the quota is used whole and not exceeded, and who asks for something
//! else meanwhile does not notice. The KMS is ministack, over HTTP, on the same two cores.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]

#[path = "../../kakunin-kms/tests/kms/mod.rs"]
mod kms;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kakunin_benches::certify::{MODEL, certifications, signing_requests};
use kakunin_benches::load::{Requests, Round, each, load, median, probe, same};
use kakunin_benches::tools::need;
use kakunin_core::access::Role;
use kakunin_core::agent::NewAgent;
use kakunin_core::id::TenantId;
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::time::SystemClock;
use kakunin_kms::aws::{AwsKeys, Quotas};
use kakunin_kms::local::LocalKeys;
use kakunin_server::http::{ApiOptions, router};
use tokio::net::TcpListener;

/// RSA signatures a second; ministack does about 350.
const QUOTA: u32 = 100;
const CONNECTIONS: usize = 16;
const PAUSE: Duration = Duration::from_millis(2);

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    let (rounds, length) = if quick { (3, Duration::from_secs(1)) } else { (7, Duration::from_secs(4)) };
    let _ = need("ministack");
    let folder = tempfile::tempdir().unwrap();
    let service = kms::Kms::start(folder.path());
    let relay = kms::Relay::before(service.port);
    let mut config = kms::config(relay.port);
    config.quotas = Quotas { sign_rsa: QUOTA, ..kms::FAST };
    let store = SqliteStore::open(folder.path().join("kakunin.db")).unwrap();
    let mut parts = Parts::new(store, Arc::new(AwsKeys::new(config).unwrap()));
    parts.log_keys = Arc::new(LocalKeys::ephemeral());
    let kakunin = Kakunin::open(Config::new("agents.example").unwrap(), parts).await.unwrap();
    let tenant = "acme".parse().unwrap();
    kakunin.create_tenant(&tenant).await.unwrap();
    let (_, key) =
        kakunin.tenant(&tenant).create_api_key(Role::Operator, "bench".parse().unwrap(), None).await.unwrap();
    let seconds = usize::try_from(length.as_secs()).unwrap() * rounds;
    let requests = signing_requests((usize::try_from(QUOTA).unwrap() * 2 * seconds).max(CONNECTIONS)).await;
    let certify = each(certifications(&kakunin, &tenant, key.reveal(), &requests).await);
    let verify = verified(&kakunin, &tenant).await;
    let api = ApiOptions { key_rate: u32::MAX.try_into().unwrap(), ..ApiOptions::default() };
    let ours = serve(router(kakunin, Arc::new(SystemClock), api).unwrap()).await;
    let floor = serve(axum::Router::new().route("/", axum::routing::get(|| async {}))).await;
    let empty = same("GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned());

    let (mut issued, mut calls) = (Vec::new(), Vec::new());
    let (mut alone, mut beside): ([Vec<Round>; 2], [Vec<Round>; 2]) = Default::default();
    for _ in 0..rounds {
        alone[0].push(probe(floor, &empty, PAUSE, length / 2).await);
        alone[1].push(probe(ours, &verify, PAUSE, length / 2).await);
        let (before, began) = (relay.calls("Sign").len(), Instant::now());
        let (load, empty_probe, probed) = tokio::join!(
            load(ours, CONNECTIONS, &certify, length),
            probe(floor, &empty, PAUSE, length),
            probe(ours, &verify, PAUSE, length),
        );
        issued.push(load);
        calls.push((relay.calls("Sign").len() - before) as f64 / began.elapsed().as_secs_f64());
        beside[0].push(empty_probe);
        beside[1].push(probed);
    }
    let m = median(&issued);
    calls.sort_by(f64::total_cmp);
    println!("Issuing with the CA's RSA-2048 key in a KMS, quota {QUOTA}/s, median of {rounds} rounds");
    println!(
        "  issued {:.0}/s, {:.0} % of the quota, p50 {} us; signatures asked for {:.1}/s, at most {:.1}/s",
        m.rate,
        m.rate / f64::from(QUOTA) * 100.0,
        m.p50,
        calls[calls.len() / 2],
        calls.last().unwrap()
    );
    for (name, n) in [("floor: axum, empty handler", 0), ("verify/{serial}", 1)] {
        let (a, b) = (median(&alone[n]), median(&beside[n]));
        println!(
            "  {name:<28} alone p50 {:>5} p99 {:>6} us, beside p50 {:>5} p99 {:>6} us",
            a.p50, a.p99, b.p50, b.p99
        );
    }
}

/// A request for the standing of a certificate that is there.
async fn verified(kakunin: &Kakunin, tenant: &TenantId) -> Requests {
    let spec = NewAgent::new("probed", MODEL, ["read:accounts"]).unwrap();
    let agent = kakunin.tenant(tenant).register(spec).await.unwrap();
    let source = KeySource::Provider(KeyAlgorithm::P256);
    let issued = kakunin.tenant(tenant).certify(&agent.id, Profile::Standard, source).await.unwrap();
    same(format!(
        "GET /api/v1/verify/{} HTTP/1.1\r\nhost: a\r\naccept: application/json\r\n\r\n",
        issued.facts.serial
    ))
}

async fn serve(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}
