//! Snapshots that are cut off, fail or are taken while others decide; and reads that wait for nobody.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Event, Outcome};
use kakunin_core::log::entry::LogId;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Damage, Kakunin};
use kakunin_core::store::state::{Change, Kind, StateStore};
use kakunin_core::time::MINUTE;
use pollster::block_on;

use crate::common::sink::{Does, Sink};
use crate::common::state::State;
use crate::world::{MODEL, NOW, acme, agent, config, live, look, parts};

/// What it gives without waiting.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn a_snapshot_that_is_cut_off_anywhere_costs_nothing() {
    for what in [Does::Gone, Does::Lost, Does::Silent] {
        for steps in 0..5 {
            let (mut parts, clock) = parts();
            let store = State::well();
            parts.state = store.clone();
            let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
            let agents = live(&kakunin, &clock);
            block_on(kakunin.snapshot()).unwrap();
            // More of them than one step stores.
            for n in 0..300 {
                let spec = NewAgent::new(&format!("idle {n}"), MODEL, ["read:a"]).unwrap();
                block_on(kakunin.tenant(&acme()).register(spec)).unwrap();
            }
            let act = |kakunin: &Kakunin| {
                let event = Event::refused(agents[0].1, "delete:a".parse().unwrap());
                block_on(kakunin.tenant(&acme()).observe(event)).unwrap();
            };
            act(&kakunin);
            store.puts(steps, what);
            let cut_off = pin!(kakunin.snapshot()).as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(!matches!(cut_off, Poll::Ready(Ok(()))), "{what:?} {steps}");
            store.puts(0, Does::Well);
            // The same process goes on, and another one after a crash comes to the same.
            act(&kakunin);
            let before = look(&kakunin, &agents);
            let crashed = block_on(Kakunin::open(config(), parts.clone())).unwrap();
            assert_eq!(look(&crashed, &agents), before, "{what:?} {steps}");
            assert_eq!(crashed.damage(), Damage::default(), "{what:?} {steps}");
            block_on(kakunin.snapshot()).unwrap();
            act(&kakunin);
            let before = look(&kakunin, &agents);
            let again = block_on(Kakunin::open(config(), parts)).unwrap();
            assert_eq!(look(&again, &agents), before, "{what:?} {steps}");
            assert_eq!((kakunin.damage(), again.damage()), <(Damage, Damage)>::default(), "{what:?} {steps}");
        }
    }
}

#[test]
fn a_snapshot_stores_what_changed_and_holds_nobody_up() {
    let (mut parts, clock) = parts();
    let store = State::well();
    parts.state = store.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let agents = live(&kakunin, &clock);
    block_on(kakunin.snapshot()).unwrap();
    let rows = || block_on(store.scan(&LogId::Tenant(acme()), Kind::Risk, None, 1_000)).unwrap();
    let before = rows();
    let event = || Event::refused(agents[0].1, "delete:a".parse().unwrap());
    block_on(kakunin.tenant(&acme()).observe(event())).unwrap();
    // It hangs in its first step outside of the turn, and others decide.
    store.puts(1, Does::Silent);
    let mut hangs = Box::pin(kakunin.snapshot());
    assert!(hangs.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(at_once(kakunin.tenant(&acme()).observe(event())).is_ok());
    assert!(at_once(kakunin.tenant(&acme()).revoke(&agents[1].1, Cause::KeyCompromise)).is_ok());
    drop(hangs);
    store.puts(0, Does::Well);
    block_on(kakunin.snapshot()).unwrap();
    let after = rows();
    let differing: Vec<_> =
        after.iter().filter(|row| !before.contains(row)).map(|(key, _)| &key[..16]).collect();
    assert!(differing.contains(&agents[0].0.as_bytes().as_slice()));
    assert!(!differing.contains(&agents[3].0.as_bytes().as_slice()), "it did nothing since");
}

#[test]
fn whoever_tends_takes_snapshots_once_a_minute_if_anything_happened() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let agents = live(&kakunin, &clock);
    let rows = || block_on(parts.state.scan(&LogId::Tenant(acme()), Kind::Risk, None, 1_000)).unwrap();
    block_on(kakunin.tend()).unwrap();
    let first = rows();
    assert!(!first.is_empty(), "a minute is over");
    let act = || {
        let event = Event::refused(agents[0].1, "delete:a".parse().unwrap());
        block_on(kakunin.tenant(&acme()).observe(event)).unwrap();
        block_on(kakunin.tend()).unwrap();
    };
    act();
    assert_eq!(rows(), first);
    clock.set(NOW.plus(60 * MINUTE));
    act();
    assert_ne!(rows(), first);
}

