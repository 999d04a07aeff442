//! Answers that never arrive: the same request gets the same certificate, and the one before it stands meanwhile;
//! whatever takes an agent's trust away takes both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use common::{MODEL, NOW, config, deployment, parts, reopened};
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{
    Config, Error, EventStatus, Kakunin, KeySource, NotificationKind, Parts, REPEATABLE,
};
use kakunin_core::time::{DAY, HOUR, MINUTE, ManualClock};
use kakunin_core::x509::csr::{Proven, RequestToSign};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

const GRACE: u64 = Config::RENEWAL_GRACE;

struct World {
    kakunin: Kakunin,
    config: Config,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
    keys: LocalKeys,
}

fn world() -> World {
    world_of(KeyAlgorithm::P256, GRACE)
}

/// RSA takes two appends for a certificate, P-256 in this process one.
fn world_of(issuing: KeyAlgorithm, grace: u64) -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let config = Config { ca_algorithms: (KeyAlgorithm::P256, issuing), renewal_grace: grace, ..config() };
    let (kakunin, acme) = deployment(config.clone(), &parts);
    World { kakunin, config, parts, clock, acme, keys: LocalKeys::ephemeral() }
}

impl World {
    fn reopened(self) -> Self {
        Self { kakunin: reopened(self.config.clone(), &self.parts), ..self }
    }

    fn agent(&self) -> AgentId {
        let spec = NewAgent::new("one", MODEL, ["read:accounts/*"]).unwrap();
        block_on(self.kakunin.register(&self.acme, spec)).unwrap().id
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

    fn binding(&self, n: u8, serial: &Serial, request: &[u8]) -> Vec<u8> {
        let text = Proven::read(request).unwrap().binding_text(serial);
        block_on(self.key(n).sign(text.as_bytes())).unwrap().as_bytes().to_vec()
    }

    fn token(&self, agent: &AgentId) -> String {
        let made = self.kakunin.create_join_token(&self.acme, agent, Profile::Elevated, 10 * MINUTE);
        block_on(made).unwrap().1.reveal().to_owned()
    }

    fn enrol(&self, token: &str, n: u8) -> Result<Certificate, Error> {
        block_on(self.kakunin.enrol(token, &self.request(n))).map(|(_, certificate)| certificate)
    }

    /// Renews with key `by` of the certificate `serial`, for key `with`.
    fn renew_own(&self, serial: &Serial, by: u8, with: u8) -> Result<Certificate, Error> {
        let request = self.request(with);
        let binding = self.binding(by, serial, &request);
        let model = MODEL.parse().unwrap();
        let renewed = self.kakunin.renew_own(serial, &model, &request, &binding);
        block_on(renewed).map(|(_, certificate)| certificate)
    }

    fn renew(&self, agent: &AgentId, source: KeySource<'_>) -> Result<Certificate, Error> {
        let model = MODEL.parse().unwrap();
        block_on(self.kakunin.renew(&self.acme, agent, &model, Profile::Standard, source))
    }

    /// An agent that joined with key 0 and renewed with key 2, three days later: both certificates.
    fn renewed(&self) -> (AgentId, Serial, Serial) {
        let agent = self.agent();
        let first = self.enrol(&self.token(&agent), 0).unwrap().facts.serial;
        self.clock.set(NOW.plus(3 * DAY));
        let second = self.renew_own(&first, 0, 2).unwrap().facts.serial;
        (agent, first, second)
    }

    fn reason(&self, serial: &Serial) -> Option<Reason> {
        self.kakunin.revocations().reason(&self.kakunin.issuer().id(), serial).unwrap()
    }

    fn observe(&self, serial: &Serial, attribution: Attribution) -> EventStatus {
        let mut event = Event::new(*serial, "read:accounts/1".parse().unwrap(), Outcome::Ok);
        event.attribution = attribution;
        block_on(self.kakunin.observe(&self.acme, event)).unwrap().status
    }

    fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.agent(&self.acme, agent)).unwrap().state
    }

    fn names(&self) -> Vec<&'static str> {
        let all = block_on(self.kakunin.records(&self.acme, None, 1_000, |_| true)).unwrap();
        all.items.iter().map(|recorded| recorded.record.name()).collect()
    }

    fn size(&self) -> usize {
        self.names().len()
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn the_same_request_gets_the_same_certificate_and_leaves_no_record() {
    for issuing in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048] {
        let w = world_of(issuing, GRACE);
        let agent = w.agent();
        let token = w.token(&agent);
        let first = w.enrol(&token, 0).unwrap();
        let size = w.size();
        assert_eq!(w.enrol(&token, 0).unwrap(), first);
        assert_eq!(code(w.enrol(&token, 2)), "join_token_invalid", "nobody else's key");
        // The process ended before it answered.
        let w = w.reopened();
        assert_eq!((w.enrol(&token, 0).unwrap(), w.size()), (first.clone(), size));
        w.clock.set(NOW.plus(REPEATABLE + 1));
        assert_eq!(code(w.enrol(&token, 0)), "join_token_invalid", "not for ever");

        w.clock.set(NOW.plus(3 * DAY));
        let serial = first.facts.serial;
        let second = w.renew_own(&serial, 0, 2).unwrap();
        let size = w.size();
        for _ in 0..9 {
            assert_eq!(w.renew_own(&serial, 0, 2).unwrap(), second);
        }
        assert_eq!(code(w.renew_own(&serial, 0, 4)), "agent_state", "another request");
        assert_eq!(code(w.renew_own(&serial, 2, 2)), "key_not_bound", "not by the old key");
        let w = w.reopened();
        assert_eq!((w.renew_own(&serial, 0, 2).unwrap(), w.size()), (second.clone(), size));
        // Also once the old one is superseded, and not for ever.
        w.clock.set(NOW.plus(3 * DAY + GRACE));
        block_on(w.kakunin.tend()).unwrap();
        assert_eq!(w.reason(&serial), Some(Reason::Superseded));
        assert_eq!(w.renew_own(&serial, 0, 2).unwrap(), second);
        w.clock.set(NOW.plus(3 * DAY + REPEATABLE + 1));
        assert_eq!(code(w.renew_own(&serial, 0, 2)), "agent_state");

        let request = w.request(4);
        let binding = w.binding(2, &second.facts.serial, &request);
        let third = w.renew(&agent, KeySource::Bound(&request, &binding)).unwrap();
        let size = w.size();
        assert_eq!(w.renew(&agent, KeySource::Bound(&request, &binding)).unwrap(), third);
        assert_eq!(code(w.renew(&agent, KeySource::Request(&request))), "key_not_bound");
        let other = w.request(6);
        assert_eq!(code(w.renew(&agent, KeySource::Bound(&other, &binding))), "key_not_bound");
        assert_eq!(w.size(), size);
    }
}

