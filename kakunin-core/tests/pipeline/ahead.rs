//! One append under way, and what is decided on it.

use kakunin_core::revoke::Cause;
use kakunin_core::service::EventStatus;
use pollster::block_on;

use crate::gate::{Caller, Ends, World, certified, event};

#[test]
fn the_next_events_are_decided_and_sealed_while_the_first_are_written_and_seen_by_nobody() {
    let w = World::new();
    let risk = || block_on(w.kakunin.tenant(&w.acme).risk(&w.agent)).unwrap();
    let before = risk();
    w.gate.shut();
    let drawn = w.drawn.times();
    let (mut first, mut second, mut third) = (w.observes(1), w.observes(2), w.observes(3));
    assert!(first.told().is_none() && second.told().is_none() && third.told().is_none());
    let seen = (w.gate.begun(), w.drawn.times() - drawn);
    assert_eq!(seen, (2, 2), "one is written, one is at the store behind it, one waits");
    assert_eq!(risk(), before, "and nobody sees any of it");
    w.gate.let_through(0, Ends::Well);
    assert!(second.told().is_none(), "it is not durable, whatever the first is");
    let index = first.told().unwrap().unwrap().index.unwrap();
    assert_ne!(risk(), before);
    assert!(second.told().is_none() && third.told().is_none());
    assert_eq!((w.gate.begun(), w.drawn.times() - drawn), (3, 3), "the third is at the store by now");
    w.gate.open();
    assert_eq!(second.told().unwrap().unwrap().index, Some(index + 1));
    assert_eq!(third.told().unwrap().unwrap().index, Some(index + 2));
    w.assert_level();
}

#[test]
fn what_was_decided_on_a_write_that_failed_is_decided_anew() {
    for (ends, told, status) in [
        (Ends::Well, None, EventStatus::Duplicate),
        (Ends::Full, Some("storage_full"), EventStatus::Scored),
        (Ends::Gone, Some("storage_unavailable"), EventStatus::Scored),
        (Ends::Lost, Some("storage_unavailable"), EventStatus::Duplicate),
    ] {
        let w = World::new();
        w.gate.shut();
        // The same event: whether it is a duplicate is decided by whether the first is written.
        let (mut first, mut same, mut next) = (w.observes(1), w.observes(1), w.observes(2));
        assert!(first.told().is_none() && same.told().is_none() && next.told().is_none());
        w.gate.let_through(0, ends);
        let code = first.told().unwrap().err().map(|error| error.code());
        assert_eq!(code, told, "{ends:?}");
        w.gate.open();
        let same = same.told().unwrap().unwrap();
        let next = next.told().unwrap().unwrap();
        assert_eq!((same.status, next.status), (status, EventStatus::Scored), "{ends:?}");
        let recorded = w.recorded();
        assert_eq!(recorded[1..], [(1, same.index.unwrap()), (2, next.index.unwrap())], "{ends:?}");
        w.assert_level();
    }
}

/// A store need not take two appends to a log in their order, and somebody may go ahead on the one that it refused.
#[test]
fn an_append_that_the_store_takes_before_its_turn_is_decided_anew() {
    for (early, next) in [(true, false), (false, false), (false, true)] {
        let w = World::new();
        w.gate.shut();
        let (mut first, mut second) = (w.observes(1), w.observes(2));
        assert!(first.told().is_none() && second.told().is_none());
        if early {
            w.gate.let_through(1, Ends::Well);
            assert!(second.told().is_none(), "the first is not there");
        }
        w.gate.let_through(0, Ends::Well);
        assert!(first.told().unwrap().is_ok());
        assert!(second.told().is_none());
        let mut third = next.then(|| w.observes(3));
        assert!(third.as_mut().is_none_or(|third| third.told().is_none()));
        if !early {
            w.gate.let_through(1, Ends::Conflict);
            assert!(second.told().is_none(), "it is decided anew");
        }
        w.gate.open();
        let mut told = second.told();
        if let Some(third) = &mut third {
            let index = third.told().or_else(|| third.told()).unwrap().unwrap().index;
            told = told.or_else(|| second.told());
            assert_ne!(told.as_ref().unwrap().as_ref().unwrap().index, index);
        }
        assert_eq!(told.unwrap().unwrap().status, EventStatus::Scored);
        assert_eq!(w.recorded().len(), if next { 4 } else { 3 });
        w.assert_level();
    }
}

