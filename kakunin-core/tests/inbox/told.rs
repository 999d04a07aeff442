//! What is told, and how often; and that a rebuild tells the same.

use kakunin_core::issue::Profile;
use kakunin_core::risk::Band;
use kakunin_core::service::{Notification, NotificationKind, Severity};
use kakunin_core::time::{DAY, MINUTE};
use pollster::block_on;

use crate::world::{NOW, World, world};

/// Refusals until the band is this, but not for ever.
fn refuse_until(w: &World, serial: kakunin_core::id::Serial, from: u64, band: Band) {
    for n in 1..200 {
        w.clock.set(NOW.plus(from + n * 3_000));
        let seen = block_on(w.tenant().observe(w.refused(serial, n))).unwrap();
        if seen.band == band {
            return;
        }
    }
    panic!("200 refusals lead to no {band:?}");
}

#[test]
fn a_warning_comes_once_for_each_time_the_score_rises_to_it_with_what_the_agent_did() {
    let w = world();
    let (agent, serial) = w.agent("one", Profile::Standard);
    refuse_until(&w, serial, 0, Band::Warning);
    // More of it, in the band: said once.
    let seen = block_on(w.tenant().observe(w.refused(serial, 300))).unwrap();
    assert_eq!(seen.band, Band::Warning);
    assert_eq!(w.kinds(), [NotificationKind::PreRevocationWarning]);
    let (index, warning) = block_on(w.tenant().notifications(None, 1)).unwrap().remove(0);
    assert_eq!((warning.agent, warning.severity(), warning.number), (agent, Severity::Warning, 1));
    let evidence = warning.evidence.unwrap();
    assert_eq!(evidence.event, index - 1, "the event before it in the log");
    assert!(!evidence.families.is_empty() && evidence.families.windows(2).all(|w| w[0].1 >= w[1].1));
    // Falls back, and rises again: that is another crossing.
    let mut at = 20 * MINUTE;
    while block_on(w.tenant().risk(&agent)).unwrap().band >= Band::Warning {
        at += 10 * MINUTE;
        w.clock.set(NOW.plus(at));
    }
    let ok = kakunin_core::event::Event::new(
        serial,
        "read:accounts".parse().unwrap(),
        kakunin_core::event::Outcome::Ok,
    );
    assert!(block_on(w.tenant().observe(ok)).unwrap().band < Band::Warning);
    assert_eq!(w.kinds().len(), 1, "a score that falls warns of nothing");
    refuse_until(&w, serial, at, Band::Warning);
    assert_eq!(w.kinds(), [NotificationKind::PreRevocationWarning; 2]);
    refuse_until(&w, serial, at + DAY / 48, Band::Revoke);
    let all = w.all();
    assert_eq!(all[0].1, NotificationKind::AgentRevoked);
    same_after(w);
}

fn items(w: &World) -> Vec<(u64, Notification)> {
    block_on(w.tenant().notifications(None, 1_000)).unwrap()
}

/// What is told does not change over a restart, nor when it is made anew from the log.
fn same_after(w: World) {
    let before = items(&w);
    let numbers: Vec<_> = before.iter().rev().map(|(_, item)| item.number).collect();
    let count = u64::try_from(before.len()).unwrap();
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
    let w = w.restarted();
    assert_eq!(items(&w), before);
    let w = w.rebuilt();
    assert_eq!(items(&w), before);
    // And it goes on counting where it was.
    w.suspect(&["another"]);
    assert_eq!(items(&w)[0].1.number, count + 1);
}

#[test]
fn holds_stops_and_misuse_are_told_each_with_its_severity() {
    let w = world();
    let [one, two, three] = ["one", "two", "three"].map(|name| w.agent(name, Profile::Standard));
    block_on(w.tenant().hold(&one.1)).unwrap();
    block_on(w.tenant().hold(&one.1)).unwrap();
    block_on(w.tenant().halt(&two.0, kakunin_core::revoke::Cause::OperatorInitiated, None)).unwrap();
    block_on(w.tenant().revoke(&three.1, kakunin_core::revoke::Cause::KeyCompromise)).unwrap();
    let told: Vec<_> = items(&w).iter().map(|(_, item)| (item.kind, item.severity(), item.agent)).collect();
    assert_eq!(
        told,
        [
            (NotificationKind::AgentRevoked, Severity::Critical, three.0),
            (NotificationKind::AgentHalted, Severity::Critical, two.0),
            (NotificationKind::AgentHeld, Severity::Warning, one.0),
        ]
    );
    block_on(w.tenant().release(&one.1)).unwrap();
    block_on(w.tenant().hold(&one.1)).unwrap();
    assert_eq!(w.kinds()[0], NotificationKind::AgentHeld, "another hold is another item");
    same_after(w);
}

#[test]
fn items_that_an_earlier_version_stored_are_numbered_when_they_are_loaded() {
    let w = world();
    w.suspect(&["one", "two", "three"]);
    let before = items(&w);
    let (sealed, store) = (w.sealer(), w.state.store.clone());
    for (index, item) in &before {
        let mut json = serde_json::to_value(item).unwrap();
        assert!(json.as_object_mut().unwrap().remove("number").is_some());
        block_on(store.put(&w.log(), &[sealed(*index, &json.to_string())])).unwrap();
    }
    assert!(items(&w).iter().all(|(_, item)| item.number == 0));
    let w = w.restarted();
    assert_eq!(items(&w), before);
    assert!(w.kakunin.damage().named.is_empty());
    assert_eq!(crate::world::seen(&w.person("key:ann")).1, 3);
    same_after(w);
}

#[test]
fn a_rebuild_takes_away_what_does_not_follow_from_the_log() {
    let w = world();
    w.suspect(&["one", "two"]);
    let before = items(&w);
    let mut stray = before[0].1.clone();
    stray.kind = NotificationKind::PreRevocationWarning;
    let json = serde_json::to_string(&stray).unwrap();
    let row = w.sealer()(before[0].0 - 1, &json);
    block_on(w.state.store.put(&w.log(), &[row])).unwrap();
    assert_eq!(items(&w).len(), 3);
    assert_eq!(items(&w.rebuilt()), before);
}
