//! Evidence is not got rid of: not by renewal, not by another reporter, not by the event beside it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use common::{MODEL, NOW, P256, deployment, parts};
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Event, Outcome, StreamSeq};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record, Renewal};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Config, Error, EventStatus, Kakunin, KeySource, MAX_LATENESS, Observed, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_core::store::state::{Change, Kind, StateStore};
use kakunin_core::time::{DAY, HOUR, MINUTE, ManualClock, UnixTime};
use kakunin_core::x509::csr::{Proven, RequestToSign};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

/// When an agent may renew a standard certificate by itself.
const DUE: u64 = 37 * DAY;

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
    keys: LocalKeys,
}

/// What is superseded is so at once; two that stand are in `lost_answers.rs`.
fn config() -> Config {
    Config { renewal_grace: 0, ..common::config() }
}

fn world() -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, acme, keys: LocalKeys::ephemeral() }
}

impl World {
    fn register(&self) -> AgentId {
        // The name of a suspended agent is taken.
        static AGENTS: AtomicU32 = AtomicU32::new(0);
        let name = format!("agent {}", AGENTS.fetch_add(1, Ordering::Relaxed));
        let spec = NewAgent::new(&name, MODEL, ["read:accounts"]).unwrap();
        block_on(self.kakunin.register(&self.acme, spec)).unwrap().id
    }

    fn agent(&self) -> (AgentId, Serial) {
        let agent = self.register();
        (agent, self.certify(&agent))
    }

    fn reinstate(&self, agent: &AgentId) {
        let reason = "the prompt was mended".to_owned().try_into().unwrap();
        block_on(self.kakunin.reinstate(&self.acme, agent, reason)).unwrap();
    }

    fn certify(&self, agent: &AgentId) -> Serial {
        block_on(self.kakunin.certify(&self.acme, agent, Profile::HighRisk, P256)).unwrap().facts.serial
    }

    /// An agent that keeps its key itself, which is number 0 of the workload's.
    fn enrolled(&self) -> (AgentId, Serial) {
        let agent = self.register();
        let request = self.request(0);
        let source = KeySource::Request(&request);
        let issued = block_on(self.kakunin.certify(&self.acme, &agent, Profile::Standard, source)).unwrap();
        (agent, issued.facts.serial)
    }

    fn key(&self, n: u8) -> Arc<dyn Signer> {
        let key = block_on(self.keys.generate(&PlannedKeyId::new([n; 16]), KeyAlgorithm::P256)).unwrap();
        block_on(self.keys.open(&key)).unwrap()
    }

    fn request(&self, n: u8) -> Vec<u8> {
        let key = self.key(n);
        let request = RequestToSign::new(key.public_key());
        let signature = block_on(key.sign(request.to_be_signed())).unwrap();
        request.assemble(&signature)
    }

    /// A person renews it: key `n` follows the one before it.
    fn renew_theirs(&self, agent: &AgentId, serial: &Serial, n: u8) -> Serial {
        let request = self.request(n);
        let text = Proven::read(&request).unwrap().binding_text(serial);
        let binding = block_on(self.key(n - 1).sign(text.as_bytes())).unwrap();
        let source = KeySource::Bound(&request, binding.as_bytes());
        let model = MODEL.parse().unwrap();
        let renewed = self.kakunin.renew(&self.acme, agent, &model, Profile::Standard, source);
        block_on(renewed).unwrap().facts.serial
    }

    /// The agent renews by itself: key `n` follows the one before it.
    fn renew_itself(&self, serial: &Serial, n: u8) -> Serial {
        let request = self.request(n);
        let text = Proven::read(&request).unwrap().binding_text(serial);
        let binding = block_on(self.key(n - 1).sign(text.as_bytes())).unwrap();
        let model = MODEL.parse().unwrap();
        let renewed = self.kakunin.renew_own(serial, &model, &request, binding.as_bytes());
        block_on(renewed).unwrap().1.facts.serial
    }

    fn renew(&self, agent: &AgentId) -> Serial {
        let model = MODEL.parse().unwrap();
        let renewed = self.kakunin.renew(&self.acme, agent, &model, Profile::Standard, P256);
        block_on(renewed).unwrap().facts.serial
    }

