//! Three servers over one database, and what has to hold whatever happened to them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use kakunin_core::id::TenantId;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::leaf::Leaf;
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::postgres::{PostgresOptions, PostgresStore};
use kakunin_server::demo::{Answer, Client};
use serde_json::{Value, json};

use crate::binary::{MODEL, off};
use crate::cluster::{Cluster, shared};
use crate::load::{Load, Place, Told};
use crate::proxy::{Proxy, pause};
use crate::site::{Server, Site, Starting, printed_key};

/// Within that everything is level again, whatever happened.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// For so long at most nobody is answered when a server is gone.
pub(crate) const GAP: Duration = Duration::from_secs(3);
/// No test asks more than servers give: rates are tested elsewhere.
const FLAGS: [&str; 6] = ["--key-rate", "100000", "--anonymous-rate", "100000", "--ca-algorithm", "p256"];

/// What an answer says of the moment in which somebody asks: scores decay.
const OF_THE_MOMENT: [&str; 6] =
    ["computed_at", "window_start", "risk_score", "avg_risk_score", "band", "risk_band"];

/// Clients of the servers, by their number, as they are reached now.
pub(crate) type Places = Arc<RwLock<Vec<Client>>>;

/// One test at a time: what is measured here is servers, not how many of them a machine bears.
pub(crate) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

pub(crate) struct World {
    pub(crate) site: Site,
    /// Nothing for a server that is gone.
    pub(crate) servers: Vec<Option<Server>>,
    /// By the number of the server, where there is something between it and the database.
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) places: Places,
    /// Agents with a certificate: identifiers and serial numbers.
    pub(crate) agents: Vec<(String, String)>,
    /// By how much clocks of servers are off, as libfaketime takes it.
    skews: Vec<String>,
    key: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::over(shared(), false, &[]).await
    }

    /// With proxies between.
    pub(crate) async fn proxied() -> Self {
        Self::over(shared(), true, &[]).await
    }

    pub(crate) async fn over(cluster: &'static Cluster, proxied: bool, skews: &[&str]) -> Self {
        let site = Site::over(cluster.empty()).migrated();
        let mut proxies = Vec::new();
        for _ in 0..if proxied { 3 } else { 0 } {
            proxies.push(Proxy::to(port_of(&site.url())).await);
        }
        let skews = skews.iter().map(|&skew| skew.to_owned()).collect();
        let (servers, places, agents) = (Vec::new(), Places::default(), Vec::new());
        let mut world = Self { site, servers, proxies, places, agents, skews, key: String::new() };
        // The first makes what there is to be made.
        let first = world.spawn(0).ready();
        world.key = printed_key(&first.said);
        let others = [1, 2].map(|number| world.spawn(number)).map(Starting::ready);
        for server in [first].into_iter().chain(others) {
            world.places.write().unwrap().push(world.reaches(&server));
            world.servers.push(Some(server));
        }
        for number in 0..6 {
            let agent = world.agent(number % 3, &format!("agent-{number}")).await;
            world.agents.push(agent);
        }
        world.level().await;
        world
    }

    fn spawn(&self, number: usize) -> Starting {
        let mut url = self.site.url();
        if let Some(proxy) = self.proxies.get(number) {
            url = url.replace(&format!(":{}/", port_of(&url)), &format!(":{}/", proxy.port()));
        }
        let skew = self.skews.get(number).filter(|skew| !skew.is_empty());
        let environment = skew.map(|skew| off(skew).to_vec()).unwrap_or_default();
        self.site.spawn_at(&url, &self.site.keys(), &FLAGS, &environment)
    }

    fn reaches(&self, server: &Server) -> Client {
        Client::new(&server.url).with_key(&self.key)
    }

    /// Starts one that is gone.
    pub(crate) fn start(&mut self, number: usize) {
        let server = self.spawn(number).ready();
        self.places.write().unwrap()[number] = self.reaches(&server);
        self.servers[number] = Some(server);
    }

    /// Kills one as it stands.
    pub(crate) fn kill(&mut self, number: usize) {
        drop(self.servers[number].take());
    }

    pub(crate) fn signal(&self, number: usize, signal: &str) {
        let id = self.servers[number].as_ref().unwrap().child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    pub(crate) fn client(&self, number: usize) -> Client {
        self.places.read().unwrap()[number].clone()
    }

    pub(crate) fn log_of(&self, number: usize) -> String {
        self.servers[number].as_ref().map(Server::log).unwrap_or_default()
    }

    /// An agent with a certificate: its identifier, and the serial number.
    pub(crate) async fn agent(&self, number: usize, name: &str) -> (String, String) {
        let id = self.registered(number, name).await;
        let path = format!("/api/v1/agents/{id}/certify");
        let issued = self.client(number).post(&path, &json!({ "key_algorithm": "p256" })).await.unwrap();
        assert_eq!(issued.status, 201, "{}", issued.json());
        (id, issued.text("serial_number"))
    }

    /// An agent without a certificate.
    pub(crate) async fn registered(&self, number: usize, name: &str) -> String {
        let body = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
        let made = self.client(number).post("/api/v1/agents", &body).await.unwrap();
        assert_eq!(made.status, 201, "{}", made.json());
        made.text("id")
    }

    pub(crate) async fn revoke(&self, number: usize, serial: &str) {
        let path = format!("/api/v1/certificates/{serial}/revoke");
        let done = self.client(number).post(&path, &json!({ "reason": "key_compromise" })).await.unwrap();
        assert_eq!(done.status, 200, "{}", done.json());
    }

    /// Callers that report what agents do, each to a server of its own as long as that answers.
    pub(crate) fn load(&self, callers: usize) -> Load {
        let callers = (0..callers).map(|number| Place {
            home: number % 3,
            stream: u64::try_from(number).unwrap() + 1,
            serial: self.agents[number % self.agents.len()].1.clone(),
        });
        Load::begin(&self.places, callers)
    }

    pub(crate) async fn ready(&self, number: usize) -> Answer {
        self.client(number).without_key().get("/readyz").await.unwrap()
    }

    /// Waits until all servers that are there have come to the same.
    pub(crate) async fn level(&self) -> Duration {
        let began = Instant::now();
        loop {
            let mut all = Vec::new();
            for number in (0..self.servers.len()).filter(|number| self.servers[*number].is_some()) {
                all.push(self.said(number).await);
            }
            if all.iter().all(|said| said.is_ok() && *said == all[0]) {
                return began.elapsed();
            }
            assert!(began.elapsed() < SOON, "they do not come to the same: {}", differing(&all));
            pause(50).await;
        }
    }

    /// What one says of everything; or what it cannot say.
    async fn said(&self, number: usize) -> Result<Vec<Value>, String> {
        let client = self.client(number);
        let mut paths = vec!["audit-log?limit=50".to_owned(), "events?limit=50".to_owned()];
        for (id, serial) in &self.agents {
            paths.extend([format!("agents/{id}"), format!("agents/{id}/risk"), format!("verify/{serial}")]);
        }
        let mut all = Vec::new();
        for path in paths {
            let answer = client.get(&format!("/api/v1/{path}")).await.map_err(|error| error.to_string())?;
            if answer.status != 200 {
                return Err(format!("{number}: {path}: {}", answer.json()));
            }
            let mut said = answer.json();
            if let Some(data) = said["data"].as_object_mut() {
                data.retain(|name, _| !OF_THE_MOMENT.contains(&name.as_str()));
            }
            all.push(said);
        }
        let ready = client.without_key().get("/readyz").await.map_err(|error| error.to_string())?.json();
        match ready["damage_found"] == 0 {
            true => Ok(all),
            false => Err(format!("{number}: damage was found: {}", self.log_of(number))),
        }
    }

    /// What must hold at the end: whatever was told is in the log once and where it was told; the time of the log never
    /// decreases; all servers come to the same; the log verifies.
    pub(crate) async fn holds(&self, told: &[Told]) {
        let levelled = self.level().await;
        let recorded = recorded(&self.site.url()).await;
        let (mut found, mut seen) = (HashMap::new(), HashSet::new());
        for (place, index) in &recorded {
            assert!(found.insert(*place, *index).is_none(), "{place:?} is in the log twice");
        }
        for one in told {
            let place = (one.stream, one.seq);
            assert_eq!(found.get(&place), Some(&one.index), "{place:?} was acknowledged");
            assert!(seen.insert(place), "{place:?} was told twice to one caller");
        }
        assert!(!told.is_empty(), "nothing was acknowledged");
        self.verifies();
        println!("{} acknowledged of {} recorded; level after {levelled:?}", told.len(), recorded.len());
    }

    /// By the command that operators use.
    pub(crate) fn verifies(&self) {
        let out = self.site.command(&["log", "verify", "--json"]);
        let (said, why) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success() && said.contains("\"ok\":true"), "{said}{why}");
    }
}

