//! Whatever is in the log, and however far the index has come.

use std::sync::atomic::Ordering;

use kakunin_core::event::{Attribution, Event, EventKind, Outcome};
use kakunin_core::id::{AgentId, Serial};
use kakunin_core::log::record::{Body, Record};
use kakunin_core::risk::Score;
use kakunin_core::service::{ReadFrom, RecordFilter};
use kakunin_core::time::UnixTime;
use pollster::block_on;

use crate::naive::{agrees, fits, walk};
use crate::world::{Dice, World, world};

/// Something happens.
fn happen(w: &mut World, dice: &mut Dice) {
    let now = w.parts.clock.now();
    w.clock.set(now.plus(u64::try_from(dice.roll(5)).unwrap() * 20_000));
    let (agent, serial) = dice.of(&w.agents);
    match dice.roll(12) {
        0 if w.agents.len() < 40 => w.register(),
        1 => _ = block_on(w.acme.hold(&serial)),
        2 => _ = block_on(w.acme.release(&serial)),
        3 if dice.roll(4) == 0 => _ = block_on(w.acme.retire(&agent)),
        // Most of it are events, of few agents or of many, in runs and not.
        _ => {
            let (many, kinds) = (dice.roll(3) > 0, 1 + dice.roll(EventKind::ALL.len()));
            let attribution = dice.of(&[Attribution::Asserted, Attribution::Possession]);
            let events = (0..500 + dice.roll(500)).map(|_| {
                let serial = if many { dice.of(&w.agents).1 } else { serial };
                let outcome =
                    dice.of(&[Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Error, Outcome::Denied]);
                let mut event = Event::new(serial, "read:accounts".parse().unwrap(), outcome);
                event.kind = dice.of(&EventKind::ALL[..kinds]);
                event.attribution = attribution;
                event.auth_failure = dice.roll(40) == 0;
                event
            });
            let done = block_on(w.acme.observe_all(events.collect())).unwrap();
            assert!(done.iter().all(Result::is_ok));
        }
    }
}

fn filter(w: &World, all: &[(u64, Record)], dice: &mut Dice) -> RecordFilter {
    let mut filter = RecordFilter::default();
    let some = all[dice.roll(all.len())].1.clone();
    match dice.roll(4) {
        0 => filter.agent = Some(dice.of(&w.agents).0),
        1 => filter.serial = Some(dice.of(&w.agents).1),
        2 => (filter.agent, filter.serial) = (some.agent, some.serial),
        _ => {}
    }
    match dice.roll(8) {
        0 => filter.kind = Some(dice.of(Record::KINDS).1),
        1 => filter.kind = Record::kind_named(some.name()),
        2 => filter.act = Some(dice.of(EventKind::ALL)),
        3 => filter.outcome = Some(dice.of(Outcome::ALL)),
        4 => (filter.act, filter.outcome) = (Some(dice.of(EventKind::ALL)), Some(dice.of(Outcome::ALL))),
        5 => {
            let mut two = [0, 1].map(|_| u32::try_from(dice.roll(1_000_001)).unwrap());
            two.sort_unstable();
            filter.scores = Some((Score::from_millionths(two[0]), Score::from_millionths(two[1])));
        }
        6 => {
            // Exactly one that there is, and its neighbours.
            let score = match some.body {
                Body::Event(act, _) => act.score.unwrap_or_default().millionths(),
                Body::Control(_) => 300_000,
            };
            filter.scores = Some((Score::from_millionths(score), Score::from_millionths(score + 1)));
        }
        _ => {}
    }
    let time = |dice: &mut Dice| {
        let millis = all[dice.roll(all.len())].1.time.millis();
        UnixTime::from_millis(millis + u64::try_from(dice.roll(3)).unwrap() - 1)
    };
    match dice.roll(6) {
        0 => filter.since = Some(time(dice)),
        1 => filter.until = Some(time(dice)),
        2 => {
            let mut two = [time(dice), time(dice)];
            two.sort_unstable();
            (filter.since, filter.until) = (Some(two[0]), Some(two[1]));
        }
        _ => {}
    }
    filter
}

