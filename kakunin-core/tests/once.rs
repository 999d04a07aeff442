//! What is recorded once: signed requests by their nonces, wherever they come; and events that are sent again, with the first
//! answer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use common::sink::{Does, Sink};
use common::{MODEL, NOW, P256, config, deployment, parts, reopened};
use kakunin_core::agent::NewAgent;
use kakunin_core::event::{Event, Name, Outcome};
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::risk::{Band, Score, Thresholds};
use kakunin_core::service::{EventStatus, Kakunin, Observed, Parts, Replaces};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{DAY, MINUTE, ManualClock, SECOND};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

struct World {
    one: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    acme: TenantId,
    serial: Serial,
}

impl World {
    fn over(parts: Parts, clock: Arc<ManualClock>) -> Self {
        let (one, acme) = deployment(config(), &parts);
        let tenant = one.tenant(&acme);
        let agent = block_on(tenant.register(NewAgent::new("one", MODEL, ["read:mail"]).unwrap())).unwrap();
        let serial = block_on(tenant.certify(&agent.id, Profile::Standard, P256)).unwrap().facts.serial;
        Self { one, parts, clock, acme, serial }
    }

    fn new() -> Self {
        let (parts, clock) = parts(LocalKeys::ephemeral());
        Self::over(parts, clock)
    }

    fn allowed(&self) -> Event {
        Event::new(self.serial, "read:mail".parse().unwrap(), Outcome::Ok)
    }

