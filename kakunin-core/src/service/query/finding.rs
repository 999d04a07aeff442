//! Goes over a log by its index, and past what cannot be wanted.

use std::collections::BTreeMap;
use std::ops::Range;

use super::filter::RecordFilter;
use crate::log::entry::LogId;
use crate::service::effects::running::Running;
use crate::service::error::Error;
use crate::service::state::index::cursor::Indexed;
use crate::service::state::index::mark::Mark;
use crate::service::state::index::rows::{self, Subject};
use crate::service::state::index::{BLOCK, SEGMENT, SEGMENTS};
use crate::store::state::Kind;

/// Blocks whose rows are read at once: some sixteen million records.
const WINDOW: u64 = 256;

/// What is to be looked at next.
#[derive(Debug)]
pub(super) enum Stretch {
    /// Each of these.
    All(Range<u64>),
    /// These alone: no other one near them is wanted. They rise.
    Some(Vec<u64>),
}

/// What is known of a segment that may have some.
#[derive(Debug)]
enum Known {
    /// These, and no other.
    Indices(Vec<u64>),
    /// Its row says which.
    Row,
    /// Nothing.
    Nothing,
}

/// A walk over a log.
#[derive(Debug)]
pub(super) struct Finder<'f> {
    running: &'f Running,
    log: &'f LogId,
    filter: &'f RecordFilter,
    subject: Subject,
    newest_first: bool,
    indexed: Indexed,
    /// What is left of the log.
    left: Range<u64>,
    /// The part of it that is known,
    known: Range<u64>,
    /// and segments in it that may have some.
    segments: BTreeMap<u64, Known>,
}

impl<'f> Finder<'f> {
    pub(super) async fn over(
        running: &'f Running,
        log: &'f LogId,
        filter: &'f RecordFilter,
        (left, newest_first): (Range<u64>, bool),
    ) -> Result<Self, Error> {
        let indexed = match filter.takes_all() {
            true => Indexed::default(),
            false => running.indexed(log).await?,
        };
        let (subject, known, segments) = (filter.subject(), 0..0, BTreeMap::new());
        Ok(Self { running, log, filter, subject, newest_first, indexed, left, known, segments })
    }

    /// What is next, `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Stretch>, Error> {
        while !self.left.is_empty() {
            let (level, Range { start, end }) = (self.indexed.level, self.left.clone());
            let edge = if self.newest_first { end - 1 } else { start };
            if edge >= level {
                return Ok(Some(Stretch::All(self.pass(level..end))));
            }
            if !self.known.contains(&edge) {
                self.learn(edge / BLOCK).await?;
            }
            let segment = match self.newest_first {
                true => self.segments.range(..=edge / SEGMENT).next_back(),
                false => self.segments.range(edge / SEGMENT..).next(),
            };
            let Some(segment) = segment.map(|(number, _)| *number) else {
                self.pass(self.known.clone());
                continue;
            };
            let known = self.segments.remove(&segment).unwrap_or(Known::Nothing);
            let part = self.pass(segment * SEGMENT..(segment + 1) * SEGMENT);
            let known = if matches!(known, Known::Row) { self.row(segment).await? } else { known };
            return Ok(Some(match known {
                Known::Indices(mut indices) => {
                    indices.retain(|index| part.contains(index));
                    Stretch::Some(indices)
                }
                Known::Row | Known::Nothing => Stretch::All(part),
            }));
        }
        Ok(None)
    }

    /// Goes past everything up to this part and with it, and gives what was left of it.
    fn pass(&mut self, part: Range<u64>) -> Range<u64> {
        let Range { start, end } = self.left;
        let part = part.start.clamp(start, end)..part.end.clamp(start, end);
        match self.newest_first {
            true => self.left.end = part.start,
            false => self.left.start = part.end,
        }
        part
    }

    /// Reads which segments of this block, and of those that come after it, may have some.
    async fn learn(&mut self, block: u64) -> Result<(), Error> {
        self.segments.clear();
        let whole = self.indexed.level / BLOCK;
        if block < whole {
            let blocks = match self.newest_first {
                true => (block + 1).saturating_sub(WINDOW).max(self.left.start / BLOCK)..block + 1,
                false => block..(block + WINDOW).min(whole).min(self.left.end.div_ceil(BLOCK)),
            };
            self.known = blocks.start * BLOCK..blocks.end * BLOCK;
            self.learn_blocks(blocks).await?;
        } else {
            self.known = block * BLOCK..self.indexed.level;
            self.learn_segments(block).await?;
        }
        for segment in &self.indexed.damaged {
            if self.known.contains(&(segment * SEGMENT)) {
                self.segments.insert(*segment, Known::Nothing);
            }
        }
        Ok(())
    }

    async fn learn_blocks(&mut self, blocks: Range<u64>) -> Result<(), Error> {
        let prefix = rows::blocks_of(self.subject);
        let before = blocks.start.checked_sub(1).map(|block| rows::block_key(self.subject, block));
        let rows = self.scan(before.as_ref().unwrap_or(&prefix), blocks.end - blocks.start).await?;
        for (key, value) in rows {
            let Some(block) = rows::block_of(&prefix, &key).filter(|block| blocks.contains(block)) else {
                break;
            };
            let (value, filter) = (self.open(&key, &value), self.filter);
            let wanted = |mark: Mark| filter.may_take(mark.coarse_meaning());
            match value.and_then(|value| rows::segments(block, &value, wanted)) {
                Some(some) => self.segments.extend(some.into_iter().map(|segment| (segment, Known::Row))),
                None => {
                    let all = block * SEGMENTS..(block + 1) * SEGMENTS;
                    self.segments.extend(all.map(|segment| (segment, Known::Nothing)));
                    self.running.index_again(self.log).await?;
                }
            }
        }
        Ok(())
    }

    /// The segments of a block that is not full.
    async fn learn_segments(&mut self, block: u64) -> Result<(), Error> {
        let prefix = rows::segments_of(self.subject, block);
        for (key, value) in self.scan(&prefix, SEGMENTS).await? {
            let Some(segment) = rows::segment_of(&prefix, block, &key) else { break };
            let known = match self.indices(segment, &key, &value) {
                Some(indices) => Known::Indices(indices),
                None => {
                    self.running.index_again(self.log).await?;
                    Known::Nothing
                }
            };
            self.segments.insert(segment, known);
        }
        Ok(())
    }

    /// What the row of a segment says of which its block says that it has one.
    async fn row(&self, segment: u64) -> Result<Known, Error> {
        let key = rows::segment_key(self.subject, segment);
        let row = self.running.parts.state.get(self.log, Kind::Index, &key).await?;
        if let Some(indices) = row.and_then(|row| self.indices(segment, &key, &row)) {
            return Ok(Known::Indices(indices));
        }
        self.running.index_again(self.log).await?;
        Ok(Known::Nothing)
    }

    fn indices(&self, segment: u64, key: &[u8], value: &[u8]) -> Option<Vec<u64>> {
        let wanted = |mark: Mark| self.filter.may_take(mark.meaning());
        rows::indices(segment, &self.open(key, value)?, wanted)
    }

    async fn scan(&self, after: &[u8], limit: u64) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Error> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.running.parts.state.scan(self.log, Kind::Index, Some(after), limit).await?)
    }

    fn open(&self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        self.running.seal_key.open(&self.log.to_string(), Kind::Index, key, value)
    }

    /// Whether the index was taken back meanwhile: then rows may have been missing.
    pub(super) async fn is_void(&self) -> Result<bool, Error> {
        let level = self.indexed.level;
        Ok(level > 0 && self.running.indexed(self.log).await?.level < level)
    }
}
