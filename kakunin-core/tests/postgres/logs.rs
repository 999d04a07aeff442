//! Logs that grow.

use kakunin_core::conformance::audit_sink;
use kakunin_core::error::StoreError;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::merkle::{Frontier, leaf_hash};
use kakunin_core::store::audit::AuditSink;
use pollster::block_on;

pub(crate) fn tenant(n: usize) -> LogId {
    LogId::Tenant(format!("t{n}").parse().unwrap())
}

/// Appends `count` leaves that name log and index; gives the size after them.
pub(crate) fn grow(sink: &dyn AuditSink, log: &LogId, count: u64) -> Result<u64, StoreError> {
    let (head, _) = block_on(sink.head(log))?;
    let from = head.frontier.size();
    let leaves: Vec<_> = (from..from + count).map(|i| format!("{log}/{i}").repeat(20).into_bytes()).collect();
    let leaves: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
    block_on(sink.append(vec![audit_sink::append(log.clone(), &head, &leaves)]))?;
    Ok(from + count)
}

/// The size of a log, once every leaf was seen to be there and to lead to the stored head.
pub(crate) fn checked_size(sink: &dyn AuditSink, log: &LogId) -> u64 {
    let mut frontier = Frontier::default();
    loop {
        let entries = block_on(sink.read(log, frontier.size(), 1_000)).unwrap();
        if entries.is_empty() {
            break;
        }
        entries.iter().for_each(|e| frontier.push(leaf_hash(&e.leaf)));
    }
    assert_eq!(block_on(sink.head(log)).unwrap().0.frontier, frontier);
    frontier.size()
}
