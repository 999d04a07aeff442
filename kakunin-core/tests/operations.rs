//! What operators do to agents: change, renew, halt, sign; keys of the API; and what readers see of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod common;

use std::sync::{Arc, Mutex};

use base64ct::{Base64, Encoding};
use common::{Hand, Keys, MODEL, NOW, P256, config, deployment, parts};
use kakunin_core::access::Role;
use kakunin_core::agent::{AgentState, Document, NewAgent};
use kakunin_core::crypto::PublicKey;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, SignError, Signer, Spki};
use kakunin_core::log::record::Body;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::scope::ScopeSet;
use kakunin_core::service::{EventStatus, Kakunin, KeySource, NotificationKind, Parts};
use kakunin_core::time::{DAY, HOUR, ManualClock};
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::csr::RequestToSign;
use kakunin_core::x509::name::NameParts;
use kakunin_core::x509::oid;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
}

fn world() -> World {
    let (parts, clock) = parts(LocalKeys::ephemeral());
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, acme }
}

fn reinstate(kakunin: &Kakunin, tenant: &TenantId, agent: &AgentId) {
    let reason = "it was a drill".to_owned().try_into().unwrap();
    block_on(kakunin.reinstate(tenant, agent, reason)).unwrap();
}

impl World {
    fn agent(&self, name: &str) -> (AgentId, Certificate) {
        let spec = NewAgent::new(name, MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.register(&self.acme, spec)).unwrap().id;
        (agent, block_on(self.kakunin.certify(&self.acme, &agent, Profile::Standard, P256)).unwrap())
    }

    fn state(&self, agent: &AgentId) -> AgentState {
        block_on(self.kakunin.agent(&self.acme, agent)).unwrap().state
    }

    fn reinstate(&self, agent: &AgentId) {
        reinstate(&self.kakunin, &self.acme, agent);
    }

    fn reason(&self, serial: &Serial) -> Option<Reason> {
        self.kakunin.revocations().reason(&self.kakunin.issuer().id(), serial).unwrap()
    }

    fn names(&self) -> Vec<(&'static str, Option<String>)> {
        let page = block_on(self.kakunin.records(&self.acme, None, 100, |_| true)).unwrap();
        let by = |r: &kakunin_core::log::record::Record| r.by.as_ref().map(|by| by.as_str().to_owned());
        page.items.iter().map(|r| (r.record.name(), by(&r.record))).collect()
    }
}

#[test]
fn a_change_of_scope_takes_effect_with_the_next_certificate() {
    let w = world();
    let (agent, first) = w.agent("one");
    let scope = |der: &[u8]| {
        let view = CertificateView::parse(der, &oid::Arc::default()).unwrap();
        view.extensions.agent.to_owned().unwrap()
    };
    let set = |scope| ScopeSet::parse([scope]).unwrap();
    let constraints: Document = r#"{"daily_limit_usd":50000}"#.to_owned().try_into().unwrap();
    let pinned = constraints.clone();
    let changed = block_on(w.kakunin.update(&w.acme, &agent, |spec| {
        spec.scope = ScopeSet::parse(["delete:accounts"])?;
        spec.constraints = Some(pinned);
        Ok(())
    }));
    assert_eq!(changed.unwrap().spec.scope, set("delete:accounts"));
    let found = block_on(w.kakunin.find(&first.facts.serial)).unwrap();
    assert_eq!((scope(&found.der).scope, found.constraints), (set("read:accounts"), None));
    let renew = |model: &str, profile| {
        block_on(w.kakunin.renew(&w.acme, &agent, &model.parse().unwrap(), profile, P256))
    };
    let other = MODEL.replace('e', "f");
    assert_eq!(renew(&other, Profile::Standard).unwrap_err().code(), "attestation_mismatch");
    let second = renew(MODEL, Profile::HighRisk).unwrap();
    let claims = scope(&second.der);
    assert_eq!((claims.scope, claims.constraints), (set("delete:accounts"), Some(constraints.sha256())));
    assert_eq!(block_on(w.kakunin.find(&second.facts.serial)).unwrap().constraints, Some(constraints));
    assert_eq!((w.reason(&second.facts.serial), w.state(&agent)), (None, AgentState::Active));
    let seen = |serial| {
        let event = Event::new(serial, "read:accounts".parse().unwrap(), Outcome::Ok);
        block_on(w.kakunin.observe(&w.acme, event)).unwrap().status
    };
    // The old one stands until the new one is used.
    assert_eq!((seen(first.facts.serial), w.reason(&first.facts.serial)), (EventStatus::Scored, None));
    assert_eq!(seen(second.facts.serial), EventStatus::Scored);
    assert_eq!(w.reason(&first.facts.serial), Some(Reason::Superseded));
    let late = seen(first.facts.serial);
    assert_eq!(late, EventStatus::Scored, "renewal is no way out of what was done before");
    let all = block_on(w.kakunin.certificates(&w.acme, &agent)).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].profile, Profile::HighRisk);
    assert!(all[0].revocation.is_some_and(|r| r.cause == Cause::Superseded));
    assert!(block_on(w.kakunin.notifications(&w.acme, None, 9)).unwrap().is_empty(), "renewal alarms nobody");
}