fn look(w: &World, dice: &mut Dice, filters: usize) {
    let all = w.records();
    for _ in 0..filters {
        let filter = filter(w, &all, dice);
        let fitting = all.iter().filter(|(_, record)| fits(&filter, record)).count();
        // Sparse ones on small pages, all of them on large ones.
        let limit = if fitting > 2_000 { 2_000 + dice.roll(3_000) } else { 1 + dice.roll(fitting.max(30)) };
        agrees(w, &all, &filter, limit.max(fitting / 20).max(1));
        if fitting > 5_000 {
            continue;
        }
        // From the midst.
        let place = u64::try_from(dice.roll(all.len() + 2)).unwrap();
        let index = |record: &(u64, Record)| record.0;
        let taken = all.iter().filter(|(_, record)| fits(&filter, record)).map(index);
        let (mut below, above): (Vec<_>, Vec<_>) = taken.partition(|index| *index < place);
        below.reverse();
        assert_eq!(walk(w, &filter, ReadFrom::Before(place), 3_000).0, below, "{filter:?} before {place}");
        assert_eq!(walk(w, &filter, ReadFrom::After(place), 3_000).0, above, "{filter:?} after {place}");
    }
}

#[test]
fn every_page_is_what_the_log_says_however_far_the_index_has_come() {
    for seed in 0..2 {
        let (mut w, mut dice) = (world(7), Dice(seed));
        let upto = [20_000, 135_000][usize::try_from(seed).unwrap()];
        let mut next = 3_000;
        while w.size() < upto {
            happen(&mut w, &mut dice);
            if dice.roll(12) == 0 {
                // Each so often its writes fail, and it goes on later.
                w.store.fails.store(dice.of(&[0, 3, 7]), Ordering::SeqCst);
                let _ = block_on(w.kakunin.tend());
            }
            if w.size() > next {
                look(&w, &mut dice, 3);
                next = w.size() + 30_000;
            }
        }
        w.store.fails.store(0, Ordering::SeqCst);
        look(&w, &mut dice, 10);
        w.index();
        look(&w, &mut dice, 20);
        let w = w.restarted();
        w.index();
        look(&w, &mut dice, 10);
        assert_eq!(w.kakunin.damage().count, 0, "{:?}", w.kakunin.damage());
    }
}

#[test]
fn what_is_at_borders_is_found_too() {
    let w = world(40);
    let none = RecordFilter { agent: Some(AgentId::from_bytes([9; 16])), ..RecordFilter::default() };
    for size in [4_095, 4_096, 4_097, 8_192, 65_535, 65_536, 65_537, 69_632] {
        w.fill_to(size);
        w.index();
        let all = w.records();
        let by_serial = RecordFilter { serial: Some(w.agents[0].1), ..RecordFilter::default() };
        let of_one = RecordFilter { since: Some(w.parts.clock.now()), ..crate::world::of(w.agents[1].0) };
        for filter in [of_one, by_serial, none.clone()] {
            agrees(&w, &all, &filter, 2_000);
        }
        let (first, last) = (all[0].1.time, all.last().unwrap().1.time);
        let ages = RecordFilter { since: Some(last.plus(1)), ..RecordFilter::default() };
        let before = RecordFilter { until: Some(first), ..RecordFilter::default() };
        let at_once = RecordFilter { since: Some(last), until: Some(last), ..RecordFilter::default() };
        let far = UnixTime::from_millis(u64::MAX);
        let never = RecordFilter { since: Some(far), until: Some(far), ..crate::world::of(w.agents[0].0) };
        for filter in [ages, before, at_once, never] {
            assert_eq!(agrees(&w, &all, &filter, 10), 1, "{filter:?}");
        }
        let past = (1 << 53) + 1;
        for place in [size, size + 1, past, u64::MAX] {
            assert_eq!(w.find(&none, ReadFrom::After(place), 5).reached, size);
            assert_eq!(w.find(&RecordFilter::default(), ReadFrom::Before(place), 1).items[0].index, size - 1);
        }
    }
}

#[test]
fn an_empty_log_has_no_pages_and_strangers_have_no_log() {
    let mut w = world(0);
    let empty = "empty".parse().unwrap();
    block_on(w.kakunin.create_tenant(&empty)).unwrap();
    w.acme = w.kakunin.tenant(&empty);
    let serial = Serial::from_bytes([0x41; 16]);
    let filter = RecordFilter { serial, since: Some(UnixTime::default()), ..RecordFilter::default() };
    for from in [ReadFrom::End, ReadFrom::Before(7), ReadFrom::After(0), ReadFrom::After(7)] {
        let page = w.find(&filter, from, 5);
        assert!(page.items.is_empty() && page.next.is_none(), "{page:?}");
    }
    w.acme = w.kakunin.tenant(&crate::world::nobody());
    let refused = block_on(w.acme.find(&filter, ReadFrom::End, 5, |_| true)).unwrap_err();
    assert_eq!(refused.code(), "not_found");
}
