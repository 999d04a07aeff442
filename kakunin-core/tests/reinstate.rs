//! What was taken away stays away: a halt, a hold or a revocation voids what is under way, and nothing but an order by
//! name, with a reason, lets the agent work again.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::fmt;
use std::sync::{Arc, Mutex};

use common::{MODEL, NOW, P256, config, deployment, parts, reopened};
use kakunin_core::access::{ApiKeyId, Role};
use kakunin_core::agent::{Agent, AgentState, NewAgent, Note};
use kakunin_core::event::Event;
use kakunin_core::grant::{KeyGrant, Principal};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::Cause;
use kakunin_core::risk::Band;
use kakunin_core::service::{Error, EventStatus, Kakunin, KeySource, Parts, Tended};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::{Change, Kind};
use kakunin_core::time::{HOUR, MINUTE, ManualClock};
use kakunin_core::x509::csr::RequestToSign;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

type Happens = Mutex<Option<Box<dyn FnOnce() + Send>>>;

/// Software keys that know principals, and something that happens while one certifies, makes or grants.
#[derive(Default)]
struct Meanwhile {
    happens: Happens,
    granted: Mutex<Vec<KeyRef>>,
    /// Whether the answers of grants are lost.
    lost: Mutex<bool>,
}

struct Keys(LocalKeys, Arc<Meanwhile>);

struct Slow(Arc<dyn Signer>, Arc<Meanwhile>);

impl Meanwhile {
    fn let_happen(&self, what: impl FnOnce() + Send + 'static) {
        *self.happens.lock().unwrap() = Some(Box::new(what));
    }

    fn goes_on(&self) {
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

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    meanwhile: Arc<Meanwhile>,
    acme: TenantId,
    own: LocalKeys,
}

fn world() -> World {
    let meanwhile = Arc::new(Meanwhile::default());
    let (parts, clock) = parts(Keys(LocalKeys::ephemeral(), meanwhile.clone()));
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, meanwhile, acme, own: LocalKeys::ephemeral() }
}

fn spec(name: &str) -> NewAgent {
    NewAgent::new(name, MODEL, ["read:accounts"]).unwrap()
}

fn note(text: &str) -> Note {
    text.to_owned().try_into().unwrap()
}

fn code<T: fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

/// Ways in which trust is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    Halt,
    Revoke(Cause),
    Behaviour,
    Hold,
    Retire,
}

