//! The inbox of a tenant as it is stored: where its end is, and its items in either order.

use super::inner::Inner;
use super::yielding::yield_now;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::service::error::Error;
use crate::service::state::inbox::{Notification, Reached, index, key};
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};

/// Items read or written at once where all of them are.
const STEP: usize = 1_024;

/// Items beside each other, newest first.
pub(crate) struct Stretch {
    pub(crate) items: Vec<(u64, Notification)>,
    /// Index of the last row that was looked at, unless there are none below it.
    pub(crate) last: Option<u64>,
}

impl Inner {
    /// The newest `limit` items below an index. Rows that somebody else wrote are left out, and there may be more.
    pub(crate) async fn items(&self, log: &LogId, below: u64, limit: usize) -> Result<Stretch, Error> {
        let rows = self.parts.state.scan(log, Kind::Inbox, Some(&key(below)), limit).await?;
        let last = rows.iter().rev().find_map(|(key, _)| index(key).ok()).filter(|_| rows.len() == limit);
        let rows = self.opened(log, Kind::Inbox, rows).await?;
        let item = |(key, value): (Vec<u8>, Vec<u8>)| Ok((index(&key)?, Notification::decode(&value)?));
        Ok(Stretch { items: rows.into_iter().map(item).collect::<Result<_, StoreError>>()?, last })
    }

    /// The newest item below an index.
    pub(crate) async fn newest_item(
        &self,
        log: &LogId,
        mut below: u64,
    ) -> Result<Option<(u64, Notification)>, Error> {
        loop {
            let Stretch { mut items, last } = self.items(log, below, 1).await?;
            match (items.pop(), last) {
                (Some(newest), _) => return Ok(Some(newest)),
                (None, Some(last)) => below = last,
                (None, None) => return Ok(None),
            }
        }
    }

    /// The item at an index.
    pub(crate) async fn item(&self, log: &LogId, index: u64) -> Result<Option<Notification>, Error> {
        let key = key(index);
        let row = self.parts.state.get(log, Kind::Inbox, &key).await?;
        let row = row.and_then(|row| self.opened_one(log, Kind::Inbox, &key, &row));
        Ok(row.map(|row| Notification::decode(&row)).transpose()?)
    }

    /// Up to `limit` items, oldest first, from one index up to another; none only if there are none. Rows lie newest first: so
    /// it looks for a part that has few, and never at all of them.
    pub(crate) async fn items_between(
        &self,
        log: &LogId,
        (mut from, end): (u64, u64),
        limit: usize,
    ) -> Result<Vec<(u64, Notification)>, Error> {
        // Mostly nothing but the newest are asked for.
        let (mut width, mut grows) = (end.saturating_sub(from), false);
        while from < end {
            let Stretch { mut items, last } =
                self.items(log, end.min(from.saturating_add(width)), limit).await?;
            if last.is_some_and(|last| last > from) {
                // No more than `limit` fit into so many places.
                let least = u64::try_from(limit).unwrap_or(u64::MAX);
                (width, grows) = if grows { (width / 2, true) } else { (least, true) };
                continue;
            }
            items.retain(|(index, _)| *index >= from);
            if !items.is_empty() {
                items.reverse();
                return Ok(items);
            }
            from = from.saturating_add(width);
            width = width.saturating_mul(2);
        }
        Ok(Vec::new())
    }

    /// How far the inbox has come below an index. Items that an earlier version stored have no number, and are given one.
    pub(super) async fn reached(&self, log: &LogId, below: u64) -> Result<Reached, Error> {
        let Some((index, newest)) = self.newest_item(log, below).await? else {
            return Ok(Reached::default());
        };
        let count = match newest.number {
            0 => self.number_items(log, below).await?,
            number => number,
        };
        Ok(Reached { count, end: index + 1 })
    }

    /// Oldest first: one that is cut off begins again.
    async fn number_items(&self, log: &LogId, below: u64) -> Result<u64, Error> {
        let (mut starts, mut at) = (Vec::new(), Some(below));
        while let Some(start) = at {
            starts.push(start);
            at = self.items(log, start, STEP).await?.last;
            yield_now().await;
        }
        let mut count = 0;
        for start in starts.into_iter().rev() {
            let mut changes = Vec::new();
            for (index, item) in self.items(log, start, STEP).await?.items.into_iter().rev() {
                count += 1;
                let item = Notification { number: count, ..item };
                changes.push(self.seal_key.tagged(log, set(Kind::Inbox, key(index).to_vec(), &item)?));
            }
            match self.parts.state.put(log, &changes).await {
                // Without room they stay as they are, and show as unread until something newer is read.
                Ok(()) | Err(StoreError::Full) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(count)
    }

    /// Takes a table away, to be made anew from the log.
    pub(super) async fn forget_table(&self, log: &LogId, kind: Kind) -> Result<(), Error> {
        loop {
            let rows = self.parts.state.scan(log, kind, None, STEP).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let gone = |(key, _)| Change { kind, key, value: None };
            let gone: Vec<_> = rows.into_iter().map(gone).collect();
            self.parts.state.put(log, &gone).await?;
            yield_now().await;
        }
    }
}
