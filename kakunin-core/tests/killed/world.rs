//! The deployment in a folder, and those who live in it.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use kakunin_core::agent::NewAgent;
use kakunin_core::event::Event;
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::issue::{Issued, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::Record;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{CertificateEntry, Config, Kakunin, KeySource, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::time::{MINUTE, ManualClock, UnixTime};
use kakunin_core::x509::csr::RequestToSign;
use kakunin_kms::local::{KdfCost, LocalKeys, Secret};
use pollster::block_on;

use crate::fuse::Fuse;

pub(crate) const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);
pub(crate) const P256: KeySource<'_> = KeySource::Provider(KeyAlgorithm::P256);

/// How a deployment is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Everything in one file, whose append applies the projections too; keys are told at once.
    Together,
    /// Logs in one file and projections in another, so that these can fall behind; keys are told by `tend`.
    Apart,
}

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
}

/// The agent that is about to lose its certificate.
pub(crate) struct Subject {
    pub(crate) agent: AgentId,
    pub(crate) facts: Issued,
    /// A join token that was made while it was trusted.
    pub(crate) token: String,
}

impl World {
    /// Opens the deployment of a folder; lit or not, a fuse runs along its parts.
    /// What is renewed stands for `grace` milliseconds.
    pub(crate) fn open(dir: &Path, kept: Kept, fuse: Option<&Arc<Fuse>>, grace: u64) -> Self {
        let store = |name| Arc::new(SqliteStore::open(dir.join(name)).unwrap());
        let secret = Secret::new("passphrase").unwrap();
        let keys = LocalKeys::open_with_cost(dir.join("keys"), &secret, KdfCost(NonZeroU32::MIN)).unwrap();
        let mut parts = Parts::new(MemoryStore::new(), Arc::new(keys));
        let logs = store("logs.db");
        let projections = if kept == Kept::Apart { store("projections.db") } else { logs.clone() };
        (parts.sink, parts.state, parts.revocations) = (logs, projections.clone(), projections);
        Self::over(fuse.map_or(parts.clone(), |fuse| fuse.along(parts)), grace)
    }

    fn over(parts: Parts, grace: u64) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let parts = Parts { clock: clock.clone(), ..parts };
        let mut config = Config::new("agents.example").unwrap();
        config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
        config.renewal_grace = grace;
        let kakunin = block_on(Kakunin::open(config, parts.clone())).unwrap();
        Self { kakunin, parts, clock, acme: "acme".parse().unwrap() }
    }

    /// One agent that is a step from losing its certificate, one that has lost it, and one that keeps it.
    /// Gives a spare join token of the first.
    pub(crate) fn populate(&self, straws: u32) -> String {
        block_on(self.kakunin.create_tenant(&self.acme)).unwrap();
        let one = self.agent("one");
        (1..straws)
            .for_each(|n| _ = block_on(self.kakunin.tenant(&self.acme).observe(straw(&one, n))).unwrap());
        let gone = self.agent("gone");
        block_on(self.kakunin.tenant(&self.acme).revoke(&gone.serial, Cause::Retired)).unwrap();
        self.agent("other");
        // CRLs whose numbers the next ones have to exceed.
        for shard in [Some(gone.shard), Some(one.shard), None] {
            block_on(self.kakunin.crl(shard)).unwrap();
        }
        let tenant = self.kakunin.tenant(&self.acme);
        let made = tenant.create_join_token(&one.agent, Profile::Standard, 10 * MINUTE);
        block_on(made).unwrap().1.reveal().to_owned()
    }

    /// What becomes of somebody who comes with a join token.
    pub(crate) fn redeem(&self, token: &str) -> &'static str {
        let keys = LocalKeys::ephemeral();
        let key = block_on(keys.generate(&PlannedKeyId::new([9; 16]), KeyAlgorithm::P256)).unwrap();
        let key = block_on(keys.open(&key)).unwrap();
        let request = RequestToSign::new(key.public_key());
        let signature = block_on(key.sign(request.to_be_signed())).unwrap();
        block_on(self.kakunin.enrol(token, &request.assemble(&signature))).unwrap_err().code()
    }

    fn agent(&self, name: &str) -> Issued {
        let spec = NewAgent::new(name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap();
        block_on(self.kakunin.tenant(&self.acme).certify(&agent.id, Profile::Standard, P256)).unwrap().facts
    }

    pub(crate) fn subject(&self, token: String) -> Subject {
        let (agents, _) = block_on(self.kakunin.tenant(&self.acme).agents(None, 0, 100)).unwrap();
        let agent = agents.iter().find(|agent| agent.spec.name.as_str() == "one").unwrap().id;
        let certificates = block_on(self.kakunin.tenant(&self.acme).certificates(&agent)).unwrap();
        Subject { agent, facts: certificates.first().unwrap().facts, token }
    }

    /// Every certificate that was planned or issued.
    pub(crate) fn certificates(&self) -> Vec<CertificateEntry> {
        let (agents, _) = block_on(self.kakunin.tenant(&self.acme).agents(None, 0, 100)).unwrap();
        let of = |id| block_on(self.kakunin.tenant(&self.acme).certificates(id)).unwrap();
        agents.iter().flat_map(|agent| of(&agent.id)).collect()
    }

    pub(crate) fn log(&self, log: &LogId) -> Vec<Record> {
        let entries = block_on(self.kakunin.read_log(log, 0, usize::MAX)).unwrap();
        entries.iter().map(|entry| Record::open(entry).unwrap()).collect()
    }

    pub(crate) fn signs(&self, key: &KeyRef) -> bool {
        block_on(self.parts.keys.open(key)).is_ok_and(|signer| block_on(signer.sign(b"m")).is_ok())
    }
}

/// How many refusals take an identity away: the same in every deployment.
pub(crate) static STRAWS: LazyLock<u32> = LazyLock::new(|| {
    let keys: Arc<dyn KeyProvider> = Arc::new(LocalKeys::ephemeral());
    let world = World::over(Parts::new(MemoryStore::new(), keys), 0);
    block_on(world.kakunin.create_tenant(&world.acme)).unwrap();
    let one = world.agent("one");
    let breaks =
        |n: &u32| block_on(world.kakunin.tenant(&world.acme).observe(straw(&one, *n))).unwrap().revoked;
    (1..1_000).find(breaks).unwrap()
});

/// The n-th refusal of an agent.
pub(crate) fn straw(one: &Issued, n: u32) -> Event {
    let mut event = Event::refused(one.serial, "delete:backups".parse().unwrap());
    event.target = Some(format!("backup-{n}").parse().unwrap());
    event.client_id = Some(format!("straw-{n}").parse().unwrap());
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
