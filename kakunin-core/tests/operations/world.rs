//! A deployment with one tenant, and one during whose work something happens.

use std::sync::{Arc, Mutex};

use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{SignError, Signer};
use kakunin_core::revoke::Reason;
use kakunin_core::service::{Kakunin, Parts};
use kakunin_core::time::ManualClock;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{Hand, Keys, MODEL, P256, config, deployment, parts};

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) acme: TenantId,
}

pub(crate) fn world() -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, acme }
}

pub(crate) fn reinstate(kakunin: &Kakunin, tenant: &TenantId, agent: &AgentId) {
    let reason = "it was a drill".to_owned().try_into().unwrap();
    block_on(kakunin.tenant(tenant).reinstate(agent, reason)).unwrap();
}

impl World {
    pub(crate) fn agent(&self, name: &str) -> (AgentId, Certificate) {
        let spec = NewAgent::new(name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id;
        (agent, block_on(self.kakunin.tenant(&self.acme).certify(&agent, Profile::Standard, P256)).unwrap())
    }

    pub(crate) fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.tenant(&self.acme).agent(agent)).unwrap().state
    }

    pub(crate) fn reinstate(&self, agent: &AgentId) {
        reinstate(&self.kakunin, &self.acme, agent);
    }

    pub(crate) fn reason(&self, serial: &Serial) -> Option<Reason> {
        self.kakunin.revocations().reason(&self.kakunin.issuer().id(), serial).unwrap()
    }

    pub(crate) fn names(&self) -> Vec<(&'static str, Option<String>)> {
        let page = block_on(self.kakunin.tenant(&self.acme).records(None, 100, |_| true)).unwrap();
        let by = |r: &kakunin_core::log::record::Record| r.by.as_ref().map(|by| by.as_str().to_owned());
        page.items.iter().map(|r| (r.record.name(), by(&r.record))).collect()
    }
}

/// Something that happens once, while a key is made, or while it signs a certificate.
#[derive(Default)]
pub(crate) struct Meanwhile {
    pub(crate) made: Happens,
    pub(crate) signed: Happens,
    pub(crate) keys_are_here: bool,
}

pub(crate) type Happens = Mutex<Option<Box<dyn FnOnce() + Send>>>;

pub(crate) fn let_happen(when: &Happens, what: impl FnOnce() + Send + 'static) {
    *when.lock().unwrap() = Some(Box::new(what));
}

pub(crate) fn happen(when: &Happens) {
    let what = when.lock().unwrap().take();
    if let Some(what) = what {
        what();
    }
}

impl Hand for Meanwhile {
    fn is_here(&self) -> bool {
        self.keys_are_here
    }

    fn generate(&self) {
        happen(&self.made);
    }

    fn sign<'m>(&self, _: &dyn Signer, message: &'m [u8]) -> Result<&'m [u8], SignError> {
        // Checkpoints are signed under the sequencer; only a certificate, which is DER, is signed outside.
        if message.first() == Some(&0x30) {
            happen(&self.signed);
        }
        Ok(message)
    }
}

pub(crate) fn deployment_meanwhile(keys_are_here: bool) -> (Kakunin, Parts, TenantId, Arc<Meanwhile>) {
    let meanwhile = Arc::new(Meanwhile { keys_are_here, ..Meanwhile::default() });
    let (parts, _) = parts(Keys(LocalKeys::ephemeral(), meanwhile.clone()));
    let (kakunin, acme) = deployment(config(), &parts);
    (kakunin, parts, acme, meanwhile)
}