/// It is written, and nobody knows, before anybody goes ahead on it.
#[test]
fn how_an_append_ended_that_was_at_the_store_is_found_out_before_the_next_is_decided() {
    let w = World::new();
    w.gate.shut();
    let (mut first, mut second) = (w.observes(1), w.observes(2));
    assert!(first.told().is_none() && second.told().is_none());
    w.gate.let_through(0, Ends::Well);
    w.gate.let_through(1, Ends::Lost);
    assert!(first.told().unwrap().is_ok());
    assert_eq!(second.told().unwrap().unwrap_err().code(), "storage_unavailable");
    w.gate.open();
    assert_eq!(w.observes(2).told().unwrap().unwrap().status, EventStatus::Duplicate);
    assert_eq!(w.recorded().len(), 3);
    w.assert_level();
}

#[test]
fn one_who_goes_away_while_it_writes_costs_nobody_else_anything() {
    let w = World::new();
    w.gate.shut();
    let (mut first, mut same) = (w.observes(1), w.observes(1));
    assert!(first.told().is_none() && same.told().is_none());
    drop(first);
    w.gate.open();
    let same = same.told().unwrap().unwrap();
    assert_eq!(same.status, EventStatus::Scored);
    assert_eq!(w.recorded()[1..], [(1, same.index.unwrap())]);
    w.assert_level();
}

#[test]
fn orders_are_decided_on_what_is_durable() {
    let w = World::new();
    w.gate.shut();
    let mut event = w.observes(1);
    assert!(event.told().is_none());
    let tenant = w.kakunin.tenant(&w.acme);
    let mut halt = Caller::of(tenant.halt(&w.agent, kakunin_core::revoke::Cause::KillSwitchActivated, None));
    assert!(halt.told().is_none());
    // The halt is not lost with what it did not wait for.
    w.gate.let_through(0, Ends::Gone);
    assert!(event.told().unwrap().is_err());
    w.gate.open();
    assert!(halt.told().unwrap().is_ok());
    assert_eq!(w.recorded().len(), 1);
    let reason = w.kakunin.revocations().reason(&w.kakunin.issuer().id(), &w.serial);
    assert!(reason.unwrap().is_some(), "verifiers refuse it");
}

/// Events and an order that wait for the same append while no key of a payload can be made.
#[test]
fn an_order_beside_events_is_carried_out_without_them() {
    let w = World::new();
    let (_, serial) = certified(&w.kakunin, &w.acme, "two");
    let theirs = |seq| {
        let (kakunin, acme, event) = (w.kakunin.clone(), w.acme.clone(), event(serial, seq));
        Caller::of(async move { kakunin.tenant(&acme).observe(event).await })
    };
    let tenant = w.kakunin.tenant(&w.acme);
    w.gate.shut();
    w.safe.shut(true);
    let (mut written, mut decided) = (w.observes(1), theirs(1));
    let mut halt = Caller::of(tenant.halt(&w.agent, Cause::KillSwitchActivated, None));
    let mut beside = theirs(2);
    assert!(written.told().is_none());
    assert_eq!(
        decided.told().unwrap().unwrap_err().code(),
        "vault_unavailable",
        "nobody waits for the store"
    );
    assert!(halt.told().is_none() && beside.told().is_none(), "they wait together");
    w.gate.open();
    assert!(written.told().unwrap().is_ok(), "its key is in memory");
    halt.told().unwrap().unwrap();
    assert_eq!(beside.told().unwrap().unwrap_err().code(), "vault_unavailable");
    w.safe.shut(false);
    theirs(1).told().unwrap().unwrap();
    assert_eq!(w.recorded().len(), 3);
}
