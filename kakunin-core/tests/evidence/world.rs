//! A deployment whose agents are reported.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record, Renewal};
use kakunin_core::revoke::Reason;
use kakunin_core::service::{Config, Error, EventStatus, Kakunin, KeySource, Observed, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::{Change, Kind, StateStore};
use kakunin_core::time::{DAY, ManualClock};
use kakunin_core::x509::csr::{Proven, RequestToSign};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, NOW, P256, deployment, parts};

/// When an agent may renew a standard certificate by itself.
pub(crate) const DUE: u64 = 37 * DAY;

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
    pub(crate) keys: LocalKeys,
}

/// What is superseded is so at once; two that stand are in `lost_answers/`.
pub(crate) fn config() -> Config {
    Config { renewal_grace: 0, ..crate::common::config() }
}

pub(crate) fn world() -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, acme, keys: LocalKeys::ephemeral() }
}

impl World {
    pub(crate) fn register(&self) -> AgentId {
        self.register_for(&["read:accounts"])
    }

    fn register_for(&self, scope: &[&str]) -> AgentId {
        // The name of a suspended agent is taken.
        static AGENTS: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent {}", AGENTS.fetch_add(1, Ordering::Relaxed));
        let spec = NewAgent::new(&name, MODEL, scope).unwrap();
        block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id
    }

    pub(crate) fn agent(&self) -> (AgentId, Serial) {
        let agent = self.register();
        (agent, self.certify(&agent))
    }

    pub(crate) fn reinstate(&self, agent: &AgentId) {
        let reason = "the prompt was mended".to_owned().try_into().unwrap();
        block_on(self.kakunin.tenant(&self.acme).reinstate(agent, reason)).unwrap();
    }

    pub(crate) fn certify(&self, agent: &AgentId) -> Serial {
        block_on(self.kakunin.tenant(&self.acme).certify(agent, Profile::HighRisk, P256))
            .unwrap()
            .facts
            .serial
    }

    /// An agent that keeps its key itself, which is number 0 of the workload's.
    pub(crate) fn enrolled(&self, scope: &[&str]) -> (AgentId, Serial) {
        let agent = self.register_for(scope);
        let request = self.request(0);
        let source = KeySource::Request(&request);
        let issued =
            block_on(self.kakunin.tenant(&self.acme).certify(&agent, Profile::Standard, source)).unwrap();
        (agent, issued.facts.serial)
    }

    pub(crate) fn key(&self, n: u8) -> Arc<dyn Signer> {
        let key = block_on(self.keys.generate(&PlannedKeyId::new([n; 16]), KeyAlgorithm::P256)).unwrap();
        block_on(self.keys.open(&key)).unwrap()
    }

    pub(crate) fn request(&self, n: u8) -> Vec<u8> {
        let key = self.key(n);
        let request = RequestToSign::new(key.public_key());
        let signature = block_on(key.sign(request.to_be_signed())).unwrap();
        request.assemble(&signature)
    }

    /// A person renews it: key `n` follows the one before it.
    pub(crate) fn renew_theirs(&self, agent: &AgentId, serial: &Serial, n: u8) -> Serial {
        let request = self.request(n);
        let text = Proven::read(&request).unwrap().binding_text(serial);
        let binding = block_on(self.key(n - 1).sign(text.as_bytes())).unwrap();
        let source = KeySource::Bound(&request, binding.as_bytes());
        let model = MODEL.parse().unwrap();
        let tenant = self.kakunin.tenant(&self.acme);
        let renewed = tenant.renew(agent, &model, Profile::Standard, source);
        block_on(renewed).unwrap().facts.serial
    }

    /// The agent renews by itself: key `n` follows the one before it.
    pub(crate) fn renew_itself(&self, serial: &Serial, n: u8) -> Serial {
        let request = self.request(n);
        let text = Proven::read(&request).unwrap().binding_text(serial);
        let binding = block_on(self.key(n - 1).sign(text.as_bytes())).unwrap();
        let model = MODEL.parse().unwrap();
        let renewed = self.kakunin.renew_own(serial, &model, &request, binding.as_bytes());
        block_on(renewed).unwrap().1.facts.serial
    }

    pub(crate) fn renew(&self, agent: &AgentId) -> Serial {
        let model = MODEL.parse().unwrap();
        let tenant = self.kakunin.tenant(&self.acme);
        let renewed = tenant.renew(agent, &model, Profile::Standard, P256);
        block_on(renewed).unwrap().facts.serial
    }

    pub(crate) fn observe(&self, event: Event) -> Observed {
        block_on(self.kakunin.tenant(&self.acme).observe(event)).unwrap()
    }

    pub(crate) fn status(&self, event: Event) -> EventStatus {
        self.observe(event).status
    }

    pub(crate) fn reason(&self, serial: &Serial) -> Option<Reason> {
        self.kakunin.revocations().reason(&self.kakunin.issuer().id(), serial).unwrap()
    }

    pub(crate) fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.tenant(&self.acme).agent(agent)).unwrap().state
    }

    pub(crate) fn at(&self, since: u64) {
        self.clock.set(NOW.plus(since));
    }

    /// How many of 500 refusals it takes until the identity is gone.
    pub(crate) fn refuse(&self, serial: &Serial) -> Option<usize> {
        (0..500).position(|n| self.observe(refusal(serial, n)).revoked)
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let entries = block_on(self.kakunin.tenant(&self.acme).entries(0, 10_000)).unwrap();
        entries.iter().map(|e| Record::open(e).unwrap()).collect()
    }

    pub(crate) fn last_renewal(&self) -> Renewal {
        let renewal = |record: &Record| match &record.body {
            Body::Control(control) => match &**control {
                Control::CertificateIssued { renewal, .. } => renewal.clone(),
                _ => None,
            },
            Body::Event(..) => None,
        };
        self.records().iter().rev().find_map(renewal).unwrap()
    }

    pub(crate) fn restarted(self) -> Self {
        Self { kakunin: block_on(Kakunin::open(config(), self.parts.clone())).unwrap(), ..self }
    }

    /// All projections lost but the vault: read back from record 0.
    pub(crate) fn rebuilt(self) -> Self {
        let empty = Arc::new(MemoryStore::new());
        let secret = block_on(self.parts.state.get(&LogId::System, Kind::Vault, b"secret")).unwrap();
        let vault = Change { kind: Kind::Vault, key: b"secret".to_vec(), value: secret };
        block_on(empty.put(&LogId::System, &[vault])).unwrap();
        let parts = Parts { state: empty.clone(), revocations: empty, ..self.parts.clone() };
        Self { parts, ..self }.restarted()
    }
}

pub(crate) fn refusal(serial: &Serial, n: usize) -> Event {
    let mut event = Event::refused(*serial, "delete:backups".parse().unwrap());
    event.target = Some(format!("backup-{n}").parse().unwrap());
    event
}

pub(crate) fn act(serial: &Serial) -> Event {
    Event::new(*serial, "read:accounts".parse().unwrap(), Outcome::Ok)
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}
