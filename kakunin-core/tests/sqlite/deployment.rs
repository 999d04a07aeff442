//! A deployment in a folder, and what its log says.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::merkle::{Frontier, leaf_hash};
use kakunin_core::log::note::VerifierKey;
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_kms::local::{KdfCost, LocalKeys, Secret};
use pollster::block_on;

pub(crate) const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Opens the deployment of a folder, with keys that survive the process.
pub(crate) fn open(dir: &Path, keys: &Path) -> (Kakunin, TenantId) {
    let keys = LocalKeys::open_with_cost(keys, &secret(), KdfCost(NonZeroU32::MIN)).unwrap();
    let parts = Parts::new(SqliteStore::open(dir.join("k.db")).unwrap(), Arc::new(keys));
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let kakunin = block_on(Kakunin::open(config, parts)).unwrap();
    let acme: TenantId = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    (kakunin, acme)
}

pub(crate) fn secret() -> Secret {
    Secret::new("passphrase").unwrap()
}

pub(crate) fn certified(kakunin: &Kakunin, acme: &TenantId) -> Serial {
    agent(kakunin, acme, "one").1
}

pub(crate) fn agent(kakunin: &Kakunin, acme: &TenantId, name: &str) -> (AgentId, Serial) {
    let tenant = kakunin.tenant(acme);
    let agent = block_on(tenant.register(NewAgent::new(name, MODEL, ["read:a"]).unwrap())).unwrap();
    let source = KeySource::Provider(KeyAlgorithm::P256);
    (agent.id, block_on(tenant.certify(&agent.id, Profile::Standard, source)).unwrap().facts.serial)
}

pub(crate) fn event(serial: Serial) -> Event {
    let mut event = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    event.details = Some("x".repeat(500).parse().unwrap());
    event
}

/// The log's size, once every record is there and they lead to the signed root.
pub(crate) fn checked_size(kakunin: &Kakunin, acme: &TenantId) -> u64 {
    let mut frontier = Frontier::default();
    loop {
        let entries = block_on(kakunin.tenant(acme).entries(frontier.size(), 1_000)).unwrap();
        if entries.is_empty() {
            break;
        }
        entries.iter().for_each(|e| frontier.push(leaf_hash(&e.leaf)));
    }
    let key = VerifierKey::parse(&block_on(kakunin.tenant(acme).log_verifier()).unwrap()).unwrap();
    let signed =
        Checkpoint::open(&block_on(kakunin.tenant(acme).checkpoint()).unwrap().unwrap(), &key).unwrap();
    assert_eq!((signed.size, signed.root), (frontier.size(), frontier.root()));
    frontier.size()
}
