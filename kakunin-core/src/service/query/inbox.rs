//! The inbox of a tenant, and what somebody has read of it.

use crate::id::AgentId;
use crate::log::entry::LogId;
use crate::service::effects::tenant::Tenant;
use crate::service::engine::items::Stretch;
use crate::service::error::Error;
use crate::service::state::inbox::{Notification, NotificationKind, Severity};
use crate::service::state::read_marks::{ReadMarks, key};
use crate::store::state::Kind;

/// Most items looked at for one page: a filter that fits little ends early, with a cursor.
const MAX_SCAN: usize = 2_048;
/// Items read at once, at the most.
const STEP: usize = 512;
/// Items that [`Tenant::notifications_from`] gives at once, at the most.
const MOST: usize = 64;

/// Which items; all of them if nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxFilter {
    /// Only those of this kind.
    pub kind: Option<NotificationKind>,
    /// Only those that ask for so much.
    pub severity: Option<Severity>,
    /// Only those about this agent.
    pub agent: Option<AgentId>,
    /// Only those that whoever asks has not read.
    pub unread: bool,
}

/// An item, as somebody sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxItem {
    /// Index of its record in the tenant's log.
    pub index: u64,
    /// What it says.
    pub item: Notification,
    /// Whether whoever asks has read it.
    pub read: bool,
}

/// Part of an inbox, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboxPage {
    /// Items, newest first.
    pub items: Vec<InboxItem>,
    /// Where the next page begins; `None` if there is none.
    pub next: Option<u64>,
    /// How many items whoever asks has not read, of the whole inbox.
    pub unread: u64,
    /// Index after the newest item that this page knew of: [`Tenant::notifications_from`] goes on there.
    pub end: u64,
}

impl InboxFilter {
    fn takes(&self, item: &Notification) -> bool {
        self.kind.is_none_or(|kind| kind == item.kind)
            && self.severity.is_none_or(|severity| severity == item.severity())
            && self.agent.is_none_or(|agent| Some(agent) == item.of_agent())
    }
}

impl Tenant {
    /// Up to `limit` items of the inbox below index `before`, newest first, as whoever this handle acts as has read them
    /// ([`Kakunin::acting_as`](crate::service::Kakunin::acting_as)). At most 2,048 are looked at, so a page may be short,
    /// or empty, although more follow: [`InboxPage::next`] says whether. Waits for nobody who decides.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn inbox(
        &self,
        filter: &InboxFilter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<InboxPage, Error> {
        let log = self.inbox_log().await?;
        let (marks, newest) = (self.marks(&log).await?, self.inner.newest_item(&log, u64::MAX).await?);
        let (end, count) = newest.map_or((0, 0), |(index, item)| (index + 1, item.number));
        let unread = self.unread(&log, &marks, count).await?;
        let mut page = InboxPage { items: Vec::new(), next: None, unread, end };
        let (mut at, mut left) = (before.unwrap_or(end).min(end), MAX_SCAN);
        // One more than asked for says whether more follow; a filter that fits little takes longer steps.
        let mut step = limit.saturating_add(1).min(STEP);
        while left > 0 {
            let Stretch { items, last } = self.inner.items(&log, at, step.min(left)).await?;
            left = left.saturating_sub(step);
            step = (step * 4).min(STEP);
            for (index, item) in items {
                let read = marks.has(index);
                // Whatever is older than this was read.
                if filter.unread && index < marks.below {
                    return Ok(page);
                }
                if filter.unread && read || !filter.takes(&item) {
                    continue;
                }
                if page.items.len() == limit {
                    page.next = Some(index + 1);
                    return Ok(page);
                }
                page.items.push(InboxItem { index, item, read });
            }
            let Some(last) = last else { return Ok(page) };
            at = last;
        }
        page.next = Some(at);
        Ok(page)
    }