#[test]
fn an_operator_s_first_certificate_is_given_once_more() {
    let w = world();
    let (one, two) = (w.agent(), w.agent());
    let request = w.request(0);
    let certify = |agent: &AgentId, profile| {
        block_on(w.kakunin.certify(&w.acme, agent, profile, KeySource::Request(&request)))
    };
    let first = certify(&one, Profile::Standard).unwrap();
    let size = w.size();
    assert_eq!(certify(&one, Profile::Standard).unwrap(), first);
    assert_eq!(code(certify(&one, Profile::Ephemeral)), "exists", "another order");
    assert_eq!(code(certify(&two, Profile::Standard)), "key_in_use");
    assert_eq!(w.size(), size);
    block_on(w.kakunin.hold(&w.acme, &first.facts.serial)).unwrap();
    assert_eq!(code(certify(&one, Profile::Standard)), "agent_suspended");
    block_on(w.kakunin.release(&w.acme, &first.facts.serial)).unwrap();
    w.clock.set(NOW.plus(REPEATABLE + 1));
    assert_eq!(code(certify(&one, Profile::Standard)), "exists");
}

#[test]
fn identical_requests_at_once_are_one() {
    for issuing in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048] {
        let w = world_of(issuing, GRACE);
        let agent = w.agent();
        let token = w.token(&agent);
        let all = |ask: &(dyn Fn() -> Result<Certificate, Error> + Sync)| {
            std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
                let mut got: Vec<_> = threads.into_iter().map(|t| t.join().unwrap().unwrap()).collect();
                got.dedup();
                assert_eq!(got.len(), 1);
                got.remove(0)
            })
        };
        let first = all(&|| w.enrol(&token, 0)).facts.serial;
        w.clock.set(NOW.plus(3 * DAY));
        all(&|| w.renew_own(&first, 0, 2));
        let issued = w.names().iter().filter(|name| **name == "certificate.issued").count();
        assert_eq!(issued, 2);
    }
}