/// What servers say otherwise than the first.
fn differing(all: &[Result<Vec<Value>, String>]) -> String {
    let mut lines = Vec::new();
    for (number, said) in all.iter().enumerate() {
        match (said, &all[0]) {
            (Ok(said), Ok(first)) => {
                let pairs = said.iter().zip(first).filter(|(one, other)| one != other);
                lines.extend(pairs.map(|(one, other)| format!("{number}: {one}\n0: {other}")));
            }
            (said, _) => lines.push(format!("{number}: {:?}", said.as_ref().err())),
        }
    }
    lines.join("\n")
}

/// Stream, number and index of every event in the log of the tenant, whose time must not decrease.
pub(crate) async fn recorded(url: &str) -> Vec<((u64, u64), u64)> {
    let log = LogId::Tenant("default".parse::<TenantId>().unwrap());
    let store = PostgresStore::open(&PostgresOptions::parse(url).unwrap()).await.unwrap();
    let (mut found, mut time, mut index) = (Vec::new(), None, 0);
    loop {
        let entries = store.read_leaves(&log, index, 4_096).await.unwrap();
        if entries.is_empty() {
            return found;
        }
        for entry in &entries {
            let leaf = Leaf::decode(&entry.leaf).unwrap();
            assert!(time <= Some(leaf.time), "the time of the log decreases at {index}");
            time = Some(leaf.time);
            found.extend(leaf.act.and_then(|act| act.stream).map(|place| (place, index)));
            index += 1;
        }
    }
}

/// The server of a database's URL.
pub(crate) fn port_of(url: &str) -> u16 {
    let host = url.rsplit('@').next().unwrap().split('/').next().unwrap();
    host.rsplit(':').next().unwrap().parse().unwrap()
}