const TAKINGS: [Taking; 14] = [
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
    fn agent(&self, name: &str) -> (AgentId, Certificate) {
        let agent = block_on(self.kakunin.register(&self.acme, spec(name))).unwrap().id;
        (agent, self.certify(&agent).unwrap())
    }

    fn certify(&self, agent: &AgentId) -> Result<Certificate, Error> {
        block_on(self.kakunin.certify(&self.acme, agent, Profile::Standard, P256))
    }

    fn request(&self, n: u8) -> Vec<u8> {
        let key = block_on(self.own.generate(&PlannedKeyId::new([n; 16]), KeyAlgorithm::P256)).unwrap();
        let key = block_on(self.own.open(&key)).unwrap();
        let request = RequestToSign::new(key.public_key());
        let signature = block_on(key.sign(request.to_be_signed())).unwrap();
        request.assemble(&signature)
    }

    fn join(&self, agent: &AgentId) -> Result<String, Error> {
        let made =
            block_on(self.kakunin.create_join_token(&self.acme, agent, Profile::Standard, 10 * MINUTE));
        made.map(|(_, token)| token.reveal().to_owned())
    }

    fn enrol(&self, token: &str) -> Result<Certificate, Error> {
        block_on(self.kakunin.enrol(token, &self.request(200))).map(|(_, certificate)| certificate)
    }

    fn take(&self, taking: Taking, agent: &AgentId, serial: &Serial) {
        let (kakunin, acme) = (&self.kakunin, &self.acme);
        match taking {
            Taking::Halt => {
                _ = block_on(kakunin.halt(acme, agent, Cause::KillSwitchActivated, None)).unwrap()
            }
            Taking::Revoke(cause) => _ = block_on(kakunin.revoke(acme, serial, cause)).unwrap(),
            Taking::Hold => _ = block_on(kakunin.hold(acme, serial)).unwrap(),
            Taking::Retire => block_on(kakunin.retire(acme, agent)).unwrap(),
            Taking::Behaviour => assert!((0..1_000).any(|n| {
                let mut event = Event::refused(*serial, "delete:backups".parse().unwrap());
                event.target = Some(format!("backup-{n}").parse().unwrap());
                block_on(kakunin.observe(acme, event)).unwrap().revoked
            })),
        }
    }

    fn reinstate(&self, agent: &AgentId) -> Result<Agent, Error> {
        block_on(self.kakunin.reinstate(&self.acme, agent, note("the prompt was mended")))
    }

    fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.agent(&self.acme, agent)).unwrap().state
    }

    fn names(&self) -> Vec<&'static str> {
        let page = block_on(self.kakunin.records(&self.acme, None, 1_000, |_| true)).unwrap();
        page.items.iter().map(|r| r.record.name()).collect()
    }

    fn reopened(self) -> Self {
        Self { kakunin: reopened(config(), &self.parts), ..self }
    }

    /// Without its state: what the log alone says.
    fn rebuilt(mut self) -> Self {
        let empty = Arc::new(MemoryStore::new());
        let vault = block_on(self.parts.state.scan(&LogId::System, Kind::Vault, None, 100)).unwrap();
        let vault =
            vault.into_iter().map(|(key, value)| Change { kind: Kind::Vault, key, value: Some(value) });
        let vault: Vec<_> = vault.collect();
        (self.parts.state, self.parts.revocations) = (empty.clone(), empty);
        block_on(self.parts.state.put(&LogId::System, &vault)).unwrap();
        self.reopened()
    }

    fn join_rows(&self) -> usize {
        let rows = block_on(self.parts.state.scan(&LogId::System, Kind::Vault, None, 100)).unwrap();
        rows.iter().filter(|(key, _)| key.starts_with(b"join-token/")).count()
    }
}

#[test]
fn a_spare_join_token_opens_nothing_once_trust_was_taken_away() {
    for taking in TAKINGS {
        let mut w = world();
        let (agent, certificate) = w.agent("one");
        let spare = w.join(&agent).unwrap();
        w.take(taking, &agent, &certificate.facts.serial);
        let state = if taking == Taking::Retire { AgentState::Retired } else { AgentState::Suspended };
        for how in ["live", "reopened", "rebuilt"] {
            w = match how {
                "reopened" => w.reopened(),
                "rebuilt" => w.rebuilt(),
                _ => w,
            };
            assert_eq!(code(w.enrol(&spare)), "join_token_invalid", "{taking:?}, {how}");
            assert_eq!(w.state(&agent), state, "{taking:?}, {how}");
        }
        assert_eq!(w.names().iter().filter(|name| **name == "join_token.voided").count(), 1, "{taking:?}");
        assert_eq!(w.join_rows(), 0, "{taking:?}: its hash is forgotten");
        // Nor later, when the agent is trusted again.
        match taking {
            Taking::Retire => assert_eq!(code(w.reinstate(&agent)), "agent_state"),
            Taking::Hold => {
                assert_eq!(code(w.reinstate(&agent)), "agent_state", "that is what a release is for");
                block_on(w.kakunin.release(&w.acme, &certificate.facts.serial)).unwrap();
            }
            _ => assert_eq!(w.reinstate(&agent).unwrap().state, AgentState::Pending),
        }
        assert_eq!(code(w.enrol(&spare)), "join_token_invalid", "{taking:?}");
    }
}

