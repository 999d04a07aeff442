//! The main job, step by step, over the in-memory store and real keys.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::sync::Arc;

use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Attribution, Event, Outcome, StreamSeq};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, SignError};
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::merkle::Frontier;
use kakunin_core::log::note::VerifierKey;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::risk::Band;
use kakunin_core::service::{Config, Error, EventStatus, Kakunin, KeySource, NotificationKind, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{ManualClock, UnixTime};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const MODEL: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const NOW: UnixTime = UnixTime::from_secs(1_795_420_800);

struct World {
    kakunin: Kakunin,
    keys: Arc<LocalKeys>,
    clock: Arc<ManualClock>,
    acme: TenantId,
}

fn world() -> World {
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

const P256: KeySource<'_> = KeySource::Provider(KeyAlgorithm::P256);

impl World {
    fn agent(&self, name: &str) -> (AgentId, Serial) {
        let spec = NewAgent::new(name, MODEL, ["read:accounts", "write:payments"]).unwrap();
        let agent = block_on(self.kakunin.register(&self.acme, spec)).unwrap();
        assert_eq!(agent.state, AgentState::Pending);
        let certificate =
            block_on(self.kakunin.certify(&self.acme, &agent.id, Profile::Standard, P256)).unwrap();
        (agent.id, certificate.facts.serial)
    }

    fn event(&self, serial: Serial, action: &str, outcome: Outcome) -> Event {
        Event::new(serial, action.parse().unwrap(), outcome)
    }

    fn refuse_until_revoked(&self, serial: Serial) -> usize {
        for n in 1..200 {
            self.clock.set(NOW.plus(n * 3_000));
            let mut event = Event::refused(serial, "delete:backups".parse().unwrap());
            event.target = Some(format!("backup-{n}").parse().unwrap());
            if block_on(self.kakunin.observe(&self.acme, event)).unwrap().revoked {
                return usize::try_from(n).unwrap();
            }
        }
        panic!("200 refusals did not take the identity away");
    }

    fn records(&self) -> Vec<Record> {
        let entries = block_on(self.kakunin.entries(&self.acme, 0, 10_000)).unwrap();
        entries.iter().map(|e| Record::open(e).unwrap()).collect()
    }

    fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.agent(&self.acme, agent)).unwrap().state
    }

    fn reason(&self, serial: &Serial) -> Option<Reason> {
        self.kakunin.revocations().reason(&self.kakunin.issuer().id(), serial).unwrap()
    }
}

#[test]
fn an_agent_that_is_only_refused_loses_its_identity_and_the_others_keep_theirs() {
    let w = world();
    let (led_astray, serial) = w.agent("one");
    let (honest, other) = w.agent("two");
    let refusals = w.refuse_until_revoked(serial);
    assert!(refusals < 60, "{refusals}");
    assert_eq!((w.state(&led_astray), w.state(&honest)), (AgentState::Suspended, AgentState::Active));
    assert_eq!((w.reason(&serial), w.reason(&other)), (Some(Reason::PrivilegeWithdrawn), None));
    let late = block_on(w.kakunin.observe(&w.acme, w.event(serial, "read:accounts", Outcome::Ok))).unwrap();
    assert_eq!((late.status, late.revoked), (EventStatus::NotAccepted, false));
    let inbox = block_on(w.kakunin.notifications(&w.acme, None, 100)).unwrap();
    let kinds: Vec<_> = inbox.iter().map(|(_, n)| n.kind).collect();
    assert_eq!(kinds.first(), Some(&NotificationKind::AgentRevoked), "{kinds:?}");
    assert!(inbox.iter().all(|(_, n)| n.agent == led_astray && n.evidence.is_some()));
    assert_eq!(block_on(w.keys.list()).unwrap().len(), 5, "log, feed, root, issuing, and the honest agent's");
}

#[test]
fn the_revocation_stands_in_the_log_with_the_event_that_caused_it() {
    let w = world();
    let (_, serial) = w.agent("one");
    w.refuse_until_revoked(serial);
    let records = w.records();
    let at = records.iter().position(
        |r| matches!(&r.body, Body::Control(c) if matches!(**c, Control::CertificateRevoked { .. })),
    );
    let at = at.unwrap();
    let Body::Control(control) = &records[at].body else { unreachable!() };
    let Control::CertificateRevoked { revocation, evidence: Some(evidence), .. } = &**control else {
        panic!("{control:?}")
    };
    assert_eq!((revocation.serial, revocation.cause), (serial, Cause::RiskThresholdExceeded));
    let event = usize::try_from(evidence.event).unwrap();
    assert_eq!(event, at - 2, "event, band, revocation: one append");
    let Body::Event(act, _) = &records[event].body else { panic!() };
    assert_eq!(act.score, Some(evidence.score));
    assert!(evidence.score >= evidence.threshold && !evidence.families.is_empty());
    assert!(records.windows(2).all(|w| w[0].time <= w[1].time), "log time never goes back");
}

