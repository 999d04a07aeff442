//! What it costs.

use std::sync::atomic::Ordering;

use kakunin_core::event::{EventKind, Outcome};
use kakunin_core::id::AgentId;
use kakunin_core::log::record::Record;
use kakunin_core::risk::Score;
use kakunin_core::service::{ReadFrom, RecordFilter};
use kakunin_core::time::{DAY, HOUR};

use crate::common::NOW;
use crate::world::{acts, of, world};

/// Reads of a call that finds nothing, or a page.
const FEW: usize = 60;

#[test]
fn among_two_hundred_thousand_none_is_found_by_one_call_and_few_reads() {
    let w = world(20);
    let (rare, _) = w.agents[7];
    w.clock.set(NOW.plus(HOUR));
    w.observe(200_000, |n, event| {
        // One of them does what nobody does, once.
        event.kind = if n == 60_007 { EventKind::Transaction } else { EventKind::DataAccess };
        event.outcome = if n % 3 == 0 { Outcome::Error } else { Outcome::Ok };
    });
    let before = (w.store.indexing.load(Ordering::SeqCst), w.store.index(&w.log()).len());
    assert_eq!(before, (0, 0), "who appends writes none of the index");
    w.index();
    let absent = of(AgentId::from_bytes([7; 16]));
    let other = of(w.agents[8].0);
    let ancient = Some(NOW.plus(1));
    let nothing = [
        absent.clone(),
        RecordFilter { since: Some(NOW.plus(HOUR)), until: Some(NOW.plus(DAY)), ..absent },
        acts(EventKind::Other),
        RecordFilter { outcome: Some(Outcome::Denied), ..RecordFilter::default() },
        // Each of these is true of many, and all of them of none.
        RecordFilter { act: Some(EventKind::Transaction), ..other.clone() },
        RecordFilter { kind: Record::kind_named("certificate.revoked"), ..other.clone() },
        RecordFilter { act: Some(EventKind::Transaction), outcome: Some(Outcome::Error), ..of(rare) },
        RecordFilter { scores: Some((Score::default(), Score::from_millionths(1_000_000))), ..other },
        RecordFilter { until: ancient, act: Some(EventKind::DataAccess), ..of(rare) },
    ];
    for filter in nothing {
        for from in [ReadFrom::End, ReadFrom::After(0)] {
            let (page, reads, entries) = w.store.cost(|| w.find(&filter, from, 100));
            assert!(page.items.is_empty() && page.next.is_none(), "{filter:?}");
            assert!(
                reads < FEW && entries < 4_200,
                "{reads} reads of {entries} records: {filter:?} {from:?}"
            );
        }
    }
    for from in [ReadFrom::End, ReadFrom::After(0)] {
        let (page, reads, _) = w.store.cost(|| w.find(&acts(EventKind::Transaction), from, 100));
        assert_eq!((page.items.len(), page.next), (1, None));
        assert_eq!(page.items[0].record.agent, Some(rare));
        assert!(reads < FEW, "{reads} reads");
    }
    // A page in the midst, of one in sixty.
    let wanted = RecordFilter { outcome: Some(Outcome::Error), ..of(rare) };
    let (page, reads, entries) = w.store.cost(|| w.find(&wanted, ReadFrom::Before(100_000), 20));
    assert_eq!(page.items.len(), 20);
    assert!(reads < FEW && entries < 100, "{reads} reads of {entries} records");
}

#[test]
fn a_log_that_has_no_index_yet_is_searched_in_bounded_steps_until_it_has() {
    let w = world(4);
    w.fill_to(100_000);
    let absent = of(AgentId::from_bytes([7; 16]));
    let mut pages = 0;
    let mut from = ReadFrom::End;
    loop {
        let (page, _, entries) = w.store.cost(|| w.find(&absent, from, 100));
        assert!(entries <= 8_192 + 512, "{entries}");
        pages += 1;
        let Some(next) = page.next else { break };
        from = ReadFrom::Before(next);
    }
    assert!(pages >= 12, "{pages}");
    // Each turn does its share.
    let before = (w.size() / 4_096, w.behind());
    pollster::block_on(w.kakunin.tend()).unwrap();
    assert_eq!((before, w.behind()), ((24, 0), 8));
    w.index();
    let (page, reads, _) = w.store.cost(|| w.find(&absent, ReadFrom::End, 100));
    assert!(page.next.is_none() && reads < FEW, "{reads}");
    // What is indexed is not indexed again, after a restart neither.
    let w = w.restarted();
    let writes = w.store.indexing.load(Ordering::SeqCst);
    w.index();
    assert_eq!(w.store.indexing.load(Ordering::SeqCst), writes);
    let (page, reads, _) = w.store.cost(|| w.find(&absent, ReadFrom::End, 100));
    assert!(page.next.is_none() && reads < FEW, "{reads}");
}

#[test]
fn the_index_is_a_fraction_of_the_log() {
    // As many agents as a fleet has, and as many as there are records: octets of rows, a record.
    for (agents, most) in [(20, 14), (1_000, 50)] {
        let w = world(agents);
        w.fill_to(w.size().next_multiple_of(4_096) + 4_096 * 4);
        w.index();
        let rows = w.store.index(&w.log());
        let octets: usize = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
        let records = usize::try_from(w.size()).unwrap();
        println!("{agents} agents: {} rows, {octets} octets, {records} records", rows.len());
        assert!(octets <= records * most, "{agents} agents: {octets} octets of {records} records");
    }
}