#[test]
fn a_renewal_takes_nothing_away() {
    let w = world();
    let (agent, _) = w.agent("one");
    let spare = w.join(&agent).unwrap();
    block_on(w.kakunin.renew(&w.acme, &agent, &MODEL.parse().unwrap(), Profile::Ephemeral, P256)).unwrap();
    assert!(!w.names().contains(&"join_token.voided"));
    assert_eq!(code(w.enrol(&spare)), "exists");
    w.clock.set(NOW.plus(9 * MINUTE));
    assert_eq!(w.state(&agent), AgentState::Active);
}

#[test]
fn an_agent_that_never_had_a_certificate_loses_its_token_too() {
    let w = world();
    let agent = block_on(w.kakunin.register(&w.acme, spec("idle"))).unwrap().id;
    let spare = w.join(&agent).unwrap();
    block_on(w.kakunin.halt(&w.acme, &agent, Cause::RegulatoryOrder, None)).unwrap();
    assert_eq!(code(w.enrol(&spare)), "join_token_invalid");
    w.reinstate(&agent).unwrap();
    assert_eq!(code(w.enrol(&spare)), "join_token_invalid");
    assert!(w.enrol(&w.join(&agent).unwrap()).is_ok());
}

#[test]
fn nothing_but_an_order_by_name_lets_a_suspended_agent_work_again() {
    for taking in TAKINGS.into_iter().filter(|taking| *taking != Taking::Retire) {
        let w = world();
        let (agent, certificate) = w.agent("one");
        let serial = certificate.facts.serial;
        w.take(taking, &agent, &serial);
        let (request, model) = (w.request(1), MODEL.parse().unwrap());
        let role = Principal::try_from("arn:aws:iam::111122223333:role/desk-7".to_owned()).unwrap();
        let certify = |source| block_on(w.kakunin.certify(&w.acme, &agent, Profile::Standard, source));
        let renew = |source| block_on(w.kakunin.renew(&w.acme, &agent, &model, Profile::Standard, source));
        assert_eq!(code(certify(P256)), "agent_suspended", "{taking:?}");
        assert_eq!(code(certify(KeySource::Request(&request))), "agent_suspended", "{taking:?}");
        assert_eq!(code(certify(KeySource::Bound(&request, b"word"))), "agent_suspended", "{taking:?}");
        assert_eq!(code(renew(P256)), "agent_state", "{taking:?}");
        assert_eq!(code(renew(KeySource::Request(&request))), "agent_state", "{taking:?}");
        assert_eq!(code(w.join(&agent)), "agent_suspended", "{taking:?}");
        let granted = w.kakunin.grant_key(&w.acme, &agent, &role);
        assert_eq!(code(block_on(granted)), "agent_state", "{taking:?}");
        assert_eq!(code(block_on(w.kakunin.sign(&w.acme, &agent, b"m"))), "agent_state", "{taking:?}");
        if taking != Taking::Hold {
            assert_eq!(code(block_on(w.kakunin.release(&w.acme, &serial))), "exists", "{taking:?}");
        }
        let changed = w.kakunin.update(&w.acme, &agent, |spec| {
            spec.description = Some(note("harmless"));
            Ok(())
        });
        assert_eq!(block_on(changed).unwrap().state, AgentState::Suspended, "{taking:?}");
        assert_eq!(w.state(&agent), AgentState::Suspended, "{taking:?}");
    }
}

