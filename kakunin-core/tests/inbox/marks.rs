//! What each person has read.

use kakunin_core::service::{InboxFilter, NotificationKind, Severity};
use pollster::block_on;

use crate::world::{page, seen, world};

const NAMES: [&str; 5] = ["one", "two", "three", "four", "five"];

#[test]
fn what_one_person_reads_is_unread_for_others_and_stays_read_over_a_restart() {
    let w = world();
    let items = w.suspect(&NAMES);
    let (ann, bob) = (w.person("key:ann"), w.person("key:bob"));
    assert_eq!(seen(&ann), (vec![false; 5], 5));
    assert_eq!(block_on(ann.mark_read(items[2])).unwrap(), 4);
    assert_eq!(block_on(ann.mark_read(items[2])).unwrap(), 4, "twice is once");
    assert_eq!(block_on(ann.mark_read_up_to(items[1])).unwrap(), 2);
    assert_eq!(block_on(ann.mark_read_up_to(items[0])).unwrap(), 2, "nothing is unread again");
    assert_eq!(seen(&ann), (vec![true, true, true, false, false], 2));
    assert_eq!(seen(&bob), (vec![false; 5], 5));
    assert_eq!(seen(&w.tenant()), (vec![false; 5], 5), "the process has read nothing either");
    assert_eq!(block_on(w.tenant().mark_read(items[4])).unwrap(), 4);
    let unread = InboxFilter { unread: true, ..InboxFilter::default() };
    let left: Vec<_> = page(&ann, unread, None, 9).items.iter().map(|one| one.index).collect();
    assert_eq!(left, [items[4], items[3]]);
    let w = w.restarted();
    assert_eq!(seen(&w.person("key:ann")), (vec![true, true, true, false, false], 2));
    let w = w.rebuilt();
    assert_eq!(seen(&w.person("key:ann")), (vec![true, true, true, false, false], 2));
    assert_eq!(seen(&w.person("key:bob")), (vec![false; 5], 5));
    w.suspect(&["six"]);
    assert_eq!(seen(&w.person("key:ann")), (vec![true, true, true, false, false, false], 3));
}

#[test]
fn what_is_not_there_is_not_marked_and_what_is_yet_to_come_is_unread() {
    let w = world();
    let ann = w.person("key:ann");
    assert_eq!(block_on(ann.mark_read_up_to(u64::MAX)).unwrap(), 0, "of an empty inbox");
    let items = w.suspect(&NAMES[..2]);
    assert_eq!(seen(&ann), (vec![false; 2], 2));
    for nothing in [items[0] + 1, items[1] + 1, u64::MAX, (1 << 53) + 1] {
        assert_eq!(block_on(ann.mark_read(nothing)).unwrap_err().code(), "not_found", "{nothing}");
    }
    // Up to what is between two items is up to the older.
    assert_eq!(block_on(ann.mark_read_up_to(items[0] + 1)).unwrap(), 1);
    assert_eq!(block_on(ann.mark_read_up_to((1 << 53) + 1)).unwrap(), 0);
    w.suspect(&NAMES[2..3]);
    assert_eq!(seen(&ann), (vec![true, true, false], 1));
}

#[test]
fn another_tenants_inbox_and_marks_are_its_own() {
    let w = world();
    let items = w.suspect(&NAMES[..2]);
    let other = "other".parse().unwrap();
    block_on(w.kakunin.create_tenant(&other)).unwrap();
    let theirs = w.kakunin.acting_as("key:ann".parse().unwrap()).tenant(&other);
    assert_eq!(block_on(theirs.mark_read(items[0])).unwrap_err().code(), "not_found");
    assert_eq!(block_on(theirs.mark_read_up_to(items[1])).unwrap(), 0);
    assert_eq!(seen(&theirs), (Vec::new(), 0));
    assert_eq!(seen(&w.person("key:ann")), (vec![false; 2], 2));
    let nobody = w.kakunin.tenant(&"nobody".parse().unwrap());
    assert_eq!(block_on(nobody.inbox(&InboxFilter::default(), None, 1)).unwrap_err().code(), "not_found");
}

#[test]
fn marks_that_somebody_else_wrote_are_none() {
    let w = world();
    let items = w.suspect(&NAMES[..2]);
    let ann = w.person("key:ann");
    block_on(ann.mark_read_up_to(items[1])).unwrap();
    let (log, kind) = (w.log(), kakunin_core::store::state::Kind::ReadMark);
    let row = block_on(w.state.store.get(&log, kind, b"key:ann")).unwrap().unwrap();
    // Hers are not his.
    let moved = kakunin_core::store::state::Change { kind, key: b"key:bob".to_vec(), value: Some(row) };
    block_on(w.state.store.put(&log, &[moved])).unwrap();
    assert_eq!(seen(&w.person("key:bob")), (vec![false; 2], 2));
    assert!(!w.kakunin.damage().named.is_empty());
    assert_eq!(block_on(w.person("key:bob").mark_read(items[0])).unwrap(), 1, "and are made anew");
}

#[test]
fn filters_take_what_fits_all_of_them() {
    let w = world();
    let items = w.suspect(&NAMES[..3]);
    let held = w.agent("held", kakunin_core::issue::Profile::Standard);
    block_on(w.tenant().hold(&held.1)).unwrap();
    let all = InboxFilter::default();
    let indices =
        |filter| page(&w.tenant(), filter, None, 9).items.iter().map(|one| one.index).collect::<Vec<_>>();
    let newest = page(&w.tenant(), all, None, 1);
    let (hold, next) = (newest.items[0].index, newest.next.unwrap());
    assert_eq!((newest.items[0].item.kind, newest.unread), (NotificationKind::AgentHeld, 4));
    assert_eq!(page(&w.tenant(), all, Some(next), 9).items.len(), 3, "the page after it");
    assert_eq!(
        indices(InboxFilter { severity: Some(Severity::Critical), ..all }),
        [items[2], items[1], items[0]]
    );
    assert_eq!(indices(InboxFilter { severity: Some(Severity::Warning), ..all }), [hold]);
    assert_eq!(indices(InboxFilter { severity: Some(Severity::Info), ..all }), [0; 0]);
    assert_eq!(indices(InboxFilter { kind: Some(NotificationKind::AgentHeld), ..all }), [hold]);
    assert_eq!(indices(InboxFilter { agent: Some(held.0), ..all }), [hold]);
    let none = InboxFilter { agent: Some(held.0), severity: Some(Severity::Critical), ..all };
    assert_eq!(indices(none), [0; 0]);
    for (before, expected) in [(0, 0), (items[0], 0), (items[0] + 1, 1), ((1 << 53) + 1, 4), (u64::MAX, 4)] {
        assert_eq!(page(&w.tenant(), all, Some(before), 9).items.len(), expected, "before {before}");
    }
}
