//! Policies: what follows from a score by each, when one changes, and what comes back after a restart.

use kakunin_core::event::Event;
use kakunin_core::issue::Profile;
use kakunin_core::log::record::Control;
use kakunin_core::policy::{Ceilings, Minimum, Mode, Policy, RiskState};
use kakunin_core::revoke::Reason;
use kakunin_core::risk::{Band, Score, Thresholds};
use kakunin_core::service::{Error, NotificationKind, Replaces};
use kakunin_core::time::{DAY, HOUR, MINUTE};
use pollster::block_on;

use crate::world::{MODEL, NOW, P256, World, note, refused, works, world};

const fn score(millionths: u32) -> Score {
    Score::from_millionths(millionths)
}

#[test]
fn a_policy_is_a_record_and_replaces_the_one_that_was_read() {
    let w = world();
    let first = block_on(w.tenant().policy()).unwrap();
    assert_eq!((first.since, &*first.policy), (None, &Policy::default()));
    let warn = Policy { mode: Mode::Warn, ..Policy::default() };
    let set = |policy: &Policy, replaces| {
        block_on(w.tenant_of("key:ann").set_policy(policy.clone(), replaces, Some(note("a rehearsal"))))
    };
    let second = set(&warn, Replaces::Since(None)).unwrap();
    let index = second.since.unwrap();
    assert_eq!(block_on(w.tenant().policy()).unwrap(), second);
    // Who read the one before is told so, and who says the same again changes nothing.
    let other = Policy { mode: Mode::Observe, ..Policy::default() };
    for stale in [Replaces::Since(None), Replaces::Since(Some(index + 1))] {
        assert_eq!(set(&other, stale).unwrap_err().code(), "policy_changed");
    }
    let size = w.size();
    assert_eq!(set(&warn, Replaces::Since(Some(index))).unwrap(), second);
    assert_eq!(w.size(), size);
    let wrong = Policy { minimum: Minimum { events: 0 }, ..Policy::default() };
    assert_eq!(set(&wrong, Replaces::Any).unwrap_err().code(), "policy_minimum");
    let changed = w.of(|control| match control {
        Control::PolicyChanged(change) => Some(change.clone()),
        _ => None,
    });
    let [(at, change)] = changed.as_slice() else { panic!("{changed:?}") };
    assert_eq!((*at, change.replaces, &change.before, &change.after), (index, None, &*first.policy, &warn));
    let (_, record) = w.records().into_iter().find(|(at, _)| *at == index).unwrap();
    assert_eq!((record.by, record.time), ("key:ann".parse().ok(), NOW));
    // Of another tenant nobody knows.
    let beta = block_on(w.kakunin.create_tenant(&"beta".parse().unwrap())).unwrap();
    assert_eq!(block_on(beta.policy()).unwrap(), first);
    let w = w.restarted();
    assert_eq!(block_on(w.tenant().policy()).unwrap(), second);
    let w = w.rebuilt();
    assert_eq!(block_on(w.tenant().policy()).unwrap(), second);
}

#[test]
fn what_follows_is_what_the_mode_says() {
    for (mode, warned, lost) in [(Mode::Observe, 0, false), (Mode::Warn, 1, false), (Mode::Enforce, 1, true)]
    {
        let w = world();
        w.set(|policy| policy.mode = mode);
        let (id, serial) = w.agent("one");
        for _ in 0..60 {
            w.observe(refused(serial));
        }
        let kinds: Vec<_> = w.inbox().iter().map(|item| item.kind).collect();
        let of = |kind| kinds.iter().filter(|k| **k == kind).count();
        assert_eq!(of(NotificationKind::PreRevocationWarning), warned, "{mode}: {kinds:?}");
        assert_eq!(of(NotificationKind::AgentRevoked), usize::from(lost), "{mode}: {kinds:?}");
        assert_eq!(w.reason(&serial), lost.then_some(Reason::PrivilegeWithdrawn), "{mode}");
        let risk = w.risk(&id);
        assert_eq!(risk.band, Band::Revoke, "{mode}: it is computed and shown");
        let state = if mode == Mode::Observe { RiskState::None } else { RiskState::AtRisk };
        assert_eq!(risk.state, state, "{mode}");
    }
}

/// Far enough at once: warned of first, and then revoked.
#[test]
fn who_jumps_past_both_thresholds_is_warned_of_and_revoked_in_this_order() {
    let w = world();
    w.set(|policy| {
        let thresholds = Thresholds::new(score(10_000), score(20_000), score(30_000)).unwrap();
        *policy = Policy { minimum: Minimum { events: 1 }, ..Policy::with(thresholds) };
    });
    let (_, serial) = w.agent("one");
    let from = w.size();
    assert!(w.observe(refused(serial)).revoked);
    assert_eq!(w.names(from), ["risk.band_changed", "risk.band_changed", "certificate.revoked"]);
    let kinds: Vec<_> = w.inbox().iter().map(|item| item.kind).collect();
    assert_eq!(kinds, [NotificationKind::PreRevocationWarning, NotificationKind::AgentRevoked]);
}

