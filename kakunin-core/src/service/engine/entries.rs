//! Entries of a log, also where some of them are damaged.

use super::inner::Inner;
use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};

/// What is wanted of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wants {
    /// As [`AuditSink::read_leaves`](crate::store::audit::AuditSink::read_leaves) gives them.
    Leaves,
    /// Payloads of events, too.
    Payloads,
}

impl Inner {
    /// `count` entries from `from` on, an empty one where there is none.
    pub(crate) async fn read_all(
        &self,
        log: &LogId,
        (from, count): (u64, usize),
        wants: Wants,
    ) -> Result<Vec<Entry>, StoreError> {
        match self.read_some(log, (from, count), wants).await {
            Ok(entries) if entries.len() == count => return Ok(entries),
            Ok(_) | Err(StoreError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
        let mut entries = Vec::with_capacity(count);
        for index in (from..).take(count) {
            let entry = self.read_some(log, (index, 1), wants).await.ok().and_then(|mut one| one.pop());
            entries.push(entry.unwrap_or(Entry { leaf: Vec::new(), payload: None }));
        }
        Ok(entries)
    }

    async fn read_some(
        &self,
        log: &LogId,
        (from, count): (u64, usize),
        wants: Wants,
    ) -> Result<Vec<Entry>, StoreError> {
        match wants {
            Wants::Leaves => self.parts.sink.read_leaves(log, from, count).await,
            Wants::Payloads => self.parts.sink.read(log, from, count).await,
        }
    }
}
