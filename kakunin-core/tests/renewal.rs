//! Requests of workloads that keep their keys: joining, renewing, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use common::{MODEL, NOW, config, deployment, parts};
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, Signer};
use kakunin_core::log::record::{Body, Control, Renewal};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::risk::Band;
use kakunin_core::scope::{Scope, ScopeSet};
use kakunin_core::service::{Config, Error, Kakunin, KeySource, NotificationKind, Parts, SELF_RENEWALS};
use kakunin_core::time::{DAY, HOUR, MINUTE, ManualClock};
use kakunin_core::x509::csr::{Proven, RequestToSign};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
    /// The workload's keys.
    keys: LocalKeys,
}

fn world() -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, acme, keys: LocalKeys::ephemeral() }
}

impl World {
    fn agent(&self) -> AgentId {
        let spec = NewAgent::new("one", MODEL, ["read:accounts/*", "write:ledger"]).unwrap();
        block_on(self.kakunin.register(&self.acme, spec)).unwrap().id
    }

    /// Key number `n` of the workload.
    fn key(&self, n: u8) -> Arc<dyn Signer> {
        let algorithm = if n.is_multiple_of(2) { KeyAlgorithm::P256 } else { KeyAlgorithm::Ed25519 };
        let key = block_on(self.keys.generate(&PlannedKeyId::new([n; 16]), algorithm)).unwrap();
        block_on(self.keys.open(&key)).unwrap()
    }

    fn request(&self, n: u8) -> Vec<u8> {
        let key = self.key(n);
        let request = RequestToSign::new(key.public_key());
        let signature = block_on(key.sign(request.to_be_signed())).unwrap();
        request.assemble(&signature)
    }

    fn certify(&self, agent: &AgentId, request: &[u8]) -> Result<Certificate, Error> {
        let source = KeySource::Request(request);
        block_on(self.kakunin.certify(&self.acme, agent, Profile::Standard, source))
    }

    /// The word of key `n`, of the certificate `serial`, for a request.
    fn binding(&self, n: u8, serial: &Serial, request: &[u8]) -> Vec<u8> {
        let text = Proven::read(request).unwrap().binding_text(serial);
        block_on(self.key(n).sign(text.as_bytes())).unwrap().as_bytes().to_vec()
    }

    fn renew(&self, agent: &AgentId, source: KeySource<'_>) -> Result<Certificate, Error> {
        let attested = MODEL.parse().unwrap();
        block_on(self.kakunin.renew(&self.acme, agent, &attested, Profile::Standard, source))
    }

    fn join(&self, agent: &AgentId) -> String {
        let made = block_on(self.kakunin.create_join_token(&self.acme, agent, Profile::Elevated, MINUTE));
        made.unwrap().1.reveal().to_owned()
    }

    fn enrol(&self, token: &str, n: u8) -> Result<Certificate, Error> {
        block_on(self.kakunin.enrol(token, &self.request(n))).map(|(tenant, certificate)| {
            assert_eq!(tenant, self.acme);
            certificate
        })
    }

    fn controls(&self) -> Vec<Control> {
        let all = block_on(self.kakunin.records(&self.acme, None, 1_000, |_| true)).unwrap();
        all.items
            .into_iter()
            .filter_map(|recorded| match recorded.record.body {
                Body::Control(control) => Some(*control),
                Body::Event(..) => None,
            })
            .collect()
    }

    fn last_renewal(&self) -> Renewal {
        let renewal = |control| match control {
            Control::CertificateIssued { renewal, .. } => renewal,
            _ => None,
        };
        self.controls().into_iter().find_map(renewal).unwrap()
    }

