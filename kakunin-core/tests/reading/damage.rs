//! Somebody else writes to the index, or to the log.

use kakunin_core::event::EventKind;
use kakunin_core::log::leaf::Leaf;
use kakunin_core::log::record::Record;
use kakunin_core::service::{ReadFrom, RecordFilter};
use kakunin_core::store::state::{Kind, StateStore};
use pollster::block_on;

use crate::naive::{agrees, walk};
use crate::world::{World, acts, of, world};

const RECORDS: u64 = 4_096 * 20;

fn indexed() -> World {
    let w = world(3);
    w.observe(usize::try_from(RECORDS - w.size()).unwrap(), |n, event| {
        event.kind = if n % 9_000 == 17 { EventKind::Transaction } else { EventKind::ApiCall };
    });
    w.index();
    w
}

fn filters(w: &World) -> [RecordFilter; 4] {
    let of_kind = RecordFilter { kind: Record::kind_named("certificate.issued"), ..RecordFilter::default() };
    let both = RecordFilter { act: Some(EventKind::Transaction), ..of(w.agents[2].0) };
    [acts(EventKind::Transaction), of(w.agents[1].0), of_kind, both]
}

#[test]
fn a_row_that_somebody_changed_hides_nothing_and_is_made_anew() {
    let w = indexed();
    let (all, before) = (w.records(), w.store.index(&w.log()));
    let forged = |n: usize| Some(vec![0; before[n].1.len()]);
    let cut = |n: usize| Some(before[n].1[..before[n].1.len() - 1].to_vec());
    let anothers = |n: usize| Some(before[n - 1].1.clone());
    // Of a segment, whose rows come first, and of a block.
    let (segment, block) = (before.len() / 2, before.len() - 7);
    let full = crate::world::key_of_all(2);
    let place = before.iter().position(|(key, _)| *key == full).unwrap();
    let values = [
        (segment, forged(segment)),
        (segment, anothers(segment)),
        (block, forged(block)),
        (block, cut(block)),
        (place, None),
    ];
    for (n, value) in values {
        w.store.set(&w.log(), Kind::Index, &before[n].0, value);
        for filter in [&filters(&w)[0], &filters(&w)[3]] {
            agrees(&w, &all, filter, 2_000);
        }
        w.index();
        assert_eq!(w.store.index(&w.log()), before, "it is what it was");
    }
    let damage = w.kakunin.damage();
    assert!(damage.named.iter().any(|what| what.contains("the index of log acme")), "{damage:?}");
}

#[test]
fn a_row_that_somebody_took_away_or_put_back_is_missed_at_the_next_look() {
    let w = indexed();
    let (all, before) = (w.records(), w.store.index(&w.log()));
    // Of a segment of a block that is not full, and of a block.
    for n in [before.len() / 2 + 55, before.len() - 1] {
        w.store.set(&w.log(), Kind::Index, &before[n].0, None);
        w.index();
        assert_eq!(w.store.index(&w.log()), before, "it is what it was");
    }
    // All that one agent ever did, while nobody was looking.
    for (key, _) in before.iter().filter(|(key, _)| key.starts_with(&crate::world::keys_of(w.agents[0].0))) {
        w.store.set(&w.log(), Kind::Index, key, None);
    }
    w.store.foreign.store(0, std::sync::atomic::Ordering::SeqCst);
    let w = w.restarted();
    w.index();
    assert_eq!(w.store.index(&w.log()), before);
    agrees(&w, &all, &of(w.agents[0].0), 2_000);
    assert_eq!(w.kakunin.damage().count, 1, "{:?}", w.kakunin.damage());
}

#[test]
fn rows_of_nobody_are_taken_away() {
    let w = indexed();
    let (stranger, before) = ([5; 8], w.store.index(&w.log()));
    // Of a block that is full, of one that is not, and of one that there is not.
    let keys = [
        [&[1, 1], &stranger[..], &[0; 5]].concat(),
        [&[0, 0, 0, 0, 0, 1, 1], &stranger[..], &[2]].concat(),
        [&[0, 0, 0, 0, 0, 1, 1], &stranger[..], &[200]].concat(),
    ];
    for key in &keys {
        w.store.set(&w.log(), Kind::Index, key, Some(vec![7; 40]));
    }
    let mut id = [0; 16];
    id[8..].copy_from_slice(&stranger);
    let filter = of(kakunin_core::id::AgentId::from_bytes(id));
    for from in [ReadFrom::End, ReadFrom::After(0)] {
        assert_eq!(walk(&w, &filter, from, 10).0, [0; 0]);
    }
    w.index();
    assert_eq!(w.store.index(&w.log()), before);
}

#[test]
fn without_its_cursor_or_all_its_rows_it_is_made_again() {
    let w = indexed();
    let (all, before) = (w.records(), w.store.index(&w.log()));
    let cursor = block_on(StateStore::get(&w.store.store, &w.log(), Kind::Cursor, b"index")).unwrap();
    assert!(cursor.is_some());
    for value in [None, Some(vec![]), Some(vec![1; 24])] {
        w.store.set(&w.log(), Kind::Cursor, b"index", value.clone());
        for (key, _) in &before {
            w.store.set(&w.log(), Kind::Index, key, None);
        }
        agrees(&w, &all, &filters(&w)[3], 2_000);
        let again = crate::common::reopened(crate::common::config(), &w.parts);
        for _ in 0..3 {
            block_on(again.tend()).unwrap();
        }
        assert_eq!(w.store.index(&w.log()), before);
        agrees(&w, &all, &filters(&w)[3], 2_000);
        let noted = again.damage().named.iter().any(|what| what.contains("the index"));
        assert_eq!(noted, value.is_some(), "{:?}", again.damage());
    }
}

#[test]
fn a_record_that_cannot_be_read_is_told_of_wherever_it_may_have_been_wanted() {
    let w = world(3);
    w.fill_to(RECORDS);
    w.store.broken.lock().unwrap().extend([5_000, 70_000, 81_919]);
    w.index();
    // One more, of which the index knows whose it is.
    w.store.broken.lock().unwrap().insert(30_000);
    let owner = block_on(kakunin_core::store::audit::AuditSink::read(&w.store.store, &w.log(), 30_000, 1));
    let owner = Leaf::decode(&owner.unwrap()[0].leaf).unwrap().agent.unwrap();
    for (agent, _) in &w.agents {
        let filter = RecordFilter { act: Some(EventKind::Other), ..of(*agent) };
        assert_eq!(walk(&w, &filter, ReadFrom::End, 50).0, [81_919, 70_000, 5_000]);
        let (found, _) = walk(&w, &of(*agent), ReadFrom::After(29_000), 2_000);
        assert_eq!(found.contains(&30_000), *agent == owner);
    }
    // A time is found all the same.
    let filter = RecordFilter { since: Some(crate::common::NOW), ..acts(EventKind::Other) };
    assert_eq!(walk(&w, &filter, ReadFrom::After(0), 50).0, [5_000, 70_000, 81_919]);
}
