//! Where in a log a time begins. A log's time never decreases, so it takes as many looks as its size has bits.

use std::ops::Range;

use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::log::leaf::Leaf;
use crate::service::effects::running::Running;
use crate::service::engine::entries::Wants;
use crate::time::UnixTime;

impl Running {
    /// The part of a range of a log that was recorded from one time on, and before another.
    pub(super) async fn recorded_between(
        &self,
        log: &LogId,
        mut range: Range<u64>,
        (since, until): (Option<UnixTime>, Option<UnixTime>),
    ) -> Result<Range<u64>, StoreError> {
        if let Some(since) = since {
            range.start = self.first_at(log, range.clone(), since).await?;
        }
        if let Some(until) = until {
            range.end = self.first_at(log, range.clone(), until).await?;
        }
        Ok(range)
    }

    /// The first record of a range that was recorded at this time or later; the end of the range, if none was. A record that
    /// cannot be read has the time of the next one.
    async fn first_at(
        &self,
        log: &LogId,
        Range { mut start, mut end }: Range<u64>,
        time: UnixTime,
    ) -> Result<u64, StoreError> {
        while start < end {
            let middle = start + (end - start) / 2;
            let mut next = middle;
            let found = loop {
                match self.time_at(log, next).await? {
                    Some(found) => break Some(found),
                    None => next += 1,
                }
                if next == end {
                    break None;
                }
            };
            match found {
                Some(found) if found < time => start = next + 1,
                _ => end = middle,
            }
        }
        Ok(start)
    }

    async fn time_at(&self, log: &LogId, index: u64) -> Result<Option<UnixTime>, StoreError> {
        let entry = self.read_all(log, (index, 1), Wants::Leaves).await?.pop();
        Ok(entry.and_then(|entry| Leaf::decode(&entry.leaf).ok()).map(|leaf| leaf.time))
    }
}
