//! The log says what happened: state that is lost, late or half written comes back from it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use async_trait::async_trait;
use kakunin_core::access::Role;
use kakunin_core::agent::{Agent, AgentState, NewAgent};
use kakunin_core::error::StoreError;
use kakunin_core::event::{Event, Outcome, StreamSeq};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{
    HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signature, Signer, Spki,
};
use kakunin_core::log::entry::{Entry, LogId};
use kakunin_core::log::record::{Body, Record};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::store::audit::{Append, AuditSink, Head, Room};

use kakunin_core::risk::Score;
use kakunin_core::service::{Config, EventStatus, Kakunin, KeySource, Notification, Parts, Risk};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::{Change, Kind, StateStore, Touched};
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);
const P256: KeySource<'_> = KeySource::Provider(KeyAlgorithm::P256);

fn config() -> Config {
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    config
}

fn parts() -> (Parts, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(NOW));
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    parts.clock = clock.clone();
    (parts, clock)
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

fn agent(kakunin: &Kakunin, name: &str) -> (AgentId, Serial) {
    let agent = block_on(kakunin.register(&acme(), NewAgent::new(name, MODEL, ["read:a"]).unwrap())).unwrap();
    let certificate = block_on(kakunin.certify(&acme(), &agent.id, Profile::Standard, P256)).unwrap();
    (agent.id, certificate.facts.serial)
}

/// Some life: one agent works, one wanders, one is revoked, one is held.
fn live(kakunin: &Kakunin, clock: &ManualClock) -> Vec<(AgentId, Serial)> {
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let agents: Vec<_> = ["works", "wanders", "revoked", "held"].map(|name| agent(kakunin, name)).into();
    for n in 0..120_u64 {
        clock.set(NOW.plus(n * 7_000));
        for (i, (_, serial)) in agents.iter().enumerate() {
            let mut event = if i == 2 || (i == 1 && n % 50 == 7) {
                Event::refused(*serial, "delete:a".parse().unwrap())
            } else {
                Event::new(*serial, "read:a".parse().unwrap(), Outcome::Ok)
            };
            event.stream = Some(StreamSeq { stream: 1, seq: n });
            event.target = Some(format!("t{}", n % 9).parse().unwrap());
            block_on(kakunin.observe(&acme(), event)).unwrap();
        }
    }
    block_on(kakunin.hold(&acme(), &agents[3].1)).unwrap();
    let mut halted = agent(kakunin, "halted");
    let renewed =
        block_on(kakunin.renew(&acme(), &halted.0, &MODEL.parse().unwrap(), Profile::HighRisk, P256));
    halted.1 = renewed.unwrap().facts.serial;
    block_on(kakunin.halt(&acme(), &halted.0, Cause::RegulatoryOrder, None)).unwrap();
    block_on(kakunin.suspect_impersonation(&agents[0].1)).unwrap();
    agents.into_iter().chain([halted]).collect()
}

type Seen = (Vec<(Agent, Risk, Option<Reason>)>, Vec<(u64, Notification)>);

fn look(kakunin: &Kakunin, agents: &[(AgentId, Serial)]) -> Seen {
    let of = |(id, serial): &(AgentId, Serial)| {
        let agent = block_on(kakunin.agent(&acme(), id)).unwrap();
        let reason = kakunin.revocations().reason(&kakunin.issuer().id(), serial).unwrap();
        (agent, block_on(kakunin.risk(&acme(), id)).unwrap(), reason)
    };
    (agents.iter().map(of).collect(), block_on(kakunin.notifications(&acme(), None, 1_000)).unwrap())
}

