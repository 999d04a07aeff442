//! A deployment with keys during whose work something happens, and the ways in which trust is taken away.

use std::fmt;
use std::sync::{Arc, Mutex};

use kakunin_core::agent::{Agent, AgentState, NewAgent, Note};
use kakunin_core::event::Event;
use kakunin_core::grant::{KeyGrant, Principal};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};
use kakunin_core::log::entry::LogId;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Error, Kakunin, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::{Change, Kind};
use kakunin_core::time::{MINUTE, ManualClock};
use kakunin_core::x509::csr::RequestToSign;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, P256, config, deployment, parts, reopened};

pub(crate) type Happens = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// Software keys that know principals, and something that happens while one certifies, makes or grants.
#[derive(Default)]
pub(crate) struct Meanwhile {
    pub(crate) happens: Happens,
    pub(crate) granted: Mutex<Vec<KeyRef>>,
    /// Whether the answers of grants are lost.
    pub(crate) lost: Mutex<bool>,
}

pub(crate) struct Keys(pub(crate) LocalKeys, pub(crate) Arc<Meanwhile>);

pub(crate) struct Slow(pub(crate) Arc<dyn Signer>, pub(crate) Arc<Meanwhile>);

impl Meanwhile {
    pub(crate) fn let_happen(&self, what: impl FnOnce() + Send + 'static) {
        *self.happens.lock().unwrap() = Some(Box::new(what));
    }

    pub(crate) fn goes_on(&self) {
        let happens = self.happens.lock().unwrap().take();
        if let Some(happens) = happens {
            happens();
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl fmt::Debug for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slow")
    }
}

#[async_trait::async_trait]
impl Signer for Slow {
    fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm()
    }

    fn public_key(&self) -> &Spki {
        self.0.public_key()
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let signature = self.0.sign(message).await;
        // A certificate, which is DER, is signed without the sequencer; and a message that begins like one. Before the
        // answer is there.
        if message.first() == Some(&0x30) {
            self.1.goes_on();
        }
        signature
    }
}

#[async_trait::async_trait]
impl KeyProvider for Keys {
    fn is_near(&self) -> bool {
        true
    }

    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        self.0.generate(planned, algorithm).await
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        Ok(Arc::new(Slow(self.0.open(key).await?, self.1.clone())))
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.disable(key).await
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.enable(key).await
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        self.0.retire(key).await
    }

    fn grants(&self) -> bool {
        true
    }

    async fn grant(&self, key: &KeyRef, _: &Principal) -> Result<KeyGrant, SignError> {
        self.1.goes_on();
        self.1.granted.lock().unwrap().push(key.clone());
        if *self.1.lost.lock().unwrap() {
            return Err(SignError::unavailable("grant", key, "timeout"));
        }
        Ok(KeyGrant { id: "1".to_owned(), token: "t".to_owned() })
    }

    async fn ungrant(&self, key: &KeyRef) -> Result<(), SignError> {
        self.1.granted.lock().unwrap().retain(|granted| granted != key);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        self.0.list().await
    }
}

pub(crate) struct World {
    pub(crate) kakunin: Kakunin,
    pub(crate) parts: Parts,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) meanwhile: Arc<Meanwhile>,
    pub(crate) acme: TenantId,
    pub(crate) own: LocalKeys,
}

pub(crate) fn world() -> World {
    let meanwhile = Arc::new(Meanwhile::default());
    let (parts, clock) = parts(Keys(LocalKeys::ephemeral(), meanwhile.clone()));
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, meanwhile, acme, own: LocalKeys::ephemeral() }
}

pub(crate) fn spec(name: &str) -> NewAgent {
    NewAgent::new(name, MODEL, ["read:accounts"]).unwrap()
}

pub(crate) fn note(text: &str) -> Note {
    text.to_owned().try_into().unwrap()
}

pub(crate) fn code<T: fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

/// Ways in which trust is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    Halt,
    Revoke(Cause),
    Behaviour,
    Hold,
    Retire,
}

