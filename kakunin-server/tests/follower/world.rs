//! A deployment with a feed, and who follows it.

use std::path::Path;
use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::id::{IssuerId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider};
use kakunin_core::log::cosignature::CosignerKey;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::sqlite::SqliteStore;
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use kakunin_verify::RevocationHandle;
use kakunin_verify::feed::{FollowError, Follower, Progress};
use kakunin_verify::revocation::{RevocationView, Status};
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
}

impl World {
    pub(crate) fn open(mut parts: Parts, now: UnixTime) -> Self {
        let clock = Arc::new(ManualClock::at(now));
        parts.clock = clock.clone();
        let mut config = Config::new("agents.example").unwrap();
        config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
        let kakunin = block_on(Kakunin::open(config, parts)).unwrap();
        let acme = "acme".parse().unwrap();
        block_on(kakunin.create_tenant(&acme)).unwrap();
        Self { kakunin, clock, acme }
    }

    pub(crate) fn new() -> Self {
        Self::open(Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral())), NOW)
    }

    pub(crate) fn on_disk(file: &Path, keys: Arc<dyn KeyProvider>, now: UnixTime) -> Self {
        Self::open(Parts::new(SqliteStore::open(file).unwrap(), keys), now)
    }

    pub(crate) fn issuer(&self) -> IssuerId {
        self.kakunin.issuer().id()
    }

    pub(crate) fn certified(&self, name: &str, profile: Profile) -> (Serial, UnixTime) {
        let spec = NewAgent::new(name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id;
        let key = KeySource::Provider(KeyAlgorithm::P256);
        let issued = block_on(self.kakunin.tenant(&self.acme).certify(&agent, profile, key)).unwrap();
        (issued.facts.serial, issued.facts.not_after)
    }

    pub(crate) fn revoke(&self, serial: &Serial) {
        block_on(self.kakunin.tenant(&self.acme).revoke(serial, Cause::KeyCompromise)).unwrap();
    }

    pub(crate) fn frame(&self, after: u64, limit: usize) -> Vec<u8> {
        block_on(self.kakunin.feed(&self.issuer(), after, limit)).unwrap().frame.to_json().unwrap()
    }

    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let snapshot = block_on(self.kakunin.feed_snapshot(&self.issuer())).unwrap();
        serde_json::to_vec(&serde_json::json!({ "data": &*snapshot })).unwrap()
    }

    pub(crate) fn tick(&self, millis: u64) -> UnixTime {
        use kakunin_core::time::Clock;
        let now = self.clock.now().plus(millis);
        self.clock.set(now);
        now
    }
}

/// A follower, and what verifiers see of it.
pub(crate) struct Relying {
    pub(crate) follower: Follower,
    pub(crate) handle: RevocationHandle,
    pub(crate) now: UnixTime,
}

impl Relying {
    pub(crate) fn on(world: &World) -> Self {
        let handle = RevocationHandle::default();
        let key = Arc::new(CosignerKey::parse(world.kakunin.feed_verifier()).unwrap());
        let follower = Follower::new(world.issuer(), key, handle.clone()).unwrap();
        Self { follower, handle, now: NOW }
    }

    pub(crate) fn started(world: &World, now: UnixTime) -> Self {
        let mut relying = Self { now, ..Self::on(world) };
        relying.follower.snapshot(&world.snapshot(), now).unwrap();
        relying
    }

    pub(crate) fn take(&mut self, frame: &[u8]) -> Result<Progress, FollowError> {
        self.follower.frame(frame, self.now)
    }

    pub(crate) fn status(&self, serial: &Serial) -> Status {
        self.handle.status(self.follower.issuer(), serial, self.now).0
    }

    pub(crate) fn as_of(&self) -> UnixTime {
        self.handle.current().as_of(self.follower.issuer()).unwrap_or_default()
    }
}