#[test]
fn the_old_certificate_stands_until_the_new_one_is_used() {
    let w = world();
    let (agent, first, second) = w.renewed();
    assert_eq!((w.reason(&first), w.state(&agent)), (None, AgentState::Active));
    assert_eq!(w.observe(&first, Attribution::Signed), EventStatus::Scored, "it goes on");
    assert_eq!(w.observe(&second, Attribution::Asserted), EventStatus::Unattributed);
    assert_eq!(w.reason(&first), None, "whoever names the new one has not shown its key");
    let mut event = Event::new(second, "read:accounts/1".parse().unwrap(), Outcome::Ok);
    (event.attribution, event.unnamed) = (Attribution::Possession, true);
    assert_eq!(block_on(w.kakunin.observe(&w.acme, event)).unwrap().status, EventStatus::Scored);
    assert_eq!(w.reason(&first), None, "whoever names the agent does not say with which certificate");
    assert_eq!(w.observe(&second, Attribution::Possession), EventStatus::Scored);
    assert_eq!(w.reason(&first), Some(Reason::Superseded));
    let late = w.observe(&first, Attribution::Signed);
    assert_eq!(
        late,
        EventStatus::Scored,
        "a late report counts: renewal is no way out of what was done before"
    );
    assert_eq!(w.state(&agent), AgentState::Active);
    risk(&w, &first);
    assert_eq!(
        (w.reason(&first), w.reason(&second)),
        (Some(Reason::Superseded), Some(Reason::PrivilegeWithdrawn))
    );
}

#[test]
fn a_grace_ends_by_itself_in_time_and_over_a_restart() {
    let w = world();
    let (agent, first, _) = w.renewed();
    w.clock.set(NOW.plus(3 * DAY + GRACE - 1));
    block_on(w.kakunin.tend()).unwrap();
    let w = w.reopened();
    assert_eq!(w.reason(&first), None);
    w.clock.set(NOW.plus(3 * DAY + GRACE));
    // An event that comes before the timer.
    assert_eq!(w.observe(&first, Attribution::Signed), EventStatus::Scored);
    assert_eq!((w.reason(&first), w.state(&agent)), (Some(Reason::Superseded), AgentState::Active));

    let w = world();
    let (_, first, second) = w.renewed();
    w.clock.set(NOW.plus(4 * DAY));
    let w = w.reopened();
    assert_eq!((w.reason(&first), w.reason(&second)), (Some(Reason::Superseded), None), "at the start");
    let size = w.size();
    block_on(w.kakunin.tend()).unwrap();
    assert_eq!(w.size(), size, "once");
    assert!(block_on(w.kakunin.notifications(&w.acme, None, 9)).unwrap().is_empty());

    let w = world_of(KeyAlgorithm::P256, 0);
    let (_, first, second) = w.renewed();
    assert_eq!(w.reason(&first), Some(Reason::Superseded), "no grace, no two certificates");
    assert_eq!(w.renew_own(&first, 0, 2).unwrap().facts.serial, second);
}

