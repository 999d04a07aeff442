//! What follows the logs, driven by `Kakunin::run`: woken by what is appended, tried again when it fails, never held up by
//! one another, and neither a stop nor a second driver loses or doubles anything.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;
mod world;

use std::sync::atomic::Ordering;

use common::{NOW, P256};
use kakunin_core::id::TenantId;
use kakunin_core::issue::Profile;
use kakunin_core::revoke::Cause;
use kakunin_core::service::FollowerState;
use kakunin_core::time::{DAY, HOUR, MINUTE, SECOND};
use pollster::block_on;
use world::{Timer, run, stays, until, world};

const STOP: Cause = Cause::KillSwitchActivated;

#[test]
fn what_fails_is_tried_again_later_and_later_and_shows_until_it_is_done() {
    let w = world();
    let (agent, _, key) = w.agent(&w.acme);
    let running = run(&w.kakunin, Timer::Quick);
    until("all is level", || w.kakunin.followers().iter().all(|f| f.state == FollowerState::Level));
    w.keys.fails.store(true, Ordering::SeqCst);
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, STOP, None)).unwrap();
    until("it shows", || w.status("key_tasks").failing == 1);
    let failing = w.status("key_tasks");
    assert_eq!((failing.state, failing.since), (FollowerState::Failing, Some(NOW)));
    assert!(failing.left > 0 && failing.logs == 1, "{failing:?}");
    let error = failing.error.unwrap();
    assert_eq!(error.code, "key_unavailable");
    assert!(error.message.ends_with("connection refused"), "{}", error.message);
    // Later by up to a second, then two, and so on; until then nothing is tried, however often it is looked.
    let mut now = 0;
    for wait in [1, 2, 4, 8, 16, 32, 60, 60].map(|seconds| seconds * SECOND) {
        let next = w.status("key_tasks").next_attempt.unwrap();
        let from = NOW.plus(now);
        assert!(
            next >= from.plus(wait - wait / 4) && next <= from.plus(wait),
            "{next} for {wait} after {from}"
        );
        let (calls, slept) = (w.keys.count(), running.slept.load(Ordering::SeqCst));
        stays("nothing is tried", || w.keys.count() == calls);
        assert!(running.slept.load(Ordering::SeqCst) - slept < 1_000, "no busy loop");
        now += wait;
        w.at(now);
        until("it is tried again", || w.keys.count() > calls);
        until("and fails", || w.status("key_tasks").next_attempt.is_some_and(|next| next > NOW.plus(now)));
    }
    assert_eq!(w.status("key_tasks").since, Some(NOW));
    assert!(w.signs(&key));
    w.keys.fails.store(false, Ordering::SeqCst);
    let level = w.at(now + MINUTE);
    until("it is done", || w.is_level("key_tasks"));
    let done = w.status("key_tasks");
    assert_eq!((done.left, done.failing, done.since, done.next_attempt), (0, 0, None, None));
    assert_eq!((done.error, done.level_at), (None, Some(level)));
    assert!(!w.signs(&key));
}

/// What all waits for one key is not tried again for each record that is appended meanwhile.
#[test]
fn crls_wait_for_a_key_that_does_not_sign_whatever_is_revoked_meanwhile() {
    let w = world();
    let serials: Vec<_> = (0..20).map(|_| w.agent(&w.acme).1).collect();
    let _running = run(&w.kakunin, Timer::Quick);
    until("all is level", || w.kakunin.followers().iter().all(|f| f.state == FollowerState::Level));
    w.keys.mute.store(true, Ordering::SeqCst);
    let refused = || w.keys.refused.load(Ordering::SeqCst);
    let revoke = |serial| {
        block_on(w.kakunin.tenant(&w.acme).revoke(serial, Cause::KeyCompromise)).unwrap();
    };
    w.at(SECOND);
    serials.iter().take(10).for_each(revoke);
    // Whoever looked just before the first of them rests for a fifth of a second.
    w.at(SECOND + SECOND / 5);
    until("it shows", || w.status("crls").failing == 1);
    assert_eq!(w.status("crls").error.unwrap().code, "key_unavailable");
    assert_eq!(w.kakunin.publishing().failing, [(w.kakunin.issuer().id(), "key_unavailable")]);
    let before = refused();
    serials.iter().skip(10).for_each(revoke);
    w.at(SECOND + SECOND / 2);
    stays("nobody asks", || refused() == before);
    w.at(2 * SECOND + SECOND / 5);
    until("it is asked again", || refused() > before);
    assert_eq!(w.published(), 0);
    // The feed goes by another key, and says all of it.
    let feed = block_on(w.kakunin.feed(&w.kakunin.issuer().id(), 0, 100)).unwrap();
    assert!(feed.size == 20 && w.status("feed").state == FollowerState::Level);
    w.keys.mute.store(false, Ordering::SeqCst);
    w.at(HOUR / 4);
    until("all are published", || w.published() > 0 && w.is_level("crls"));
    assert_eq!(w.kakunin.publishing(), Default::default());
}

