//! Vaults that are gone, old or empty, and processes that ended in between.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::revoke::Cause;
use kakunin_core::service::{EventStatus, Kakunin, Parts};
use kakunin_core::store::MemoryStore;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::config;
use crate::common::sink::{Does, Sink};
use crate::world::{World, at, event, month, over, world};

#[test]
fn an_old_vault_brings_nothing_back_and_is_cleared_of_it() {
    let mut w = world();
    let (one, serial) = w.agent("one");
    let first = w.does(&serial, 1);
    let old = w.safe.rows.lock().unwrap().clone();
    let erased = w.erase(&one, "2026-11", "2026-11").unwrap();
    let second = w.does(&serial, 2);
    w.safe.rows.lock().unwrap().extend(old);
    assert_eq!(w.safe.keys().len(), 2);
    w.is_erased(first, erased.record);
    w.restart();
    w.is_erased(first, erased.record);
    w.is_there(second, 2);
    block_on(w.kakunin.tend()).unwrap();
    assert_eq!(w.safe.keys().len(), 1, "{:?}", w.safe.keys());
    w.is_there(second, 2);
    assert_eq!(w.damage(), Vec::<String>::new());
}

/// The process ended after the record, and before any key was destroyed.
#[test]
fn what_is_on_record_is_erased_whoever_ended_in_between() {
    for rebuilt in [false, true] {
        let mut w = world();
        let (one, serial) = w.agent("one");
        let first = w.does(&serial, 1);
        w.safe.keeps.store(true, Ordering::SeqCst);
        let erased = w.erase(&one, "2026-11", "2026-11").unwrap();
        assert!(!erased.destroyed);
        w.is_erased(first, erased.record);
        if rebuilt {
            _ = w.rebuild()
        } else {
            w.restart()
        }
        w.is_erased(first, erased.record);
        assert!(block_on(w.kakunin.tend()).is_err(), "it is seen that keys are still there");
        assert_eq!(w.safe.keys().len(), 1);
        w.safe.keeps.store(false, Ordering::SeqCst);
        w.clock.set(at("2026-11-16"));
        block_on(w.kakunin.tend()).unwrap();
        assert_eq!(w.safe.keys(), Vec::<String>::new());
        // Asked for again it is the same, and done.
        let again = w.erase(&one, "2026-11", "2026-11").unwrap();
        assert_eq!((again.record, again.destroyed), (erased.record, true));
    }
}

#[test]
fn a_key_that_is_gone_without_a_record_is_damage() {
    let mut w = world();
    let ((one, serial), (_, other)) = (w.agent("one"), w.agent("other"));
    let (first, theirs) = (w.does(&serial, 1), w.does(&other, 2));
    let lost = w.safe.keys().into_iter().find(|name| name.contains(&one.to_string())).unwrap();
    let gone = w.safe.rows.lock().unwrap().remove(lost.as_bytes()).unwrap();
    w.restart();
    assert_eq!(w.details(first), (None, None));
    let damage = w.damage();
    assert!(damage.len() == 1 && damage[0].contains(&format!("record {first} ")), "{damage:?}");
    w.is_there(theirs, 2);
    // Restored, it is there again.
    w.safe.rows.lock().unwrap().insert(lost.into_bytes(), gone);
    w.is_there(first, 1);
}

#[test]
fn a_key_of_another_place_opens_nothing() {
    let mut w = world();
    let ((_, serial), (_, other)) = (w.agent("one"), w.agent("other"));
    let (first, theirs) = (w.does(&serial, 1), w.does(&other, 2));
    let [a, b] = [0, 1].map(|n| w.safe.keys()[n].clone().into_bytes());
    let mut rows = w.safe.rows.lock().unwrap();
    let (of_a, of_b) = (rows[&a].clone(), rows[&b].clone());
    rows.extend([(a, of_b), (b, of_a)]);
    drop(rows);
    w.restart();
    assert_eq!([w.details(first), w.details(theirs)], [(None, None), (None, None)]);
    assert_eq!(w.damage().len(), 2);
}

/// What takes trust away waits for no vault; everything else that needs a new key does, and says why.
#[test]
fn where_the_vault_is_gone_identities_are_lost_all_the_same() {
    let mut w = world();
    let (one, serial) = w.agent("one");
    let known = w.does(&serial, 1);
    w.safe.gone.store(true, Ordering::SeqCst);
    let second = w.does(&serial, 2);
    w.is_there(second, 2);
    w.clock.set(at("2026-12-02"));
    let refused = w.tries(&serial, 3).unwrap_err();
    assert_eq!(refused.code(), "vault_unavailable");
    let why = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
    let why = format!("{refused}: {why}");
    assert!(why.contains("vault") && why.contains("safe is shut"), "{why}");
    // It comes back, and what was refused is taken.
    w.safe.gone.store(false, Ordering::SeqCst);
    let third = w.does(&serial, 3);
    w.is_there(third, 3);
    w.is_there(known, 1);
    w.safe.gone.store(true, Ordering::SeqCst);
    block_on(w.kakunin.tenant(&w.acme).revoke(&serial, Cause::KeyCompromise)).unwrap();
    let agent = block_on(w.kakunin.tenant(&w.acme).agent(&one)).unwrap();
    assert_eq!(agent.state, AgentState::Suspended);
    w.safe.gone.store(false, Ordering::SeqCst);
    w.restart();
    w.is_there(third, 3);
}