#[test]
fn lost_state_is_rebuilt_from_the_log_bit_for_bit() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let agents = live(&kakunin, &clock);
    let before = look(&kakunin, &agents);
    assert_eq!(before.0[2].0.state, AgentState::Suspended, "the life had a revocation in it");
    assert!(before.0[2].2.is_some() && before.0[3].2 == Some(Reason::CertificateHold));
    assert_known(&kakunin, agents[0].1);
    drop(kakunin);
    let restarted = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    assert_known(&restarted, agents[0].1);
    drop(restarted);
    // A new, empty store for both projections; the vault is backed up apart, as documented.
    let empty = Arc::new(MemoryStore::new());
    let secret = block_on(parts.state.get(&LogId::System, Kind::Vault, b"secret")).unwrap();
    let vault = Change { kind: Kind::Vault, key: b"secret".to_vec(), value: secret };
    block_on(empty.put(&LogId::System, &[vault])).unwrap();
    let rebuilt = Parts { state: empty.clone(), revocations: empty, ..parts };
    let kakunin = block_on(Kakunin::open(config(), rebuilt)).unwrap();
    assert_eq!(look(&kakunin, &agents), before);
    assert_known(&kakunin, agents[0].1);
}

/// What was recorded once stays recorded once, and what it was for stays known.
fn assert_known(kakunin: &Kakunin, serial: Serial) {
    let mut again = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    again.stream = Some(StreamSeq { stream: 1, seq: 119 });
    again.target = Some("t2".to_owned().try_into().unwrap());
    let seen = block_on(kakunin.observe(&acme(), again.clone())).unwrap();
    assert!(seen.status == EventStatus::Duplicate && seen.index.is_some(), "{seen:?}");
    again.target = Some("another".to_owned().try_into().unwrap());
    let refused = block_on(kakunin.observe(&acme(), again.clone())).unwrap_err();
    assert_eq!(refused.code(), "stream_number_reused");
    // Nothing is known any more of what a number was for that is far below the highest.
    again.stream = Some(StreamSeq { stream: 1, seq: 50 });
    let seen = block_on(kakunin.observe(&acme(), again)).unwrap();
    assert_eq!((seen.status, seen.index), (EventStatus::Duplicate, None));
}

/// The score after each event, as the log has it, of one life in a deployment of its own.
fn scores_of_a_life() -> Vec<Option<Score>> {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    live(&kakunin, &clock);
    let entries = block_on(kakunin.entries(&acme(), 0, 10_000)).unwrap();
    let score = |record: Record| match record.body {
        Body::Event(act, _) => Some(act.score),
        Body::Control(_) => None,
    };
    entries.iter().filter_map(|e| score(Record::open(e).unwrap())).collect()
}

#[test]
fn the_same_behaviour_gives_the_same_scores_whatever_the_names_and_keys() {
    let scores = scores_of_a_life();
    assert_eq!(scores, scores_of_a_life());
    assert!(scores.iter().flatten().any(|s| *s > Score::default()));
}

#[test]
fn a_snapshot_changes_nothing() {
    for snapshot in [false, true] {
        let (parts, clock) = parts();
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        let agents = live(&kakunin, &clock);
        if snapshot {
            block_on(kakunin.snapshot()).unwrap();
            let event = Event::new(agents[0].1, "read:a".parse().unwrap(), Outcome::Error);
            block_on(kakunin.observe(&acme(), event)).unwrap();
        }
        let before = look(&kakunin, &agents);
        drop(kakunin);
        let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
        assert_eq!(look(&kakunin, &agents), before, "snapshot: {snapshot}");
    }
}

/// State whose `apply` fails or never returns while it is told to, as after a crash between append and
/// projection.
#[derive(Debug)]
struct Late(Arc<MemoryStore>, AtomicU8);

const UP: u8 = 0;
const DOWN: u8 = 1;
const SILENT: u8 = 2;

#[async_trait]
impl StateStore for Late {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        match self.1.load(Ordering::Relaxed) {
            UP => StateStore::apply(&*self.0, log, index, changes).await,
            DOWN => Err(StoreError::unavailable("down")),
            _ => std::future::pending().await,
        }
    }
    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        StateStore::applied(&*self.0, log).await
    }
    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        self.0.put(log, changes).await
    }
    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(log, kind, key).await
    }
    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        self.0.scan(log, kind, after, limit).await
    }
    async fn touched(&self) -> Result<Touched, StoreError> {
        self.0.touched().await
    }
}