    /// The inbox of a tenant, newest first: up to `limit` items below index `before`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn notifications(
        &self,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, Notification)>, Error> {
        let log = self.inbox_log().await?;
        Ok(self.inner.items(&log, before.unwrap_or(u64::MAX), limit).await?.items)
    }

    /// The items from an index on, oldest first, and the index at which the next ones are to be asked for: a few at once,
    /// and none only if there are none. However many there are, it looks at few.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn notifications_from(&self, from: u64) -> Result<(Vec<(u64, Notification)>, u64), Error> {
        let (log, end) = (self.inbox_log().await?, self.inbox_end().await?);
        let items = self.inner.items_between(&log, (from, end), MOST).await?;
        let next = items.last().map_or(end, |(index, _)| index + 1);
        Ok((items, next))
    }

    /// Index after the newest item of the inbox; 0 if there is none.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn inbox_end(&self) -> Result<u64, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        // Who waits is told of an item a moment after it can be read; and nobody waits for one that somebody took away.
        let told = tenant.inbox.size();
        let newest = self.inner.newest_item(&LogId::Tenant(tenant.id.clone()), u64::MAX).await?;
        Ok(newest.map_or(0, |(index, _)| index + 1).max(told))
    }

    /// Waits until there is an item at this index or above it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn inbox_reaches(&self, index: u64) -> Result<(), Error> {
        let inbox = self.inner.tenant(&self.id).await?.inbox.clone();
        inbox.above(index).await;
        Ok(())
    }

    /// Marks an item as read by whoever this handle acts as, and says how many they have not read. What is read is kept
    /// beside the log. Twice is once.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such item, [`Error::TooManyMarks`], and what the store says.
    pub async fn mark_read(&self, index: u64) -> Result<u64, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let (log, _one_at_a_time) = (LogId::Tenant(tenant.id.clone()), tenant.marks.lock().await);
        self.inner.item(&log, index).await?.ok_or(Error::NotFound("notification"))?;
        let before = self.marks(&log).await?;
        let mut marks = before.clone();
        marks.add(index);
        self.keep(&log, &before, marks).await
    }

    /// Marks every item up to the one at this index as read by whoever this handle acts as, and says how many they have not
    /// read. An index above the newest item is that of the newest.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn mark_read_up_to(&self, index: u64) -> Result<u64, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let (log, _one_at_a_time) = (LogId::Tenant(tenant.id.clone()), tenant.marks.lock().await);
        let before = self.marks(&log).await?;
        let mut marks = before.clone();
        // What is yet to come is not read.
        if let Some((newest, _)) = self.inner.newest_item(&log, index.saturating_add(1)).await? {
            marks.raise(newest + 1);
        }
        self.keep(&log, &before, marks).await
    }

    async fn inbox_log(&self) -> Result<LogId, Error> {
        Ok(LogId::Tenant(self.inner.tenant(&self.id).await?.id.clone()))
    }

    /// What whoever this handle acts as has read.
    async fn marks(&self, log: &LogId) -> Result<ReadMarks, Error> {
        let key = key(self.by.as_ref());
        let row = self.inner.parts.state.get(log, Kind::ReadMark, &key).await?;
        let row = row.and_then(|row| self.inner.opened_one(log, Kind::ReadMark, &key, &row));
        Ok(ReadMarks::of_row(row.as_deref()))
    }

    /// Stores what changed of the marks, and counts.
    async fn keep(&self, log: &LogId, before: &ReadMarks, mut marks: ReadMarks) -> Result<u64, Error> {
        if marks != *before {
            self.join(log, &mut marks).await?;
            if !marks.fit() {
                return Err(Error::TooManyMarks);
            }
            let change = self.inner.seal_key.tagged(log, marks.change(self.by.as_ref())?);
            self.inner.parts.state.put(log, &[change]).await?;
        }
        let newest = self.inner.newest_item(log, u64::MAX).await?;
        self.unread(log, &marks, newest.map_or(0, |(_, item)| item.number)).await
    }

    /// Takes marks that stand right above what is read anyway into that.
    async fn join(&self, log: &LogId, marks: &mut ReadMarks) -> Result<(), Error> {
        let mut count = self.count_below(log, marks.below).await?;
        while let Some(first) = marks.single.first().copied() {
            match self.inner.item(log, first).await? {
                Some(item) if item.number != count + 1 => break,
                Some(_) => count += 1,
                // It is there no more.
                None => {}
            }
            marks.raise(first + 1);
        }
        Ok(())
    }

    async fn count_below(&self, log: &LogId, index: u64) -> Result<u64, Error> {
        Ok(self.inner.newest_item(log, index).await?.map_or(0, |(_, item)| item.number))
    }

    /// How many of `count` items are not marked.
    async fn unread(&self, log: &LogId, marks: &ReadMarks, count: u64) -> Result<u64, Error> {
        let single = u64::try_from(marks.single.len()).unwrap_or(u64::MAX);
        let read = self.count_below(log, marks.below).await?.saturating_add(single);
        Ok(count.saturating_sub(read))
    }
}