#[test]
fn nothing_is_taken_away_on_less_evidence_than_the_policy_wants() {
    let after = |events| {
        let w = world();
        let thresholds = Thresholds::new(score(10_000), score(20_000), score(30_000)).unwrap();
        w.set(|policy| *policy = Policy { minimum: Minimum { events }, ..Policy::with(thresholds) });
        let (_, serial) = w.agent("one");
        // Ordinary work is no evidence, and takes nothing away when there is enough.
        (0..5).for_each(|_| assert!(!w.observe(works(serial)).revoked));
        // Another door each time: who tries one again tells little.
        let tries = |n: &usize| {
            let action = format!("delete:backups{n}").parse().unwrap();
            w.observe(Event::refused(serial, action)).revoked
        };
        (1..100).find(tries).unwrap()
    };
    assert_eq!([1, 2, 3, 9].map(after), [1, 2, 3, 9]);
}

#[test]
fn a_band_is_left_with_some_distance_and_entered_again_at_its_threshold() {
    let w = world();
    w.set(|policy| policy.mode = Mode::Warn);
    let (id, serial) = w.agent("one");
    w.until(serial, |observed| observed.band == Band::Warning);
    // The score falls with the days, slowly: the band follows it down later than it followed it up.
    let plain = Thresholds::default();
    let (mut lenient, mut left) = (0, None);
    for minute in 1..20_000 {
        w.clock.set(NOW.plus(minute * MINUTE));
        let risk = w.risk(&id);
        if risk.band == Band::Medium {
            left = Some(risk.score);
            break;
        }
        lenient += u32::from(plain.band(risk.score) == Band::Medium);
    }
    let left = left.expect("it never left");
    assert!(left < score(700_000), "{left:?}");
    assert!(lenient > 30, "{lenient} minutes below the threshold, and still in its band");
    // What is on record follows by the same rule, with the next event.
    let seen = w.observe(works(serial));
    assert_eq!(seen.band, Band::Medium);
    assert_eq!(w.until(serial, |observed| observed.band == Band::Warning).0.band, Band::Warning);
}

#[test]
fn ceilings_bound_the_life_of_every_certificate() {
    let w = world();
    let (low, medium, warning) = (Profile::Elevated, Profile::HighRisk, Profile::Ephemeral);
    w.set(|policy| (policy.ceilings, policy.mode) = (Ceilings { low, medium, warning }, Mode::Warn));
    let (id, serial) = w.agent("one");
    let life = |serial| {
        let (entry, _) = block_on(w.tenant().certificate_entry(&serial)).unwrap();
        entry.facts.not_after.since(entry.facts.not_before)
    };
    assert!(life(serial).abs_diff(30 * DAY) <= HOUR, "{}", life(serial));
    w.until(serial, |observed| observed.band == Band::Warning);
    let model = MODEL.parse().unwrap();
    let renewed = block_on(w.tenant().renew(&id, &model, Profile::Standard, P256)).unwrap();
    assert!(life(renewed.facts.serial) <= HOUR + HOUR / 4);
    // From the threshold of revocation on a person decides first.
    w.until(renewed.facts.serial, |observed| observed.band == Band::Revoke);
    let renewed = block_on(w.tenant().renew(&id, &model, Profile::Standard, P256));
    assert!(matches!(renewed, Err(Error::VerdictNeeded(agent)) if agent == id));
}

/// Each decision is made under exactly one policy, which its record names, and is folded anew under it.
#[test]
fn a_policy_that_changes_while_events_come_decides_what_comes_after_it() {
    let w = world();
    let (_, serial) = w.agent("one");
    let changes = std::thread::scope(|scope| {
        let events = scope.spawn(|| {
            for n in 0..400 {
                w.observe(if n % 4 == 0 { refused(serial) } else { works(serial) });
            }
        });
        let mut changes = 0;
        while !events.is_finished() {
            let revoke = 700_000 + 1_000 * (changes % 250);
            w.set(|policy| {
                policy.thresholds = Thresholds::new(score(200_000), score(400_000), score(revoke)).unwrap();
                policy.mode = Mode::Warn;
            });
            changes += 1;
        }
        changes
    });
    let mut in_force = (None, Policy::default());
    let mut decided = 0;
    for (index, record) in w.records() {
        let kakunin_core::log::record::Body::Control(control) = &record.body else { continue };
        match &**control {
            Control::PolicyChanged(change) => {
                assert_eq!((change.replaces, &change.before), (in_force.0, &in_force.1));
                in_force = (Some(index), change.after.clone());
            }
            Control::BandChanged { evidence, .. } => {
                let policy = &in_force.1;
                assert_eq!((evidence.policy, evidence.mode), (in_force.0, policy.mode));
                assert_eq!(evidence.threshold, policy.thresholds.revoke());
                decided += 1;
            }
            _ => {}
        }
    }
    assert!(changes > 3 && decided > 0, "{changes} changes, {decided} decisions");
    let seen = |w: &World| {
        let agents = block_on(w.tenant().agents(None, 0, 10)).unwrap().0;
        let risk = w.risk(&agents[0].id);
        (block_on(w.tenant().policy()).unwrap(), risk.score, risk.tally, risk.band)
    };
    let before = seen(&w);
    let w = w.restarted();
    assert_eq!(seen(&w), before, "by rows and snapshots");
    let w = w.rebuilt();
    assert_eq!(seen(&w), before, "by the log alone");
}