#[test]
fn a_projection_that_falls_behind_is_brought_level() {
    let (mut parts, clock) = parts();
    let late = Arc::new(Late(Arc::new(MemoryStore::new()), AtomicU8::new(UP)));
    parts.state = late.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (id, serial) = agent(&kakunin, "one");
    clock.set(NOW.plus(1_000));
    late.1.store(DOWN, Ordering::Relaxed);
    let acknowledged =
        block_on(kakunin.observe(&acme(), Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok)));
    assert!(acknowledged.is_ok(), "the record is durable, so it is acknowledged");
    late.1.store(UP, Ordering::Relaxed);
    block_on(kakunin.hold(&acme(), &serial)).unwrap();
    drop(kakunin);
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    assert_eq!(block_on(kakunin.agent(&acme(), &id)).unwrap().state, AgentState::Suspended);
    assert_eq!(
        kakunin.revocations().reason(&kakunin.issuer().id(), &serial),
        Ok(Some(Reason::CertificateHold))
    );
}

#[test]
fn the_system_log_is_not_gone_on_with_before_its_state_is_level() {
    let (mut parts, _) = parts();
    let late = Arc::new(Late(Arc::new(MemoryStore::new()), AtomicU8::new(UP)));
    parts.state = late.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let tenants = ["a", "b"].map(|name| name.parse::<TenantId>().unwrap());
    late.1.store(DOWN, Ordering::Relaxed);
    block_on(kakunin.create_tenant(&tenants[0])).unwrap();
    assert!(block_on(kakunin.create_tenant(&tenants[1])).is_err(), "the state cannot be brought level");
    late.1.store(UP, Ordering::Relaxed);
    block_on(kakunin.create_tenant(&tenants[1])).unwrap();
    drop(kakunin);
    let reopened = block_on(Kakunin::open(config(), parts)).unwrap();
    assert_eq!(block_on(reopened.tenants()), tenants, "what was acknowledged is there");
}

/// A caller that goes away between append and projection, as when its connection breaks.
#[test]
fn a_call_that_is_dropped_after_its_append_leaves_nothing_behind_the_log() {
    let (mut parts, _) = parts();
    let late = Arc::new(Late(Arc::new(MemoryStore::new()), AtomicU8::new(UP)));
    parts.state = late.clone();
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (id, serial) = agent(&kakunin, "one");
    late.1.store(SILENT, Ordering::Relaxed);
    {
        let acme = acme();
        let mut revoke = std::pin::pin!(kakunin.revoke(&acme, &serial, Cause::KeyCompromise));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(revoke.as_mut().poll(&mut context).is_pending());
    }
    late.1.store(UP, Ordering::Relaxed);
    assert_eq!(
        kakunin.revocations().reason(&kakunin.issuer().id(), &serial),
        Ok(Some(Reason::KeyCompromise))
    );
    assert_eq!(block_on(kakunin.agent(&acme(), &id)).unwrap().state, AgentState::Suspended);
    let again = block_on(kakunin.revoke(&acme(), &serial, Cause::Superseded)).unwrap();
    assert_eq!(again.cause, Cause::KeyCompromise, "what is in the log is known");
}

/// A sink that writes and never says so, while it is told to.
#[derive(Debug)]
struct Mute(Arc<MemoryStore>, AtomicBool);