#[test]
fn a_reinstatement_says_why_and_who_and_forgets_the_evidence() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let serial = certificate.facts.serial;
    assert_eq!(code(w.reinstate(&agent)), "agent_state", "it works");
    w.take(Taking::Behaviour, &agent, &serial);
    let by = w.kakunin.acting_as("key:ops".parse().unwrap());
    for blank in [" ", "\n\t"] {
        assert_eq!(code(block_on(by.reinstate(&w.acme, &agent, note(blank)))), "note_malformed");
    }
    let other: TenantId = "other".parse().unwrap();
    block_on(w.kakunin.create_tenant(&other)).unwrap();
    assert_eq!(code(block_on(by.reinstate(&other, &agent, note("mine")))), "not_found");
    let reinstated = block_on(by.reinstate(&w.acme, &agent, note("its prompt was mended"))).unwrap();
    assert_eq!((reinstated.state, reinstated.id), (AgentState::Pending, agent));
    let Record { body: Body::Control(control), by: who, time, .. } =
        block_on(w.kakunin.records(&w.acme, None, 1, |_| true)).unwrap().items.pop().unwrap().record
    else {
        panic!("an event")
    };
    assert_eq!(*control, Control::AgentReinstated { reason: note("its prompt was mended") });
    assert_eq!((who.unwrap().as_str(), time), ("key:ops", NOW));
    assert_eq!(code(w.reinstate(&agent)), "agent_state", "once is enough");
    let risk = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap();
    assert_eq!((risk.score.millionths(), risk.band), (0, Band::Low));
    w.certify(&agent).unwrap();
    assert_eq!(w.state(&agent), AgentState::Active);
    let w = w.rebuilt();
    let risk = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap();
    assert_eq!((w.state(&agent), risk.score.millionths()), (AgentState::Active, 0));
    // It can be stopped again, and the first stop is not the answer.
    block_on(w.kakunin.halt(&w.acme, &agent, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!(w.state(&agent), AgentState::Suspended);
}

#[test]
fn what_events_amount_to_is_begun_anew_and_the_same_when_it_is_read_back() {
    let w = world();
    let (agent, first) = w.agent("one");
    let amounts = |w: &World| {
        let risk = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap();
        (risk.tally.unwrap(), risk.adverse.unwrap())
    };
    w.take(Taking::Behaviour, &agent, &first.facts.serial);
    assert!(!amounts(&w).0.is_empty() && !amounts(&w).1.is_empty());
    w.reinstate(&agent).unwrap();
    assert_eq!(amounts(&w), (Vec::new(), Vec::new()));
    // Also what is told of a certificate that was replaced.
    w.clock.set(NOW.plus(MINUTE));
    let old = w.certify(&agent).unwrap().facts.serial;
    let model = MODEL.parse().unwrap();
    block_on(w.kakunin.renew(&w.acme, &agent, &model, Profile::Standard, P256)).unwrap();
    let late = Event::refused(old, "delete:backups".parse().unwrap());
    let observed = block_on(w.kakunin.observe(&w.acme, late)).unwrap();
    assert_eq!(observed.status, EventStatus::Scored);
    let lived = amounts(&w);
    assert_eq!((lived.0.len(), lived.1.first().map(|event| event.index)), (1, observed.index));
    assert_eq!(amounts(&w.rebuilt()), lived);
}

#[test]
fn what_was_begun_before_is_not_concluded_after() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let serial = certificate.facts.serial;
    let model = MODEL.parse().unwrap();
    // Held and released while the certificate is signed: the agent stands as before, and the renewal is void.
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.hold(&acme, &serial)).unwrap();
        block_on(kakunin.release(&acme, &serial)).unwrap();
    });
    let renewed = w.kakunin.renew(&w.acme, &agent, &model, Profile::Standard, P256);
    assert_eq!((code(block_on(renewed)), w.state(&agent)), ("agent_state", AgentState::Active));
    assert!(w.names().contains(&"key.abandoned"), "on record");
    // Halted and reinstated meanwhile: what somebody trusts again is not what was begun.
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.halt(&acme, &agent, Cause::RegulatoryOrder, None)).unwrap();
        block_on(kakunin.reinstate(&acme, &agent, note("a drill"))).unwrap();
    });
    let renewed = w.kakunin.renew(&w.acme, &agent, &model, Profile::Standard, P256);
    assert_eq!((code(block_on(renewed)), w.state(&agent)), ("agent_state", AgentState::Pending));
    let before = block_on(w.parts.keys.list()).unwrap().len();
    // The same of a first certificate, by token.
    let token = w.join(&agent).unwrap();
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.halt(&acme, &agent, Cause::RegulatoryOrder, None)).unwrap();
    });
    assert_eq!((code(w.enrol(&token)), w.state(&agent)), ("agent_state", AgentState::Suspended));
    w.reinstate(&agent).unwrap();
    w.certify(&agent).unwrap();
    assert_eq!(block_on(w.parts.keys.list()).unwrap().len(), before + 1, "no key is left over");
    assert_eq!(block_on(w.kakunin.tend()).unwrap(), Tended::default());
}

