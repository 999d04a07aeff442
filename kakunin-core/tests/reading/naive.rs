//! What a filter means, said once more and without an index; and a walk over all pages.

use kakunin_core::log::record::{Body, Control, EVENT, Record};
use kakunin_core::service::{Page, ReadFrom, RecordFilter};

use crate::world::World;

pub(crate) fn fits(filter: &RecordFilter, record: &Record) -> bool {
    let (kind, act) = match &record.body {
        Body::Event(act, _) => (EVENT, Some(act)),
        Body::Control(control) => (Control::kind(control), None),
    };
    let mut fits = filter.agent.is_none() || filter.agent == record.agent;
    fits &= filter.serial.is_none() || filter.serial == record.serial;
    fits &= filter.kind.is_none_or(|wanted| wanted == kind);
    fits &= filter.act.is_none() || filter.act == act.map(|act| act.facts.kind);
    fits &= filter.outcome.is_none() || filter.outcome == act.map(|act| act.facts.outcome);
    if let Some((least, most)) = filter.scores {
        fits &= act.and_then(|act| act.score).is_some_and(|score| (least..=most).contains(&score));
    }
    fits &= filter.since.is_none_or(|since| record.time >= since);
    fits && filter.until.is_none_or(|until| record.time < until)
}

/// Indices of all that a filter takes, page by page, in the order in which they come, and how many pages there were.
pub(crate) fn walk(w: &World, filter: &RecordFilter, mut from: ReadFrom, limit: usize) -> (Vec<u64>, usize) {
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let Page { items, damaged, next, reached } = w.find(filter, from, limit);
        assert!(items.len() + damaged.len() <= limit);
        found.extend(items.iter().map(|item| item.index).chain(damaged));
        pages += 1;
        assert_eq!(next.unwrap_or(reached), reached);
        let Some(next) = next else { return (found, pages) };
        from = match from {
            ReadFrom::End => ReadFrom::Before(next),
            ReadFrom::Before(place) if next < place => ReadFrom::Before(next),
            ReadFrom::After(place) if next > place => ReadFrom::After(next),
            stuck => panic!("{filter:?} does not go on from {stuck:?}"),
        };
    }
}

/// Both orders give all that fits, once, and nothing else.
pub(crate) fn agrees(w: &World, all: &[(u64, Record)], filter: &RecordFilter, limit: usize) -> usize {
    let mut expected: Vec<_> =
        all.iter().filter(|(_, record)| fits(filter, record)).map(|(n, _)| *n).collect();
    let (found, up) = walk(w, filter, ReadFrom::After(0), limit);
    assert_eq!(found, expected, "oldest first: {filter:?}, {limit} a page");
    expected.reverse();
    let (found, down) = walk(w, filter, ReadFrom::End, limit);
    assert_eq!(found, expected, "newest first: {filter:?}, {limit} a page");
    up.max(down)
}
