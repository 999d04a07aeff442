//! Endpoints as they are ordered, and what is refused.

use kakunin_core::log::record::{Body, Control};
use kakunin_core::service::{Parts, WebhookChange};
use kakunin_core::store::MemoryStore;
use kakunin_core::webhook::{Disabled, MAX_WEBHOOKS, Scheme, WebhookEvent, WebhookUrl};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;
use std::future::pending;

use crate::common::{config, deployment};
use crate::world::{OTHER, URL, all_events, new, world};

#[test]
fn what_is_ordered_is_on_record_with_who_and_comes_back_after_a_restart() {
    let w = world();
    let acting = w.kakunin.acting_as("key:somebody".to_owned().try_into().unwrap()).tenant(w.acme.id());
    let events = [WebhookEvent::RiskAlert, WebhookEvent::CertificateRevoked, WebhookEvent::RiskAlert];
    let (facts, _) = block_on(acting.create_webhook(new(URL, &events, Scheme::Standard))).unwrap();
    assert_eq!(facts.events, [WebhookEvent::CertificateRevoked, WebhookEvent::RiskAlert]);
    let off = WebhookChange {
        active: Some(false),
        url: Some(WebhookUrl::parse(OTHER).unwrap()),
        ..WebhookChange::default()
    };
    let changed = block_on(acting.change_webhook(&facts.id, off.clone())).unwrap();
    assert_eq!((changed.disabled, changed.url.as_str()), (Some(Disabled::Ordered), OTHER));
    assert_eq!(
        block_on(acting.change_webhook(&facts.id, off)).unwrap(),
        changed,
        "nothing new is not recorded"
    );
    let page = block_on(w.acme.records(None, 10, |record| record.name().starts_with("webhook."))).unwrap();
    let names: Vec<_> = page.items.iter().rev().map(|item| item.record.name()).collect();
    assert_eq!(names, ["webhook.created", "webhook.changed"]);
    for item in &page.items {
        assert_eq!(item.record.by.as_ref().unwrap().as_str(), "key:somebody");
        let Body::Control(control) = &item.record.body else { panic!("{item:?}") };
        let (Control::WebhookCreated(of) | Control::WebhookChanged(of)) = &**control else {
            panic!("{control:?}")
        };
        assert_eq!(of.id, facts.id);
    }
    let w = w.restarted();
    assert_eq!(*w.facts(&facts.id), changed);
    // Rows that are gone are made anew from the log.
    let log = kakunin_core::log::entry::LogId::Tenant(w.acme.id().clone());
    let row = kakunin_core::store::state::Change {
        kind: kakunin_core::store::state::Kind::Webhook,
        key: facts.id.as_bytes().to_vec(),
        value: None,
    };
    block_on(w.parts.state.put(&log, &[row])).unwrap();
    let w = w.restarted();
    assert_eq!(*w.facts(&facts.id), changed);
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing_behind() {
    let w = world();
    let refused = |url: &str, events: &[WebhookEvent]| {
        block_on(w.acme.create_webhook(new(url, events, Scheme::Standard))).unwrap_err().code()
    };
    assert_eq!(refused(URL, &[]), "webhook_events_invalid");
    assert_eq!(refused(URL, &[WebhookEvent::Ping]), "webhook_events_invalid");
    assert_eq!(refused("http://hooks.example/", &all_events()), "webhook_url_insecure");
    for barred in
        ["https://127.0.0.1/", "https://169.254.169.254/", "https://[::1]/", "https://[::ffff:10.0.0.1]/"]
    {
        assert_eq!(refused(barred, &all_events()), "webhook_address_barred", "{barred}");
    }
    let (facts, _) = w.endpoint(URL);
    let barred = WebhookChange {
        url: Some(WebhookUrl::parse("https://10.0.0.1/").unwrap()),
        ..WebhookChange::default()
    };
    assert_eq!(
        block_on(w.acme.change_webhook(&facts.id, barred)).unwrap_err().code(),
        "webhook_address_barred"
    );
    for _ in 1..MAX_WEBHOOKS {
        w.endpoint(URL);
    }
    assert_eq!(refused(URL, &all_events()), "too_many_webhooks");
    assert_eq!(block_on(w.parts.vault().list(b"webhook/", 1_000)).unwrap().len(), MAX_WEBHOOKS);
    // Another tenant's does not exist.
    let zeta = block_on(w.kakunin.create_tenant(&"zeta".parse().unwrap())).unwrap();
    for code in [
        block_on(zeta.webhook(&facts.id)).unwrap_err().code(),
        block_on(zeta.ping_webhook(&facts.id, pending())).unwrap_err().code(),
        block_on(zeta.rotate_webhook(&facts.id, 0)).unwrap_err().code(),
        block_on(zeta.delete_webhook(&facts.id)).unwrap_err().code(),
        block_on(zeta.deliveries(&facts.id, None, 1)).unwrap_err().code(),
        block_on(zeta.change_webhook(&facts.id, WebhookChange::default())).unwrap_err().code(),
    ] {
        assert_eq!(code, "not_found");
    }
    assert!(block_on(zeta.webhooks()).unwrap().is_empty());
}

#[test]
fn without_a_transport_there_are_none() {
    let parts = Parts::new(MemoryStore::new(), std::sync::Arc::new(LocalKeys::ephemeral()));
    let (kakunin, acme) = deployment(config(), &parts);
    let refused = block_on(kakunin.tenant(&acme).create_webhook(new(URL, &all_events(), Scheme::Standard)));
    assert_eq!(refused.unwrap_err().code(), "webhooks_unavailable");
    block_on(kakunin.deliver_due()).unwrap();
}
