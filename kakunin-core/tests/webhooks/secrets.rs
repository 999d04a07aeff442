//! Secrets: shown once, encrypted where they lie, replaced with an overlap, gone with their endpoint.

use kakunin_core::log::entry::LogId;
use kakunin_core::store::state::Kind;
use kakunin_core::time::{DAY, HOUR, SECOND};
use kakunin_core::webhook::{Scheme, SignatureError, WebhookSecret, verify};
use pollster::block_on;

use crate::world::{Got, URL, World, all_events, new, world};

fn check(w: &World, got: &Got, secret: &WebhookSecret) -> Result<(), SignatureError> {
    let field = |name: &str| got.fields[name].as_str();
    let now = w.parts.clock.now();
    verify(
        secret,
        field("webhook-id"),
        field("webhook-timestamp"),
        field("webhook-signature"),
        &got.body,
        now,
    )
}

fn in_vault(w: &World) -> Vec<(Vec<u8>, Vec<u8>)> {
    block_on(w.parts.vault().list(b"webhook/", 1_000)).unwrap()
}

#[test]
fn both_secrets_sign_while_one_is_replaced_and_then_the_new_one_alone() {
    let w = world();
    let (facts, first) = w.endpoint(URL);
    let (_, second) = block_on(w.acme.rotate_webhook(&facts.id, DAY)).unwrap();
    assert_ne!(first, second);
    w.agent("one");
    w.deliver();
    let got = w.receivers.got(URL).pop().unwrap();
    assert_eq!((check(&w, &got, &first), check(&w, &got, &second)), (Ok(()), Ok(())));
    let w = w.restarted();
    w.at(DAY + SECOND);
    w.agent("two");
    w.deliver();
    let got = w.receivers.got(URL).pop().unwrap();
    assert_eq!(check(&w, &got, &second), Ok(()));
    assert_eq!(check(&w, &got, &first), Err(SignatureError::Signature));
    // Three in a row: the last two sign, and no other is kept.
    let (_, third) = block_on(w.acme.rotate_webhook(&facts.id, HOUR)).unwrap();
    let (_, fourth) = block_on(w.acme.rotate_webhook(&facts.id, HOUR)).unwrap();
    w.agent("three");
    w.deliver();
    let got = w.receivers.got(URL).pop().unwrap();
    assert_eq!((check(&w, &got, &third), check(&w, &got, &fourth)), (Ok(()), Ok(())));
    assert_eq!(check(&w, &got, &second), Err(SignatureError::Signature));
    assert_eq!(in_vault(&w).len(), 2);
    assert_eq!(w.facts(&facts.id).secret.hint, fourth.hint());
}

#[test]
fn a_scheme_with_room_for_one_signature_changes_at_once() {
    let w = world();
    let made = block_on(w.acme.create_webhook(new(URL, &all_events(), Scheme::VendorSdk))).unwrap();
    let (facts, _) = block_on(w.acme.rotate_webhook(&made.0.id, DAY)).unwrap();
    assert_eq!(facts.former_at(w.parts.clock.now()), None);
}

#[test]
fn no_secret_lies_anywhere_in_the_clear_and_none_is_left_behind() {
    let w = world();
    let (facts, secret) = w.endpoint(URL);
    let kept = in_vault(&w);
    let text = secret.reveal().as_bytes();
    assert!(kept.len() == 1 && !kept[0].1.windows(12).any(|part| text.windows(12).any(|of| of == part)));
    let log = LogId::Tenant("acme".parse().unwrap());
    for entry in block_on(w.acme.entries(0, 100)).unwrap() {
        let payload = String::from_utf8_lossy(&entry.payload.unwrap().octets).into_owned();
        assert!(!payload.contains("whsec_"), "{payload}");
    }
    for kind in Kind::ALL {
        for (_, value) in block_on(w.parts.state.scan(&log, kind, None, 1_000)).unwrap() {
            assert!(!String::from_utf8_lossy(&value).contains("whsec_"));
        }
    }
    w.receivers.set(URL, crate::world::Does::Fails);
    w.agent("desk-7");
    w.deliver();
    assert!(!w.deliveries(&facts.id).is_empty());
    block_on(w.acme.delete_webhook(&facts.id)).unwrap();
    assert!(in_vault(&w).is_empty());
    assert!(block_on(w.parts.state.scan(&log, Kind::Delivery, None, 10)).unwrap().is_empty());
    let cursors = block_on(w.parts.state.scan(&log, Kind::Cursor, None, 100)).unwrap();
    assert!(!cursors.iter().any(|(key, _)| key.starts_with(b"webhook/")));
    let tried = w.receivers.got(URL).len();
    w.at(DAY);
    w.deliver();
    assert_eq!(w.receivers.got(URL).len(), tried);
    assert_eq!(block_on(w.acme.webhook(&facts.id)).unwrap_err().code(), "not_found");
}

#[test]
fn a_secret_that_somebody_exchanged_signs_nothing() {
    let w = world();
    let (one, _) = w.endpoint(URL);
    let (two, _) = w.endpoint(crate::world::OTHER);
    let [first, second] = in_vault(&w).try_into().unwrap();
    // The other's, under this name.
    block_on(w.parts.vault().put(&first.0, &second.1)).unwrap();
    w.agent("desk-7");
    let refused = block_on(w.kakunin.deliver_due()).unwrap_err();
    assert_eq!(refused.code(), "storage_corrupt", "{refused}");
    let got = w.receivers.got(URL).len() + w.receivers.got(crate::world::OTHER).len();
    assert_eq!(got, 1, "the other one is told all the same");
    for id in [one.id, two.id] {
        block_on(w.acme.rotate_webhook(&id, 0)).unwrap();
    }
    w.at(SECOND);
    w.deliver();
    assert_eq!((w.receivers.got(URL).len(), w.receivers.got(crate::world::OTHER).len()), (1, 1));
}