#[test]
fn the_checkpoint_is_over_exactly_what_is_read() {
    let w = world();
    let (_, serial) = w.agent("one");
    for _ in 0..10 {
        block_on(w.kakunin.observe(&w.acme, w.event(serial, "read:accounts", Outcome::Ok))).unwrap();
    }
    let mut frontier = Frontier::default();
    for entry in block_on(w.kakunin.entries(&w.acme, 0, 10_000)).unwrap() {
        frontier.push(kakunin_core::log::merkle::leaf_hash(&entry.leaf));
    }
    let key = VerifierKey::parse(&block_on(w.kakunin.log_verifier(&w.acme)).unwrap()).unwrap();
    assert_eq!(key.name(), "agents.example/acme/1");
    let note = block_on(w.kakunin.checkpoint(&w.acme)).unwrap().unwrap();
    let checkpoint = Checkpoint::open(&note, &key).unwrap();
    assert_eq!((checkpoint.size, checkpoint.root), (frontier.size(), frontier.root()));
    use signed_note::{Note, StandardVerifier, Verifier, VerifierList};
    let verifiers: Vec<Box<dyn Verifier>> = vec![Box::new(StandardVerifier::new(&key.to_string()).unwrap())];
    assert_eq!(
        Note::from_bytes(note.as_bytes()).unwrap().verify(&VerifierList::new(verifiers)).unwrap().0.len(),
        1
    );
}

#[test]
fn an_asserted_event_is_recorded_and_moves_no_score() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let before = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap();
    for n in 0..500 {
        let mut event = Event::refused(serial, "delete:backups".parse().unwrap());
        event.attribution = Attribution::Asserted;
        event.target = Some(format!("t{n}").parse().unwrap());
        let seen = block_on(w.kakunin.observe(&w.acme, event)).unwrap();
        assert_eq!(seen.status, EventStatus::Unattributed);
    }
    assert_eq!(block_on(w.kakunin.risk(&w.acme, &agent)).unwrap(), before);
    assert_eq!(w.reason(&serial), None);
}

#[test]
fn an_event_is_recorded_once() {
    let w = world();
    let (_, serial) = w.agent("one");
    let numbered = |seq| {
        let mut event = w.event(serial, "read:accounts", Outcome::Ok);
        event.stream = Some(StreamSeq { stream: 7, seq });
        block_on(w.kakunin.observe(&w.acme, event)).unwrap().status
    };
    let named = |id: &str| {
        let mut event = w.event(serial, "read:accounts", Outcome::Ok);
        event.client_id = Some(id.parse().unwrap());
        block_on(w.kakunin.observe(&w.acme, event)).unwrap().status
    };
    use EventStatus::{Duplicate, Scored};
    assert_eq!(
        [0, 2, 1, 1, 0, 2, 3].map(numbered),
        [Scored, Scored, Scored, Duplicate, Duplicate, Duplicate, Scored]
    );
    assert_eq!(["a", "b", "a"].map(named), [Scored, Scored, Duplicate]);
    w.clock.set(NOW.plus(25 * 3_600_000));
    assert_eq!(["b", "c", "b"].map(named), [Scored, Scored, Duplicate], "remembered for a day");
    let events = w.records().iter().filter(|r| matches!(r.body, Body::Event(..))).count();
    assert_eq!(events, 8);
}

#[test]
fn revoking_is_idempotent_and_the_first_cause_stands() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let first = block_on(w.kakunin.revoke(&w.acme, &serial, Cause::KeyCompromise)).unwrap();
    let size = w.records().len();
    let again = block_on(w.kakunin.revoke(&w.acme, &serial, Cause::Superseded)).unwrap();
    assert_eq!((first, w.records().len()), (again, size));
    assert_eq!(w.reason(&serial), Some(Reason::KeyCompromise));
    assert!(matches!(block_on(w.kakunin.hold(&w.acme, &serial)), Err(Error::Exists(_))));
    assert!(matches!(block_on(w.kakunin.release(&w.acme, &serial)), Err(Error::Exists(_))));
    assert_eq!(w.state(&agent), AgentState::Suspended);
}