    fn observe(&self, event: Event) -> Observed {
        block_on(self.kakunin.observe(&self.acme, event)).unwrap()
    }

    fn status(&self, event: Event) -> EventStatus {
        self.observe(event).status
    }

    fn reason(&self, serial: &Serial) -> Option<Reason> {
        self.kakunin.revocations().reason(&self.kakunin.issuer().id(), serial).unwrap()
    }

    fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.agent(&self.acme, agent)).unwrap().state
    }

    fn at(&self, since: u64) {
        self.clock.set(NOW.plus(since));
    }

    /// How many of 500 refusals it takes until the identity is gone.
    fn refuse(&self, serial: &Serial) -> Option<usize> {
        (0..500).position(|n| self.observe(refusal(serial, n)).revoked)
    }

    fn records(&self) -> Vec<Record> {
        let entries = block_on(self.kakunin.entries(&self.acme, 0, 10_000)).unwrap();
        entries.iter().map(|e| Record::open(e).unwrap()).collect()
    }

    fn last_renewal(&self) -> Renewal {
        let renewal = |record: &Record| match &record.body {
            Body::Control(control) => match &**control {
                Control::CertificateIssued { renewal, .. } => renewal.clone(),
                _ => None,
            },
            Body::Event(..) => None,
        };
        self.records().iter().rev().find_map(renewal).unwrap()
    }

    fn restarted(self) -> Self {
        Self { kakunin: block_on(Kakunin::open(config(), self.parts.clone())).unwrap(), ..self }
    }

    /// All projections lost but the vault: read back from record 0.
    fn rebuilt(self) -> Self {
        let empty = Arc::new(MemoryStore::new());
        let secret = block_on(self.parts.state.get(&LogId::System, Kind::Vault, b"secret")).unwrap();
        let vault = Change { kind: Kind::Vault, key: b"secret".to_vec(), value: secret };
        block_on(empty.put(&LogId::System, &[vault])).unwrap();
        let parts = Parts { state: empty.clone(), revocations: empty, ..self.parts.clone() };
        Self { parts, ..self }.restarted()
    }
}

fn refusal(serial: &Serial, n: usize) -> Event {
    let mut event = Event::refused(*serial, "delete:backups".parse().unwrap());
    event.target = Some(format!("backup-{n}").parse().unwrap());
    event
}