    /// What becomes of a request with this nonce at one of the processes that check.
    fn comes(&self, at: &Kakunin, by: Option<&str>, nonce: &str) -> Result<Observed, &'static str> {
        let at = by.map_or_else(|| at.clone(), |by| at.acting_as(by.parse().unwrap()));
        let tenant = at.tenant(&self.acme);
        block_on(tenant.observe_once(name(nonce), self.allowed())).map_err(|error| error.code())
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

#[test]
fn a_nonce_is_good_once_whichever_process_is_asked_and_whoever_reports_it() {
    let w = World::new();
    let other = reopened(config(), &w.parts);
    let seen = w.comes(&w.one, None, "nonce-nonce-nonce-1").unwrap();
    assert_eq!(seen.status, EventStatus::Scored);
    for by in [None, Some("gateway"), Some("key:another")] {
        for at in [&w.one, &other] {
            assert_eq!(w.comes(at, by, "nonce-nonce-nonce-1"), Err("nonce_used"), "{by:?}");
        }
    }
    // The other way round, and after a restart of both.
    w.comes(&other, Some("gateway"), "nonce-nonce-nonce-2").unwrap();
    assert_eq!(w.comes(&w.one, None, "nonce-nonce-nonce-2"), Err("nonce_used"));
    let later = reopened(config(), &w.parts);
    assert_eq!(w.comes(&later, None, "nonce-nonce-nonce-2"), Err("nonce_used"));
    // From the log alone.
    let (state, vault) = (Arc::new(MemoryStore::new()), Some(w.parts.vault()));
    let rebuilt = reopened(config(), &Parts { state, vault, ..w.parts.clone() });
    for nonce in ["nonce-nonce-nonce-1", "nonce-nonce-nonce-2"] {
        assert_eq!(w.comes(&rebuilt, None, nonce), Err("nonce_used"));
    }
    // A reporter's own identifiers say nothing of nonces, and nonces nothing of them.
    let mut event = w.allowed();
    (event.client_id, event.once) = (Some(name("nonce-nonce-nonce-1")), true);
    for status in [EventStatus::Scored, EventStatus::Duplicate] {
        let seen = block_on(later.tenant(&w.acme).observe(event.clone())).unwrap();
        assert_eq!(seen.status, status);
    }
    event.client_id = Some(name("nonce-nonce-nonce-3"));
    block_on(later.tenant(&w.acme).observe(event)).unwrap();
    w.comes(&later, None, "nonce-nonce-nonce-3").unwrap();
}

#[test]
fn of_two_that_come_at_once_with_one_nonce_one_passes() {
    let w = World::new();
    let other = reopened(config(), &w.parts);
    for n in 0..40 {
        let nonce = format!("nonce-nonce-nonce-{n}");
        let passed = std::thread::scope(|scope| {
            let at = [&w.one, &w.one, &other, &other];
            let all = at.map(|at| scope.spawn(|| w.comes(at, None, &nonce)));
            all.map(|one| one.join().unwrap()).into_iter().filter(|answer| match answer {
                Ok(_) => true,
                // Whoever was overtaken says so, and has recorded nothing.
                Err(code) => {
                    assert!(["nonce_used", "conflict"].contains(code), "{code}");
                    false
                }
            })
        });
        assert_eq!(passed.count(), 1, "{nonce}");
        let records = block_on(w.one.tenant(&w.acme).records(None, 8, |_| true)).unwrap().items;
        let of = |event: &Event| event.client_id.as_ref().is_some_and(|id| id.as_str() == nonce);
        let with = records.iter().filter(|item| match &item.record.body {
            kakunin_core::log::record::Body::Event(_, Some(event)) => of(event),
            _ => false,
        });
        assert_eq!(with.count(), 1, "{nonce}");
    }
}

#[test]
fn what_could_not_be_recorded_used_nothing_up() {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let w = World::over(parts, clock);
    for does in [Does::Full, Does::Scarce] {
        sink.does(does);
        assert_eq!(w.comes(&w.one, None, "nonce-nonce-nonce-1"), Err("storage_full"));
    }
    sink.does(Does::Gone);
    assert_eq!(w.comes(&w.one, None, "nonce-nonce-nonce-1"), Err("storage_unavailable"));
    sink.does(Does::Well);
    w.comes(&w.one, None, "nonce-nonce-nonce-1").unwrap();
    // It was written, and nobody was told: then it is used up.
    sink.does(Does::Lost);
    assert_eq!(w.comes(&w.one, None, "nonce-nonce-nonce-2"), Err("storage_unavailable"));
    sink.does(Does::Well);
    assert_eq!(w.comes(&w.one, None, "nonce-nonce-nonce-2"), Err("nonce_used"));
}

#[test]
fn a_nonce_outlives_its_signature_and_is_forgotten() {
    let w = World::new();
    w.comes(&w.one, None, "nonce-nonce-nonce-1").unwrap();
    // 70 s is the longest that a signature is good.
    for (after, expected) in [(70 * SECOND, Some("nonce_used")), (2 * MINUTE + 10 * SECOND, None)] {
        w.clock.set(NOW.plus(after));
        let again = reopened(config(), &w.parts);
        assert_eq!(w.comes(&again, None, "nonce-nonce-nonce-1").err(), expected, "{after}");
    }
    // A clock that is set back revives nothing that a signature of now could use.
    w.clock.set(NOW.plus(MINUTE));
    assert_eq!(w.comes(&w.one, None, "nonce-nonce-nonce-1").err(), Some("nonce_used"));
}

#[test]
fn what_is_sent_again_gets_the_first_answer() {
    let w = World::new();
    let tenant = w.one.tenant(&w.acme);
    let refused = |n: u32| {
        let mut event = Event::refused(w.serial, "delete:vault".parse().unwrap());
        (event.client_id, event.target) = (Some(name(&format!("e{n}"))), Some(name(&format!("vault-{n}"))));
        event
    };
    let mut first: Vec<Observed> = Vec::new();
    while !first.last().is_some_and(|seen| seen.revoked) {
        let n = u32::try_from(first.len()).unwrap();
        w.clock.set(NOW.plus(u64::from(n) * MINUTE));
        first.push(block_on(tenant.observe(refused(n))).unwrap());
        assert!(n < 500);
    }
    // An hour of other things later, in the same process, in another one, and together.
    w.clock.set(NOW.plus(DAY / 2));
    block_on(tenant.observe(w.allowed())).unwrap();
    let other = reopened(config(), &w.parts);
    let changed = |at: usize| at == 0 || first[at].band != first[at - 1].band;
    for kakunin in [&w.one, &other] {
        let all = (0..u32::try_from(first.len()).unwrap()).map(refused).collect();
        let again = block_on(kakunin.tenant(&w.acme).observe_all(all)).unwrap();
        for (at, (first, again)) in first.iter().zip(again).enumerate() {
            let again = again.unwrap();
            assert_eq!(again.status, EventStatus::Duplicate);
            let said =
                |seen: &Observed| (seen.index, seen.at, seen.score, seen.band, seen.revoked, seen.held);
            assert_eq!(said(&again), said(first), "{at}");
            if changed(at) && first.band > kakunin_core::risk::Band::Low {
                assert_eq!(again.evidence, first.evidence, "{at}");
            }
        }
    }
    assert!(first.iter().filter(|seen| seen.revoked).count() == 1);
}

/// What was answered first is read of the record as the policy was then, and what is scattered over the log costs no more
/// than what may follow from each.
#[test]
fn the_first_answer_is_by_the_policy_of_then_and_costs_little() {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let w = World::over(parts, clock);
    let tenant = w.one.tenant(&w.acme);
    let named = |n: u32| {
        let refused = Event::refused(w.serial, "delete:vault".parse().unwrap());
        Event { client_id: Some(name(&format!("e{n}"))), ..if n < 2 { refused } else { w.allowed() } }
    };
    let mut first = Vec::new();
    for n in 0..40 {
        first.push(block_on(tenant.observe(named(n))).unwrap());
        let between = if n < 2 { Vec::new() } else { vec![w.allowed(); 100] };
        block_on(tenant.observe_all(between)).unwrap();
    }
    let mut policy = (*block_on(tenant.policy()).unwrap().policy).clone();
    assert!(first.iter().any(|seen| seen.score > Score::default() && seen.band == Band::Low));
    let (warning, revoke) = (policy.thresholds.warning(), policy.thresholds.revoke());
    policy.thresholds = Thresholds::new(Score::from_millionths(150_000), warning, revoke).unwrap();
    block_on(tenant.set_policy(policy, Replaces::Any, None)).unwrap();
    let before = sink.records();
    let again = block_on(tenant.observe_all((0..40).rev().map(named).collect())).unwrap();
    for (first, again) in first.iter().rev().zip(again) {
        let again = again.unwrap();
        assert_eq!(
            (again.index, again.at, again.score, again.band),
            (first.index, first.at, first.score, first.band)
        );
    }
    let read = sink.records() - before;
    assert!(read <= 40 * 17, "{read} records for 40 events");
}
