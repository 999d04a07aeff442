//! Queues: bounded for each tenant alone, and open to what takes trust away.

use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::revoke::Cause;
use kakunin_core::service::Kakunin;
use pollster::block_on;

use crate::common::MODEL;
use crate::gate::{Caller, World, certified, event};

/// Most events of a call.
const MANY: usize = 1_000;

fn batch(kakunin: &Kakunin, tenant: &TenantId, serial: Serial) -> Caller<'static, usize> {
    let (kakunin, tenant) = (kakunin.clone(), tenant.clone());
    let events = (0..MANY).map(|_| Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok)).collect();
    Caller::of(async move { kakunin.tenant(&tenant).observe_all(events).await.map(|each| each.len()) })
}

#[test]
fn a_flood_is_told_to_come_back_and_orders_go_through_it() {
    let w = World::new();
    w.gate.shut();
    // One is written, the next is decided on it; what comes then waits.
    let mut flood = Vec::new();
    let refused = loop {
        let mut call = batch(&w.kakunin, &w.acme, w.serial);
        match call.told() {
            None => flood.push(call),
            Some(told) => break told.unwrap_err(),
        }
        assert!(flood.len() < 50, "nobody is ever refused");
    };
    assert_eq!(refused.code(), "queue_full");
    assert!((16_384 - MANY..=16_384).contains(&block_on(w.kakunin.waiting())), "of records that wait");
    // An order is no event, and what takes trust away is never refused.
    let tenant = w.kakunin.tenant(&w.acme);
    let mut register = Caller::of(tenant.register(NewAgent::new("two", MODEL, ["read:a"]).unwrap()));
    let mut halt = Caller::of(tenant.halt(&w.agent, Cause::KillSwitchActivated, None));
    assert!(register.told().is_none() && halt.told().is_none());
    w.gate.open();
    assert!(flood.iter_mut().all(|call| matches!(call.told(), Some(Ok(MANY)))), "who was let in is answered");
    assert!(halt.told().unwrap().is_ok() && register.told().unwrap().is_ok());
    assert_eq!(block_on(w.kakunin.waiting()), 0);
    assert_eq!(
        batch(&w.kakunin, &w.acme, w.serial).told().unwrap().unwrap(),
        MANY,
        "and there is room again"
    );
}

#[test]
fn no_flood_of_one_tenant_keeps_another_from_the_store() {
    let w = World::new();
    let others: Vec<_> = (0..10)
        .map(|n| {
            let tenant: TenantId = format!("other-{n}").parse().unwrap();
            block_on(w.kakunin.create_tenant(&tenant)).unwrap();
            let (_, serial) = certified(&w.kakunin, &tenant, "one");
            block_on(w.kakunin.tenant(&tenant).observe(event(serial, 0))).unwrap();
            (tenant, serial)
        })
        .collect();
    w.gate.shut();
    let mut flood: Vec<_> = (0..30).map(|_| batch(&w.kakunin, &w.acme, w.serial)).collect();
    let refused = flood.iter_mut().filter_map(|call| call.told()).filter(Result::is_err).count();
    assert!(refused > 0, "one tenant floods");
    assert_eq!(w.gate.begun(), 1, "and has one append at the store, however much it sends");
    for round in 1..=3 {
        let observe = |(tenant, serial): &(TenantId, Serial)| {
            let (kakunin, tenant, event) = (w.kakunin.clone(), tenant.clone(), event(*serial, round));
            Caller::of(async move { kakunin.tenant(&tenant).observe(event).await })
        };
        let mut calls: Vec<_> = others.iter().map(observe).collect();
        assert!(calls.iter_mut().all(|call| call.told().is_none()), "none is refused");
        let begun = w.gate.begun();
        for number in begun - 10..begun {
            w.gate.let_through(number, crate::gate::Ends::Well);
        }
        assert!(calls.iter_mut().all(|call| call.told().unwrap().is_ok()), "and none waits for the flood");
    }
}

#[test]
fn callers_who_went_away_fill_no_queue() {
    let w = World::new();
    w.gate.shut();
    let mut flood: Vec<_> = (0..30).map(|_| batch(&w.kakunin, &w.acme, w.serial)).collect();
    let refused = flood.iter_mut().filter_map(Caller::told).count();
    assert!(refused > 0);
    drop(flood);
    w.gate.open();
    assert!(block_on(w.kakunin.waiting()) > 0, "nobody took them");
    assert!(w.observes(1).told().unwrap().is_ok(), "and they keep nobody out");
    assert_eq!((block_on(w.kakunin.waiting()), w.recorded().len()), (0, 2));
    w.assert_level();
}
