//! What events hold beside their leaves is encrypted, and erased on the record; the log stays what it is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "sqlite")]
mod copies;
mod faults;
mod random;
mod reads;
mod world;

use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::merkle::{Frontier, leaf_hash};
use kakunin_core::log::note::VerifierKey;
use kakunin_core::log::record::{Body, Control};
use kakunin_core::service::EventStatus;
use pollster::block_on;

use world::{at, event, month, world};

#[test]
fn what_was_erased_is_gone_and_what_came_after_it_is_not() {
    let w = world();
    let ((one, serial), (_, other)) = (w.agent("one"), w.agent("other"));
    let (first, theirs) = (w.does(&serial, 1), w.does(&other, 2));
    w.clock.set(at("2026-12-02"));
    let second = w.does(&serial, 3);
    for (index, number) in [(first, 1), (theirs, 2), (second, 3)] {
        w.is_there(index, number);
    }
    assert_eq!(w.safe.keys().len(), 3, "one for each agent and month");
    let erased = w.erase(&one, "2026-11", "2026-11").unwrap();
    assert!(erased.destroyed);
    w.is_erased(first, erased.record);
    w.is_there(theirs, 2);
    w.is_there(second, 3);
    let Body::Control(control) = w.record(erased.record).record.body else { panic!("no such record") };
    let Control::PayloadErased { from, to, reason } = *control else { panic!("{control:?}") };
    assert_eq!(
        (from, to, reason.as_str()),
        (month("2026-11"), month("2026-11"), "GDPR Art. 17, ticket 4711")
    );
    // This month, and what comes to it afterwards.
    let now = w.erase(&one, "2026-10", "2026-12").unwrap();
    let third = w.does(&serial, 4);
    w.is_erased(first, now.record);
    w.is_erased(second, now.record);
    w.is_there(third, 4);
    assert_eq!(w.safe.keys().len(), 2, "{:?}", w.safe.keys());
    assert_eq!(w.damage(), Vec::<String>::new());
}

#[test]
fn the_same_again_is_the_same_unless_something_came() {
    let w = world();
    let (one, serial) = w.agent("one");
    w.does(&serial, 1);
    let erased = w.erase(&one, "2026-11", "2026-11").unwrap();
    assert_eq!(w.erase(&one, "2026-11", "2026-11").unwrap(), erased);
    let later = w.does(&serial, 2);
    let again = w.erase(&one, "2026-11", "2026-11").unwrap();
    assert!(again.record > later);
    w.is_erased(later, again.record);
    // Nothing comes to a month that is over.
    w.clock.set(at("2026-12-02"));
    w.does(&serial, 3);
    let december = w.erase(&one, "2026-11", "2026-11").unwrap();
    assert!(december.record > again.record, "more may have come to it since");
    w.does(&serial, 4);
    assert_eq!(w.erase(&one, "2026-11", "2026-11").unwrap(), december);
    let refused = |from, to| w.erase(&one, from, to).unwrap_err().code();
    assert_eq!([refused("2026-12", "2026-11"), refused("2026-12", "2027-01")], ["erasure_months"; 2]);
    let nobody = kakunin_core::id::AgentId::from_bytes([9; 16]);
    assert_eq!(w.erase(&nobody, "2026-11", "2026-11").unwrap_err().code(), "not_found");
    let blank = block_on(w.kakunin.tenant(&w.acme).erase(
        &one,
        month("2026-11"),
        month("2026-11"),
        " ".to_owned().try_into().unwrap(),
    ));
    assert!(blank.is_err());
}

