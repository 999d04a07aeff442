//! Issuing over HTTP from a CSR, stored and logged, beside `cfssl serve`, which does neither; server and
//! callers share the machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a benchmark that cannot go on has failed"
)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kakunin_benches::certify::{certifications, post, signing_requests};
use kakunin_benches::load::{Requests, Round, each, load, median};
use kakunin_benches::tools::need;
use kakunin_core::key::KeyAlgorithm;
use kakunin_server::serve::{ServeOptions, Server};
use serde_json::json;
use tokio::sync::watch;

const CONNECTIONS: usize = 64;
/// More than anything here issues in a second.
const ENOUGH: usize = 16_000;
/// What cfssl signs with in this run.
const PEERS: [(&str, &str); 2] = [("rsa", "rsa_keygen_bits:2048"), ("ec", "ec_paramgen_curve:P-256")];

/// A server with the requests that it is asked.
struct Peer {
    name: &'static str,
    goal: &'static str,
    address: SocketAddr,
    requests: Requests,
    rounds: Vec<Round>,
}

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    let (rounds, length) = if quick { (3, Duration::from_millis(400)) } else { (7, Duration::from_secs(2)) };
    let (peer, _) = (need("cfssl"), need("openssl"));
    let folder = tempfile::tempdir().unwrap();
    let count = ENOUGH * rounds * usize::try_from(length.as_millis()).unwrap() / 1_000;
    let requests = signing_requests(count).await;
    let (mut peers, mut running) = (Vec::new(), Vec::new());
    for ((kind, option), (name, goal, ours, algorithm)) in PEERS.iter().zip([
        (
            "RSA-2048 CA: cfssl serve",
            ">= 2 x cfssl",
            "RSA-2048 CA: kakunin, stored and logged",
            KeyAlgorithm::Rsa2048,
        ),
        (
            "P-256 CA: cfssl serve",
            ">= 3,000/s, >= 1 x cfssl",
            "P-256 CA: kakunin, stored and logged",
            KeyAlgorithm::P256,
        ),
    ]) {
        let (child, address) = cfssl(&peer, folder.path(), kind, option);
        running.push(child);
        peers.push(Peer { name, goal: "", address, requests: cfssl_requests(&requests), rounds: Vec::new() });
        let (address, asked) =
            kakunin(&folder.path().join(format!("{kind}-data")), algorithm, &requests).await;
        peers.push(Peer { name: ours, goal, address, requests: asked, rounds: Vec::new() });
    }
    // To profile one of them.
    let only = std::env::var("KAKUNIN_BENCH_ONLY").unwrap_or_default();
    peers.retain(|peer| peer.name.contains(&only));
    println!(
        "Issuing over HTTP from a P-256 CSR, {CONNECTIONS} connections, median of {rounds} rounds in turns"
    );
    for _ in 0..rounds {
        for peer in &mut peers {
            peer.rounds.push(load(peer.address, CONNECTIONS, &peer.requests, length).await);
        }
    }
    for pair in peers.chunks(2) {
        let base = pair.first().map(|peer| median(&peer.rounds)).unwrap();
        for peer in pair {
            let m = median(&peer.rounds);
            let (name, goal, ratio) = (peer.name, peer.goal, m.rate / base.rate);
            println!(
                "  {name:<42} {:>7.0}/s  ratio {ratio:.2}  p50 {:>6} us  p99 {:>6} us  {goal}",
                m.rate, m.p50, m.p99
            );
        }
    }
    for mut child in running {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn cfssl_requests(requests: &[String]) -> Requests {
    let all = requests.iter().map(|csr| {
        post("/api/v1/cfssl/sign", "", &json!({ "certificate_request": csr, "hosts": ["agent.example"] }))
    });
    each(all.collect())
}

/// Starts cfssl with a CA of its own.
fn cfssl(program: &Path, folder: &Path, kind: &str, option: &str) -> (Child, SocketAddr) {
    let (ca, key) = (folder.join(format!("{kind}.pem")), folder.join(format!("{kind}.key")));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=bench",
            "-pkeyopt",
            option,
            "-newkey",
            kind,
        ])
        .arg("-out")
        .arg(&ca)
        .arg("-keyout")
        .arg(&key)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let child = Command::new(program)
        .args(["serve", "-address=127.0.0.1", &format!("-port={}", address.port()), "-loglevel=3"])
        .arg(format!("-ca={}", ca.display()))
        .arg(format!("-ca-key={}", key.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(address).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    (child, address)
}

/// Starts a deployment in SQLite and software keys, with an agent for each request.
async fn kakunin(data: &Path, algorithm: KeyAlgorithm, requests: &[String]) -> (SocketAddr, Requests) {
    let mut options = ServeOptions::new(data, SocketAddr::from(([127, 0, 0, 1], 0)));
    options.api.key_rate = u32::MAX.try_into().unwrap();
    options.ca_algorithm = algorithm;
    let server = Server::bind(&options).await.unwrap();
    let deployment = server.deployment();
    let key = deployment.admin_key.as_ref().unwrap().reveal();
    let asked = certifications(&deployment.kakunin, &deployment.tenant, key, requests).await;
    let address = server.url().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let _stop = stop;
        server.serve(stopped).await
    });
    (address, each(asked))
}