#[test]
fn reads_wait_for_no_disk() {
    let (mut parts, _) = parts();
    let sink = Sink::beneath(&mut parts);
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (id, serial) = agent(&kakunin, "one");
    sink.does(Does::Silent);
    let acme = acme();
    let tenant = kakunin.tenant(&acme);
    let mut writing = Box::pin(tenant.revoke(&serial, Cause::KeyCompromise));
    assert!(writing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // What is committed so far; verifiers of this process refuse already.
    assert_eq!(at_once(kakunin.tenant(&acme).agent(&id)).unwrap().state, AgentState::Active);
    assert_eq!(at_once(kakunin.tenant(&acme).risk(&id)).unwrap().agent.id, id);
    assert_eq!(at_once(kakunin.tenant(&acme).certificates(&id)).unwrap().len(), 1);
    assert_eq!(at_once(kakunin.tenant(&acme).agents(None, 0, 10)).unwrap().1, 1);
    let name = "one".parse().unwrap();
    assert_eq!(at_once(kakunin.tenant(&acme).agents_named(&name, None, 0, 10)).unwrap().1, 1);
    assert!(at_once(kakunin.tenant(&acme).certificate_entry(&serial)).is_ok());
    assert!(at_once(kakunin.find(&serial)).is_ok());
    drop(writing);
    // Nobody decides: what came of it is found out before anybody is told.
    sink.does(Does::Well);
    assert_eq!(block_on(kakunin.tenant(&acme).agent(&id)).unwrap().state, AgentState::Suspended);
    let event = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    assert!(block_on(kakunin.tenant(&acme).observe(event)).is_ok());
}

/// Whoever writes to the store puts rows back that were there before, under their seal, and leaves newer histories.
#[test]
fn older_rows_beside_newer_histories_lose_nobodys_evidence() {
    let (parts, clock) = parts();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let mut agents = live(&kakunin, &clock);
    let log = LogId::Tenant(acme());
    let rows = |kind| block_on(parts.state.scan(&log, kind, None, 10_000)).unwrap();
    let kinds = [Kind::Agent, Kind::Standing, Kind::Seal];
    let before: Vec<_> = kinds.into_iter().map(|kind| (kind, rows(kind))).collect();
    let newest = agent(&kakunin, "newest");
    for _ in 0..3 {
        let event = Event::refused(newest.1, "delete:a".parse().unwrap());
        block_on(kakunin.tenant(&acme()).observe(event)).unwrap();
    }
    agents.push(newest);
    block_on(kakunin.snapshot()).unwrap();
    let lived = look(&kakunin, &agents);
    drop(kakunin);
    for (kind, old) in before {
        let histories = |key: &[u8]| kind == Kind::Seal && key != b"rows";
        let gone = rows(kind).into_iter().filter(|(key, _)| !histories(key));
        let gone = gone.map(|(key, _)| Change { kind, key, value: None });
        let old = old.into_iter().filter(|(key, _)| !histories(key));
        let old = old.map(|(key, value)| Change { kind, key, value: Some(value) });
        block_on(parts.state.put(&log, &gone.chain(old).collect::<Vec<_>>())).unwrap();
    }
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    assert_eq!(look(&kakunin, &agents), lived);
    assert!(kakunin.damage().count > 0, "{:?}", kakunin.damage());
}