#[test]
fn whatever_takes_trust_away_takes_both() {
    type Take = fn(&World, &AgentId, &Serial, &Serial);
    let takes: [(&str, Take); 7] = [
        ("halt", |w, agent, _, _| {
            block_on(w.kakunin.halt(&w.acme, agent, Cause::KillSwitchActivated, None)).map(|_| ()).unwrap();
        }),
        ("retire", |w, agent, _, _| block_on(w.kakunin.retire(&w.acme, agent)).unwrap()),
        ("revoke the new one", |w, _, _, new| {
            block_on(w.kakunin.revoke(&w.acme, new, Cause::OperatorInitiated)).map(|_| ()).unwrap();
        }),
        ("revoke the new one as superseded", |w, _, _, new| {
            block_on(w.kakunin.revoke(&w.acme, new, Cause::Superseded)).map(|_| ()).unwrap();
        }),
        ("revoke the old one", |w, _, old, _| {
            block_on(w.kakunin.revoke(&w.acme, old, Cause::KeyCompromise)).map(|_| ()).unwrap();
        }),
        ("risk of the old one", |w, _, old, _| risk(w, old)),
        ("risk, after a restart", |w, _, old, _| risk(w, old)),
    ];
    for (name, take) in takes {
        let mut w = world();
        let (agent, old, new) = w.renewed();
        if name.ends_with("restart") {
            w = w.reopened();
        }
        take(&w, &agent, &old, &new);
        assert!(w.reason(&old).is_some() && w.reason(&new).is_some(), "{name}");
        assert_ne!(w.state(&agent), AgentState::Active, "{name}");
        for serial in [&old, &new] {
            assert_eq!(w.observe(serial, Attribution::Signed), EventStatus::NotAccepted, "{name}");
        }
        assert_eq!(code(w.renew_own(&old, 0, 2)), "agent_state", "{name}: nothing is given again");
        let told = block_on(w.kakunin.notifications(&w.acme, None, 9)).unwrap();
        let told = told.iter().filter(|(_, item)| {
            matches!(item.kind, NotificationKind::AgentRevoked | NotificationKind::AgentHalted)
        });
        assert_eq!(told.count(), usize::from(!name.ends_with("superseded")), "{name}: told of once");
        // The record alone says the same.
        let w = w.reopened();
        assert!(w.reason(&old).is_some() && w.reason(&new).is_some(), "{name}");
        w.clock.set(NOW.plus(4 * DAY));
        let size = w.size();
        block_on(w.kakunin.tend()).unwrap();
        assert_eq!(w.size(), size, "{name}: nothing is left to supersede");
    }
}

fn risk(w: &World, serial: &Serial) {
    for n in 0..1_000 {
        let mut event = Event::refused(*serial, format!("delete:backups/{n}").parse().unwrap());
        event.attribution = Attribution::Signed;
        if block_on(w.kakunin.observe(&w.acme, event)).unwrap().revoked {
            return;
        }
    }
    panic!("nothing breaks it");
}

#[test]
fn of_events_that_are_refused_as_a_whole_none_takes_anything_away() {
    let w = world();
    let (agent, old, new) = w.renewed();
    let nobody = Serial::from_bytes([1; 16]).unwrap();
    let refused = |n| Event::refused(old, format!("delete:backups/{n}").parse().unwrap());
    let unknown = || Event::new(nobody, "read:accounts/1".parse().unwrap(), Outcome::Ok);
    let size = w.size();
    let used = Event::new(new, "read:accounts/1".parse().unwrap(), Outcome::Ok);
    for events in [vec![used], (0..1_000).map(refused).collect()] {
        let all = events.iter().cloned().chain([unknown()]).collect();
        assert!(block_on(w.kakunin.observe_all_or_none(&w.acme, all)).is_err());
        assert_eq!((w.size(), w.reason(&old), w.reason(&new)), (size, None, None));
    }
    assert_eq!(w.state(&agent), AgentState::Active);
    risk(&w, &old);
    assert!(w.reason(&old).is_some() && w.reason(&new).is_some());
}

#[test]
fn a_hold_takes_both_and_gives_both_back_while_their_time_lasts() {
    for named_old in [false, true] {
        for late in [false, true] {
            let w = world();
            let (agent, old, new) = w.renewed();
            let named = if named_old { old } else { new };
            block_on(w.kakunin.hold(&w.acme, &named)).unwrap();
            let hold = Some(Reason::CertificateHold);
            assert_eq!((w.reason(&old), w.reason(&new)), (hold, hold));
            assert_eq!(
                (w.state(&agent), code(w.renew_own(&old, 0, 2))),
                (AgentState::Suspended, "agent_state")
            );
            let w = w.reopened();
            if late {
                w.clock.set(NOW.plus(3 * DAY + HOUR));
            }
            block_on(w.kakunin.release(&w.acme, &named)).unwrap();
            let wanted = if late { Some(Reason::Superseded) } else { None };
            assert_eq!((w.reason(&old), w.reason(&new)), (wanted, None));
            assert_eq!(w.state(&agent), AgentState::Active);
        }
    }
}

