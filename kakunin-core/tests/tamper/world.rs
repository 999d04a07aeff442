//! A deployment in a folder, whose file can be taken away, changed and put back.

use std::fs;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::leaf::Leaf;
use kakunin_core::log::merkle::{Frontier, leaf_hash};
use kakunin_core::log::note::VerifierKey;
use kakunin_core::service::{Config, Error, Kakunin, KeySource, Parts};
use kakunin_core::store::guard::GuardFile;
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_kms::local::{KdfCost, LocalKeys, Secret};
use pollster::block_on;
use rusqlite::Connection;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const FILES: [&str; 2] = ["k.db", "k.db-wal"];

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    /// Whether there is a guard.
    pub(crate) guarded: bool,
}

impl World {
    pub(crate) fn new(guarded: bool) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), guarded }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn config() -> Config {
        let mut config = Config::new("agents.example").unwrap();
        config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
        config
    }

    pub(crate) fn parts(&self) -> Result<Parts, Error> {
        let secret = Secret::new("passphrase").unwrap();
        let keys = LocalKeys::open_with_cost(self.path("keys"), &secret, KdfCost(NonZeroU32::MIN)).unwrap();
        let mut parts = Parts::new(SqliteStore::open(self.path("k.db"))?, Arc::new(keys));
        if self.guarded {
            parts.guard = Some(Arc::new(GuardFile::new(self.path("guard"))));
        }
        Ok(parts)
    }

    pub(crate) fn try_open(&self) -> Result<Running, Error> {
        let kakunin = block_on(Kakunin::open(Self::config(), self.parts()?))?;
        Running::over(kakunin)
    }

    pub(crate) fn open(&self) -> Running {
        self.try_open().unwrap()
    }

    /// The code of the error with which it is not opened.
    pub(crate) fn refused(&self) -> &'static str {
        self.try_open().err().expect("it opens").code()
    }

    /// By SQL of somebody else's.
    pub(crate) fn sql(&self) -> Connection {
        Connection::open(self.path("k.db")).unwrap()
    }

    /// SQL that no trigger sees, and that a look at the schema does not show.
    pub(crate) fn force(&self, sql: &str) {
        let raw = self.sql();
        let mut triggers = raw.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").unwrap();
        let triggers: Vec<(String, String)> = triggers
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        triggers.iter().for_each(|(name, _)| raw.execute_batch(&format!("DROP TRIGGER {name}")).unwrap());
        raw.execute_batch(sql).unwrap();
        triggers.iter().for_each(|(_, sql)| raw.execute_batch(sql).unwrap());
    }

    /// Copies the database, with what is in its WAL.
    pub(crate) fn keep(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
        for file in FILES.iter().filter(|file| self.path(file).exists()) {
            fs::copy(self.path(file), self.path(name).join(file)).unwrap();
        }
    }

    /// Puts such a copy back.
    pub(crate) fn put_back(&self, name: &str) {
        for file in ["k.db", "k.db-wal", "k.db-shm"] {
            let _ = fs::remove_file(self.path(file));
            let _ = fs::copy(self.path(name).join(file), self.path(file));
        }
    }
}

/// A deployment that is open, and its tenant.
pub(crate) struct Running {
    pub(crate) kakunin: Kakunin,
    pub(crate) acme: TenantId,
}

impl Running {
    pub(crate) fn over(kakunin: Kakunin) -> Result<Self, Error> {
        let acme = "acme".parse().unwrap();
        block_on(kakunin.create_tenant(&acme))?;
        block_on(kakunin.load())?;
        Ok(Self { kakunin, acme })
    }

    pub(crate) fn certified(&self, name: &str) -> Serial {
        let tenant = self.kakunin.tenant(&self.acme);
        let agent = block_on(tenant.register(NewAgent::new(name, MODEL, ["read:a"]).unwrap())).unwrap();
        let source = KeySource::Provider(KeyAlgorithm::P256);
        block_on(tenant.certify(&agent.id, Profile::Standard, source)).unwrap().facts.serial
    }

    pub(crate) fn observe(&self, serial: Serial, count: usize) {
        for _ in 0..count {
            let event = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
            block_on(self.kakunin.tenant(&self.acme).observe(event)).unwrap();
        }
    }

    /// What the running server finds, once it has looked at everything.
    pub(crate) fn finds(&self) -> Vec<String> {
        // One step each: every log takes one to read.
        for _ in 0..8 {
            let _ = block_on(self.kakunin.tend());
        }
        self.kakunin.damage().named
    }

    pub(crate) fn verifier(&self) -> VerifierKey {
        VerifierKey::parse(&block_on(self.kakunin.tenant(&self.acme).log_verifier()).unwrap()).unwrap()
    }

    pub(crate) fn note(&self) -> String {
        block_on(self.kakunin.tenant(&self.acme).checkpoint()).unwrap().unwrap()
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint::open(&self.note(), &self.verifier()).unwrap()
    }

    /// What somebody says of the tenant's log who reads every record of it, and holds it against a checkpoint.
    pub(crate) fn verify(&self, kept: &Checkpoint) -> Result<(), String> {
        let mut frontier = Frontier::default();
        while frontier.size() < kept.size {
            let left = usize::try_from(kept.size - frontier.size()).unwrap();
            let entries = block_on(self.kakunin.tenant(&self.acme).entries(frontier.size(), left.min(1_000)));
            let entries = entries.map_err(|error| error.to_string())?;
            if entries.is_empty() {
                return Err(format!("it ends at {}", frontier.size()));
            }
            for entry in &entries {
                let commitment = Leaf::decode(&entry.leaf).map_err(|error| error.to_string())?.commitment;
                if entry.payload.as_ref().map(|payload| payload.commitment()) != commitment {
                    return Err(format!("payload {} is another", frontier.size()));
                }
                frontier.push(leaf_hash(&entry.leaf));
            }
        }
        if frontier.root() == kept.root { Ok(()) } else { Err("another root".to_owned()) }
    }
}
