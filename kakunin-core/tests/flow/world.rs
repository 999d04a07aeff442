//! A deployment in memory, with agents and what they do.

use std::sync::Arc;

use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::log::record::Record;
use kakunin_core::revoke::Reason;
use kakunin_core::service::{Config, Kakunin, KeySource, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

pub(crate) const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
pub(crate) const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) keys: Arc<LocalKeys>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
}

pub(crate) fn world() -> World {
    let keys = Arc::new(LocalKeys::ephemeral());
    let clock = Arc::new(ManualClock::at(NOW));
    let mut parts = Parts::new(MemoryStore::new(), keys.clone());
    parts.clock = clock.clone();
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let kakunin = block_on(Kakunin::open(config, parts)).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    World { kakunin, keys, clock, acme }
}

pub(crate) const P256: KeySource<'_> = KeySource::Provider(KeyAlgorithm::P256);

impl World {
    pub(crate) fn agent(&self, name: &str) -> (AgentId, Serial) {
        let spec = NewAgent::new(name, MODEL, ["read:accounts", "write:payments"]).unwrap();
        let agent = block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap();
        assert_eq!(agent.state, AgentState::Pending);
        let certificate =
            block_on(self.kakunin.tenant(&self.acme).certify(&agent.id, Profile::Standard, P256)).unwrap();
        (agent.id, certificate.facts.serial)
    }

    pub(crate) fn event(&self, serial: Serial, action: &str, outcome: Outcome) -> Event {
        Event::new(serial, action.parse().unwrap(), outcome)
    }

    pub(crate) fn refuse_until_revoked(&self, serial: Serial) -> usize {
        for n in 1..200 {
            self.clock.set(NOW.plus(n * 3_000));
            let mut event = Event::refused(serial, "delete:backups".parse().unwrap());
            event.target = Some(format!("backup-{n}").parse().unwrap());
            if block_on(self.kakunin.tenant(&self.acme).observe(event)).unwrap().revoked {
                return usize::try_from(n).unwrap();
            }
        }
        panic!("200 refusals did not take the identity away");
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let entries = block_on(self.kakunin.tenant(&self.acme).entries(0, 10_000)).unwrap();
        entries.iter().map(|e| Record::open(e).unwrap()).collect()
    }

    pub(crate) fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.tenant(&self.acme).agent(agent)).unwrap().state
    }

    pub(crate) fn reason(&self, serial: &Serial) -> Option<Reason> {
        self.kakunin.revocations().reason(&self.kakunin.issuer().id(), serial).unwrap()
    }
}
