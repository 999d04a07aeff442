//! An inbox of a million items costs no more than one of a few.

use std::collections::BTreeMap;

use kakunin_core::service::{InboxFilter, MAX_READ_MARKS, NotificationKind, Severity};
use pollster::block_on;

use crate::world::{World, page, world};

const ITEMS: u64 = 1_000_000;
/// Indices between two items, on the average.
const APART: u64 = 5;

/// The index of the nth item: sometimes one after the other, sometimes far apart.
fn at(n: u64) -> u64 {
    let (round, place) = (n / 1_000, n % 1_000);
    100 + round * 1_000 * APART + if place < 900 { place } else { place * 4 }
}

fn filled() -> World {
    let w = world();
    w.suspect(&["one"]);
    let template = serde_json::to_string(&block_on(w.tenant().notifications(None, 1)).unwrap()[0].1).unwrap();
    let (begin, end) = template.split_once("\"number\":1").unwrap();
    // One of a hundred thousand is of another kind.
    let odd = end.replace("impersonation_suspected", "agent_held");
    let (sealed, log) = (w.sealer(), w.log());
    for step in 0..ITEMS / 10_000 {
        let rows = (step * 10_000..(step + 1) * 10_000).map(|n| {
            let end = if n % 100_000 == 7 { &odd } else { end };
            sealed(at(n), &format!("{begin}\"number\":{}{end}", n + 2))
        });
        block_on(w.state.store.put(&log, &rows.collect::<Vec<_>>())).unwrap();
    }
    w
}

#[test]
fn a_million_items_are_paged_counted_marked_and_followed_by_looking_at_few() {
    let w = filled();
    let (ann, all) = (w.person("key:ann"), InboxFilter::default());
    let newest = at(ITEMS - 1);
    // Pages, wherever they are.
    let hostile = Some((1 << 53) + 1);
    for (before, len) in
        [(None, 100), (Some(at(ITEMS / 2)), 100), (Some(at(3)), 4), (hostile, 100), (Some(0), 0)]
    {
        let (page, cost) = w.cost(|| page(&ann, all, before, 100));
        assert_eq!(page.items.len(), len, "{before:?}");
        assert_eq!((page.unread, page.end), (ITEMS + 1, newest + 1));
        assert!(cost < 120, "{before:?}: {cost}");
    }
    // Filters that fit little look at so many, and say where they go on.
    let odd = InboxFilter { kind: Some(NotificationKind::AgentHeld), ..all };
    let none = InboxFilter { severity: Some(Severity::Info), ..all };
    for filter in [odd, none] {
        let (page, cost) = w.cost(|| page(&ann, filter, None, 20));
        assert!(page.items.is_empty() && page.next.is_some_and(|next| next < newest), "{page:?}");
        assert!(cost < 2_100, "{cost}");
    }
    // Whoever goes on finds all of them.
    let (mut found, mut before) = (Vec::new(), Some(at(200_000)));
    while let Some(from) = before {
        let page = page(&ann, odd, Some(from), 100);
        found.extend(page.items.iter().map(|one| one.index));
        before = page.next;
    }
    assert_eq!(found, [at(100_007), at(7)]);
    marks(&w);
    follow(&w);
}

fn marks(w: &World) {
    let (ann, unread) = (w.person("key:ann"), InboxFilter { unread: true, ..InboxFilter::default() });
    let (left, cost) = w.cost(|| block_on(ann.mark_read_up_to(at(499_999))).unwrap());
    assert_eq!(left, ITEMS / 2);
    assert!(cost < 20, "{cost}");
    // Every second one above it, as many as there is room for.
    let most = u64::try_from(MAX_READ_MARKS).unwrap();
    for n in 0..most {
        assert_eq!(block_on(ann.mark_read(at(500_001 + 2 * n))).unwrap(), ITEMS / 2 - n - 1);
    }
    let refused = block_on(ann.mark_read(at(500_001 + 2 * most))).unwrap_err();
    assert_eq!(refused.code(), "too_many_marks");
    assert_eq!(block_on(ann.mark_read(at(500_001))).unwrap(), ITEMS / 2 - most, "one that is marked");
    // What closes a gap needs no room, and makes some.
    assert_eq!(block_on(ann.mark_read(at(500_000))).unwrap(), ITEMS / 2 - most - 1);
    assert_eq!(block_on(ann.mark_read(at(500_001 + 2 * most))).unwrap(), ITEMS / 2 - most - 2);
    assert_eq!(
        block_on(w.person("key:bob").mark_read(at(7))).unwrap(),
        ITEMS,
        "nobody else has read anything"
    );
    let (page, cost) = w.cost(|| page(&ann, unread, Some(at(500_010)), 100));
    let odd: Vec<_> = page.items.iter().map(|one| one.index).collect();
    assert_eq!(odd, [at(500_008), at(500_006), at(500_004), at(500_002)], "and there it ends");
    assert!(cost < 600 && page.next.is_none(), "{cost}");
}

fn follow(w: &World) {
    // From wherever somebody was cut off they get each item once, in order, and few are looked at.
    let mut seen = BTreeMap::new();
    for start in [0, at(0), at(899), at(900) - 1, at(500_500), at(ITEMS - 70), at(ITEMS - 3) + 1] {
        let mut from = start;
        for _ in 0..40 {
            let ((items, next), cost) = w.cost(|| block_on(w.tenant().notifications_from(from)).unwrap());
            assert!(cost < 64 * 64, "{from}: {cost}");
            assert!(items.windows(2).all(|w| w[0].0 < w[1].0) && items.len() <= 64);
            let numbers: Vec<_> = items.iter().map(|(_, item)| item.number).collect();
            assert!(numbers.windows(2).all(|w| w[0] + 1 == w[1]), "none is passed over");
            if let (Some((index, first)), true) = (items.first(), from > 0) {
                assert!(*index >= from);
                let last = seen.insert(start, numbers.last().copied().unwrap());
                assert!(last.is_none_or(|last| last + 1 == first.number), "{start}: {from}");
            } else {
                assert!(from == 0 || next == at(ITEMS - 1) + 1);
            }
            from = next;
        }
    }
    assert_eq!(seen[&at(ITEMS - 70)], ITEMS + 1, "up to the newest");
    let (items, next) = block_on(w.tenant().notifications_from((1 << 53) + 1)).unwrap();
    assert_eq!((items.len(), next), (0, at(ITEMS - 1) + 1));
}
