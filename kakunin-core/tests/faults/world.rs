//! A deployment in a folder, by the system's clock, and an agent in it.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::error::StoreError;
use kakunin_core::event::{Event, Outcome, StreamSeq};
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::entry::LogId;
use kakunin_core::service::{Config, Error, Kakunin, KeySource, Parts};
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_kms::local::{KdfCost, LocalKeys, Secret};
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) acme: TenantId,
}

pub(crate) fn config() -> Config {
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    config
}

impl World {
    /// What is in a folder, at work.
    pub(crate) fn open(dir: &Path) -> Self {
        Self::try_open(dir).unwrap()
    }

    pub(crate) fn try_open(dir: &Path) -> Result<Self, Error> {
        let secret = Secret::new("passphrase").unwrap();
        let keys = LocalKeys::open_with_cost(dir.join("keys"), &secret, KdfCost(NonZeroU32::MIN));
        let keys = keys.map_err(StoreError::unavailable)?;
        Self::over(Parts::new(SqliteStore::open(dir.join("k.db"))?, Arc::new(keys)))
    }

    pub(crate) fn over(parts: Parts) -> Result<Self, Error> {
        let kakunin = block_on(Kakunin::open(config(), parts.clone()))?;
        block_on(kakunin.load())?;
        Ok(Self { kakunin, parts, acme: "acme".parse().unwrap() })
    }

    /// The first of its agents, and the tenant if there is none.
    pub(crate) fn populate(&self) -> Serial {
        block_on(self.kakunin.create_tenant(&self.acme)).unwrap();
        self.agent("first").unwrap()
    }

    /// One more agent, with a certificate.
    pub(crate) fn agent(&self, name: &str) -> Result<Serial, Error> {
        let tenant = self.kakunin.tenant(&self.acme);
        let agent = block_on(tenant.ensure_agent(NewAgent::new(name, MODEL, ["read:accounts"]).unwrap()))?;
        let key = KeySource::Provider(KeyAlgorithm::P256);
        Ok(block_on(tenant.certify(&agent.id, Profile::Standard, key))?.facts.serial)
    }

    pub(crate) fn tenant_log(&self) -> LogId {
        LogId::Tenant(self.acme.clone())
    }
}

/// The event of this number, always the same.
pub(crate) fn event(serial: Serial, stream: u64, seq: u64) -> Event {
    let mut event = Event::new(serial, "read:accounts".parse().unwrap(), Outcome::Ok);
    event.target = Some(format!("account-{stream}-{seq}").parse().unwrap());
    event.stream = Some(StreamSeq { stream, seq });
    event
}

/// Copies a folder with the rights of its files, as a key folder wants them.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