#[test]
fn a_hold_suspends_and_a_release_restores() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let before = block_on(w.keys.list()).unwrap().len();
    block_on(w.kakunin.hold(&w.acme, &serial)).unwrap();
    block_on(w.kakunin.hold(&w.acme, &serial)).unwrap();
    assert_eq!((w.state(&agent), w.reason(&serial)), (AgentState::Suspended, Some(Reason::CertificateHold)));
    block_on(w.kakunin.release(&w.acme, &serial)).unwrap();
    assert_eq!((w.state(&agent), w.reason(&serial)), (AgentState::Active, None));
    assert_eq!(block_on(w.keys.list()).unwrap().len(), before, "a held key is disabled, not deleted");
}

#[test]
fn a_revoked_agent_gets_a_new_identity_with_a_clean_record() {
    let w = world();
    let (agent, serial) = w.agent("one");
    assert!(matches!(
        block_on(w.kakunin.certify(&w.acme, &agent, Profile::Standard, P256)),
        Err(Error::Exists(_))
    ));
    w.refuse_until_revoked(serial);
    assert!(matches!(
        block_on(w.kakunin.certify(&w.acme, &agent, Profile::HighRisk, P256)),
        Err(Error::Suspended(id)) if id == agent
    ));
    let reason = "its prompt was mended".to_owned().try_into().unwrap();
    block_on(w.kakunin.reinstate(&w.acme, &agent, reason)).unwrap();
    let again = block_on(w.kakunin.certify(&w.acme, &agent, Profile::HighRisk, P256)).unwrap();
    assert_ne!(again.facts.serial, serial);
    assert_eq!(w.state(&agent), AgentState::Active);
    assert_eq!(block_on(w.kakunin.risk(&w.acme, &agent)).unwrap().band, Band::Low);
    let seen =
        block_on(w.kakunin.observe(&w.acme, w.event(again.facts.serial, "read:accounts", Outcome::Ok)))
            .unwrap();
    assert_eq!((seen.status, seen.band), (EventStatus::Scored, Band::Low));
    assert_eq!(w.reason(&serial), Some(Reason::PrivilegeWithdrawn), "the old one stays revoked");
}

#[test]
fn a_retired_agent_is_gone_for_good() {
    let w = world();
    let (agent, serial) = w.agent("one");
    block_on(w.kakunin.retire(&w.acme, &agent)).unwrap();
    block_on(w.kakunin.retire(&w.acme, &agent)).unwrap();
    assert_eq!(
        (w.state(&agent), w.reason(&serial)),
        (AgentState::Retired, Some(Reason::CessationOfOperation))
    );
    assert!(matches!(
        block_on(w.kakunin.certify(&w.acme, &agent, Profile::Standard, P256)),
        Err(Error::Agent(_))
    ));
}

#[test]
fn another_tenants_objects_do_not_exist() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let other: TenantId = "other".parse().unwrap();
    block_on(w.kakunin.create_tenant(&other)).unwrap();
    assert!(matches!(block_on(w.kakunin.agent(&other, &agent)), Err(Error::NotFound(_))));
    assert!(matches!(block_on(w.kakunin.certificate(&other, &serial)), Err(Error::NotFound(_))));
    assert!(matches!(
        block_on(w.kakunin.revoke(&other, &serial, Cause::OperatorInitiated)),
        Err(Error::NotFound(_))
    ));
    assert!(matches!(block_on(w.kakunin.hold(&other, &serial)), Err(Error::NotFound(_))));
    let event = w.event(serial, "read:accounts", Outcome::Ok);
    assert!(matches!(block_on(w.kakunin.observe(&other, event)), Err(Error::NotFound(_))));
    let nobody = "nobody".parse().unwrap();
    assert!(matches!(block_on(w.kakunin.agent(&nobody, &agent)), Err(Error::NotFound(_))));
}