/// An act that costs the identity, of an agent that had no event in this month, while no key can be made.
#[test]
fn an_event_that_costs_an_identity_needs_no_key() {
    let w = world();
    let (one, serial) = w.agent("one");
    w.safe.gone.store(true, Ordering::SeqCst);
    let mut last = None;
    for number in 0..200 {
        let mut event =
            Event { out_of_scope: true, attribution: Attribution::Signed, ..event(serial, number) };
        (event.action, event.outcome) = ("delete:everything".parse().unwrap(), Outcome::Denied);
        let observed = block_on(w.kakunin.tenant(&w.acme).observe_all(vec![event]));
        last = observed.ok().and_then(|mut all| all.pop());
        if last.as_ref().is_some_and(|one| one.as_ref().is_ok_and(|one| one.revoked)) {
            break;
        }
        // What costs nothing waits for the vault: the agent's history does not grow.
        w.safe.gone.store(number < 3 || number % 2 == 0, Ordering::SeqCst);
    }
    let agent = block_on(w.kakunin.tenant(&w.acme).agent(&one)).unwrap();
    assert_eq!(agent.state, AgentState::Suspended, "{last:?}");
}

/// Two processes over one store, which make a key for the same agent and month at once.
#[test]
fn two_that_make_a_key_at_once_read_each_others_events() {
    let w = world();
    let (one, serial) = w.agent("one");
    let other = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    let other = World {
        kakunin: other,
        acme: w.acme.clone(),
        parts: w.parts.clone(),
        clock: w.clock.clone(),
        safe: w.safe.clone(),
    };
    block_on(other.kakunin.load()).unwrap();
    // Each finds none, as it would if both looked at the same time.
    let first = w.does(&serial, 1);
    let hidden = core::mem::take(&mut *w.safe.rows.lock().unwrap());
    let second = follow(&other, || other.tries(&serial, 2));
    w.safe.rows.lock().unwrap().extend(hidden);
    assert_eq!(w.safe.keys().len(), 2);
    let third = follow(&w, || w.tries(&serial, 3));
    for reader in [&w, &other] {
        for (index, number) in [(first, 1), (second, 2), (third, 3)] {
            reader.is_there(index, number);
        }
    }
    // One erases; the other learns of it before it appends.
    let erased = w.erase(&one, "2026-11", "2026-11").unwrap();
    let fourth = follow(&other, || other.tries(&serial, 4));
    for reader in [&w, &other] {
        reader.is_erased(first, erased.record);
        reader.is_there(fourth, 4);
    }
    let _ = (Arc::clone(&w.safe), month("2026-11"));
}

/// Once more after a conflict, as whoever shares a store does.
fn follow<T>(w: &World, call: impl Fn() -> Result<T, kakunin_core::service::Error>) -> T {
    call().or_else(|_| call()).unwrap_or_else(|error| panic!("{error}: {:?}", w.damage()))
}

/// The vault is away while events come that need a new key: that is certain, so that nothing is read anew, and orders go on.
#[test]
fn orders_wait_for_no_vault_and_nothing_is_read_anew_for_one() {
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let sink = Sink::beneath(&mut parts);
    let w = over(parts);
    let ((one, serial), (two, other)) = (w.agent("one"), w.agent("two"));
    w.does(&serial, 1);
    let tenant = w.kakunin.tenant(&w.acme);
    w.clock.set(at("2026-12-02"));
    let heads = sink.heads();
    w.safe.gone.store(true, Ordering::SeqCst);
    for number in 2..5 {
        assert_eq!(w.tries(&serial, number).unwrap_err().code(), "vault_unavailable");
    }
    block_on(tenant.halt(&one, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!(w.tries(&other, 5).unwrap_err().code(), "vault_unavailable");
    block_on(tenant.revoke(&other, Cause::KeyCompromise)).unwrap();
    w.safe.gone.store(false, Ordering::SeqCst);
    let sixth = w.does(&other, 6);
    assert_eq!(sink.heads(), heads, "no head was read, so that no tenant was loaded");
    w.is_there(sixth, 6);
    for agent in [one, two] {
        assert_ne!(block_on(tenant.agent(&agent)).unwrap().state, AgentState::Active);
    }
    assert_eq!(w.damage(), Vec::<String>::new());
}

/// How an append ended is in doubt while the vault is away: rows are under their seal, and scores are made of leaves.
#[test]
fn a_tenant_is_loaded_without_its_vault() {
    let mut parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    let sink = Sink::beneath(&mut parts);
    let mut w = over(parts);
    let ((one, serial), (_, other)) = (w.agent("one"), w.agent("two"));
    (0..50).for_each(|number| _ = w.does(&serial, number));
    let lived = block_on(w.kakunin.tenant(&w.acme).risk(&one)).unwrap();
    // Keys are not in memory then.
    w.restart();
    let tenant = w.kakunin.tenant(&w.acme);
    sink.does(Does::Lost);
    assert_eq!(w.tries(&other, 50).unwrap_err().code(), "storage_unavailable");
    sink.does(Does::Well);
    w.safe.gone.store(true, Ordering::SeqCst);
    block_on(tenant.halt(&one, Cause::KillSwitchActivated, None)).unwrap();
    let loaded = block_on(tenant.risk(&one)).unwrap();
    assert_eq!((loaded.score, loaded.days), (lived.score, lived.days));
    w.safe.gone.store(false, Ordering::SeqCst);
    for again in [event(serial, 49), event(other, 50)] {
        assert_eq!(block_on(tenant.observe(again)).unwrap().status, EventStatus::Duplicate);
    }
    assert_eq!(w.damage(), Vec::<String>::new());
}