#[test]
fn renewal_keeps_the_evidence_and_is_not_for_the_suspended() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    for n in 0..6 {
        let mut event = Event::refused(certificate.facts.serial, "delete:x".parse().unwrap());
        event.target = Some(format!("t{n}").parse().unwrap());
        block_on(w.kakunin.observe(&w.acme, event)).unwrap();
    }
    let before = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap();
    assert!(before.score.millionths() > 0 && !before.evidence.is_empty() && before.days[0].out_of_scope == 6);
    let model = MODEL.parse().unwrap();
    let renewed = block_on(w.kakunin.renew(&w.acme, &agent, &model, Profile::Standard, P256)).unwrap();
    assert_eq!(block_on(w.kakunin.risk(&w.acme, &agent)).unwrap().score, before.score);
    block_on(w.kakunin.hold(&w.acme, &renewed.facts.serial)).unwrap();
    let held = block_on(w.kakunin.renew(&w.acme, &agent, &model, Profile::Standard, P256));
    assert_eq!(held.unwrap_err().code(), "agent_state");
}

#[test]
fn a_halt_takes_the_certificate_once_and_its_receipt_verifies() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let by = w.kakunin.acting_as("key:ops".parse().unwrap());
    let note = Some("stop it".to_owned().try_into().unwrap());
    let first = block_on(by.halt(&w.acme, &agent, Cause::KillSwitchActivated, note)).unwrap();
    assert_eq!(first.serial, Some(certificate.facts.serial));
    let again = block_on(by.halt(&w.acme, &agent, Cause::OperatorInitiated, None)).unwrap();
    assert_eq!(again, first, "the first stop stands");
    assert_eq!(w.reason(&certificate.facts.serial), Some(Reason::PrivilegeWithdrawn));
    assert_eq!(w.state(&agent), AgentState::Suspended);
    let receipt = block_on(w.kakunin.halt_receipt(&w.acme, &agent, &first)).unwrap();
    let text = format!("{agent}:{}:{}:{}", certificate.facts.serial, first.at, first.id);
    let signature = Base64::decode_vec(&receipt.signature).unwrap();
    w.kakunin.issuer().key().verify(text.as_bytes(), &signature).unwrap();
    let found = block_on(w.kakunin.find(&certificate.facts.serial)).unwrap();
    assert_eq!((found.halt, found.revocation.map(|r| r.cause)), (Some(first), Some(first.cause)));
    assert_eq!(found.receipt, Some(receipt));
    let inbox = block_on(w.kakunin.notifications(&w.acme, None, 9)).unwrap();
    assert_eq!(inbox.iter().map(|(_, n)| n.kind).collect::<Vec<_>>(), [NotificationKind::AgentHalted]);
    let ops = Some("key:ops".to_owned());
    let receipt = ("agent.halt_receipt", None);
    assert_eq!(w.names()[..3], [receipt, ("certificate.revoked", ops.clone()), ("agent.halted", ops)]);
    w.reinstate(&agent);
    let next = block_on(w.kakunin.certify(&w.acme, &agent, Profile::Standard, P256)).unwrap();
    assert_eq!((w.state(&agent), w.reason(&next.facts.serial)), (AgentState::Active, None));
    let halted = block_on(w.kakunin.halt(&w.acme, &agent, Cause::RegulatoryOrder, None)).unwrap();
    assert!(halted.id != first.id && halted.serial == Some(next.facts.serial));
}