#[test]
fn grants_end_with_trust_and_come_not_back_with_a_release() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let serial = certificate.facts.serial;
    let role = Principal::try_from("arn:aws:iam::111122223333:role/desk-7".to_owned()).unwrap();
    let grant = || block_on(w.kakunin.grant_key(&w.acme, &agent, &role));
    let granted = || w.meanwhile.granted.lock().unwrap().len();
    let release = || block_on(w.kakunin.release(&w.acme, &serial)).unwrap();
    grant().unwrap();
    assert_eq!(granted(), 1);
    block_on(w.kakunin.hold(&w.acme, &serial)).unwrap();
    assert_eq!(granted(), 0);
    release();
    assert_eq!((granted(), w.names().iter().filter(|name| **name == "key.grants_voided").count()), (0, 1));
    // Held and released while the provider grants.
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.hold(&acme, &serial)).unwrap();
        block_on(kakunin.release(&acme, &serial)).unwrap();
    });
    assert_eq!((code(grant()), granted()), ("agent_state", 0));
    // The same, and the provider's answer is lost.
    *w.meanwhile.lost.lock().unwrap() = true;
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.hold(&acme, &serial)).unwrap();
        block_on(kakunin.release(&acme, &serial)).unwrap();
    });
    assert!(grant().is_err() && granted() == 0);
    assert!(grant().is_err() && granted() == 1, "it may have been made, and nothing took trust away");
    *w.meanwhile.lost.lock().unwrap() = false;
    grant().unwrap();
    block_on(w.kakunin.halt(&w.acme, &agent, Cause::RegulatoryOrder, None)).unwrap();
    assert_eq!(granted(), 0);
}

#[test]
fn a_signature_that_was_asked_for_before_is_not_given_after() {
    for (taking, then) in [(Taking::Halt, false), (Taking::Hold, false), (Taking::Hold, true)] {
        let w = Arc::new(world());
        let (agent, certificate) = w.agent("one");
        let serial = certificate.facts.serial;
        let sign = |message: &[u8]| block_on(w.kakunin.sign(&w.acme, &agent, message));
        assert!(sign(b"0 pay 7").is_ok());
        let other = w.clone();
        w.meanwhile.let_happen(move || {
            other.take(taking, &agent, &serial);
            if then {
                block_on(other.kakunin.release(&other.acme, &serial)).unwrap();
            }
        });
        assert_eq!(code(sign(b"0 pay 7")), "agent_state", "{taking:?}");
        assert_eq!(sign(b"0 pay 7").is_ok(), then);
    }
}