#[async_trait]
impl AuditSink for Mute {
    async fn room(&self) -> Room {
        self.0.room().await
    }
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        self.0.append(appends).await?;
        if self.1.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.0.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.read(log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
}

/// A caller that goes away while its revocation is being written: verifiers of this process refuse the
/// certificate from the moment it was decided, and what follows agrees with the log.
#[test]
fn a_revocation_whose_caller_went_away_is_in_force() {
    let (mut parts, _) = parts();
    let store = Arc::new(MemoryStore::new());
    let mute = Arc::new(Mute(store.clone(), AtomicBool::new(false)));
    (parts.sink, parts.state, parts.revocations) = (mute.clone(), store.clone(), store);
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let ((id, serial), (_, other)) = (agent(&kakunin, "one"), agent(&kakunin, "two"));
    let reason = |serial| kakunin.revocations().reason(&kakunin.issuer().id(), serial).unwrap();
    mute.1.store(true, Ordering::Relaxed);
    {
        let acme = acme();
        let mut revoke = std::pin::pin!(kakunin.revoke(&acme, &serial, Cause::KeyCompromise));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(revoke.as_mut().poll(&mut context).is_pending());
    }
    mute.1.store(false, Ordering::Relaxed);
    assert_eq!(reason(&serial), Some(Reason::KeyCompromise));
    block_on(kakunin.revoke(&acme(), &other, Cause::Retired)).unwrap();
    assert_eq!(
        (reason(&serial), reason(&other)),
        (Some(Reason::KeyCompromise), Some(Reason::CessationOfOperation))
    );
    assert_eq!(block_on(kakunin.agent(&acme(), &id)).unwrap().state, AgentState::Suspended);
    let again = block_on(kakunin.revoke(&acme(), &serial, Cause::Superseded)).unwrap();
    assert_eq!(again.cause, Cause::KeyCompromise);
}

/// The caller that writes for all goes away: those who waited are told, and nobody waits for ever.
#[test]
fn callers_whose_writer_went_away_are_answered() {
    let (mut parts, _) = parts();
    let late = Arc::new(Late(Arc::new(MemoryStore::new()), AtomicU8::new(UP)));
    parts.state = late.clone();
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (_, serial) = agent(&kakunin, "one");
    let acme = acme();
    let event = || Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut waiting = Box::pin(kakunin.observe(&acme, event()));
    {
        // The first takes the sequencer and hangs; the second queues behind it.
        late.1.store(SILENT, Ordering::Relaxed);
        let mut writer = Box::pin(kakunin.observe(&acme, event()));
        assert!(writer.as_mut().poll(&mut context).is_pending());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
    }
    late.1.store(UP, Ordering::Relaxed);
    assert!(block_on(waiting).is_ok());
    assert_eq!(block_on(kakunin.observe(&acme, event())).unwrap().status, EventStatus::Scored);
}

/// A sink that refuses to write, while it is told to.
#[derive(Debug)]
struct Refusing(Arc<MemoryStore>, AtomicBool);

#[async_trait]
impl AuditSink for Refusing {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        match self.1.load(Ordering::Relaxed) {
            true => Err(StoreError::Full),
            false => self.0.append(appends).await,
        }
    }
    async fn room(&self) -> Room {
        self.0.room().await
    }
    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.0.head(log).await
    }
    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.read(log, from, limit).await
    }
    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.0.logs().await
    }
}

/// A key whose revocation could not be recorded is refused, and stays so once it was asked for again.
#[test]
fn a_revocation_of_a_key_that_was_not_recorded_is_recorded_when_it_is_asked_for_again() {
    let (mut parts, _) = parts();
    let store = Arc::new(MemoryStore::new());
    let refusing = Arc::new(Refusing(store.clone(), AtomicBool::new(false)));
    (parts.sink, parts.state, parts.revocations) = (refusing.clone(), store.clone(), store);
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (acme, label) = (acme(), "desk".parse().unwrap());
    let (facts, key) = block_on(kakunin.create_api_key(&acme, Role::Operator, label, None)).unwrap();
    let works = |kakunin: &Kakunin| kakunin.authenticate(key.reveal()).is_some();
    let revoke = || block_on(kakunin.revoke_api_key(&facts.id));
    refusing.1.store(true, Ordering::Relaxed);
    assert_eq!((revoke().unwrap_err().code(), works(&kakunin)), ("storage_full", false));
    assert_eq!((revoke().unwrap_err().code(), works(&kakunin)), ("storage_full", false));
    refusing.1.store(false, Ordering::Relaxed);
    revoke().unwrap();
    assert_eq!(revoke().unwrap_err().code(), "not_found");
    let again = block_on(Kakunin::open(config(), parts)).unwrap();
    assert!(!works(&again), "a restart brings it not back");
}

