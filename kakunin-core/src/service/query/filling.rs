//! Fills a page of a log with what somebody looks for.

use std::ops::Range;

use super::filter::RecordFilter;
use super::page::{Page, Recorded};
use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};
use crate::log::leaf::Leaf;
use crate::log::record::Record;
use crate::service::effects::running::Running;
use crate::service::engine::entries::Wants;

/// Most records opened for one page: a condition beyond the filter that fits little ends early, with a cursor.
const MAX_SCAN: usize = 2_048;
/// Most leaves looked at for one page: where there is no index yet, and where the index cannot tell what a filter takes.
const MAX_LOOK: u64 = 8_192;
/// Records read at once, at the most.
const STEP: usize = 512;
/// Records that are read although they are not wanted, since they lie between two that are.
const GAP: u64 = 8;

/// A page that is being filled.
pub(super) struct Filling<'f, W> {
    running: &'f Running,
    log: &'f LogId,
    filter: &'f RecordFilter,
    wanted: W,
    limit: usize,
    newest_first: bool,
    looked: u64,
    opened: usize,
    /// Records that are read at once next: a filter that fits little takes longer steps.
    step: usize,
    pub(super) page: Page,
}

impl<'f, W: Fn(&Record) -> bool> Filling<'f, W> {
    pub(super) fn of(
        (running, log): (&'f Running, &'f LogId),
        (filter, wanted): (&'f RecordFilter, W),
        (limit, newest_first): (usize, bool),
    ) -> Self {
        // One more than asked for says whether more follow.
        let step = limit.saturating_add(1).min(STEP);
        let page = Page::default();
        Self { running, log, filter, wanted, limit, newest_first, looked: 0, opened: 0, step, page }
    }

    /// Looks at each record of a range. Says whether the page ends there.
    pub(super) async fn look(&mut self, mut range: Range<u64>) -> Result<bool, StoreError> {
        while !range.is_empty() {
            if self.looked >= MAX_LOOK {
                self.page.next = Some(if self.newest_first { range.end } else { range.start });
                return Ok(true);
            }
            let width = self.stride().min(range.end - range.start);
            let part = match self.newest_first {
                true => range.end - width..range.end,
                false => range.start..range.start + width,
            };
            if self.read(part.clone(), None).await? {
                return Ok(true);
            }
            self.looked += width;
            match self.newest_first {
                true => range.end = part.start,
                false => range.start = part.end,
            }
        }
        Ok(false)
    }

    /// Looks at these records, which rise. Says whether the page ends there.
    pub(super) async fn open(&mut self, mut indices: &[u64]) -> Result<bool, StoreError> {
        while !indices.is_empty() {
            let width = usize::try_from(self.stride()).unwrap_or(STEP).min(indices.len());
            let (some, rest) = match self.newest_first {
                true => indices.split_at_checked(indices.len() - width).map(|(rest, some)| (some, rest)),
                false => indices.split_at_checked(width),
            }
            .unwrap_or_default();
            if self.looked >= MAX_LOOK {
                let end = if self.newest_first {
                    indices.last().map(|last| last.saturating_add(1))
                } else {
                    indices.first().copied()
                };
                self.page.next = end;
                return Ok(true);
            }
            self.looked += u64::try_from(width).unwrap_or(u64::MAX);
            indices = rest;
            let near = some.chunk_by(|one, next| next - one <= GAP);
            let mut runs: Vec<_> =
                near.filter_map(|run| Some(*run.first()?..run.last()?.saturating_add(1))).collect();
            if self.newest_first {
                runs.reverse();
            }
            for run in runs {
                if self.read(run, Some(some)).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn stride(&mut self) -> u64 {
        let step = self.step;
        self.step = (step * 4).min(STEP);
        u64::try_from(step).unwrap_or(1)
    }

    /// Reads a range, of which it takes all, or `some`.
    async fn read(&mut self, range: Range<u64>, some: Option<&[u64]>) -> Result<bool, StoreError> {
        let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let entries = self.running.read_all(self.log, (range.start, count), Wants::Payloads).await?;
        let mut read: Vec<_> = range.zip(entries).collect();
        if self.newest_first {
            read.reverse();
        }
        read.retain(|(index, _)| some.is_none_or(|some| some.binary_search(index).is_ok()));
        Ok(read.into_iter().any(|(index, entry)| self.take(index, entry)))
    }

    /// Takes a record if it is wanted. Says whether the page ends before it.
    fn take(&mut self, index: u64, entry: Entry) -> bool {
        if Leaf::decode(&entry.leaf).is_ok_and(|leaf| !self.filter.takes(&leaf)) {
            return false;
        }
        let ends = |page: &mut Page, newest_first| {
            page.next = Some(if newest_first { index + 1 } else { index });
            true
        };
        if self.opened == MAX_SCAN {
            return ends(&mut self.page, self.newest_first);
        }
        self.opened += 1;
        let opened = Record::open(&entry);
        if opened.as_ref().is_ok_and(|record| !(self.wanted)(record)) {
            return false;
        }
        if self.page.items.len() + self.page.damaged.len() == self.limit {
            return ends(&mut self.page, self.newest_first);
        }
        match opened {
            Ok(record) => {
                let erased = self.running.erased(self.log, index, &record);
                self.page.items.push(Recorded { index, entry, record, erased });
            }
            // It does not hide the others.
            Err(_) => {
                let log = self.log;
                let note = format!("record {index} of log {log} is gone, or not what was written");
                self.running.damages.note(note);
                self.page.damaged.push(index);
            }
        }
        false
    }
}