/// Whoever got hold of an operator's key made tokens while it worked.
#[test]
fn a_token_ends_with_the_api_key_that_it_was_made_with() {
    let w = world();
    let label = || "desk".parse().unwrap();
    let made = block_on(w.kakunin.create_api_key(&w.acme, Role::Operator, label(), None)).unwrap().0;
    let other = block_on(w.kakunin.create_api_key(&w.acme, Role::Operator, label(), None)).unwrap().0;
    let token = |with: &ApiKeyId, name: &str| {
        let kakunin = w.kakunin.acting_as(format!("key:{with}").try_into().unwrap());
        let agent = block_on(kakunin.register(&w.acme, spec(name))).unwrap().id;
        let token = kakunin.create_join_token(&w.acme, &agent, Profile::Standard, 10 * MINUTE);
        block_on(token).unwrap().1.reveal().to_owned()
    };
    let (used, spare, others) = (token(&made.id, "a"), token(&made.id, "b"), token(&other.id, "c"));
    let unknown = token(&ApiKeyId::from_bytes([7; 16]), "d");
    let enrol = |kakunin: &Kakunin, token: &str, n| block_on(kakunin.enrol(token, &w.request(n)));
    assert!(enrol(&w.kakunin, &used, 1).is_ok());
    block_on(w.kakunin.revoke_api_key(&made.id)).unwrap();
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    block_on(again.load()).unwrap();
    for kakunin in [&w.kakunin, &again] {
        assert_eq!(code(enrol(kakunin, &spare, 2)), "join_token_invalid");
    }
    assert!(
        enrol(&again, &others, 3).is_ok() && enrol(&again, &unknown, 4).is_ok(),
        "whoever made them stands"
    );
}

/// Another agent that was registered under the same name before is as good as a new one.
#[test]
fn a_spare_agent_is_not_trusted_in_place_of_a_suspended_one_of_its_name() {
    for taking in TAKINGS.into_iter().filter(|taking| *taking != Taking::Retire) {
        let w = world();
        let (agent, certificate) = w.agent("one");
        let (colleague, _) = w.agent("one");
        let spare = block_on(w.kakunin.register(&w.acme, spec("one"))).unwrap().id;
        let token = w.join(&spare).unwrap();
        w.take(taking, &agent, &certificate.facts.serial);
        let w = w.reopened();
        assert_eq!(code(w.certify(&spare)), "agent_suspended", "{taking:?}");
        assert_eq!(code(w.join(&spare)), "agent_suspended", "{taking:?}");
        assert_eq!(code(w.enrol(&token)), "join_token_invalid", "{taking:?}");
        assert_eq!(w.state(&spare), AgentState::Pending, "{taking:?}");
        // Who was trusted under that name before goes on.
        let model = MODEL.parse().unwrap();
        block_on(w.kakunin.renew(&w.acme, &colleague, &model, Profile::Standard, P256)).unwrap();
        block_on(w.kakunin.halt(&w.acme, &colleague, Cause::RegulatoryOrder, None)).unwrap();
        w.reinstate(&colleague).unwrap();
        assert!(w.certify(&colleague).is_ok(), "{taking:?}: by name, and on record");
        match taking {
            Taking::Hold => block_on(w.kakunin.release(&w.acme, &certificate.facts.serial)).unwrap(),
            _ => _ = w.reinstate(&agent).unwrap(),
        }
        assert!(w.enrol(&token).is_ok(), "{taking:?}");
    }
    // While its certificate is made.
    let w = world();
    let (agent, _) = w.agent("one");
    let spare = block_on(w.kakunin.register(&w.acme, spec("one"))).unwrap().id;
    let (kakunin, acme) = (w.kakunin.clone(), w.acme.clone());
    w.meanwhile.let_happen(move || {
        block_on(kakunin.halt(&acme, &agent, Cause::RegulatoryOrder, None)).unwrap();
    });
    assert_eq!((code(w.certify(&spare)), w.state(&spare)), ("agent_suspended", AgentState::Pending));
}