#[test]
fn an_append_wakes_what_follows_it_and_no_timer_has_to_run_out() {
    let w = world();
    let (agent, _, key) = w.agent(&w.acme);
    let _running = run(&w.kakunin, Timer::Never);
    until("all is level", || w.kakunin.followers().iter().all(|f| f.state == FollowerState::Level));
    // Far enough that everybody has rested, and near enough that nothing is due by itself.
    w.at(SECOND - 1);
    stays("nobody looks", || w.keys.count() == 0);
    let published = w.published();
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, STOP, None)).unwrap();
    until("the key is disabled", || !w.signs(&key));
    until("the CRL is published", || w.published() == published + 1);
}

#[test]
fn two_that_run_and_are_stopped_and_begun_again_do_each_thing_once() {
    let w = world();
    let agents: Vec<_> = (0..24).map(|_| w.agent(&w.acme)).collect();
    let mut both = [run(&w.kakunin, Timer::Quick), run(&w.kakunin, Timer::Quick)];
    for (n, (_, serial, _)) in agents.iter().enumerate() {
        block_on(w.kakunin.tenant(&w.acme).revoke(serial, Cause::KeyCompromise)).unwrap();
        // In the middle of whatever they do.
        both[n % 2] = run(&w.kakunin, Timer::Quick);
        w.at(u64::try_from(n).unwrap() * SECOND);
    }
    // The clock goes on meanwhile: what was appended during a turn waits until it has rested.
    let mut later = HOUR;
    let mut goes_on = || {
        later += 20;
        w.at(later);
    };
    until("all keys are gone", || {
        goes_on();
        w.is_level("key_tasks") && !agents.iter().any(|(_, _, key)| w.signs(key))
    });
    until("all CRLs are published", || {
        goes_on();
        w.is_level("crls")
    });
    drop(both);
    let retired = w.keys.retired.lock().unwrap();
    for (_, serial, key) in &agents {
        // A stop may come between the call and its note, and then it is called once more.
        assert!((1..=2).contains(&retired.get(key).copied().unwrap_or(0)), "{serial}: {retired:?}");
    }
    assert_eq!(block_on(w.kakunin.publish_due()), Default::default());
    assert_eq!(block_on(w.kakunin.tend()).unwrap(), Default::default());
}

#[test]
fn what_was_under_way_when_it_was_dropped_is_done_after_it_is_begun_again() {
    let w = world();
    let (agent, _, key) = w.agent(&w.acme);
    w.keys.hangs.store(true, Ordering::SeqCst);
    let first = run(&w.kakunin, Timer::Quick);
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, STOP, None)).unwrap();
    until("the provider is being told", || w.keys.count() == 1);
    drop(first);
    w.keys.hangs.store(false, Ordering::SeqCst);
    stays("nobody tells it", || w.signs(&key) && w.keys.count() == 1);
    let _again = run(&w.kakunin, Timer::Quick);
    w.at(SECOND);
    until("it is told", || !w.signs(&key));
}

#[test]
fn a_start_goes_on_where_the_last_one_was() {
    let w = world();
    let ((_, one, _), (agent, _, key)) = (w.agent(&w.acme), w.agent(&w.acme));
    let running = run(&w.kakunin, Timer::Quick);
    block_on(w.kakunin.tenant(&w.acme).revoke(&one, STOP)).unwrap();
    w.at(SECOND);
    until("the first is published", || w.published() == 1 && w.is_level("crls"));
    until("its key is gone", || w.is_level("key_tasks"));
    let calls = w.keys.count();
    drop(running);
    // Stopped without anybody to follow, and the process ends.
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, STOP, None)).unwrap();
    let w = w.restarted();
    assert!(w.signs(&key) && w.published() == 1);
    let running = run(&w.kakunin, Timer::Quick);
    let mut now = SECOND;
    until("a tenant that nobody asked for is followed", || {
        now += SECOND;
        w.at(now);
        !w.signs(&key)
    });
    until("the second is published", || w.published() == 2 && w.is_level("crls"));
    until("receipts are signed", || w.is_level("receipts"));
    assert!(w.keys.count() > calls);
    drop(running);
    // Once more, and there is nothing to do.
    let (calls, w) = (w.keys.count(), w.restarted());
    let _running = run(&w.kakunin, Timer::Quick);
    // Its logs are listed again as the clock goes on.
    until("all is level", || {
        now += SECOND;
        w.at(now);
        let followers = w.kakunin.followers();
        followers.iter().all(|f| f.state == FollowerState::Level)
            && followers.iter().any(|f| f.name == "key_tasks" && f.logs > 0)
    });
    w.at(now + 10 * SECOND);
    stays("nothing is done twice", || w.published() == 2 && w.keys.count() == calls);
}