#[test]
fn a_redeemed_token_gives_nothing_once_trust_is_gone() {
    let w = world();
    let agent = w.agent();
    let token = w.token(&agent);
    w.enrol(&token, 0).unwrap();
    block_on(w.kakunin.halt(&w.acme, &agent, Cause::RegulatoryOrder, None)).unwrap();
    assert_eq!(code(w.enrol(&token, 0)), "join_token_invalid");
    block_on(w.kakunin.reinstate(&w.acme, &agent, "a drill".to_owned().try_into().unwrap())).unwrap();
    assert_eq!(code(w.enrol(&token, 0)), "join_token_invalid");
    let next = w.token(&agent);
    assert_eq!(code(w.enrol(&token, 2)), "join_token_invalid");
    w.enrol(&next, 2).unwrap();
}

#[test]
fn the_provider_s_key_of_the_old_certificate_ends_with_it() {
    let w = world();
    let agent = w.agent();
    let p256 = KeySource::Provider(KeyAlgorithm::P256);
    let key = |certificate: Certificate| (certificate.facts.serial, certificate.key.unwrap());
    let signs =
        |key| block_on(w.parts.keys.open(key)).is_ok_and(|signer| block_on(signer.sign(b"m")).is_ok());
    let certify = w.kakunin.certify(&w.acme, &agent, Profile::Standard, p256);
    let (first, old) = key(block_on(certify).unwrap());
    let (second, middle) = key(w.renew(&agent, p256).unwrap());
    assert!(signs(&old) && w.reason(&first).is_none());
    let (_, new) = key(w.renew(&agent, p256).unwrap());
    assert_eq!((w.reason(&first), w.reason(&second)), (Some(Reason::Superseded), None), "at most two");
    assert!(!signs(&old) && signs(&middle) && signs(&new));
    // The server signs with the newest: that is its first use.
    block_on(w.kakunin.sign(&w.acme, &agent, b"pay")).unwrap();
    assert_eq!(w.reason(&second), Some(Reason::Superseded));
    block_on(w.kakunin.tend()).unwrap();
    assert!(!signs(&middle) && signs(&new));
}

#[test]
fn a_request_for_a_key_of_the_provider_s_is_told_by_what_it_renews() {
    for issuing in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048] {
        let mut w = world_of(issuing, GRACE);
        let agent = w.agent();
        let (p256, ed25519) =
            (KeySource::Provider(KeyAlgorithm::P256), KeySource::Provider(KeyAlgorithm::Ed25519));
        let certify =
            |w: &World, profile, source| block_on(w.kakunin.certify(&w.acme, &agent, profile, source));
        let first = certify(&w, Profile::Elevated, p256).unwrap();
        // Nothing tells one such request from another; whoever asks again fetches what there is.
        assert_eq!(code(certify(&w, Profile::Elevated, p256)), "exists");
        let first = first.facts.serial;
        let renew = |w: &World, serial: &Serial, profile, source| {
            let model = MODEL.parse().unwrap();
            block_on(w.kakunin.renew_certificate(&w.acme, serial, &model, profile, source))
        };
        let renewed = renew(&w, &first, Profile::Standard, p256).unwrap();
        let size = w.size();
        w = w.reopened();
        assert_eq!(renew(&w, &first, Profile::Standard, p256).unwrap(), renewed);
        assert_eq!(code(renew(&w, &first, Profile::Elevated, p256)), "agent_state");
        assert_eq!(code(renew(&w, &first, Profile::Standard, ed25519)), "agent_state");
        assert!(w.size() == size && w.reason(&first).is_none(), "the old one stands");
        // Who names the new one asks for another; and what came before the last is no answer.
        let third = renew(&w, &renewed.facts.serial, Profile::Standard, p256).unwrap();
        assert_ne!(third, renewed);
        assert_eq!(code(renew(&w, &first, Profile::Standard, p256)), "agent_state");
        block_on(w.kakunin.revoke(&w.acme, &third.facts.serial, Cause::KeyCompromise)).unwrap();
        assert_eq!(code(renew(&w, &renewed.facts.serial, Profile::Standard, p256)), "agent_state");
        assert_eq!(code(certify(&w, Profile::Elevated, p256)), "agent_suspended");
    }
}

