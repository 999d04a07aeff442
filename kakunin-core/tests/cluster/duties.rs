//! One of several does what one is to do; when it is gone another one does.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use kakunin_core::key::KeyProvider as _;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{FollowerState, Kakunin, Parts};
use kakunin_core::time::{Clock as _, ManualClock, SECOND, SystemClock};
use pollster::block_on;

use crate::common::config;
use crate::world::World;

#[test]
fn one_is_on_duty_and_the_next_one_when_it_is_gone() {
    let w = World::of(3);
    let on_duty = || (0..3).filter(|n| w.one(*n).is_on_duty()).collect::<Vec<_>>();
    w.until("one is on duty", || on_duty().len() == 1);
    let first = on_duty()[0];
    let elsewhere = (first + 1) % 3;
    let state = |n: usize, name: &str| {
        let all = w.one(n).followers();
        all.into_iter().find(|follower| follower.name == name).unwrap().state
    };
    assert_eq!(state(elsewhere, "key_tasks"), FollowerState::Elsewhere);
    assert_ne!(state(first, "key_tasks"), FollowerState::Elsewhere);
    assert_ne!(state(elsewhere, "feed"), FollowerState::Elsewhere, "each cosigns for those who ask it");
    let held = || block_on(w.keys.list()).unwrap().len();
    let before = held();
    // What one decides that is not on duty is done by the one who is.
    let (agent, serial) = w.agent(elsewhere, "one");
    block_on(w.one(elsewhere).tenant(&w.acme).revoke(&serial, Cause::KeyCompromise)).unwrap();
    w.until("nothing is left to do", || held() == before);
    w.members[first].1.cut_off.store(true, Ordering::SeqCst);
    w.until("another one is on duty", || on_duty().iter().any(|n| *n != first));
    let next = on_duty().into_iter().find(|n| *n != first).unwrap();
    let (_, serial) = w.agent(next, "two");
    block_on(w.one(next).tenant(&w.acme).revoke(&serial, Cause::KeyCompromise)).unwrap();
    w.until("the next one does it", || held() == before);
    w.members[first].1.cut_off.store(false, Ordering::SeqCst);
    w.agree(&[agent]);
}

#[test]
fn who_opens_a_shared_store_and_never_listens_goes_by_what_it_read_for_some_seconds() {
    let w = World::of(1);
    let began = SystemClock.now();
    let clock = Arc::new(ManualClock::at(began));
    let (agent, _) = w.agent(0, "one");
    let (parts, _member) = w.parts();
    let alone = block_on(Kakunin::open(config(), Parts { clock: clock.clone(), ..parts })).unwrap();
    assert!(alone.in_touch().is_ok());
    clock.set(began.plus(14 * SECOND));
    let tenant = alone.tenant(&w.acme);
    assert!(alone.in_touch().is_ok() && block_on(tenant.agent(&agent)).is_ok());
    clock.set(began.plus(16 * SECOND));
    assert!(alone.is_out_of_touch());
    assert!(block_on(tenant.agent(&agent)).is_err());
}
