//! A deployment whose agents ask twice.

use std::sync::Arc;

use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::revoke::Reason;
use kakunin_core::service::{Config, Error, EventStatus, Kakunin, KeySource, Parts};
use kakunin_core::time::{DAY, MINUTE, ManualClock};
use kakunin_core::x509::csr::{Proven, RequestToSign};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, NOW, config, deployment, parts, reopened};

pub(crate) const GRACE: u64 = Config::RENEWAL_GRACE;

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) config: Config,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
    pub(crate) keys: LocalKeys,
}

pub(crate) fn world() -> World {
    world_of(KeyAlgorithm::P256, GRACE)
}

/// RSA takes two appends for a certificate, P-256 in this process one.
pub(crate) fn world_of(issuing: KeyAlgorithm, grace: u64) -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let config = Config { ca_algorithms: (KeyAlgorithm::P256, issuing), renewal_grace: grace, ..config() };
    let (kakunin, acme) = deployment(config.clone(), &parts);
    World { kakunin, config, parts, clock, acme, keys: LocalKeys::ephemeral() }
}

impl World {
    pub(crate) fn reopened(self) -> Self {
        Self { kakunin: reopened(self.config.clone(), &self.parts), ..self }
    }

    pub(crate) fn agent(&self) -> AgentId {
        let spec = NewAgent::new("one", MODEL, ["read:accounts/*"]).unwrap();
        block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id
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

    pub(crate) fn binding(&self, n: u8, serial: &Serial, request: &[u8]) -> Vec<u8> {
        let text = Proven::read(request).unwrap().binding_text(serial);
        block_on(self.key(n).sign(text.as_bytes())).unwrap().as_bytes().to_vec()
    }

    pub(crate) fn token(&self, agent: &AgentId) -> String {
        let tenant = self.kakunin.tenant(&self.acme);
        let made = tenant.create_join_token(agent, Profile::Elevated, 10 * MINUTE);
        block_on(made).unwrap().1.reveal().to_owned()
    }

    pub(crate) fn enrol(&self, token: &str, n: u8) -> Result<Certificate, Error> {
        block_on(self.kakunin.enrol(token, &self.request(n))).map(|(_, certificate)| certificate)
    }

    /// Renews with key `by` of the certificate `serial`, for key `with`.
    pub(crate) fn renew_own(&self, serial: &Serial, by: u8, with: u8) -> Result<Certificate, Error> {
        let request = self.request(with);
        let binding = self.binding(by, serial, &request);
        let model = MODEL.parse().unwrap();
        let renewed = self.kakunin.renew_own(serial, &model, &request, &binding);
        block_on(renewed).map(|(_, certificate)| certificate)
    }

    pub(crate) fn renew(&self, agent: &AgentId, source: KeySource<'_>) -> Result<Certificate, Error> {
        let model = MODEL.parse().unwrap();
        block_on(self.kakunin.tenant(&self.acme).renew(agent, &model, Profile::Standard, source))
    }

    /// An agent that joined with key 0 and renewed with key 2, three days later: both certificates.
    pub(crate) fn renewed(&self) -> (AgentId, Serial, Serial) {
        let agent = self.agent();
        let first = self.enrol(&self.token(&agent), 0).unwrap().facts.serial;
        self.clock.set(NOW.plus(3 * DAY));
        let second = self.renew_own(&first, 0, 2).unwrap().facts.serial;
        (agent, first, second)
    }

    pub(crate) fn reason(&self, serial: &Serial) -> Option<Reason> {
        self.kakunin.revocations().reason(&self.kakunin.issuer().id(), serial).unwrap()
    }

    pub(crate) fn observe(&self, serial: &Serial, attribution: Attribution) -> EventStatus {
        let mut event = Event::new(*serial, "read:accounts/1".parse().unwrap(), Outcome::Ok);
        event.attribution = attribution;
        block_on(self.kakunin.tenant(&self.acme).observe(event)).unwrap().status
    }

    pub(crate) fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.tenant(&self.acme).agent(agent)).unwrap().state
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        let all = block_on(self.kakunin.tenant(&self.acme).records(None, 1_000, |_| true)).unwrap();
        all.items.iter().map(|recorded| recorded.record.name()).collect()
    }

    pub(crate) fn size(&self) -> usize {
        self.names().len()
    }
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

pub(crate) fn risk(w: &World, serial: &Serial) {
    for n in 0..1_000 {
        let mut event = Event::refused(*serial, format!("delete:backups/{n}").parse().unwrap());
        event.attribution = Attribution::Signed;
        if block_on(w.kakunin.tenant(&w.acme).observe(event)).unwrap().revoked {
            return;
        }
    }
    panic!("nothing breaks it");
}
