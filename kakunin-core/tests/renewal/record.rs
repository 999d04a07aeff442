//! What a renewal goes by, and what is recorded of it.

use kakunin_core::agent::{AgentChange, AgentState};
use kakunin_core::event::Outcome;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::risk::Band;
use kakunin_core::scope::{Scope, ScopeSet};
use kakunin_core::service::{Kakunin, KeySource};
use kakunin_core::time::{DAY, HOUR};
use pollster::block_on;

use crate::common::{MODEL, NOW, config};
use crate::world::{World, world};

#[test]
fn the_record_says_what_was_attested_approved_and_seen() {
    let w = world();
    let agent = w.agent();
    let first = w.certify(&agent, &w.request(0)).unwrap().facts;
    let life = first.not_after.since(first.not_before);
    assert!(first.renew_after().since(first.not_before).abs_diff(life * 2 / 3) < 9 && life >= 365 * DAY);
    w.observe(first.serial, "read:accounts/7", Outcome::Ok);
    w.observe(first.serial, "delete:accounts", Outcome::Denied);
    let scope = |texts: &[&str]| ScopeSet::parse(texts).unwrap();
    let wider = scope(&["read:accounts/*", "send:mail"]);
    let approved = wider.clone();
    block_on(
        w.kakunin
            .tenant(&w.acme)
            .update(&agent, AgentChange { scope: Some(wider), ..AgentChange::default() }),
    )
    .unwrap();
    // What was used survives a restart, by snapshot and by replay.
    block_on(w.kakunin.snapshot()).unwrap();
    w.observe(first.serial, "erase:all", Outcome::Denied);
    let w = World { kakunin: block_on(Kakunin::open(config(), w.parts.clone())).unwrap(), ..w };
    let renewed = w.renew(&agent, KeySource::Provider(KeyAlgorithm::P256)).unwrap().facts;
    let renewal = w.last_renewal();
    let scopes = |texts: &[&str]| -> Vec<Scope> { texts.iter().map(|t| t.parse().unwrap()).collect() };
    assert_eq!((renewal.replaces, renewal.attested), (first.serial, MODEL.parse().unwrap()));
    assert_eq!((renewal.approved, renewal.changed), (Some(approved), Vec::<String>::new()));
    assert_eq!((renewal.added, renewal.removed), (scopes(&["send:mail"]), scopes(&["write:ledger"])));
    assert_eq!(renewal.unused, Some(scopes(&["write:ledger"])));
    assert_eq!(renewal.refused, ["delete:accounts".parse().unwrap(), "erase:all".parse().unwrap()]);
    // The next one begins anew.
    w.clock.set(NOW.plus(HOUR));
    w.renew(&agent, KeySource::Provider(KeyAlgorithm::P256)).unwrap();
    let next = w.last_renewal();
    assert_eq!((next.replaces, next.refused.len()), (renewed.serial, 0));
    assert_eq!(next.unused, Some(scopes(&["read:accounts/*", "send:mail"])));
}

#[test]
fn evidence_makes_the_next_life_shorter() {
    let w = world();
    let agent = w.agent();
    let mut serial = w.certify(&agent, &w.request(0)).unwrap().facts.serial;
    let mut seen = Vec::new();
    for n in 0..200 {
        w.observe(serial, &format!("delete:accounts/{n}"), Outcome::Denied);
        if block_on(w.kakunin.tenant(&w.acme).agent(&agent)).unwrap().state != AgentState::Active {
            break;
        }
        let band = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap().band;
        let facts = w.renew(&agent, KeySource::Provider(KeyAlgorithm::P256)).unwrap().facts;
        let life = facts.not_after.since(facts.not_before) / DAY;
        let days = match band {
            Band::Low => 365,
            Band::Medium => 30,
            Band::Warning | Band::Revoke => 1,
        };
        assert_eq!((life, w.last_renewal().band), (days, band));
        serial = facts.serial;
        seen.push(band);
    }
    seen.dedup();
    assert_eq!(seen, [Band::Low, Band::Medium, Band::Warning], "every band was renewed in");
}