#[test]
fn a_request_gives_its_key_and_nothing_else() {
    let w = world();
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.register(&w.acme, spec)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let openssl = |args: &[&str]| {
        let done = std::process::Command::new("openssl").args(args).current_dir(dir.path()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    openssl(&[
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "k",
        "-out",
        "csr",
        "-subj",
        "/CN=root of all",
    ]);
    let request = std::fs::read(dir.path().join("csr")).unwrap();
    for garbage in [
        &b""[..],
        b"garbage",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n",
        &request[..request.len() / 2],
        &[0x30; 20_000],
    ] {
        let refused =
            block_on(w.kakunin.certify(&w.acme, &agent.id, Profile::Standard, KeySource::Request(garbage)));
        assert_eq!(refused.unwrap_err().code(), "csr_malformed");
    }
    let certificate =
        block_on(w.kakunin.certify(&w.acme, &agent.id, Profile::Standard, KeySource::Request(&request)))
            .unwrap();
    let text = String::from_utf8_lossy(&certificate.der).into_owned();
    assert!(text.contains("one") && !text.contains("root of all"));
    openssl(&[
        "req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", "k", "-out", "weak", "-subj", "/CN=x",
    ]);
    let weak = std::fs::read(dir.path().join("weak")).unwrap();
    let refused =
        block_on(w.kakunin.certify(&w.acme, &agent.id, Profile::Standard, KeySource::Request(&weak)));
    assert_eq!(refused.unwrap_err().code(), "key_weak");
}

#[test]
fn many_callers_at_once_are_sequenced_and_each_is_answered() {
    let w = world();
    let (_, serial) = w.agent("one");
    let indices: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let one = || w.kakunin.observe(&w.acme, w.event(serial, "read:accounts", Outcome::Ok));
                    (0..50).map(|_| block_on(one()).unwrap().index.unwrap()).collect()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(indices.iter().all(|mine| mine.windows(2).all(|w| w[0] < w[1])), "a caller's order is kept");
    let mut all = indices.concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 800);
}

/// A provider that fails where it is told to.
#[derive(Debug)]
struct Failing(LocalKeys, std::sync::atomic::AtomicBool);

#[async_trait::async_trait]
impl KeyProvider for Failing {
    fn is_near(&self) -> bool {
        true
    }

    async fn generate(
        &self,
        planned: &kakunin_core::key::PlannedKeyId,
        algorithm: KeyAlgorithm,
    ) -> Result<kakunin_core::key::KeyRef, SignError> {
        let made = self.0.generate(planned, algorithm).await;
        // The worst case: the key was made, and its maker never heard of it.
        if self.1.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(SignError::unavailable("sign", "k", "timeout"));
        }
        made
    }
    async fn open(
        &self,
        key: &kakunin_core::key::KeyRef,
    ) -> Result<Arc<dyn kakunin_core::key::Signer>, SignError> {
        self.0.open(key).await
    }
    async fn disable(&self, key: &kakunin_core::key::KeyRef) -> Result<(), SignError> {
        self.0.disable(key).await
    }
    async fn enable(&self, key: &kakunin_core::key::KeyRef) -> Result<(), SignError> {
        self.0.enable(key).await
    }
    async fn retire(&self, key: &kakunin_core::key::KeyRef) -> Result<(), SignError> {
        self.0.retire(key).await
    }
    async fn list(&self) -> Result<Vec<kakunin_core::key::HeldKey>, SignError> {
        self.0.list().await
    }
}

#[test]
fn a_key_whose_maker_never_answered_is_swept() {
    let keys = Arc::new(Failing(LocalKeys::ephemeral(), false.into()));
    let mut config = Config::new("agents.example").unwrap();
    config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    let kakunin = block_on(Kakunin::open(config, Parts::new(MemoryStore::new(), keys.clone()))).unwrap();
    let acme = "acme".parse().unwrap();
    block_on(kakunin.create_tenant(&acme)).unwrap();
    let agent = block_on(kakunin.register(&acme, NewAgent::new("one", MODEL, ["read:a"]).unwrap())).unwrap();
    let before = block_on(keys.list()).unwrap().len();
    keys.1.store(true, std::sync::atomic::Ordering::Relaxed);
    let failed = block_on(kakunin.certify(&acme, &agent.id, Profile::Standard, P256)).unwrap_err();
    assert_eq!(failed.code(), "key_unavailable");
    assert_eq!(block_on(keys.list()).unwrap().len(), before, "the orphan was retired");
    keys.1.store(false, std::sync::atomic::Ordering::Relaxed);
    block_on(kakunin.certify(&acme, &agent.id, Profile::Standard, P256)).unwrap();
}
