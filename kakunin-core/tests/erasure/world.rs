//! A deployment with a vault of its own, in the hand of a test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use kakunin_core::agent::NewAgent;
use kakunin_core::error::StoreError;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::Body;
use kakunin_core::month::Month;
use kakunin_core::service::{Erased, Error, Kakunin, Parts, Recorded};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::Kind;
use kakunin_core::store::vault::{Kept, Vault};
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, P256, config};

/// Secrets in a map, which may be out of reach.
#[derive(Debug, Default)]
pub(crate) struct Safe {
    pub(crate) rows: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(crate) gone: AtomicBool,
    /// Whether nothing is removed.
    pub(crate) keeps: AtomicBool,
}

impl Safe {
    fn ask<T>(&self, what: impl FnOnce(&mut BTreeMap<Vec<u8>, Vec<u8>>) -> T) -> Result<T, StoreError> {
        match self.gone.load(Ordering::SeqCst) {
            true => Err(StoreError::unavailable("the safe is shut")),
            false => Ok(what(&mut self.rows.lock().unwrap())),
        }
    }

    /// Names of keys of payloads.
    pub(crate) fn keys(&self) -> Vec<String> {
        let rows = self.rows.lock().unwrap();
        let names = rows.keys().map(|name| String::from_utf8(name.clone()).unwrap());
        names.filter(|name| name.starts_with("payload-key/")).collect()
    }
}

#[async_trait]
impl Vault for Safe {
    async fn put(&self, name: &[u8], secret: &[u8]) -> Result<(), StoreError> {
        self.put_all(&[(name.to_vec(), secret.to_vec())]).await
    }
    async fn put_new(&self, name: &[u8], secret: &[u8]) -> Result<bool, StoreError> {
        self.ask(|rows| {
            let is_new = !rows.contains_key(name);
            rows.entry(name.to_vec()).or_insert_with(|| secret.to_vec());
            is_new
        })
    }
    async fn put_all(&self, secrets: &[Kept]) -> Result<(), StoreError> {
        self.ask(|rows| rows.extend(secrets.iter().cloned()))
    }
    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(|rows| rows.get(name).cloned())
    }
    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.ask(|rows| names.iter().map(|name| rows.get(name).cloned()).collect())
    }
    async fn remove(&self, names: &[Vec<u8>]) -> Result<(), StoreError> {
        if self.keeps.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("nothing leaves the safe"));
        }
        self.ask(|rows| rows.retain(|name, _| !names.contains(name)))
    }
    async fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<Kept>, StoreError> {
        let begins = |name: &[u8]| name.starts_with(prefix) && name != prefix;
        self.ask(|rows| {
            let all = rows.iter().filter(|(name, _)| begins(name)).take(limit);
            all.map(|(name, secret)| (name.clone(), secret.clone())).collect()
        })
    }
}

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) safe: Arc<Safe>,
    pub(crate) acme: TenantId,
}

/// In memory, in the middle of November 2026.
pub(crate) fn world() -> World {
    over(Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral())))
}

pub(crate) fn over(mut parts: Parts) -> World {
    let (clock, safe) = (Arc::new(ManualClock::at(at("2026-11-15"))), Arc::new(Safe::default()));
    let vault: Arc<dyn Vault> = safe.clone();
    (parts.clock, parts.vault) = (clock.clone(), Some(vault));
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    World { kakunin, parts, clock, safe, acme }
}

pub(crate) fn at(day: &str) -> UnixTime {
    UnixTime::from_rfc3339(&format!("{day}T12:00:00Z")).unwrap()
}

pub(crate) fn month(text: &str) -> Month {
    text.parse().unwrap()
}

/// Something that is nowhere but in the payload.
pub(crate) fn word(number: usize) -> String {
    format!("marguerite-{number:04}")
}

impl World {
    pub(crate) fn log(&self) -> LogId {
        LogId::Tenant(self.acme.clone())
    }

    pub(crate) fn agent(&self, name: &str) -> (AgentId, Serial) {
        agent_of(&self.kakunin, &self.acme, name)
    }

    /// One event, with a word of this number in its details; its index.
    pub(crate) fn does(&self, serial: &Serial, number: usize) -> u64 {
        self.tries(serial, number).unwrap()
    }