#[test]
fn an_agent_without_a_certificate_can_be_halted_too() {
    let w = world();
    let spec = NewAgent::new("idle", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.register(&w.acme, spec)).unwrap().id;
    let halt = block_on(w.kakunin.halt(&w.acme, &agent, Cause::RegulatoryOrder, None)).unwrap();
    assert_eq!((halt.serial, w.state(&agent)), (None, AgentState::Suspended));
}

/// Something that happens once, while a key is made, or while it signs a certificate.
#[derive(Default)]
struct Meanwhile {
    made: Happens,
    signed: Happens,
    keys_are_here: bool,
}

type Happens = Mutex<Option<Box<dyn FnOnce() + Send>>>;

fn let_happen(when: &Happens, what: impl FnOnce() + Send + 'static) {
    *when.lock().unwrap() = Some(Box::new(what));
}

fn happen(when: &Happens) {
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

fn deployment_meanwhile(keys_are_here: bool) -> (Kakunin, Parts, TenantId, Arc<Meanwhile>) {
    let meanwhile = Arc::new(Meanwhile { keys_are_here, ..Meanwhile::default() });
    let (parts, _) = parts(Keys(LocalKeys::ephemeral(), meanwhile.clone()));
    let (kakunin, acme) = deployment(config(), &parts);
    (kakunin, parts, acme, meanwhile)
}

#[test]
fn a_halt_while_a_certificate_is_made_is_not_undone_by_it() {
    let (kakunin, Parts { keys, .. }, acme, meanwhile) = deployment_meanwhile(true);
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(kakunin.register(&acme, spec)).unwrap().id;
    let certify = || block_on(kakunin.certify(&acme, &agent, Profile::Standard, P256));
    let state = || block_on(kakunin.agent(&acme, &agent)).unwrap().state;
    let held = block_on(keys.list()).unwrap().len();
    let halt = || {
        let (kakunin, acme) = (kakunin.clone(), acme.clone());
        move || _ = block_on(kakunin.halt(&acme, &agent, Cause::RegulatoryOrder, None)).unwrap()
    };
    let_happen(&meanwhile.made, halt());
    assert_eq!(certify().unwrap_err().code(), "agent_state");
    assert_eq!((state(), block_on(keys.list()).unwrap().len()), (AgentState::Suspended, held));
    assert_eq!(certify().unwrap_err().code(), "agent_suspended", "ordered after the halt, too");
    reinstate(&kakunin, &acme, &agent);
    let issued = certify().unwrap();
    assert_eq!(state(), AgentState::Active);
    let_happen(&meanwhile.made, halt());
    let renewed = block_on(kakunin.renew(&acme, &agent, &MODEL.parse().unwrap(), Profile::Standard, P256));
    assert_eq!((renewed.unwrap_err().code(), state()), ("agent_state", AgentState::Suspended));
    let reason = kakunin.revocations().reason(&kakunin.issuer().id(), &issued.facts.serial).unwrap();
    assert_eq!(reason, Some(Reason::PrivilegeWithdrawn));
    reinstate(&kakunin, &acme, &agent);
    assert!(certify().is_ok(), "nothing is left in the way");
}

#[test]
fn a_change_while_a_certificate_is_made_is_in_it_whole_or_not_at_all() {
    // The model of the certificate is the attested one, and the document kept is the one it pins.
    let (kakunin, _, acme, meanwhile) = deployment_meanwhile(true);
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(kakunin.register(&acme, spec)).unwrap().id;
    block_on(kakunin.certify(&acme, &agent, Profile::Standard, P256)).unwrap();
    let change = |to: Box<dyn FnOnce(&mut NewAgent) + Send>| {
        let (kakunin, acme) = (kakunin.clone(), acme.clone());
        let change = move |spec: &mut NewAgent| {
            to(spec);
            Ok(())
        };
        move || _ = block_on(kakunin.update(&acme, &agent, change)).unwrap()
    };
    let renew = |model: &str| {
        block_on(kakunin.renew(&acme, &agent, &model.parse().unwrap(), Profile::Standard, P256))
    };
    let other = MODEL.replace('e', "f");
    let model = other.parse().unwrap();
    let_happen(&meanwhile.made, change(Box::new(move |spec| spec.model_hash = model)));
    assert_eq!(renew(MODEL).unwrap_err().code(), "attestation_mismatch");
    assert!(renew(&other).is_ok(), "nothing is left in the way");
}

#[test]
fn the_document_that_is_kept_is_the_one_that_is_pinned() {
    // The issuing CA's key is slow, and the constraints change while it signs.
    let (kakunin, _, acme, meanwhile) = deployment_meanwhile(false);
    let document = |text: &str| Document::try_from(text.to_owned()).unwrap();
    let mut spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    spec.constraints = Some(document("{\"daily_limit_usd\":1}"));
    let agent = block_on(kakunin.register(&acme, spec)).unwrap().id;
    let (changing, tenant, later) = (kakunin.clone(), acme.clone(), document("{\"daily_limit_usd\":2}"));
    let_happen(&meanwhile.signed, move || {
        block_on(changing.update(&tenant, &agent, |spec| {
            spec.constraints = Some(later);
            Ok(())
        }))
        .unwrap();
    });
    let issued = block_on(kakunin.certify(&acme, &agent, Profile::Standard, P256)).unwrap();
    let found = block_on(kakunin.find(&issued.facts.serial)).unwrap();
    let view = CertificateView::parse(&found.der, &oid::Arc::default()).unwrap();
    let pinned = view.extensions.agent.to_owned().unwrap().constraints;
    assert_eq!(found.constraints.map(|document| document.sha256()), pinned);
}

#[test]
fn a_hold_of_an_expired_certificate_says_nothing_of_the_agent() {
    let w = world();
    let spec = NewAgent::new("short", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.register(&w.acme, spec)).unwrap().id;
    let certify = || block_on(w.kakunin.certify(&w.acme, &agent, Profile::Ephemeral, P256)).unwrap();
    let old = certify().facts.serial;
    w.clock.set(NOW.plus(2 * HOUR));
    certify();
    block_on(w.kakunin.hold(&w.acme, &old)).unwrap();
    assert_eq!(w.state(&agent), AgentState::Active);
    block_on(w.kakunin.release(&w.acme, &old)).unwrap();
    assert_eq!(w.state(&agent), AgentState::Active);
}

#[test]
fn a_message_is_signed_by_the_agents_key_and_the_act_is_on_record() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let signed = block_on(w.kakunin.sign(&w.acme, &agent, b"pay 5")).unwrap();
    let view = CertificateView::parse(&certificate.der, &oid::Arc::default()).unwrap();
    let key = PublicKey::parse(&Spki::from_der(view.spki).unwrap()).unwrap();
    key.verify(b"pay 5", signed.signature.as_bytes()).unwrap();
    let page = block_on(w.kakunin.records(&w.acme, None, 1, |_| true)).unwrap();
    let Body::Event(act, Some(event)) = &page.items[0].record.body else { unreachable!() };
    assert_eq!(act.action.as_str(), "sign:message");
    assert_eq!(event.target.as_ref().unwrap().as_str().len(), 64);
    block_on(w.kakunin.hold(&w.acme, &certificate.facts.serial)).unwrap();
    assert_eq!(block_on(w.kakunin.sign(&w.acme, &agent, b"x")).unwrap_err().code(), "agent_state");
}

