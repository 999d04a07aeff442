//! Entries of a log, also where some of them are damaged.

use super::inner::Inner;
use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};

impl Inner {
    /// `count` entries from `from` on, an empty one where there is none.
    pub(crate) async fn read_all(
        &self,
        log: &LogId,
        from: u64,
        count: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let sink = &self.parts.sink;
        match sink.read(log, from, count).await {
            Ok(entries) if entries.len() == count => return Ok(entries),
            Ok(_) | Err(StoreError::Corrupt(_)) => {}
            Err(error) => return Err(error),
        }
        let mut entries = Vec::with_capacity(count);
        for index in (from..).take(count) {
            let entry = sink.read(log, index, 1).await.ok().and_then(|mut one| one.pop());
            entries.push(entry.unwrap_or(Entry { leaf: Vec::new(), payload: None }));
        }
        Ok(entries)
    }
}
