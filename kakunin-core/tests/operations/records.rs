//! What is on record, listed and alerted of.

use kakunin_core::access::Role;
use kakunin_core::agent::AgentState;
use kakunin_core::crypto::PublicKey;
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::key::Spki;
use kakunin_core::log::record::Body;
use kakunin_core::service::{Kakunin, NotificationKind};
use kakunin_core::time::{DAY, HOUR};
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::oid;
use pollster::block_on;

use crate::common::{NOW, config};
use crate::world::world;

#[test]
fn a_message_is_signed_by_the_agents_key_and_the_act_is_on_record() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let signed = block_on(w.kakunin.tenant(&w.acme).sign(&agent, b"pay 5")).unwrap();
    let view = CertificateView::parse(&certificate.der, &oid::Arc::default()).unwrap();
    let key = PublicKey::parse(&Spki::from_der(view.spki).unwrap()).unwrap();
    key.verify(b"pay 5", signed.signature.as_bytes()).unwrap();
    let page = block_on(w.kakunin.tenant(&w.acme).records(None, 1, |_| true)).unwrap();
    let Body::Event(act, Some(event)) = &page.items[0].record.body else { unreachable!() };
    assert_eq!(act.action.as_str(), "sign:message");
    assert_eq!(event.target.as_ref().unwrap().as_str().len(), 64);
    block_on(w.kakunin.tenant(&w.acme).hold(&certificate.facts.serial)).unwrap();
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).sign(&agent, b"x")).unwrap_err().code(), "agent_state");
}

#[test]
fn impersonation_alerts_once_a_day_and_moves_no_score() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let before = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap();
    let suspect = || block_on(w.kakunin.suspect_impersonation(&certificate.facts.serial)).unwrap();
    assert!(suspect());
    assert!((0..10_000).all(|_| !suspect()));
    let after = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap();
    assert_eq!((after.score, after.evidence, after.days), (before.score, before.evidence, before.days));
    w.clock.set(NOW.plus(DAY));
    assert!(suspect());
    let inbox = block_on(w.kakunin.tenant(&w.acme).notifications(None, 9)).unwrap();
    let kinds: Vec<_> = inbox.iter().map(|(_, n)| n.kind).collect();
    assert_eq!(kinds, [NotificationKind::ImpersonationSuspected; 2]);
    let other = Serial::from_bytes([0x41; 16]).unwrap();
    assert_eq!(block_on(w.kakunin.suspect_impersonation(&other)).unwrap_err().code(), "not_found");
}

#[test]
fn lists_and_pages_give_everything_once() {
    let w = world();
    let ids: Vec<_> = (0..7).map(|n| w.agent(&format!("a{n}")).0).collect();
    block_on(w.kakunin.tenant(&w.acme).retire(&ids[3])).unwrap();
    let list =
        |state, offset, limit| block_on(w.kakunin.tenant(&w.acme).agents(state, offset, limit)).unwrap();
    assert_eq!((list(None, 0, 3).0.len(), list(None, 6, 3).0.len(), list(None, 9, 3).0.len()), (3, 1, 0));
    assert_eq!(list(Some(AgentState::Retired), 0, 9).0[0].id, ids[3]);
    assert_eq!(list(Some(AgentState::Active), 0, 1).1, 6);
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page =
            block_on(w.kakunin.tenant(&w.acme).records(before, 4, |r| r.name() != "key.bound")).unwrap();
        seen.extend(page.items.iter().map(|r| r.index));
        let Some(next) = page.next else { break };
        before = Some(next);
    }
    let all = block_on(w.kakunin.tenant(&w.acme).entries(0, 1_000)).unwrap();
    assert_eq!(seen.len(), all.len() - 7);
    assert!(seen.is_sorted_by(|a, b| a > b));
    assert!(block_on(w.kakunin.tenant(&w.acme).records(Some(0), 4, |_| true)).unwrap().items.is_empty());
}

#[test]
fn api_keys_end_when_they_should_and_survive_a_restart() {
    let w = world();
    let globex = "globex".parse().unwrap();
    block_on(w.kakunin.create_tenant(&globex)).unwrap();
    let make = |tenant, expires| {
        let label = "ci".parse().unwrap();
        block_on(w.kakunin.tenant(tenant).create_api_key(Role::Reporter, label, expires)).unwrap()
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
    let refused =
        block_on(w.kakunin.tenant(&nobody).create_api_key(Role::Reader, "x".parse().unwrap(), None));
    assert_eq!(refused.unwrap_err().code(), "not_found");
}