#[test]
fn the_log_and_its_proofs_stay_what_they_were() {
    let w = world();
    let (one, serial) = w.agent("one");
    (0..20).for_each(|number| _ = w.does(&serial, number));
    let tenant = w.kakunin.tenant(&w.acme);
    let entries = || block_on(tenant.entries(0, 10_000)).unwrap();
    let key = VerifierKey::parse(&block_on(tenant.log_verifier()).unwrap()).unwrap();
    let signed = || Checkpoint::open(&block_on(tenant.checkpoint()).unwrap().unwrap(), &key).unwrap();
    let root = |size: u64| {
        let mut frontier = Frontier::default();
        let leaves = entries().into_iter().take(size.try_into().unwrap());
        leaves.for_each(|entry| frontier.push(leaf_hash(&entry.leaf)));
        frontier.root()
    };
    let (before, leaves) = (signed(), entries());
    let erased = w.erase(&one, "2026-11", "2026-11").unwrap();
    assert_eq!(root(before.size), before.root, "what was signed before");
    let after = signed();
    assert_eq!((after.size, after.root), (before.size + 1, root(before.size + 1)));
    assert!(entries().iter().zip(&leaves).all(|(now, then)| now.leaf == then.leaf));
    let gone = entries().iter().filter(|entry| entry.payload.is_none()).count();
    assert_eq!((gone, after.size), (20, erased.record + 1));
    // Whoever looks at everything finds nothing wrong.
    for _ in 0..10 {
        block_on(w.kakunin.tend()).unwrap();
    }
    assert_eq!(w.damage(), Vec::<String>::new());
}

#[test]
fn a_replay_comes_to_the_same_state_whether_payloads_are_there_or_not() {
    let mut w = world();
    let ((one, serial), (other, theirs)) = (w.agent("one"), w.agent("other"));
    for number in 0..40 {
        w.does(if number % 3 == 0 { &theirs } else { &serial }, number);
    }
    let score = |w: &world::World, id: kakunin_core::id::AgentId| {
        let risk = block_on(w.kakunin.tenant(&w.acme).risk(&id)).unwrap();
        (risk.score, format!("{:?}", risk.evidence))
    };
    let again = |w: &world::World| {
        let observe = block_on(w.kakunin.tenant(&w.acme).observe(event(serial, 1)));
        observe.unwrap().status
    };
    w.erase(&one, "2026-11", "2026-11").unwrap();
    let lived = (w.rows(), [one, other].map(|id| score(&w, id)));
    assert_eq!(again(&w), EventStatus::Duplicate);
    let rebuilt = w.rebuild();
    assert_eq!((rebuilt, [one, other].map(|id| score(&w, id))), lived);
    assert_eq!(again(&w), EventStatus::Duplicate, "of what nobody can compare it with any more");
    assert_eq!(w.damage(), Vec::<String>::new());
}

/// Whether an identifier is a nonce stands in the leaf: it is one also where nothing else is left of the event.
#[test]
fn a_nonce_is_used_up_although_the_event_it_showed_is_erased() {
    let mut w = world();
    let (one, serial) = w.agent("one");
    let shown = |w: &world::World, number: usize| {
        let nonce = format!("nonce-nonce-nonce-{number}").try_into().unwrap();
        let observed = block_on(w.kakunin.tenant(&w.acme).observe_once(nonce, event(serial, number)));
        observed.map(|observed| observed.index.unwrap()).map_err(|error| error.code())
    };
    let first = shown(&w, 1).unwrap();
    w.does(&serial, 2);
    let erased = w.erase(&one, "2026-11", "2026-11").unwrap();
    shown(&w, 3).unwrap();
    w.is_erased(first, erased.record);
    common::assert_folded(&common::config(), &w.parts);
    let lived = w.rows();
    assert!(w.rebuild() == lived);
    for number in [1, 3] {
        assert_eq!(shown(&w, number), Err("nonce_used"));
    }
    assert_eq!(w.damage(), Vec::<String>::new());
}

#[test]
fn a_tenant_erases_its_own_and_nothing_else() {
    let w = world();
    let bolt = "bolt".parse().unwrap();
    block_on(w.kakunin.create_tenant(&bolt)).unwrap();
    let (theirs, serial) = world::agent_of(&w.kakunin, &bolt, "one");
    block_on(w.kakunin.tenant(&bolt).observe(event(serial, 1))).unwrap();
    assert_eq!(w.erase(&theirs, "2026-11", "2026-11").unwrap_err().code(), "not_found");
    let entries = block_on(w.kakunin.tenant(&bolt).entries(0, 1_000)).unwrap();
    assert!(entries.iter().all(|entry| entry.payload.is_some()));
    assert!(w.safe.keys()[0].starts_with("payload-key/bolt/"));
}