    fn observe(&self, serial: Serial, action: &str, outcome: Outcome) {
        let mut event = Event::new(serial, action.parse().unwrap(), outcome);
        event.attribution = Attribution::Signed;
        block_on(self.kakunin.observe(&self.acme, event)).unwrap();
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

#[test]
fn a_key_stands_for_one_agent_and_one_certificate() {
    let w = world();
    let (one, two) = (w.agent(), w.agent());
    let first = w.certify(&one, &w.request(0)).unwrap();
    assert_eq!(code(w.certify(&two, &w.request(0))), "key_in_use");
    block_on(w.kakunin.revoke(&w.acme, &first.facts.serial, Cause::OperatorInitiated)).unwrap();
    let reason = "it was a drill".to_owned().try_into().unwrap();
    block_on(w.kakunin.reinstate(&w.acme, &one, reason)).unwrap();
    assert_eq!(code(w.certify(&one, &w.request(0))), "key_in_use", "nor once more for the same agent");
    w.certify(&one, &w.request(2)).unwrap();
    // Another process that opens the deployment knows it too, and so does another tenant.
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    block_on(again.load()).unwrap();
    let other = "other".parse().unwrap();
    block_on(again.create_tenant(&other)).unwrap();
    let spec = NewAgent::new("theirs", MODEL, ["read:mail"]).unwrap();
    let theirs = block_on(again.register(&other, spec)).unwrap().id;
    let request = w.request(2);
    let refused = again.certify(&other, &theirs, Profile::Standard, KeySource::Request(&request));
    assert_eq!(code(block_on(refused)), "key_in_use");
}

#[test]
fn the_current_key_speaks_for_the_next() {
    let w = world();
    let agent = w.agent();
    let first = w.certify(&agent, &w.request(0)).unwrap().facts.serial;
    let (request, other) = (w.request(1), w.request(2));
    let good = w.binding(0, &first, &request);
    assert_eq!(code(w.renew(&agent, KeySource::Request(&request))), "key_not_bound");
    for (request, binding) in [
        (&request, w.binding(1, &first, &request)),
        (&request, w.binding(0, &first, &other)),
        (&request, Vec::new()),
        (&other, good.clone()),
    ] {
        assert_eq!(code(w.renew(&agent, KeySource::Bound(request, &binding))), "key_not_bound");
    }
    let same = w.request(0);
    let binding = w.binding(0, &first, &same);
    assert_eq!(code(w.renew(&agent, KeySource::Bound(&same, &binding))), "key_in_use", "a fresh key");
    let second = w.renew(&agent, KeySource::Bound(&request, &good)).unwrap().facts.serial;
    let bound = w.controls().into_iter().find_map(|control| match control {
        Control::KeyBound { binding, .. } => binding,
        _ => None,
    });
    assert_eq!(bound.unwrap().serial, first);
    // What was said for one renewal says nothing for the next.
    assert_eq!(
        code(w.renew(&agent, KeySource::Bound(&other, &w.binding(0, &first, &other)))),
        "key_not_bound"
    );
    let next = w.binding(1, &second, &other);
    assert!(w.renew(&agent, KeySource::Bound(&other, &next)).is_ok());
}

#[test]
fn the_record_says_what_was_attested_approved_and_seen() {
    let w = world();
    let agent = w.agent();
    let first = w.certify(&agent, &w.request(0)).unwrap().facts;
    let life = first.not_after.since(first.not_before);
    assert!(first.renew_after().since(first.not_before).abs_diff(life * 2 / 3) < 9 && life >= 365 * DAY);
    w.observe(first.serial, "read:accounts/7", Outcome::Ok);
    w.observe(first.serial, "delete:accounts", Outcome::Denied);
    let scope = |texts: &[&str]| ScopeSet::parse(texts).unwrap();
    let wider = scope(&["read:accounts/*", "send:mail"]);
    let approved = wider.clone();
    block_on(w.kakunin.update(&w.acme, &agent, |spec| {
        spec.scope = wider;
        Ok(())
    }))
    .unwrap();
    // What was used survives a restart, by snapshot and by replay.
    block_on(w.kakunin.snapshot()).unwrap();
    w.observe(first.serial, "erase:all", Outcome::Denied);
    let w = World { kakunin: block_on(Kakunin::open(config(), w.parts.clone())).unwrap(), ..w };
    let renewed = w.renew(&agent, KeySource::Provider(KeyAlgorithm::P256)).unwrap().facts;
    let renewal = w.last_renewal();
    let scopes = |texts: &[&str]| -> Vec<Scope> { texts.iter().map(|t| t.parse().unwrap()).collect() };
    assert_eq!((renewal.replaces, renewal.attested), (first.serial, MODEL.parse().unwrap()));
    assert_eq!((renewal.approved, renewal.changed), (Some(approved), Vec::<String>::new()));
    assert_eq!((renewal.added, renewal.removed), (scopes(&["send:mail"]), scopes(&["write:ledger"])));
    assert_eq!(renewal.unused, Some(scopes(&["write:ledger"])));
    assert_eq!(renewal.refused, ["delete:accounts".parse().unwrap(), "erase:all".parse().unwrap()]);
    // The next one begins anew.
    w.clock.set(NOW.plus(HOUR));
    w.renew(&agent, KeySource::Provider(KeyAlgorithm::P256)).unwrap();
    let next = w.last_renewal();
    assert_eq!((next.replaces, next.refused.len()), (renewed.serial, 0));
    assert_eq!(next.unused, Some(scopes(&["read:accounts/*", "send:mail"])));
}

#[test]
fn evidence_makes_the_next_life_shorter() {
    let w = world();
    let agent = w.agent();
    let mut serial = w.certify(&agent, &w.request(0)).unwrap().facts.serial;
    let mut seen = Vec::new();
    for n in 0..200 {
        w.observe(serial, &format!("delete:accounts/{n}"), Outcome::Denied);
        if block_on(w.kakunin.agent(&w.acme, &agent)).unwrap().state != AgentState::Active {
            break;
        }
        let band = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap().band;
        let facts = w.renew(&agent, KeySource::Provider(KeyAlgorithm::P256)).unwrap().facts;
        let life = facts.not_after.since(facts.not_before) / DAY;
        let days = match band {
            Band::Low => 365,
            Band::Medium => 30,
            Band::Warning | Band::Revoke => 1,
        };
        assert_eq!((life, w.last_renewal().band), (days, band));
        serial = facts.serial;
        seen.push(band);
    }
    seen.dedup();
    assert_eq!(seen, [Band::Low, Band::Medium, Band::Warning], "every band was renewed in");
}

#[test]
fn a_join_token_opens_once_in_time_for_its_agent() {
    let w = world();
    let (one, two) = (w.agent(), w.agent());
    let (void, token) = (w.join(&one), w.join(&one));
    let altered = format!("{}{}", &token[..60], if &token[60..61] == "A" { "B" } else { "A" }) + &token[61..];
    for bad in [void.as_str(), "", "kjt_", &altered, &token[1..], "kak_live_x"] {
        assert_eq!(code(w.enrol(bad, 0)), "join_token_invalid", "{bad}");
    }
    let issued = w.enrol(&token, 0).unwrap();
    assert_eq!(issued.facts.agent, one);
    assert!(issued.facts.not_after.since(NOW) <= 30 * DAY, "the token says which profile");
    assert_eq!(code(w.enrol(&token, 2)), "join_token_invalid");
    let late = w.join(&two);
    w.clock.set(NOW.plus(MINUTE + 1));
    assert_eq!(code(w.enrol(&late, 2)), "join_token_invalid");
    let long = w.kakunin.create_join_token(&w.acme, &two, Profile::Standard, 11 * MINUTE);
    assert_eq!(code(block_on(long)), "join_token_life");
    // After a restart too.
    let token = w.join(&two);
    let w = World { kakunin: block_on(Kakunin::open(config(), w.parts.clone())).unwrap(), ..w };
    assert!(w.enrol(&token, 4).is_ok());
    let ordered = block_on(w.kakunin.records(&w.acme, None, 1, |_| true)).unwrap().items;
    assert!(ordered.iter().all(|r| r.record.by.as_ref().unwrap().as_str().starts_with("join:")));
    assert!(!format!("{:?}", w.controls()).contains(&token[4..]));
}

#[test]
fn a_race_for_a_join_token_has_one_winner() {
    for _ in 0..20 {
        let w = world();
        let token = w.join(&w.agent());
        let requests: Vec<_> = (0..8).map(|n| w.request(n)).collect();
        let won = std::thread::scope(|scope| {
            let mut threads = Vec::new();
            for request in &requests {
                let (kakunin, token) = (w.kakunin.clone(), token.as_str());
                threads.push(scope.spawn(move || block_on(kakunin.enrol(token, request)).is_ok()));
            }
            threads.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count()
        });
        assert_eq!(won, 1);
        let issued = w.controls().iter().filter(|c| matches!(c, Control::CertificateIssued { .. })).count();
        assert_eq!(issued, 1);
    }
}

#[test]
fn an_agent_renews_by_itself_with_its_current_key_alone() {
    let w = world();
    let agent = w.agent();
    let first = w.enrol(&w.join(&agent), 0).unwrap().facts;
    let renew = |serial: &Serial, by: u8, with: u8, model: &str| {
        let request = w.request(with);
        let binding = w.binding(by, serial, &request);
        let model = model.parse().unwrap();
        let renewed = w.kakunin.renew_own(serial, &model, &request, &binding);
        block_on(renewed).map(|(_, certificate)| certificate.facts)
    };
    assert_eq!(code(renew(&first.serial, 2, 4, MODEL)), "key_not_bound");
    assert_eq!(code(renew(&first.serial, 0, 4, &MODEL.replace('e', "f"))), "attestation_mismatch");
    w.clock.set(NOW.plus(3 * DAY));
    let second = renew(&first.serial, 0, 4, MODEL).unwrap();
    assert_eq!(second.not_after.since(second.not_before) / DAY, 30, "the profile stays");
    assert_eq!((w.last_renewal().approved, w.last_renewal().replaces), (None, first.serial));
    let reason = || w.kakunin.revocations().reason(&w.kakunin.issuer().id(), &first.serial).unwrap();
    assert_eq!(reason(), None, "the answer may be lost");
    w.clock.set(NOW.plus(3 * DAY + Config::RENEWAL_GRACE));
    block_on(w.kakunin.tend()).unwrap();
    assert_eq!(reason(), Some(Reason::Superseded));
    // A certificate that was replaced, held, revoked or has expired renews nothing.
    assert_eq!(code(renew(&first.serial, 0, 6, MODEL)), "agent_state");
    block_on(w.kakunin.hold(&w.acme, &second.serial)).unwrap();
    assert_eq!(code(renew(&second.serial, 4, 6, MODEL)), "agent_state");
    block_on(w.kakunin.release(&w.acme, &second.serial)).unwrap();
    w.clock.set(second.not_after.plus(1));
    assert_eq!(code(renew(&second.serial, 4, 6, MODEL)), "agent_state");
    w.clock.set(NOW.plus(4 * DAY));
    block_on(w.kakunin.revoke(&w.acme, &second.serial, Cause::KeyCompromise)).unwrap();
    assert_eq!(code(renew(&second.serial, 4, 6, MODEL)), "agent_state");
}

/// What an agent with a profile needs to renew itself: its newest certificate, and which key that has.
struct Own<'w> {
    w: &'w World,
    agent: AgentId,
    serial: Serial,
    key: u8,
}

impl<'w> Own<'w> {
    fn joined(w: &'w World, profile: Profile) -> Self {
        let agent = w.agent();
        let made = block_on(w.kakunin.create_join_token(&w.acme, &agent, profile, MINUTE)).unwrap();
        let serial = w.enrol(made.1.reveal(), 0).unwrap().facts.serial;
        Self { w, agent, serial, key: 0 }
    }