#[test]
fn a_provider_that_hangs_holds_up_neither_crls_nor_any_other_follower() {
    let w = world();
    let tenants: Vec<TenantId> = (0..40).map(|n| format!("tenant-{n}").parse().unwrap()).collect();
    for tenant in &tenants {
        block_on(w.kakunin.create_tenant(tenant)).unwrap();
    }
    let agents: Vec<_> = tenants.iter().map(|tenant| (tenant, w.agent(tenant))).collect();
    let _running = run(&w.kakunin, Timer::Quick);
    w.keys.hangs.store(true, Ordering::SeqCst);
    for (tenant, (agent, ..)) in &agents {
        block_on(w.kakunin.tenant(tenant).halt(agent, STOP, None)).unwrap();
    }
    until("the provider is being told", || w.keys.count() > 0);
    let mut now = 0;
    until("CRLs are published", || {
        now += SECOND;
        w.at(now);
        w.published() > 0 && w.is_level("crls")
    });
    until("receipts are signed", || w.is_level("receipts"));
    // What hangs is seen once it should have ended.
    w.at(now + 2 * MINUTE);
    until("it shows", || w.status("key_tasks").state == FollowerState::Failing);
    let hung = w.status("key_tasks");
    assert!(hung.since.is_some_and(|since| since < NOW.plus(now + MINUTE)) && hung.left > 0, "{hung:?}");
    let (agent, serial, _) = w.agent(&w.acme);
    block_on(w.kakunin.tenant(&w.acme).hold(&serial)).unwrap();
    let published = w.published();
    w.at(now + 3 * MINUTE);
    until("others go on", || w.published() > published);
    // Halting does not wait for it either.
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, STOP, None)).unwrap();
}

#[test]
fn a_clock_that_jumps_keeps_nothing_waiting_and_nobody_busy() {
    let w = world();
    let (agent, old, key) = w.agent(&w.acme);
    let running = run(&w.kakunin, Timer::Quick);
    until("all is level", || w.kakunin.followers().iter().all(|f| f.state == FollowerState::Level));
    w.keys.fails.store(true, Ordering::SeqCst);
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, STOP, None)).unwrap();
    until("it fails", || w.status("key_tasks").failing == 1);
    for jump in [NOW.plus(DAY), NOW.minus(DAY), NOW] {
        let calls = w.keys.count();
        w.clock.set(jump);
        until("it is tried again", || w.keys.count() > calls);
        let (calls, slept) = (w.keys.count(), running.slept.load(Ordering::SeqCst));
        stays("and not all the time", || w.keys.count() <= calls + 1);
        assert!(running.slept.load(Ordering::SeqCst) - slept < 1_000, "no busy loop");
    }
    w.keys.fails.store(false, Ordering::SeqCst);
    w.clock.set(NOW.plus(2 * DAY));
    until("it is done", || !w.signs(&key));
    // A grace ends by the clock although nothing is appended any more.
    let (agent, old_too, _) = w.agent(&w.acme);
    assert_ne!(old, old_too);
    let model = common::MODEL.parse().unwrap();
    block_on(w.kakunin.tenant(&w.acme).renew(&agent, &model, Profile::Standard, P256)).unwrap();
    let live = w.kakunin.revocations();
    let reason = || live.reason(&w.kakunin.issuer().id(), &old_too).unwrap();
    stays("both stand", || reason().is_none());
    w.clock.set(NOW.plus(2 * DAY + 6 * MINUTE));
    until("the old one is superseded", || reason().is_some());
}

#[test]
fn every_follower_has_a_name_that_stays() {
    let w = world();
    let names: Vec<_> = w.kakunin.followers().into_iter().map(|follower| follower.name).collect();
    let known = [
        "key_tasks",
        "crls",
        "feed",
        "receipts",
        "webhooks",
        "graces",
        "erasures",
        "tenants",
        "crl_records",
        "root_crls",
        "guard",
        "plans",
        "endings",
        "expiring",
        "checks",
        "snapshots",
        "tiles",
        "index",
    ];
    assert_eq!(names, known);
}
