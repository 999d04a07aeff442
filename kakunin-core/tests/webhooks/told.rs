//! What is told, in which form.

use kakunin_core::agent::Note;
use kakunin_core::event::Event;
use kakunin_core::issue::Profile;
use kakunin_core::policy::{BreakerPolicy, Policy};
use kakunin_core::revoke::Cause;
use kakunin_core::risk::Score;
use kakunin_core::service::Replaces;
use kakunin_core::webhook::{Scheme, WebhookEvent, verify};
use pollster::block_on;
use serde_json::{Value, json};
use std::future::pending;

use crate::common::{MODEL, NOW, P256};
use crate::world::{OTHER, URL, new, world};

#[test]
fn what_happens_is_told_in_order_with_where_it_is_on_record() {
    let w = world();
    let (facts, secret) = w.endpoint(URL);
    let (agent, serial) = w.agent("desk-7");
    let model = MODEL.parse().unwrap();
    let second = block_on(w.acme.renew(&agent, &model, Profile::Standard, P256)).unwrap().facts.serial;
    assert_ne!(serial, second);
    block_on(w.acme.hold(&second)).unwrap();
    block_on(w.acme.release(&second)).unwrap();
    block_on(w.acme.halt(&agent, Cause::RegulatoryOrder, Some(Note::try_from("enough".to_owned()).unwrap())))
        .unwrap();
    let (other, _) = w.agent("desk-8");
    block_on(w.acme.retire(&other)).unwrap();
    w.deliver();
    let got = w.receivers.got(URL);
    let kinds: Vec<_> =
        got.iter().filter(|got| got.agent() == agent.to_string()).map(|got| got.kind()).collect();
    assert_eq!(kinds[..2], ["certificate.issued", "certificate.renewed"]);
    for kind in ["agent.held", "agent.released", "agent.halted", "certificate.revoked"] {
        assert!(kinds.iter().any(|k| k == kind), "{kind} of {kinds:?}");
    }
    let retired: Vec<_> =
        got.iter().filter(|got| got.agent() == other.to_string()).map(|got| got.kind()).collect();
    assert!(retired.contains(&"agent.retired".to_owned()), "{retired:?}");
    for one in &got {
        let field = |name: &str| one.fields[name].as_str();
        let (id, at, signature) =
            (field("webhook-id"), field("webhook-timestamp"), field("webhook-signature"));
        verify(&secret, id, at, signature, &one.body, NOW).unwrap();
        let body = one.json();
        let index = body["data"]["log_index"].as_u64().unwrap();
        assert!(id.ends_with(&format!("_{index}")) && id.starts_with("msg_") && !id.contains('.'));
        assert_eq!(body["timestamp"], NOW.to_string());
        let proof = format!("http://agents.example/api/v1/audit-log?before={}&limit=1", index + 1);
        assert_eq!((&body["data"]["proof"], &body["data"]["tenant_id"]), (&json!(proof), &json!("acme")));
        let page = block_on(w.acme.records(Some(index + 1), 1, |_| true)).unwrap();
        let record = &page.items[0].record;
        assert_eq!(record.agent.map(|agent| agent.to_string()), Some(one.agent()));
        assert!(one.body.len() < 20_000);
    }
    let halted = got.iter().find(|got| got.kind() == "agent.halted").unwrap().json();
    assert_eq!(halted["data"]["cause"], "regulatory_order");
    let mut revoked = got.iter().filter(|got| got.kind() == "certificate.revoked");
    let revoked = revoked.find(|got| got.agent() == agent.to_string()).unwrap().json();
    assert_eq!(
        (&revoked["data"]["reason_code"], &revoked["data"]["cause"]),
        (&json!(9), &json!("regulatory_order"))
    );
    // Once each, and known as delivered.
    w.deliver();
    assert_eq!(w.receivers.got(URL).len(), got.len());
    let kept = w.deliveries(&facts.id);
    assert_eq!(kept.len(), got.len());
    assert!(
        kept.iter()
            .all(|(_, one)| one.state.as_str() == "delivered" && one.count == 1 && one.answer == "so it is")
    );
    assert!(kept.is_sorted_by_key(|(_, one)| std::cmp::Reverse(one.index)), "newest first");
}

#[test]
fn an_endpoint_is_told_what_it_asked_for_from_its_beginning_on_and_nothing_of_other_tenants() {
    let w = world();
    let (_, early) = w.agent("early");
    let revoked = [WebhookEvent::CertificateRevoked];
    block_on(w.acme.create_webhook(new(URL, &revoked, Scheme::Standard))).unwrap();
    let zeta = block_on(w.kakunin.create_tenant(&"zeta".parse().unwrap())).unwrap();
    block_on(zeta.create_webhook(new(OTHER, &revoked, Scheme::Standard))).unwrap();
    let (agent, serial) = w.agent("late");
    block_on(w.acme.revoke(&serial, Cause::KeyCompromise)).unwrap();
    block_on(w.acme.revoke(&early, Cause::OperatorInitiated)).unwrap();
    w.deliver();
    let got = w.receivers.got(URL);
    assert_eq!(
        got.iter().map(|got| got.kind()).collect::<Vec<_>>(),
        ["certificate.revoked", "certificate.revoked"]
    );
    assert!(got.iter().any(|got| got.agent() == agent.to_string()));
    assert!(w.receivers.got(OTHER).is_empty());
    // A restart tells nothing again.
    let w = w.restarted();
    w.deliver();
    assert_eq!(w.receivers.got(URL).len(), 2);
}

