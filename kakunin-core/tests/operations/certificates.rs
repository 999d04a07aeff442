//! Certificates: what they take from the agent, and what is made for them.

use kakunin_core::agent::{AgentChange, AgentState, Document, NewAgent};
use kakunin_core::event::{Event, Outcome};
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::scope::ScopeSet;
use kakunin_core::service::{EventStatus, KeySource};
use kakunin_core::time::HOUR;
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::csr::RequestToSign;
use kakunin_core::x509::name::NameParts;
use kakunin_core::x509::oid;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, NOW, P256};
use crate::world::{deployment_meanwhile, let_happen, world};

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
    let scope_now = Some(set("delete:accounts"));
    let change = AgentChange { scope: scope_now, constraints: Some(Some(pinned)), ..AgentChange::default() };
    let changed = block_on(w.kakunin.tenant(&w.acme).update(&agent, change));
    assert_eq!(changed.unwrap().spec.scope, set("delete:accounts"));
    let found = block_on(w.kakunin.find(&first.facts.serial)).unwrap();
    assert_eq!((scope(&found.der).scope, found.constraints), (set("read:accounts"), None));
    let renew = |model: &str, profile| {
        block_on(w.kakunin.tenant(&w.acme).renew(&agent, &model.parse().unwrap(), profile, P256))
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
        block_on(w.kakunin.tenant(&w.acme).observe(event)).unwrap().status
    };
    // The old one stands until the new one is used.
    assert_eq!((seen(first.facts.serial), w.reason(&first.facts.serial)), (EventStatus::Scored, None));
    assert_eq!(seen(second.facts.serial), EventStatus::Scored);
    assert_eq!(w.reason(&first.facts.serial), Some(Reason::Superseded));
    let late = seen(first.facts.serial);
    assert_eq!(late, EventStatus::Scored, "renewal is no way out of what was done before");
    let all = block_on(w.kakunin.tenant(&w.acme).certificates(&agent)).unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].profile, Profile::HighRisk);
    assert!(all[0].revocation.is_some_and(|r| r.cause == Cause::Superseded));
    assert!(
        block_on(w.kakunin.tenant(&w.acme).notifications(None, 9)).unwrap().is_empty(),
        "renewal alarms nobody"
    );
}

#[test]
fn renewal_keeps_the_evidence_and_is_not_for_the_suspended() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    for n in 0..6 {
        let mut event = Event::refused(certificate.facts.serial, "delete:x".parse().unwrap());
        event.target = Some(format!("t{n}").parse().unwrap());
        block_on(w.kakunin.tenant(&w.acme).observe(event)).unwrap();
    }
    let before = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap();
    assert!(before.score.millionths() > 0 && !before.evidence.is_empty() && before.days[0].out_of_scope == 6);
    let model = MODEL.parse().unwrap();
    let renewed = block_on(w.kakunin.tenant(&w.acme).renew(&agent, &model, Profile::Standard, P256)).unwrap();
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap().score, before.score);
    block_on(w.kakunin.tenant(&w.acme).hold(&renewed.facts.serial)).unwrap();
    let held = block_on(w.kakunin.tenant(&w.acme).renew(&agent, &model, Profile::Standard, P256));
    assert_eq!(held.unwrap_err().code(), "agent_state");
}

#[test]
fn the_document_that_is_kept_is_the_one_that_is_pinned() {
    // The issuing CA's key is slow, and the constraints change while it signs.
    let (kakunin, _, acme, meanwhile) = deployment_meanwhile(false);
    let document = |text: &str| Document::try_from(text.to_owned()).unwrap();
    let mut spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    spec.constraints = Some(document("{\"daily_limit_usd\":1}"));
    let agent = block_on(kakunin.tenant(&acme).register(spec)).unwrap().id;
    let (changing, tenant, later) = (kakunin.clone(), acme.clone(), document("{\"daily_limit_usd\":2}"));
    let_happen(&meanwhile.signed, move || {
        let change = AgentChange { constraints: Some(Some(later)), ..AgentChange::default() };
        block_on(changing.tenant(&tenant).update(&agent, change)).unwrap();
    });
    let issued = block_on(kakunin.tenant(&acme).certify(&agent, Profile::Standard, P256)).unwrap();
    let found = block_on(kakunin.find(&issued.facts.serial)).unwrap();
    let view = CertificateView::parse(&found.der, &oid::Arc::default()).unwrap();
    let pinned = view.extensions.agent.to_owned().unwrap().constraints;
    assert_eq!(found.constraints.map(|document| document.sha256()), pinned);
}

#[test]
fn an_agent_with_a_key_of_its_own_asks_with_a_request_it_made() {
    let w = world();
    let own = LocalKeys::ephemeral();
    let spec = NewAgent::new("own", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.tenant(&w.acme).register(spec)).unwrap().id;
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
        let certificate =
            block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, source)).unwrap();
        let view = CertificateView::parse(&certificate.der, &oid::Arc::default()).unwrap();
        assert_eq!(view.spki, signer.public_key().as_der());
        assert_eq!(NameParts::read(view.subject).unwrap().common_name, Some("own"));
        assert_eq!(
            block_on(w.kakunin.tenant(&w.acme).sign(&agent, b"x")).unwrap_err().code(),
            "key_elsewhere"
        );
        let tenant = w.kakunin.tenant(&w.acme);
        let revoked = tenant.revoke(&certificate.facts.serial, Cause::OperatorInitiated);
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
fn a_crl_is_made_anew_when_something_was_revoked_and_not_before() {
    let w = world();
    let (_, certificate) = w.agent("one");
    let shard = Some(certificate.facts.shard);
    let crl = |shard| block_on(w.kakunin.published_crl(&w.kakunin.issuer().id(), shard)).unwrap();
    let (first, full) = (crl(shard), crl(None));
    assert_eq!(crl(shard), first);
    let tenant = w.kakunin.tenant(&w.acme);
    let revoked = tenant.revoke(&certificate.facts.serial, Cause::KeyCompromise);
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
    let tenant = w.kakunin.tenant(&w.acme);
    let revoked = tenant.revoke(&elsewhere, Cause::KeyCompromise);
    block_on(revoked).unwrap();
    assert_eq!(crl(shard).der, second.der);
    w.clock.set(NOW.plus(HOUR / 2));
    assert!(crl(shard).number > second.number, "renewed well before its end");
}
