//! The grace of the old certificate: until the new one is used, or its time is over.

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::Reason;
use kakunin_core::service::{EventStatus, KeySource};
use kakunin_core::time::{DAY, HOUR};
use pollster::block_on;

use crate::common::{MODEL, NOW};
use crate::world::{GRACE, World, risk, world, world_of};

#[test]
fn the_old_certificate_stands_until_the_new_one_is_used() {
    let w = world();
    let (agent, first, second) = w.renewed();
    assert_eq!((w.reason(&first), w.state(&agent)), (None, AgentState::Active));
    assert_eq!(w.observe(&first, Attribution::Signed), EventStatus::Scored, "it goes on");
    assert_eq!(w.observe(&second, Attribution::Asserted), EventStatus::Unattributed);
    assert_eq!(w.reason(&first), None, "whoever names the new one has not shown its key");
    let mut event = Event::new(second, "read:accounts/1".parse().unwrap(), Outcome::Ok);
    (event.attribution, event.unnamed) = (Attribution::Possession, true);
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).observe(event)).unwrap().status, EventStatus::Scored);
    assert_eq!(w.reason(&first), None, "whoever names the agent does not say with which certificate");
    assert_eq!(w.observe(&second, Attribution::Possession), EventStatus::Scored);
    assert_eq!(w.reason(&first), Some(Reason::Superseded));
    let late = w.observe(&first, Attribution::Signed);
    assert_eq!(
        late,
        EventStatus::Scored,
        "a late report counts: renewal is no way out of what was done before"
    );
    assert_eq!(w.state(&agent), AgentState::Active);
    risk(&w, &first);
    assert_eq!(
        (w.reason(&first), w.reason(&second)),
        (Some(Reason::Superseded), Some(Reason::PrivilegeWithdrawn))
    );
}

#[test]
fn a_grace_ends_by_itself_in_time_and_over_a_restart() {
    let w = world();
    let (agent, first, _) = w.renewed();
    w.clock.set(NOW.plus(3 * DAY + GRACE - 1));
    block_on(w.kakunin.tend()).unwrap();
    let w = w.reopened();
    assert_eq!(w.reason(&first), None);
    w.clock.set(NOW.plus(3 * DAY + GRACE));
    // An event that comes before the timer.
    assert_eq!(w.observe(&first, Attribution::Signed), EventStatus::Scored);
    assert_eq!((w.reason(&first), w.state(&agent)), (Some(Reason::Superseded), AgentState::Active));

    let w = world();
    let (_, first, second) = w.renewed();
    w.clock.set(NOW.plus(4 * DAY));
    let w = w.reopened();
    assert_eq!((w.reason(&first), w.reason(&second)), (Some(Reason::Superseded), None), "at the start");
    let size = w.size();
    block_on(w.kakunin.tend()).unwrap();
    assert_eq!(w.size(), size, "once");
    assert!(block_on(w.kakunin.tenant(&w.acme).notifications(None, 9)).unwrap().is_empty());

    let w = world_of(KeyAlgorithm::P256, 0);
    let (_, first, second) = w.renewed();
    assert_eq!(w.reason(&first), Some(Reason::Superseded), "no grace, no two certificates");
    assert_eq!(w.renew_own(&first, 0, 2).unwrap().facts.serial, second);
}

#[test]
fn a_grace_is_no_longer_than_either_certificate() {
    let w = world_of(KeyAlgorithm::P256, DAY);
    let agent = w.agent();
    let tenant = w.kakunin.tenant(&w.acme);
    let certify = tenant.certify(&agent, Profile::Standard, KeySource::Provider(KeyAlgorithm::P256));
    let first = block_on(certify).unwrap().facts.serial;
    let model = MODEL.parse().unwrap();
    let source = KeySource::Provider(KeyAlgorithm::P256);
    let tenant = w.kakunin.tenant(&w.acme);
    let short = tenant.renew(&agent, &model, Profile::Ephemeral, source);
    let short = block_on(short).unwrap().facts;
    w.clock.set(short.not_after);
    block_on(w.kakunin.tend()).unwrap();
    assert_eq!(w.reason(&first), Some(Reason::Superseded));
}

/// The log is ahead then, and nothing may happen for hours that moves it on (ADR 20).
#[test]
fn a_clock_that_was_put_right_makes_a_grace_twice_as_long_at_the_most() {
    let right = NOW.plus(3 * DAY);
    for (wrong_by, renewed_before, restarts) in [
        (2 * HOUR, false, false),
        (2 * HOUR, false, true),
        (2 * HOUR, true, false),
        (2 * HOUR, true, true),
        (GRACE / 2, true, false),
        (GRACE / 2, true, true),
    ] {
        let what = format!("ahead by {wrong_by}, renewed before {renewed_before}, restarts {restarts}");
        let w = world();
        let first = w.enrol(&w.token(&w.agent()), 0).unwrap().facts.serial;
        w.clock.set(right.plus(wrong_by));
        let renew = |w: &World| w.renew_own(&first, 0, 2).unwrap().facts.serial;
        let second = if renewed_before {
            renew(&w)
        } else {
            // It puts the log ahead.
            w.agent();
            w.clock.set(right);
            renew(&w)
        };
        w.clock.set(right);
        let w = if restarts { w.reopened() } else { w };
        block_on(w.kakunin.tend()).unwrap();
        // What was in time is not cut short, but by what is not of this clock.
        assert_eq!(w.reason(&first).is_some(), renewed_before && wrong_by > GRACE, "{what}");
        w.clock.set(right.plus(GRACE - 1));
        block_on(w.kakunin.tend()).unwrap();
        assert_eq!(w.reason(&first).is_some(), renewed_before && wrong_by > GRACE, "{what}");
        let w = if restarts { w.reopened() } else { w };
        w.clock.set(right.plus(2 * GRACE));
        block_on(w.kakunin.tend()).unwrap();
        assert_eq!((w.reason(&first), w.reason(&second)), (Some(Reason::Superseded), None), "{what}");
        // The answer that was lost is given all the same.
        assert_eq!(renew(&w), second, "{what}");
    }
}