#[test]
fn data_of_another_deployment_is_refused() {
    let (parts, _) = parts();
    drop(block_on(Kakunin::open(config(), parts.clone())).unwrap());
    let other = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        block_on(Kakunin::open(config, parts.clone())).unwrap_err()
    };
    for error in [
        other(&|c| c.trust_domain = "other.example".parse().unwrap()),
        other(&|c| c.public_url = "http://other.example".into()),
        other(&|c| c.arc = "1.3.6.1.4.1.99999".into()),
    ] {
        assert_eq!(error.code(), "deployment_mismatch");
        assert!(error.to_string().contains("another deployment"), "{error}");
    }
    let keys = Parts { keys: Arc::new(LocalKeys::ephemeral()), ..parts };
    let error = block_on(Kakunin::open(config(), keys)).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().contains("provider of this deployment")),
        ("key_not_found", true)
    );
}

/// Keys whose signers stop answering while they are told to.
#[derive(Debug)]
struct Dying(LocalKeys, Arc<AtomicBool>);

#[derive(Debug)]
struct DyingSigner(Arc<dyn Signer>, Arc<AtomicBool>);

#[async_trait]
impl Signer for DyingSigner {
    fn algorithm(&self) -> KeyAlgorithm {
        self.0.algorithm()
    }
    fn public_key(&self) -> &Spki {
        self.0.public_key()
    }
    // It says so, and waits all the same: the plan is then on record before the signature.
    fn is_in_process(&self) -> bool {
        true
    }
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        // Checkpoints go on; the certificate's signature never comes.
        if self.1.load(Ordering::Relaxed) && self.algorithm() == KeyAlgorithm::P256 {
            std::future::pending::<()>().await;
        }
        self.0.sign(message).await
    }
}

#[async_trait]
impl KeyProvider for Dying {
    fn is_near(&self) -> bool {
        true
    }

    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        self.0.generate(planned, algorithm).await
    }
    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        Ok(Arc::new(DyingSigner(self.0.open(key).await?, self.1.clone())))
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
    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        self.0.list().await
    }
}

#[test]
fn an_issuance_that_was_cut_off_leaves_a_serial_that_is_refused_and_no_key() {
    let (mut parts, _) = parts();
    let dead = Arc::new(AtomicBool::new(false));
    let keys = Arc::new(Dying(LocalKeys::ephemeral(), dead.clone()));
    parts.keys = keys.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let one = block_on(kakunin.register(&acme(), NewAgent::new("one", MODEL, ["read:a"]).unwrap())).unwrap();
    let before = block_on(keys.list()).unwrap().len();
    dead.store(true, Ordering::Relaxed);
    {
        // Polled until it waits for the signature, and dropped there, as a process that dies does.
        let acme = acme();
        let mut certify = std::pin::pin!(kakunin.certify(&acme, &one.id, Profile::Standard, P256));
        let waker = std::task::Waker::noop();
        assert!(certify.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    assert_eq!(block_on(keys.list()).unwrap().len(), before + 1, "planned, made, and bound");
    drop(kakunin);
    dead.store(false, Ordering::Relaxed);
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    assert_eq!(block_on(kakunin.agent(&acme(), &one.id)).unwrap().state, AgentState::Pending);
    assert_eq!(block_on(keys.list()).unwrap().len(), before, "the orphan was retired");
    let planned = block_on(kakunin.entries(&acme(), 0, 100)).unwrap();
    let serial = planned.iter().find_map(|e| Record::open(e).unwrap().serial).unwrap();
    let reason = kakunin.revocations().reason(&kakunin.issuer().id(), &serial).unwrap();
    assert_eq!(reason, Some(Reason::CessationOfOperation));
    block_on(kakunin.certify(&acme(), &one.id, Profile::Standard, P256)).unwrap();
}