#[test]
fn an_agent_with_a_key_of_its_own_asks_with_a_request_it_made() {
    let w = world();
    let own = LocalKeys::ephemeral();
    let spec = NewAgent::new("own", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.register(&w.acme, spec)).unwrap().id;
    for (n, algorithm) in
        [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048, KeyAlgorithm::Ed25519].iter().enumerate()
    {
        let planned = PlannedKeyId::new([u8::try_from(n).unwrap(); 16]);
        let signer = block_on(async { own.open(&own.generate(&planned, *algorithm).await?).await }).unwrap();
        let request = RequestToSign::new(signer.public_key());
        let signature = block_on(signer.sign(request.to_be_signed())).unwrap();
        let request = request.assemble(&signature);
        verified_by_openssl(&request);
        let source = KeySource::Request(&request);
        let certificate = block_on(w.kakunin.certify(&w.acme, &agent, Profile::Standard, source)).unwrap();
        let view = CertificateView::parse(&certificate.der, &oid::Arc::default()).unwrap();
        assert_eq!(view.spki, signer.public_key().as_der());
        assert_eq!(NameParts::read(view.subject).unwrap().common_name, Some("own"));
        assert_eq!(block_on(w.kakunin.sign(&w.acme, &agent, b"x")).unwrap_err().code(), "key_elsewhere");
        let revoked = w.kakunin.revoke(&w.acme, &certificate.facts.serial, Cause::OperatorInitiated);
        block_on(revoked).unwrap();
        w.reinstate(&agent);
    }
}

