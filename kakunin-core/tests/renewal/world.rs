//! A deployment, and a workload that keeps its keys.

use std::sync::Arc;

use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::log::record::{Body, Control, Renewal};
use kakunin_core::service::{Error, Kakunin, KeySource, Parts};
use kakunin_core::time::{MINUTE, ManualClock};
use kakunin_core::x509::csr::{Proven, RequestToSign};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, config, deployment, parts};

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
    /// The workload's keys.
    pub(crate) keys: LocalKeys,
}

pub(crate) fn world() -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, acme, keys: LocalKeys::ephemeral() }
}

impl World {
    pub(crate) fn agent(&self) -> AgentId {
        let spec = NewAgent::new("one", MODEL, ["read:accounts/*", "write:ledger"]).unwrap();
        block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id
    }

    /// Key number `n` of the workload.
    pub(crate) fn key(&self, n: u8) -> Arc<dyn Signer> {
        let algorithm = if n.is_multiple_of(2) { KeyAlgorithm::P256 } else { KeyAlgorithm::Ed25519 };
        let key = block_on(self.keys.generate(&PlannedKeyId::new([n; 16]), algorithm)).unwrap();
        block_on(self.keys.open(&key)).unwrap()
    }

    pub(crate) fn request(&self, n: u8) -> Vec<u8> {
        let key = self.key(n);
        let request = RequestToSign::new(key.public_key());
        let signature = block_on(key.sign(request.to_be_signed())).unwrap();
        request.assemble(&signature)
    }

    pub(crate) fn certify(&self, agent: &AgentId, request: &[u8]) -> Result<Certificate, Error> {
        let source = KeySource::Request(request);
        block_on(self.kakunin.tenant(&self.acme).certify(agent, Profile::Standard, source))
    }

    /// The word of key `n`, of the certificate `serial`, for a request.
    pub(crate) fn binding(&self, n: u8, serial: &Serial, request: &[u8]) -> Vec<u8> {
        let text = Proven::read(request).unwrap().binding_text(serial);
        block_on(self.key(n).sign(text.as_bytes())).unwrap().as_bytes().to_vec()
    }

    pub(crate) fn renew(&self, agent: &AgentId, source: KeySource<'_>) -> Result<Certificate, Error> {
        let attested = MODEL.parse().unwrap();
        block_on(self.kakunin.tenant(&self.acme).renew(agent, &attested, Profile::Standard, source))
    }

    pub(crate) fn join(&self, agent: &AgentId) -> String {
        let made =
            block_on(self.kakunin.tenant(&self.acme).create_join_token(agent, Profile::Elevated, MINUTE));
        made.unwrap().1.reveal().to_owned()
    }

    pub(crate) fn enrol(&self, token: &str, n: u8) -> Result<Certificate, Error> {
        block_on(self.kakunin.enrol(token, &self.request(n))).map(|(tenant, certificate)| {
            assert_eq!(tenant, self.acme);
            certificate
        })
    }

    pub(crate) fn controls(&self) -> Vec<Control> {
        let all = block_on(self.kakunin.tenant(&self.acme).records(None, 1_000, |_| true)).unwrap();
        all.items
            .into_iter()
            .filter_map(|recorded| match recorded.record.body {
                Body::Control(control) => Some(*control),
                Body::Event(..) => None,
            })
            .collect()
    }

    pub(crate) fn last_renewal(&self) -> Renewal {
        let renewal = |control| match control {
            Control::CertificateIssued { renewal, .. } => renewal,
            _ => None,
        };
        self.controls().into_iter().find_map(renewal).unwrap()
    }

    pub(crate) fn observe(&self, serial: Serial, action: &str, outcome: Outcome) {
        let mut event = Event::new(serial, action.parse().unwrap(), outcome);
        event.attribution = Attribution::Signed;
        block_on(self.kakunin.tenant(&self.acme).observe(event)).unwrap();
    }
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}