#[test]
fn the_vendors_receivers_get_its_own_words() {
    let w = world();
    for (scheme, at) in [(Scheme::VendorServer, "s"), (Scheme::VendorSdk, "k"), (Scheme::VendorDocs, "d")] {
        let url = format!("https://hooks.example/{at}");
        block_on(w.acme.create_webhook(new(&url, &[WebhookEvent::CertificateRevoked], scheme))).unwrap();
    }
    let (agent, serial) = w.agent("desk-7");
    block_on(w.acme.revoke(&serial, Cause::KeyCompromise)).unwrap();
    w.deliver();
    let data = json!({
        "certificate_id": serial, "agent_id": agent, "serial_number": serial, "reason": "key_compromise",
        "revoked_at": NOW.to_string(),
    });
    for at in ["s", "k"] {
        let got = w.receivers.got(&format!("https://hooks.example/{at}")).remove(0);
        assert_eq!(got.json(), json!({ "event": "certificate.revoked", "data": data }));
        assert!(got.body.starts_with(br#"{"event":"certificate.revoked","data":{"#));
        assert_eq!(got.fields["x-kakunin-event"], "certificate.revoked");
    }
    let got = w.receivers.got("https://hooks.example/d").remove(0);
    let id = got.fields["x-kakunin-delivery-id"].clone();
    let body =
        json!({ "id": id, "event": "certificate.revoked", "created_at": NOW.to_string(), "data": data });
    assert_eq!(got.json(), body);
}

#[test]
fn a_ping_says_what_came_of_it_and_is_no_delivery() {
    let w = world();
    let (facts, secret) = w.endpoint(URL);
    let pinged = block_on(w.acme.ping_webhook(&facts.id, pending())).unwrap();
    assert!(pinged.delivered && pinged.attempt.status == Some(204) && pinged.answer == "so it is");
    let got = w.receivers.got(URL).remove(0);
    assert_eq!((got.kind().as_str(), got.id()), ("ping", pinged.id));
    let field = |name: &str| got.fields[name].as_str();
    verify(
        &secret,
        field("webhook-id"),
        field("webhook-timestamp"),
        field("webhook-signature"),
        &got.body,
        NOW,
    )
    .unwrap();
    assert_eq!(got.json()["data"]["webhook_id"], Value::String(facts.id.to_string()));
    w.receivers.set(URL, crate::world::Does::Says(500));
    let failed = block_on(w.acme.ping_webhook(&facts.id, pending())).unwrap();
    assert!(!failed.delivered && failed.attempt.status == Some(500));
    assert!(w.deliveries(&facts.id).is_empty());
}

#[test]
fn what_agents_do_and_what_tenants_decide_is_told_with_the_evidence() {
    let w = world();
    w.endpoint(URL);
    let before = block_on(w.acme.policy()).unwrap();
    // One loss an hour; the next is a hold.
    let breaker = BreakerPolicy { revocations: 1, share: Score::default(), ..BreakerPolicy::default() };
    let policy = Policy { breaker: Some(breaker), ..(*before.policy).clone() };
    block_on(w.acme.set_policy(policy, Replaces::Since(before.since), None)).unwrap();
    let agents = [w.agent("first").1, w.agent("second").1];
    for serial in agents {
        let mut acts = (0..500).map(|_| {
            let refused = Event::refused(serial, "delete:vault".parse().unwrap());
            block_on(w.acme.observe(refused)).unwrap()
        });
        assert!(acts.any(|seen| seen.revoked || seen.held));
    }
    w.deliver();
    let of = |kind: &str| {
        let got = w.receivers.got(URL).into_iter().filter(|got| got.kind() == kind);
        got.map(|got| got.json()["data"].clone()).collect::<Vec<_>>()
    };
    let (changed, tripped) = (of("policy.changed"), of("breaker.tripped"));
    assert_eq!((changed.len(), &changed[0]["after"]["breaker"]["revocations"]), (1, &json!(1)));
    assert!(changed[0]["agent_id"].is_null() && changed[0]["log_index"].is_u64());
    assert_eq!((tripped.len(), tripped[0]["in_common"].is_object()), (1, true));
    let (alerts, revoked, held) = (of("risk.alert"), of("certificate.revoked"), of("agent.held"));
    assert_eq!((alerts.len(), revoked.len(), held.len()), (2, 1, 1));
    for data in [&alerts[0], &alerts[1], &revoked[0], &held[0]] {
        let (score, threshold) = (data["score"].as_f64().unwrap(), data["threshold"].as_f64().unwrap());
        assert!(score >= threshold && score <= 1.0, "{data}");
        assert!(data["evidence"][0]["family"].is_string() && data["event_index"].is_u64(), "{data}");
    }
    assert_eq!(revoked[0]["cause"], "risk_threshold_exceeded");
    assert_eq!((&alerts[0]["band"], alerts[0]["previous_band"].is_string()), (&json!("revoke"), true));
}