    pub(crate) fn tries(&self, serial: &Serial, number: usize) -> Result<u64, Error> {
        let observed = block_on(self.kakunin.tenant(&self.acme).observe(event(*serial, number)))?;
        Ok(observed.index.unwrap())
    }

    /// One event that a signature showed.
    pub(crate) fn shows(&self, serial: &Serial, number: usize) -> u64 {
        let nonce = format!("nonce-{number}").try_into().unwrap();
        let observed = block_on(self.kakunin.tenant(&self.acme).observe_once(nonce, event(*serial, number)));
        observed.unwrap().index.unwrap()
    }

    pub(crate) fn erase(&self, agent: &AgentId, from: &str, to: &str) -> Result<Erased, Error> {
        let reason = "GDPR Art. 17, ticket 4711".to_owned().try_into().unwrap();
        block_on(self.kakunin.tenant(&self.acme).erase(agent, month(from), month(to), reason))
    }

    /// What the record at this index is, as its owner reads it.
    pub(crate) fn record(&self, index: u64) -> Recorded {
        let page = block_on(self.kakunin.tenant(&self.acme).records(Some(index + 1), 1, |_| true)).unwrap();
        assert_eq!((page.items.len(), page.items[0].index), (1, index), "{:?}", page.damaged);
        page.items.into_iter().next().unwrap()
    }

    /// The details of the event at this index, and which record erased them.
    pub(crate) fn details(&self, index: u64) -> (Option<String>, Option<u64>) {
        let Recorded { record, erased, entry, .. } = self.record(index);
        let Body::Event(_, event) = record.body else { panic!("record {index} is no event") };
        assert_eq!(entry.payload.is_some(), event.is_some());
        (event.map(|event| event.details.unwrap().as_str().to_owned()), erased)
    }

    pub(crate) fn is_there(&self, index: u64, number: usize) {
        let (details, erased) = self.details(index);
        assert_eq!(erased, None);
        assert!(details.is_some_and(|details| details.contains(&word(number))), "event {index}");
    }

    pub(crate) fn is_erased(&self, index: u64, by: u64) {
        assert_eq!(self.details(index), (None, Some(by)), "event {index}");
    }

    pub(crate) fn restart(&mut self) {
        self.kakunin = block_on(Kakunin::open(config(), self.parts.clone())).unwrap();
        block_on(self.kakunin.load()).unwrap();
    }

    /// A start where everything is lost that follows from the logs.
    pub(crate) fn rebuild(&mut self) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
        let fresh = Arc::new(MemoryStore::new());
        (self.parts.state, self.parts.revocations) = (fresh.clone(), fresh);
        // Once for the rows, which are missed, and once more, when nothing is.
        self.restart();
        self.restart();
        self.rows()
    }

    /// The rows of the tenant that follow from its log.
    pub(crate) fn rows(&self) -> BTreeMap<(u8, Vec<u8>), Vec<u8>> {
        let mut rows = BTreeMap::new();
        for kind in [
            Kind::Agent,
            Kind::Certificate,
            Kind::Standing,
            Kind::Dedup,
            Kind::Inbox,
            Kind::Policy,
            Kind::Breaker,
        ] {
            for (key, value) in block_on(self.parts.state.scan(&self.log(), kind, None, 100_000)).unwrap() {
                rows.insert((kind.code(), key), value);
            }
        }
        rows
    }

    pub(crate) fn damage(&self) -> Vec<String> {
        self.kakunin.damage().named
    }
}

pub(crate) fn agent_of(kakunin: &Kakunin, tenant: &TenantId, name: &str) -> (AgentId, Serial) {
    let new = NewAgent::new(name, MODEL, ["read:accounts", "write:payments"]).unwrap();
    let id = block_on(kakunin.tenant(tenant).register(new)).unwrap().id;
    let issued = block_on(kakunin.tenant(tenant).certify(&id, Profile::HighRisk, P256)).unwrap();
    (id, issued.facts.serial)
}

pub(crate) fn event(serial: Serial, number: usize) -> Event {
    let mut event = Event::new(serial, "read:accounts".parse().unwrap(), Outcome::Ok);
    event.client_id = Some(format!("id-{number}").try_into().unwrap());
    event.target = Some(format!("target-{}", word(number)).try_into().unwrap());
    event.details = Some(format!("{{\"who\":\"{}\"}}", word(number)).parse().unwrap());
    event
}