pub(crate) const TAKINGS: [Taking; 14] = [
    Taking::Halt,
    Taking::Revoke(Cause::OperatorInitiated),
    Taking::Revoke(Cause::KeyCompromise),
    Taking::Revoke(Cause::RegulatoryOrder),
    Taking::Revoke(Cause::KillSwitchActivated),
    Taking::Revoke(Cause::Unspecified),
    Taking::Revoke(Cause::CaCompromise),
    Taking::Revoke(Cause::AffiliationChanged),
    Taking::Revoke(Cause::CessationOfOperation),
    Taking::Revoke(Cause::PrivilegeWithdrawn),
    // By an operator, with nothing in its place.
    Taking::Revoke(Cause::Superseded),
    Taking::Behaviour,
    Taking::Hold,
    Taking::Retire,
];

impl World {
    pub(crate) fn agent(&self, name: &str) -> (AgentId, Certificate) {
        let agent = block_on(self.kakunin.tenant(&self.acme).register(spec(name))).unwrap().id;
        (agent, self.certify(&agent).unwrap())
    }

    pub(crate) fn certify(&self, agent: &AgentId) -> Result<Certificate, Error> {
        block_on(self.kakunin.tenant(&self.acme).certify(agent, Profile::Standard, P256))
    }

    pub(crate) fn request(&self, n: u8) -> Vec<u8> {
        let key = block_on(self.own.generate(&PlannedKeyId::new([n; 16]), KeyAlgorithm::P256)).unwrap();
        let key = block_on(self.own.open(&key)).unwrap();
        let request = RequestToSign::new(key.public_key());
        let signature = block_on(key.sign(request.to_be_signed())).unwrap();
        request.assemble(&signature)
    }

    pub(crate) fn join(&self, agent: &AgentId) -> Result<String, Error> {
        let made = block_on(self.kakunin.tenant(&self.acme).create_join_token(
            agent,
            Profile::Standard,
            10 * MINUTE,
        ));
        made.map(|(_, token)| token.reveal().to_owned())
    }

    pub(crate) fn enrol(&self, token: &str) -> Result<Certificate, Error> {
        block_on(self.kakunin.enrol(token, &self.request(200))).map(|(_, certificate)| certificate)
    }

    pub(crate) fn take(&self, taking: Taking, agent: &AgentId, serial: &Serial) {
        let (kakunin, acme) = (&self.kakunin, &self.acme);
        match taking {
            Taking::Halt => {
                _ = block_on(kakunin.tenant(acme).halt(agent, Cause::KillSwitchActivated, None)).unwrap()
            }
            Taking::Revoke(cause) => _ = block_on(kakunin.tenant(acme).revoke(serial, cause)).unwrap(),
            Taking::Hold => _ = block_on(kakunin.tenant(acme).hold(serial)).unwrap(),
            Taking::Retire => block_on(kakunin.tenant(acme).retire(agent)).unwrap(),
            Taking::Behaviour => assert!((0..1_000).any(|n| {
                let mut event = Event::refused(*serial, "delete:backups".parse().unwrap());
                event.target = Some(format!("backup-{n}").parse().unwrap());
                block_on(kakunin.tenant(acme).observe(event)).unwrap().revoked
            })),
        }
    }

    pub(crate) fn reinstate(&self, agent: &AgentId) -> Result<Agent, Error> {
        block_on(self.kakunin.tenant(&self.acme).reinstate(agent, note("the prompt was mended")))
    }

    pub(crate) fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.tenant(&self.acme).agent(agent)).unwrap().state
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        let page = block_on(self.kakunin.tenant(&self.acme).records(None, 1_000, |_| true)).unwrap();
        page.items.iter().map(|r| r.record.name()).collect()
    }

    pub(crate) fn reopened(self) -> Self {
        Self { kakunin: reopened(config(), &self.parts), ..self }
    }

    /// Without its state: what the log alone says.
    pub(crate) fn rebuilt(mut self) -> Self {
        let empty = Arc::new(MemoryStore::new());
        let vault = block_on(self.parts.state.scan(&LogId::System, Kind::Vault, None, 100)).unwrap();
        let vault =
            vault.into_iter().map(|(key, value)| Change { kind: Kind::Vault, key, value: Some(value) });
        let vault: Vec<_> = vault.collect();
        (self.parts.state, self.parts.revocations) = (empty.clone(), empty);
        block_on(self.parts.state.put(&LogId::System, &vault)).unwrap();
        self.reopened()
    }

    pub(crate) fn join_rows(&self) -> usize {
        let rows = block_on(self.parts.state.scan(&LogId::System, Kind::Vault, None, 100)).unwrap();
        rows.iter().filter(|(key, _)| key.starts_with(b"join-token/")).count()
    }
}