#[test]
fn a_release_ends_a_hold_and_nothing_else() {
    let w = world();
    let short = |name| {
        let agent = block_on(w.kakunin.register(&w.acme, spec(name))).unwrap().id;
        let issued = block_on(w.kakunin.certify(&w.acme, &agent, Profile::Ephemeral, P256)).unwrap();
        block_on(w.kakunin.hold(&w.acme, &issued.facts.serial)).unwrap();
        (agent, issued.facts.serial)
    };
    let (halted, retired, reinstated) = (short("halted"), short("retired"), short("reinstated"));
    let (gone, expired) = w.agent("gone");
    w.clock.set(NOW.plus(400 * 24 * HOUR));
    // What is held has expired, so that nothing revokes it.
    for (agent, _) in [&halted, &reinstated] {
        block_on(w.kakunin.halt(&w.acme, agent, Cause::KillSwitchActivated, None)).unwrap();
    }
    block_on(w.kakunin.retire(&w.acme, &retired.0)).unwrap();
    w.reinstate(&reinstated.0).unwrap();
    let release = |serial: &Serial| block_on(w.kakunin.release(&w.acme, serial));
    assert_eq!(code(release(&halted.1)), "agent_suspended");
    assert_eq!(code(release(&retired.1)), "agent_state");
    assert_eq!(code(release(&reinstated.1)), "agent_state");
    block_on(w.kakunin.retire(&w.acme, &gone)).unwrap();
    assert_eq!(code(block_on(w.kakunin.hold(&w.acme, &expired.facts.serial))), "agent_state");
    let states = [halted.0, retired.0, reinstated.0, gone].map(|agent| w.state(&agent));
    assert_eq!(
        states,
        [AgentState::Suspended, AgentState::Retired, AgentState::Pending, AgentState::Retired]
    );
}

#[test]
fn a_program_that_starts_again_finds_its_agent_and_not_a_fresh_one() {
    let w = world();
    let ensure = |name: &str| block_on(w.kakunin.ensure_agent(&w.acme, spec(name)));
    let one = ensure("one").unwrap();
    let certificate = w.certify(&one.id).unwrap();
    let again = ensure("one").unwrap();
    assert_eq!((again.id, again.state), (one.id, AgentState::Active));
    w.take(Taking::Behaviour, &one.id, &certificate.facts.serial);
    let w = w.reopened();
    let ensure = |name: &str| block_on(w.kakunin.ensure_agent(&w.acme, spec(name)));
    let register = |name: &str| block_on(w.kakunin.register(&w.acme, spec(name)));
    let rename = |agent: &AgentId, name: &str| {
        let name = name.parse().unwrap();
        block_on(w.kakunin.update(&w.acme, agent, |spec| {
            spec.name = name;
            Ok(())
        }))
    };
    assert!(matches!(ensure("one"), Err(Error::Suspended(id)) if id == one.id));
    assert!(matches!(register("one"), Err(Error::Suspended(id)) if id == one.id));
    let sentence = register("one").unwrap_err().to_string();
    assert!(sentence.contains(&format!("/agents/{}/reinstate", one.id)), "{sentence}");
    // Neither out of the way, nor into its place.
    let two = ensure("two").unwrap();
    assert!(matches!(rename(&one.id, "old"), Err(Error::Suspended(id)) if id == one.id));
    assert!(matches!(rename(&two.id, "one"), Err(Error::Suspended(id)) if id == one.id));
    assert_eq!(ensure("One").unwrap().spec.name.as_str(), "One", "another name");
    let other = "other".parse().unwrap();
    block_on(w.kakunin.create_tenant(&other)).unwrap();
    assert!(block_on(w.kakunin.ensure_agent(&other, spec("one"))).is_ok(), "another tenant's");
    w.reinstate(&one.id).unwrap();
    assert_eq!(ensure("one").unwrap().id, one.id);
    rename(&two.id, "three").unwrap();
    assert_eq!((ensure("three").unwrap().id, ensure("two").unwrap().id == two.id), (two.id, false));
    // A retired one comes back by an order alone.
    block_on(w.kakunin.retire(&w.acme, &one.id)).unwrap();
    assert_eq!(code(ensure("one")), "agent_state");
    let next = register("one").unwrap();
    assert_eq!(ensure("one").unwrap().id, next.id);
    let named =
        |state| block_on(w.kakunin.agents_named(&w.acme, &"one".parse().unwrap(), state, 0, 9)).unwrap();
    let all: std::collections::BTreeSet<_> = named(None).0.iter().map(|a| a.id).collect();
    assert_eq!(all, [one.id, next.id].into());
    assert_eq!((named(Some(AgentState::Retired)).1, named(Some(AgentState::Active)).1), (1, 0));
}