fn act(serial: &Serial) -> Event {
    Event::new(*serial, "read:accounts".parse().unwrap(), Outcome::Ok)
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn what_is_reported_after_a_renewal_takes_the_certificate_that_followed() {
    let w = world();
    let without = {
        let (_, serial) = w.agent();
        w.refuse(&serial).unwrap()
    };
    let (agent, first) = w.enrolled();
    w.at(DUE);
    let second = w.renew_itself(&first, 1);
    w.at(DUE + MINUTE);
    let third = w.renew_theirs(&agent, &second, 2);
    // Before anybody used the new one, and across two renewals in a row.
    assert_eq!(w.refuse(&first), Some(without));
    assert_eq!(w.state(&agent), AgentState::Suspended);
    assert_eq!(w.reason(&first), Some(Reason::Superseded));
    assert_eq!(
        (w.reason(&second), w.reason(&third)),
        (Some(Reason::Superseded), Some(Reason::PrivilegeWithdrawn))
    );
    let records = w.records();
    let Body::Control(last) = &records.last().unwrap().body else { panic!() };
    let Control::CertificateRevoked { revocation, evidence: Some(evidence), .. } = &**last else {
        panic!("{last:?}")
    };
    assert_eq!((revocation.serial, revocation.cause), (third, Cause::RiskThresholdExceeded));
    let named = &records[usize::try_from(evidence.event).unwrap()];
    assert_eq!((named.serial, matches!(named.body, Body::Event(..))), (Some(first), true));
    assert_eq!(w.status(refusal(&first, 0)), EventStatus::NotAccepted, "there is nothing left to take");
    assert_eq!(w.status(refusal(&third, 0)), EventStatus::NotAccepted);
}

#[test]
fn lateness_is_bounded_and_the_reporters_clock_decides_nothing() {
    use EventStatus::{NotAccepted, Scored};
    let w = world();
    let (agent, first) = w.agent();
    w.at(HOUR);
    let second = w.renew(&agent);
    let said = |at: UnixTime, serial| Event { occurred_at: Some(at), ..refusal(serial, 1) };
    // Whatever it says of the time: not to hide, and not to frame.
    for at in [UnixTime::default(), NOW.plus(1), NOW.plus(HOUR), NOW.plus(99 * DAY), UnixTime::MAX_X509] {
        assert_eq!((w.status(said(at, &first)), w.status(said(at, &second))), (Scored, Scored));
    }
    w.at(HOUR + MAX_LATENESS);
    assert_eq!(w.status(act(&first)), Scored);
    w.at(HOUR + MAX_LATENESS + 1);
    for at in [NOW.plus(1), NOW.plus(HOUR + MAX_LATENESS)] {
        assert_eq!(w.status(said(at, &first)), NotAccepted);
    }
    assert_eq!((w.status(act(&first)), w.status(act(&second))), (NotAccepted, Scored));
}

#[test]
fn what_the_end_of_a_certificate_refuses_is_no_evidence_and_what_its_scope_refuses_is() {
    let w = world();
    let (agent, first) = w.agent();
    w.at(MINUTE);
    w.renew(&agent);
    // Requests that were on their way, and a program that did not notice.
    for n in 0..500 {
        let denied = Event::new(first, "read:accounts".parse().unwrap(), Outcome::Denied);
        let denied = Event { occurred_at: Some(NOW.plus(MINUTE + 1 + n)), ..denied };
        assert_eq!(w.status(denied), EventStatus::NotAccepted);
    }
    assert_eq!(block_on(w.kakunin.risk(&w.acme, &agent)).unwrap().score.millionths(), 0);
    let before = Event::new(first, "read:accounts".parse().unwrap(), Outcome::Denied);
    let before = Event { occurred_at: Some(NOW.plus(1)), ..before };
    assert_eq!(w.status(before), EventStatus::Scored, "a guard refused it while the certificate stood");
    let probe = Event { occurred_at: Some(NOW.plus(2 * MINUTE)), ..refusal(&first, 0) };
    assert_eq!(w.status(probe), EventStatus::Scored);
}

#[test]
fn a_certificate_that_ran_out_counts_for_a_day() {
    let w = world();
    let (agent, first) = w.agent();
    let end = block_on(w.kakunin.certificates(&w.acme, &agent)).unwrap()[0].facts.not_after.since(NOW);
    w.at(end + HOUR);
    assert_eq!(w.status(refusal(&first, 0)), EventStatus::Scored);
    // Another one by an operator's order is no decision to forget.
    let second = w.certify(&agent);
    assert_eq!(w.status(refusal(&first, 1)), EventStatus::Scored);
    let w = w.restarted();
    let n = w.refuse(&first).unwrap();
    assert!(n < 20 && w.reason(&second) == Some(Reason::PrivilegeWithdrawn), "{n}");
    let (agent, first) = w.agent();
    let end = block_on(w.kakunin.certificates(&w.acme, &agent)).unwrap()[0].facts.not_after.since(NOW);
    w.at(end + 1);
    assert!(w.refuse(&first).is_some(), "also without another one: it has to be reinstated");
    assert_eq!(w.state(&agent), AgentState::Suspended);
    let (_, late) = w.agent();
    w.at(end + 9 * DAY);
    assert_eq!(w.status(refusal(&late, 0)), EventStatus::NotAccepted);
}

#[test]
fn what_was_taken_or_held_stays_out_and_reinstatement_ends_what_was_before() {
    use EventStatus::{NotAccepted, Scored};
    let w = world();
    let (agent, first) = w.agent();
    let second = w.renew(&agent);
    block_on(w.kakunin.hold(&w.acme, &second)).unwrap();
    assert_eq!((w.status(act(&second)), w.status(act(&first))), (NotAccepted, Scored));
    block_on(w.kakunin.release(&w.acme, &second)).unwrap();
    w.at(1);
    block_on(w.kakunin.revoke(&w.acme, &second, Cause::KeyCompromise)).unwrap();
    assert_eq!((w.status(act(&second)), w.status(act(&first))), (NotAccepted, NotAccepted));
    w.at(2);
    w.reinstate(&agent);
    for serial in [&first, &second] {
        assert_eq!(w.status(refusal(serial, 0)), NotAccepted);
    }
    let third = w.certify(&agent);
    // A decision to trust it again: also if the old evidence comes later, and after a restart.
    let w = w.restarted();
    for serial in [&first, &second] {
        assert_eq!(w.status(refusal(serial, 0)), NotAccepted);
    }
    let w = w.rebuilt();
    assert_eq!((w.status(refusal(&first, 0)), w.status(act(&third))), (NotAccepted, Scored));
    w.at(3);
    let fourth = w.renew(&agent);
    assert_eq!((w.status(act(&third)), w.status(act(&first))), (Scored, NotAccepted));
    block_on(w.kakunin.halt(&w.acme, &agent, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!((w.status(act(&third)), w.status(act(&fourth))), (NotAccepted, NotAccepted));
    let (retired, old) = w.agent();
    w.renew(&retired);
    block_on(w.kakunin.retire(&w.acme, &retired)).unwrap();
    assert_eq!(w.status(act(&old)), NotAccepted);
}

#[test]
fn a_log_that_is_ahead_of_the_clock_lets_nobody_out_of_what_it_does_after_reinstatement() {
    use EventStatus::{NotAccepted, Scored};
    let w = world();
    w.at(DAY);
    let (agent, first) = w.agent();
    // The clock was a day ahead, and is put right.
    w.at(0);
    block_on(w.kakunin.halt(&w.acme, &agent, Cause::KillSwitchActivated, None)).unwrap();
    w.reinstate(&agent);
    let second = w.certify(&agent);
    w.at(HOUR);
    let third = w.renew(&agent);
    assert_eq!((w.status(act(&second)), w.status(act(&third))), (Scored, Scored));
    assert_eq!(w.status(act(&first)), NotAccepted);
    let w = w.rebuilt();
    assert_eq!((w.status(act(&second)), w.status(act(&third))), (Scored, Scored));
}

#[test]
fn a_reinstated_agent_begins_with_no_evidence_and_nothing_refused() {
    use EventStatus::{NotAccepted, Scored};
    let w = world();
    let (agent, first) = w.agent();
    w.at(1);
    let second = w.renew(&agent);
    let denied = |serial, action: &str| Event::new(serial, action.parse().unwrap(), Outcome::Denied);
    for (n, serial) in [first, second].into_iter().enumerate() {
        assert_eq!(w.status(denied(serial, &format!("delete:backups/{n}"))), Scored);
    }
    let said = |w: &World| {
        let risk = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap();
        let actions: Vec<_> = risk.refused.actions.iter().map(|r| r.action.to_string()).collect();
        (risk.score.millionths() > 0, risk.evidence.len(), risk.days.len(), actions)
    };
    let before = said(&w);
    assert_eq!((before.0, before.3.len()), (true, 2));
    block_on(w.kakunin.snapshot()).unwrap();
    block_on(w.kakunin.halt(&w.acme, &agent, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!(said(&w), before, "a halt forgets nothing");
    w.at(2);
    w.reinstate(&agent);
    let anew = said(&w);
    assert_eq!((anew.0, anew.2, &anew.3[..]), (false, 0, &[][..]));
    // Also if the old evidence comes again, from under either certificate, before and after there is another one.
    for serial in [first, second] {
        assert_eq!(w.status(denied(serial, "delete:backups/0")), NotAccepted);
    }
    let third = w.certify(&agent);
    for serial in [first, second] {
        assert_eq!(w.status(denied(serial, "delete:backups/0")), NotAccepted);
    }
    assert_eq!(said(&w), anew);
    let w = w.restarted();
    assert_eq!(said(&w), anew, "the snapshot is of before");
    assert_eq!(w.status(denied(first, "delete:backups/0")), NotAccepted);
    assert_eq!(w.status(denied(third, "delete:backups/2")), Scored);
    let after = said(&w);
    assert_eq!((after.0, &after.3[..]), (true, &["delete:backups/2".to_owned()][..]));
    let w = w.rebuilt();
    assert_eq!(said(&w), after, "by replay too");
    assert_eq!((w.status(act(&first)), w.status(act(&third))), (NotAccepted, Scored));
}

#[test]
fn what_was_refused_survives_renewals_until_a_person_approves() {
    let w = world();
    let (agent, first) = w.enrolled();
    let refuse = |w: &World, serial: &Serial, action: String| {
        // As a guard refuses: little evidence, so that the agent lives.
        w.observe(Event::new(*serial, action.parse().unwrap(), Outcome::Denied));
    };
    refuse(&w, &first, "delete:backups".into());
    w.at(DUE);
    let second = w.renew_itself(&first, 1);
    assert_eq!((w.last_renewal().approved, w.last_renewal().refused.len()), (None, 1));
    (0..64).for_each(|n| refuse(&w, &second, format!("read:harmless-{n}")));
    refuse(&w, &second, "grant:roles/admin".into());
    block_on(w.kakunin.snapshot()).unwrap();
    (0..64).for_each(|n| refuse(&w, &second, format!("write:notes/{n}")));
    w.at(2 * DUE);
    let third = w.renew_itself(&second, 2);
    let notable = ["delete:backups", "grant:roles/admin", "read:harmless-0", "write:notes/63"];
    let w = w.restarted();
    let seen = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap().refused;
    for action in notable {
        assert!(seen.actions.iter().any(|r| r.action.as_str() == action && r.count == 1), "{action}");
    }
    assert_eq!(seen.actions.len() + usize::try_from(seen.more).unwrap(), 130);
    let w = w.rebuilt();
    assert_eq!(block_on(w.kakunin.risk(&w.acme, &agent)).unwrap().refused, seen, "by replay too");
    // A person's renewal says it all, and ends it.
    w.renew_theirs(&agent, &third, 3);
    let renewal = w.last_renewal();
    assert!(renewal.approved.is_some() && renewal.refused_more == seen.more);
    assert_eq!(renewal.refused, seen.actions.iter().map(|r| r.action.clone()).collect::<Vec<_>>());
    let after = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap().refused;
    assert_eq!((after.actions.len(), after.more), (0, 0));
}

#[test]
fn reporters_do_not_silence_each_other() {
    use EventStatus::{Duplicate, Scored};
    let w = world();
    let (_, serial) = w.agent();
    let (one, two) =
        (w.kakunin.acting_as("key:1".parse().unwrap()), w.kakunin.acting_as("key:2".parse().unwrap()));
    let send = |by: &Kakunin, event: Event| block_on(by.observe(&w.acme, event)).map(|seen| seen.status);
    let numbered = |stream, seq| Event { stream: Some(StreamSeq { stream, seq }), ..act(&serial) };
    let named = |id: &str| Event { client_id: Some(id.parse().unwrap()), ..act(&serial) };
    // One takes the highest number, every identifier, and all the room.
    assert_eq!(send(&one, numbered(1, 0)).unwrap(), Scored);
    assert_eq!(code(send(&one, numbered(1, (1 << 53) - 1))), "stream_jump");
    assert_eq!(send(&one, numbered(1, 1)).unwrap(), Scored, "and the window did not move");
    assert_eq!(send(&one, numbered(2, (1 << 53) - 1)).unwrap(), Scored);
    assert_eq!(send(&one, named("a")).unwrap(), Scored);
    (3..257).for_each(|stream| _ = send(&one, numbered(stream, 0)).unwrap());
    assert_eq!(code(send(&one, numbered(900, 0))), "too_many_streams");
    for other in [&two, &w.kakunin] {
        for (stream, seq) in [(1, 0), (1, 1), (2, 0), (2, 1), (900, 0)] {
            assert_eq!(send(other, numbered(stream, seq)).unwrap(), Scored, "{stream} {seq}");
            assert_eq!(send(other, numbered(stream, seq)).unwrap(), Duplicate, "{stream} {seq}");
        }
        assert_eq!(send(other, named("a")).unwrap(), Scored);
        assert_eq!(send(other, named("a")).unwrap(), Duplicate);
    }
    // After a restart, and read back from the log, each is who it was.
    let tell = |w: &World| {
        for by in ["key:1", "key:2"].map(|by| w.kakunin.acting_as(by.parse().unwrap())) {
            for event in [numbered(1, 1), named("a")] {
                assert_eq!(block_on(by.observe(&w.acme, event)).unwrap().status, Duplicate);
            }
            assert_eq!(code(block_on(by.observe(&w.acme, numbered(1, 1 << 60)))), "stream_jump");
        }
        let three = w.kakunin.acting_as("key:3".parse().unwrap());
        block_on(three.observe(&w.acme, named("a"))).unwrap().status
    };
    let acme = w.acme.clone();
    let w = w.restarted();
    assert_eq!(tell(&w), Scored);
    let w = w.rebuilt();
    assert_eq!(tell(&w), Duplicate);
    // A day later the streams are forgotten: one that counts from 0 again is heard.
    w.at(DAY + 1);
    let one = w.kakunin.acting_as("key:1".parse().unwrap());
    assert_eq!(block_on(one.observe(&acme, numbered(1, 0))).unwrap().status, Scored);
    assert_eq!(block_on(one.observe(&acme, numbered(900, 0))).unwrap().status, Scored);
}

#[test]
fn one_bad_event_costs_itself_unless_all_or_none_is_asked_for() {
    let w = world();
    let (agent, serial) = w.agent();
    let foreign = Serial::from_bytes([0x41; 16]).unwrap();
    let stream = |seq| Event { stream: Some(StreamSeq { stream: 1, seq }), ..act(&serial) };
    let events = || vec![stream(0), act(&foreign), stream(1), stream(u64::MAX), stream(1), stream(2)];
    let size = w.records().len();
    let refused = block_on(w.kakunin.observe_all_or_none(&w.acme, events())).unwrap_err();
    assert_eq!(refused.code(), "not_found");
    assert!(matches!(refused, Error::OneOfMany { index: 1, .. }), "{refused}");
    let jump = vec![stream(0), stream(1), stream(u64::MAX)];
    assert_eq!(code(block_on(w.kakunin.observe_all_or_none(&w.acme, jump))), "stream_jump");
    assert_eq!(w.records().len(), size, "nothing was recorded");
    let seen = block_on(w.kakunin.observe_all(&w.acme, events())).unwrap();
    let said: Vec<_> = seen.iter().map(|s| s.as_ref().map(|s| s.status).map_err(Error::code)).collect();
    use EventStatus::{Duplicate, Scored};
    let (unknown, far) = (Err("not_found"), Err("stream_jump"));
    assert_eq!(said, [Ok(Scored), unknown, Ok(Scored), far, Ok(Duplicate), Ok(Scored)]);
    assert_eq!(w.records().len(), size + 3);
    let whole = block_on(w.kakunin.observe_all_or_none(&w.acme, vec![stream(3), stream(3)])).unwrap();
    assert_eq!(whole.iter().map(|s| s.status).collect::<Vec<_>>(), [Scored, Duplicate]);
    // More streams at once than there is room for.
    let many = (100..400).map(|stream| Event { stream: Some(StreamSeq { stream, seq: 0 }), ..act(&serial) });
    let seen = block_on(w.kakunin.observe_all(&w.acme, many.collect())).unwrap();
    assert_eq!(seen.iter().filter(|s| s.is_ok()).count(), 255);
    let twice = vec![act(&serial); 1_001];
    assert_eq!(code(block_on(w.kakunin.observe_all(&w.acme, twice))), "too_many_events");
    // A batch that was given up half-way took no identity.
    let crossing = (0..100).map(|n| refusal(&serial, n)).chain([act(&foreign)]).collect();
    assert_eq!(code(block_on(w.kakunin.observe_all_or_none(&w.acme, crossing))), "not_found");
    assert_eq!((w.state(&agent), w.reason(&serial)), (AgentState::Active, None));
    let stands =
        |w: &World| block_on(w.kakunin.certificates(&w.acme, &agent)).unwrap()[0].revocation.is_none();
    assert!(stands(&w));
    let again = vec![stream(4), refusal(&serial, 1)];
    assert_eq!(block_on(w.kakunin.observe_all_or_none(&w.acme, again)).unwrap().len(), 2);
}