fn verified_by_openssl(request: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("csr");
    std::fs::write(&path, request).unwrap();
    let openssl = std::process::Command::new("openssl")
        .args(["req", "-inform", "DER", "-verify", "-noout", "-in"])
        .arg(&path)
        .output()
        .expect("openssl is installed by make setup");
    assert!(openssl.status.success(), "{}", String::from_utf8_lossy(&openssl.stderr));
}

#[test]
fn impersonation_alerts_once_a_day_and_moves_no_score() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let before = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap();
    let suspect = || block_on(w.kakunin.suspect_impersonation(&certificate.facts.serial)).unwrap();
    assert!(suspect());
    assert!((0..10_000).all(|_| !suspect()));
    let after = block_on(w.kakunin.risk(&w.acme, &agent)).unwrap();
    assert_eq!((after.score, after.evidence, after.days), (before.score, before.evidence, before.days));
    w.clock.set(NOW.plus(DAY));
    assert!(suspect());
    let inbox = block_on(w.kakunin.notifications(&w.acme, None, 9)).unwrap();
    let kinds: Vec<_> = inbox.iter().map(|(_, n)| n.kind).collect();
    assert_eq!(kinds, [NotificationKind::ImpersonationSuspected; 2]);
    let other = Serial::from_bytes([0x41; 16]).unwrap();
    assert_eq!(block_on(w.kakunin.suspect_impersonation(&other)).unwrap_err().code(), "not_found");
}

#[test]
fn lists_and_pages_give_everything_once() {
    let w = world();
    let ids: Vec<_> = (0..7).map(|n| w.agent(&format!("a{n}")).0).collect();
    block_on(w.kakunin.retire(&w.acme, &ids[3])).unwrap();
    let list = |state, offset, limit| block_on(w.kakunin.agents(&w.acme, state, offset, limit)).unwrap();
    assert_eq!((list(None, 0, 3).0.len(), list(None, 6, 3).0.len(), list(None, 9, 3).0.len()), (3, 1, 0));
    assert_eq!(list(Some(AgentState::Retired), 0, 9).0[0].id, ids[3]);
    assert_eq!(list(Some(AgentState::Active), 0, 1).1, 6);
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = block_on(w.kakunin.records(&w.acme, before, 4, |r| r.name() != "key.bound")).unwrap();
        seen.extend(page.items.iter().map(|r| r.index));
        let Some(next) = page.next else { break };
        before = Some(next);
    }
    let all = block_on(w.kakunin.entries(&w.acme, 0, 1_000)).unwrap();
    assert_eq!(seen.len(), all.len() - 7);
    assert!(seen.is_sorted_by(|a, b| a > b));
    assert!(block_on(w.kakunin.records(&w.acme, Some(0), 4, |_| true)).unwrap().items.is_empty());
}