#[test]
fn a_race_for_a_name_gives_one_agent() {
    for _ in 0..20 {
        let w = world();
        let ids = std::thread::scope(|scope| {
            let ensure = || block_on(w.kakunin.ensure_agent(&w.acme, spec("one"))).unwrap().id;
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(ensure)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect::<std::collections::BTreeSet<_>>()
        });
        assert_eq!((ids.len(), block_on(w.kakunin.agents(&w.acme, None, 0, 9)).unwrap().1), (1, 1));
    }
}

#[test]
fn the_log_alone_comes_to_the_same_rows() {
    let w = world();
    let role = Principal::try_from("arn:aws:iam::111122223333:role/desk-7".to_owned()).unwrap();
    let model = MODEL.parse().unwrap();
    for (n, taking) in TAKINGS.into_iter().enumerate() {
        let (agent, certificate) = w.agent(&format!("agent {n}"));
        w.join(&agent).unwrap();
        block_on(w.kakunin.grant_key(&w.acme, &agent, &role)).unwrap();
        let renewed = w.kakunin.renew(&w.acme, &agent, &model, Profile::Standard, P256);
        let serial = block_on(renewed).unwrap().facts.serial;
        block_on(w.kakunin.grant_key(&w.acme, &agent, &role)).unwrap();
        w.clock.set(NOW.plus(MINUTE));
        w.take(taking, &agent, &serial);
        block_on(w.kakunin.tend()).unwrap();
        if w.reinstate(&agent).is_ok() {
            w.certify(&agent).unwrap();
        }
        let _ = block_on(w.kakunin.revoke(&w.acme, &certificate.facts.serial, Cause::KeyCompromise)).unwrap();
    }
    let rows = |w: &World| {
        let log = LogId::Tenant(w.acme.clone());
        let of = |kind| block_on(w.parts.state.scan(&log, kind, None, 1_000)).unwrap();
        [Kind::Agent, Kind::Standing, Kind::Certificate, Kind::Inbox].map(of)
    };
    let lived = rows(&w);
    assert!(lived.iter().all(|rows| rows.len() > 5) && lived[0].len() == TAKINGS.len());
    let w = w.rebuilt();
    assert_eq!(rows(&w), lived);
}

#[test]
fn a_redeemed_token_whose_certificate_was_cut_off_gives_it_to_the_key_that_redeemed_it() {
    for restarts in [true, false] {
        redeemed_and_cut_off(world(), restarts);
    }
}

fn redeemed_and_cut_off(w: World, restarts: bool) {
    let agent = block_on(w.kakunin.register(&w.acme, spec("cut off"))).unwrap().id;
    let token = w.join(&agent).unwrap();
    // The process ends between the plan and the certificate, or the call is dropped there.
    w.meanwhile.let_happen(|| std::panic::resume_unwind(Box::new("killed")));
    let cut_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| w.enrol(&token).map(|_| ())));
    assert!(cut_off.is_err());
    let w = if restarts { w.reopened() } else { w };
    assert_eq!(w.state(&agent), AgentState::Pending);
    let request = w.request(8);
    assert_eq!(code(block_on(w.kakunin.enrol(&token, &request))), "join_token_invalid", "another key");
    let first = w.enrol(&token).unwrap();
    assert_eq!((w.enrol(&token).unwrap(), w.state(&agent)), (first, AgentState::Active));
    assert_eq!(w.names().iter().filter(|name| **name == "join_token.redeemed").count(), 1);
    // And to nobody once its time is over.
    w.clock.set(NOW.plus(20 * MINUTE));
    assert_eq!(code(w.enrol(&token)), "join_token_invalid");
}