    fn renew(&mut self, kakunin: &Kakunin) -> Result<(), Error> {
        let request = self.w.request(self.key + 2);
        let binding = self.w.binding(self.key, &self.serial, &request);
        let model = MODEL.parse().unwrap();
        let renewed = kakunin.renew_own(&self.serial, &model, &request, &binding);
        self.serial = block_on(renewed)?.1.facts.serial;
        self.key += 2;
        Ok(())
    }

    fn told(&self) -> usize {
        let inbox = block_on(self.w.kakunin.notifications(&self.w.acme, None, 100)).unwrap();
        inbox.iter().filter(|(_, item)| item.kind == NotificationKind::SelfRenewalRefused).count()
    }
}

#[test]
fn an_agent_renews_itself_a_few_times_an_hour_and_an_operator_at_will() {
    let w = world();
    let mut own = Own::joined(&w, Profile::Ephemeral);
    let limited = |own: &mut Own<'_>, kakunin: &Kakunin| match own.renew(kakunin) {
        Err(error @ Error::SelfRenewal { wait }) => {
            assert_eq!(error.code(), "self_renewal_limited");
            wait
        }
        other => panic!("{other:?}"),
    };
    // A tenth of an hour from its issuance on, whatever its notBefore says.
    w.clock.set(NOW.plus(6 * MINUTE - 1));
    let size = block_on(w.kakunin.entries(&w.acme, 0, 1_000)).unwrap().len();
    assert_eq!(limited(&mut own, &w.kakunin), 1);
    assert_eq!(own.told(), 1);
    for _ in 0..50 {
        limited(&mut own, &w.kakunin);
    }
    let after = block_on(w.kakunin.entries(&w.acme, 0, 1_000)).unwrap().len();
    assert_eq!((own.told(), after), (1, size + 1), "once a day, and nothing else is written");
    for n in 1..=SELF_RENEWALS {
        w.clock.set(NOW.plus(u64::try_from(n).unwrap() * 6 * MINUTE));
        own.renew(&w.kakunin).unwrap();
    }
    w.clock.set(NOW.plus(59 * MINUTE));
    assert_eq!(limited(&mut own, &w.kakunin), 7 * MINUTE);
    // Neither a restart nor a clock that is set back unlocks it, and none locks it for ever.
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    block_on(again.load()).unwrap();
    assert_eq!(limited(&mut own, &again), 7 * MINUTE);
    w.clock.set(NOW);
    assert!(limited(&mut own, &again) <= HOUR);
    w.clock.set(NOW.plus(66 * MINUTE));
    own.renew(&again).unwrap();
    w.clock.set(NOW.plus(67 * MINUTE));
    limited(&mut own, &again);
    // An operator's renewal is not counted, and begins the count anew.
    let model = MODEL.parse().unwrap();
    for n in 0..9 {
        let source = KeySource::Provider(KeyAlgorithm::P256);
        let renewed = again.renew(&w.acme, &own.agent, &model, Profile::Ephemeral, source);
        block_on(renewed).unwrap_or_else(|error| panic!("{n}: {error}"));
    }
    assert_eq!(own.told(), 1);
}

#[test]
fn a_long_life_is_renewed_by_its_agent_after_a_tenth_of_it() {
    let w = world();
    let mut own = Own::joined(&w, Profile::Standard);
    w.clock.set(NOW.plus(36 * DAY));
    assert!(matches!(own.renew(&w.kakunin), Err(Error::SelfRenewal { wait }) if wait <= DAY));
    w.clock.set(NOW.plus(37 * DAY));
    own.renew(&w.kakunin).unwrap();
    // Whoever has not its key neither learns of the limit nor tells its owner.
    let request = w.request(9);
    let model = MODEL.parse().unwrap();
    let refused = w.kakunin.renew_own(&own.serial, &model, &request, b"");
    assert_eq!((code(block_on(refused)), own.told()), ("key_not_bound", 1));
}