#[test]
fn who_lost_an_answer_meets_no_limit_that_ends_the_grace() {
    let w = world();
    let (agent, first, second) = w.renewed();
    // Whatever is asked with the old certificate: the same, another key, the key before.
    for with in [2, 3, 0] {
        for _ in 0..10 {
            let again = w.renew_own(&first, 0, with);
            assert!(again.is_ok() == (with == 2), "{again:?}");
            assert!(again.is_ok_and(|again| again.facts.serial == second) || with != 2);
        }
    }
    assert_eq!((w.reason(&first), w.state(&agent)), (None, AgentState::Active));
    // Who asks too early with the new one has it.
    assert_eq!(code(w.renew_own(&second, 2, 4)), "self_renewal_limited");
    assert_eq!(w.reason(&first), Some(Reason::Superseded));
}

#[test]
fn a_grace_is_no_longer_than_either_certificate() {
    let w = world_of(KeyAlgorithm::P256, DAY);
    let agent = w.agent();
    let certify =
        w.kakunin.certify(&w.acme, &agent, Profile::Standard, KeySource::Provider(KeyAlgorithm::P256));
    let first = block_on(certify).unwrap().facts.serial;
    let model = MODEL.parse().unwrap();
    let source = KeySource::Provider(KeyAlgorithm::P256);
    let short = w.kakunin.renew(&w.acme, &agent, &model, Profile::Ephemeral, source);
    let short = block_on(short).unwrap().facts;
    w.clock.set(short.not_after);
    block_on(w.kakunin.tend()).unwrap();
    assert_eq!(w.reason(&first), Some(Reason::Superseded));
}

/// The log is ahead then, and nothing may happen for hours that moves it on (ADR 20).
#[test]
fn a_clock_that_was_put_right_makes_a_grace_twice_as_long_at_the_most() {
    let right = NOW.plus(3 * DAY);
    for (wrong_by, renewed_before, restarts) in [
        (2 * HOUR, false, false),
        (2 * HOUR, false, true),
        (2 * HOUR, true, false),
        (2 * HOUR, true, true),
        (GRACE / 2, true, false),
        (GRACE / 2, true, true),
    ] {
        let what = format!("ahead by {wrong_by}, renewed before {renewed_before}, restarts {restarts}");
        let w = world();
        let first = w.enrol(&w.token(&w.agent()), 0).unwrap().facts.serial;
        w.clock.set(right.plus(wrong_by));
        let renew = |w: &World| w.renew_own(&first, 0, 2).unwrap().facts.serial;
        let second = if renewed_before {
            renew(&w)
        } else {
            // It puts the log ahead.
            w.agent();
            w.clock.set(right);
            renew(&w)
        };
        w.clock.set(right);
        let w = if restarts { w.reopened() } else { w };
        block_on(w.kakunin.tend()).unwrap();
        // What was in time is not cut short, but by what is not of this clock.
        assert_eq!(w.reason(&first).is_some(), renewed_before && wrong_by > GRACE, "{what}");
        w.clock.set(right.plus(GRACE - 1));
        block_on(w.kakunin.tend()).unwrap();
        assert_eq!(w.reason(&first).is_some(), renewed_before && wrong_by > GRACE, "{what}");
        let w = if restarts { w.reopened() } else { w };
        w.clock.set(right.plus(2 * GRACE));
        block_on(w.kakunin.tend()).unwrap();
        assert_eq!((w.reason(&first), w.reason(&second)), (Some(Reason::Superseded), None), "{what}");
        // The answer that was lost is given all the same.
        assert_eq!(renew(&w), second, "{what}");
    }
}