#[test]
fn api_keys_end_when_they_should_and_survive_a_restart() {
    let w = world();
    let globex = "globex".parse().unwrap();
    block_on(w.kakunin.create_tenant(&globex)).unwrap();
    let make = |tenant, expires| {
        let label = "ci".parse().unwrap();
        block_on(w.kakunin.create_api_key(tenant, Role::Reporter, label, expires)).unwrap()
    };
    let (lasting, gone) = (make(&w.acme, None), make(&w.acme, None));
    let short = make(&globex, Some(NOW.plus(HOUR)));
    let who = |kakunin: &Kakunin, key: &str| kakunin.authenticate(key).map(|facts| facts.tenant.to_string());
    assert_eq!(who(&w.kakunin, lasting.1.reveal()).as_deref(), Some("acme"));
    assert_eq!(who(&w.kakunin, short.1.reveal()).as_deref(), Some("globex"));
    block_on(w.kakunin.revoke_api_key(&gone.0.id)).unwrap();
    assert_eq!(block_on(w.kakunin.revoke_api_key(&gone.0.id)).unwrap_err().code(), "not_found");
    w.clock.set(NOW.plus(HOUR + 1));
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    for kakunin in [&w.kakunin, &again] {
        assert_eq!(who(kakunin, lasting.1.reveal()).as_deref(), Some("acme"));
        assert_eq!((who(kakunin, gone.1.reveal()), who(kakunin, short.1.reveal())), (None, None));
        assert_eq!(kakunin.api_keys(Some(&w.acme)).len(), 1);
        // The right identifier with another secret.
        let mut forged = lasting.1.reveal().to_owned();
        forged.replace_range(60.., if forged.ends_with("AAAA") { "BBBBBBBBBBBBB" } else { "AAAAAAAAAAAAA" });
        assert_eq!(who(kakunin, &forged), None);
    }
    let nobody: TenantId = "nobody".parse().unwrap();
    let refused = block_on(w.kakunin.create_api_key(&nobody, Role::Reader, "x".parse().unwrap(), None));
    assert_eq!(refused.unwrap_err().code(), "not_found");
}

#[test]
fn a_crl_is_made_anew_when_something_was_revoked_and_not_before() {
    let w = world();
    let (_, certificate) = w.agent("one");
    let shard = Some(certificate.facts.shard);
    let crl = |shard| block_on(w.kakunin.published_crl(&w.kakunin.issuer().id(), shard)).unwrap();
    let (first, full) = (crl(shard), crl(None));
    assert_eq!(crl(shard), first);
    let revoked = w.kakunin.revoke(&w.acme, &certificate.facts.serial, Cause::KeyCompromise);
    block_on(revoked).unwrap();
    let second = crl(shard);
    assert!(second.number > first.number && second.der.len() > first.der.len());
    assert!(crl(None).number > full.number && crl(shard) == second, "a small full one is not behind");
    // What is revoked in another shard is no reason to sign this one again.
    let elsewhere = loop {
        let (_, other) = w.agent("other");
        if Some(other.facts.shard) != shard {
            break other.facts.serial;
        }
    };
    let revoked = w.kakunin.revoke(&w.acme, &elsewhere, Cause::KeyCompromise);
    block_on(revoked).unwrap();
    assert_eq!(crl(shard).der, second.der);
    w.clock.set(NOW.plus(HOUR / 2));
    assert!(crl(shard).number > second.number, "renewed well before its end");
}
