//! Secrets lie in the vault, which somebody else than the stores may keep, and count as far as the log knows them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use common::sink::{Does, Sink};
use common::{MODEL, config, parts, reopened};
use kakunin_core::access::{ApiKey, Role};
use kakunin_core::agent::NewAgent;
use kakunin_core::id::{ApiKeyId, Entropy as _, SystemEntropy, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::service::{Kakunin, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::Kind;
use kakunin_core::store::vault::{StateVault, Vault};
use kakunin_core::time::{HOUR, ManualClock, SECOND, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    sink: Arc<Sink>,
    vault: Arc<dyn Vault>,
    acme: TenantId,
}

/// With a vault of its own.
fn world() -> World {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let vault: Arc<dyn Vault> = Arc::new(StateVault(Arc::new(MemoryStore::new())));
    parts.vault = Some(vault.clone());
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    World { kakunin, parts, clock, sink, vault, acme }
}

impl World {
    fn names(&self, prefix: &str) -> Vec<Vec<u8>> {
        let rows = block_on(self.vault.list(prefix.as_bytes(), 100)).unwrap();
        rows.into_iter().map(|(name, _)| name).collect()
    }

    fn made(&self, label: &str) -> Result<(ApiKeyId, ApiKey), kakunin_core::service::Error> {
        let made = block_on(self.kakunin.tenant(&self.acme).create_api_key(
            Role::Reader,
            label.parse().unwrap(),
            None,
        ));
        made.map(|(facts, key)| (facts.id, key))
    }

    fn later(&mut self, by: u64) {
        self.clock.set(self.now().plus(by));
        self.kakunin = reopened(config(), &self.parts);
    }

    fn now(&self) -> UnixTime {
        kakunin_core::time::Clock::now(&*self.clock)
    }
}

#[test]
fn a_vault_of_its_own_keeps_every_secret_and_the_state_store_none() {
    let mut w = world();
    let (id, key) = w.made("one").unwrap();
    let agent =
        block_on(w.kakunin.tenant(&w.acme).register(NewAgent::new("one", MODEL, ["read:a"]).unwrap()))
            .unwrap();
    block_on(w.kakunin.tenant(&w.acme).create_join_token(&agent.id, Profile::Standard, 60 * SECOND)).unwrap();
    assert_eq!(w.names("api-key/"), [format!("api-key/{id}").into_bytes()]);
    assert_eq!(w.names("join-token/").len(), 1);
    assert_eq!(w.names("secre").len(), 1);
    assert!(block_on(w.parts.state.scan(&LogId::System, Kind::Vault, None, 10)).unwrap().is_empty());
    w.later(SECOND);
    assert_eq!(w.kakunin.authenticate(key.reveal()).unwrap().id, id);
    block_on(w.kakunin.revoke_api_key(&id)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).halt(
        &agent.id,
        kakunin_core::revoke::Cause::KillSwitchActivated,
        None,
    ))
    .unwrap();
    assert!(w.names("api-key/").is_empty() && w.names("join-token/").is_empty());
}

#[test]
fn a_key_of_which_no_record_came_opens_nothing_and_goes() {
    let mut w = world();
    for failure in [Does::Gone, Does::Full] {
        w.sink.does(failure);
        assert!(w.made("none").is_err());
        w.sink.does(Does::Well);
        assert!(w.names("api-key/").is_empty(), "{failure:?}");
    }
    // As of a process that ended between the two, or of another one that is at it.
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random).unwrap();
    let id = ApiKeyId::generate(w.now(), &SystemEntropy).unwrap();
    let key = ApiKey::generate(&id, &SystemEntropy).unwrap();
    let name = format!("api-key/{id}").into_bytes();
    block_on(w.vault.put(&name, &random)).unwrap();
    w.later(SECOND);
    assert!(w.kakunin.authenticate(key.reveal()).is_none());
    assert_eq!(w.names("api-key/"), [name]);
    w.later(2 * HOUR);
    assert!(w.kakunin.authenticate(key.reveal()).is_none());
    assert!(w.names("api-key/").is_empty());
    assert_eq!(w.kakunin.damage(), kakunin_core::service::Damage::default());
}
