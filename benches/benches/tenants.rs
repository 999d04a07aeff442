//! What a server over PostgreSQL needs for tenants and agents that are on record: memory, and time to start.

#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::cast_precision_loss,
    missing_docs,
    reason = "a benchmark that cannot go on has failed; figures are shown rounded"
)]

#[path = "../../kakunin-core/tests/shared/cluster.rs"]
mod cluster;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::TenantId;
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::service::{Kakunin, KeySource};
use kakunin_core::store::postgres::PostgresOptions;
use kakunin_kms::seal::FileSeal;
use kakunin_server::serve::{Database, ServeOptions, Server};
use tokio::sync::watch;
use tokio::task::JoinSet;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Names this program's other half: the database's URL, and the folder with seal and keys.
const MEASURE: &str = "KAKUNIN_BENCH_TENANTS_OF";
/// Tenants that are filled at once.
const AT_ONCE: usize = 16;
/// Events of each agent.
const EVENTS: usize = 3;

fn main() {
    if let Ok(of) = std::env::var(MEASURE) {
        let (url, folder) = of.split_once(' ').unwrap();
        return measured(url, Path::new(folder));
    }
    let quick = std::env::var_os("KAKUNIN_BENCH_QUICK").is_some();
    let all = if quick { 500 } else { 5_000 };
    println!("{all} agents, each with a certificate and {EVENTS} events; a new process starts over them");
    println!("  tenants  agents each     filled in     starts in   memory   a further agent");
    let empty = case(0, 0);
    for tenants in [1, all / 100, all / 10, all] {
        let memory = case(tenants, all / tenants);
        println!("   {:>6.1} kB", (memory - empty) / all as f64);
    }
}

/// Fills a database, and has another process start over it: kilobytes.
fn case(tenants: usize, agents: usize) -> f64 {
    let database = cluster::database();
    let folder = tempfile::tempdir().unwrap();
    for name in ["seal", "secret"] {
        FileSeal::create(folder.path().join(name)).unwrap();
    }
    let url = database.url(cluster::APPLICATION);
    let began = Instant::now();
    runtime().block_on(async {
        let (stop, stopped) = watch::channel(false);
        let server = bind(&url, folder.path()).await;
        let kakunin = server.deployment().kakunin.clone();
        let serving = tokio::spawn(server.serve(stopped));
        fill(&kakunin, tenants, agents).await;
        drop(kakunin);
        stop.send(true).unwrap();
        serving.await.unwrap().unwrap();
    });
    print!("  {tenants:>7}  {agents:>11}  {:>10.1} s", began.elapsed().as_secs_f64());
    let out = Command::new(std::env::current_exe().unwrap())
        .env(MEASURE, format!("{url} {}", folder.path().display()))
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8(out.stdout).unwrap();
    let (seconds, kilobytes) = said.trim().split_once(' ').unwrap();
    let (seconds, kilobytes): (f64, f64) = (seconds.parse().unwrap(), kilobytes.parse().unwrap());
    print!("  {seconds:>10.2} s  {:>4.0} MB", kilobytes / 1_000.0);
    if tenants == 0 {
        println!();
    }
    kilobytes
}

/// The other half: starts, and says how long that took and how many kilobytes it has then.
fn measured(url: &str, folder: &Path) {
    let began = Instant::now();
    let runtime = runtime();
    let _server = runtime.block_on(bind(url, folder));
    let seconds = began.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    println!("{seconds} {}", resident.trim().trim_end_matches(" kB"));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

async fn bind(url: &str, folder: &Path) -> Server {
    let mut options = ServeOptions::new(folder, SocketAddr::from(([127, 0, 0, 1], 0)));
    let path = |name: &str| -> PathBuf { folder.join(name) };
    options.database = Some(Database {
        url: PostgresOptions::parse(url).unwrap(),
        seal: format!("file:{}", path("seal").display()).parse().unwrap(),
        admin_key_file: Some(path("admin.key")),
    });
    options.keys = Some(format!("local:{}", path("keys").display()).parse().unwrap());
    options.key_file = Some(path("secret"));
    options.public_url = Some("http://ca.example".into());
    options.insecure_software_keys = true;
    options.ca_algorithm = KeyAlgorithm::P256;
    Server::bind(&options).await.unwrap()
}

async fn fill(kakunin: &Kakunin, tenants: usize, agents: usize) {
    let mut filling = JoinSet::new();
    for n in 0..tenants {
        if filling.len() == AT_ONCE {
            filling.join_next().await.unwrap().unwrap();
        }
        filling.spawn(fill_one(kakunin.clone(), n, agents));
    }
    while let Some(filled) = filling.join_next().await {
        filled.unwrap();
    }
}

async fn fill_one(kakunin: Kakunin, number: usize, agents: usize) {
    let id: TenantId = format!("tenant-{number}").parse().unwrap();
    let tenant = kakunin.create_tenant(&id).await.unwrap();
    for n in 0..agents {
        let spec = NewAgent::new(&format!("agent {n}"), MODEL, ["read:accounts"]).unwrap();
        let agent = tenant.register(spec).await.unwrap();
        let source = KeySource::Provider(KeyAlgorithm::P256);
        let serial = tenant.certify(&agent.id, Profile::Standard, source).await.unwrap().facts.serial;
        let event = Event::new(serial, "read:accounts".parse().unwrap(), Outcome::Ok);
        tenant.observe_all_or_none(vec![event; EVENTS]).await.unwrap();
    }
}
