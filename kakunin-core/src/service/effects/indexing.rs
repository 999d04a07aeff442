//! Keeps the index of each tenant's log: off the path of appends, a full segment at a time.
//!
//! Its rows follow from the log: what is missing, or was changed by somebody else, is made anew from that, as is the index
//! of a deployment that has none yet.

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::follower::Follower;
use super::running::Running;
use super::unit::{Pace, Turn};
use crate::log::entry::LogId;
use crate::log::leaf::Leaf;
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::engine::entries::Wants;
use crate::service::engine::yielding::yield_now;
use crate::service::error::Error;
use crate::service::state::index::cursor::{self, Indexed};
use crate::service::state::index::rows::{Block, Segment, end_of, within};
use crate::service::state::index::{SEGMENT, SEGMENTS};
use crate::store::state::{Change, Kind};
use crate::time::MINUTE;

const NAME: &str = "index";
/// Milliseconds between two turns: what is above the index is searched record by record.
const REST: u64 = 100;
/// Segments of a turn.
const AT_ONCE: usize = 16;
/// Records read, and rows written, at once: who appends waits for no more.
const STEP: usize = 512;

/// What is remembered from turn to turn: how far it is, after so many writes by somebody else.
struct Kept {
    indexed: Indexed,
    writes: u64,
}

/// Indexes what is appended.
pub(super) struct Indexing;

#[async_trait]
impl Follower for Indexing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        running.tenant_logs()
    }

    /// It is work for a processor, and each log waits for its own records alone.
    fn at_once(&self) -> usize {
        2
    }

    fn pace(&self) -> Pace {
        Pace { rest: REST, again: MINUTE, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let size = running.commits.of(log).load(Ordering::Acquire);
        let writes = running.foreign_writes.load(Ordering::Acquire);
        let kept = turn.memory.kept.take().and_then(|kept| kept.downcast::<Kept>().ok());
        let mut indexed = match kept.filter(|kept| kept.writes == writes) {
            Some(kept) => kept.indexed,
            None => running.whole_index(log).await?,
        };
        let left = |indexed: &Indexed| {
            usize::try_from(size.saturating_sub(indexed.level) / SEGMENT).unwrap_or(usize::MAX)
        };
        for _ in 0..AT_ONCE {
            if left(&indexed) == 0 {
                break;
            }
            running.index_segment(log, &mut indexed).await?;
            turn.goes_on(running.now(), indexed.level);
            turn.found(left(&indexed));
        }
        turn.left = left(&indexed);
        match turn.left {
            // Until a segment is full there is nothing to do.
            0 => turn.goes_on(running.now(), size),
            _ => turn.pace.rest = 0,
        }
        turn.memory.kept = Some(Box::new(Kept { indexed, writes }));
        Ok(())
    }
}

impl Running {
    /// Up to where a log is indexed: nowhere, if its row is missing or another's.
    pub(crate) async fn indexed(&self, log: &LogId) -> Result<Indexed, Error> {
        let Some(row) = self.parts.state.get(log, Kind::Cursor, cursor::KEY).await? else {
            return Ok(Indexed::default());
        };
        let row = self.seal_key.open(&log.to_string(), Kind::Cursor, cursor::KEY, &row);
        let indexed = row.as_deref().and_then(Indexed::from_row);
        if indexed.is_none() {
            self.note_index(log);
        }
        Ok(indexed.unwrap_or_default())
    }

    /// Has a log indexed again from its beginning, because a row is missing or another's.
    pub(crate) async fn index_again(&self, log: &LogId) -> Result<(), Error> {
        self.note_index(log);
        let unit = self.units.of(NAME, log, &self.commits);
        let mut memory = unit.turn.lock().await;
        memory.kept = None;
        self.put_all(log, vec![Indexed::default().row()]).await?;
        drop(memory);
        unit.hurry();
        self.commits.rouse();
        Ok(())
    }

    /// Has every index held against its sum: somebody else wrote to the store.
    pub(super) fn look_at_indexes(&self) {
        self.units.named(NAME).iter().for_each(|unit| unit.hurry());
    }

    fn note_index(&self, log: &LogId) {
        self.damages.note(format!("the index of log {log} was changed by somebody else; it is made anew"));
    }

    /// Up to where a log is indexed, if its rows are all there and no other ones. Else there are none from here on.
    async fn whole_index(&self, log: &LogId) -> Result<Indexed, Error> {
        let indexed = self.indexed(log).await?;
        if indexed.level > 0 {
            if self.sum_below(log, indexed.next()).await? == Some(indexed.sum) {
                return Ok(indexed);
            }
            self.note_index(log);
            self.put_all(log, vec![Indexed::default().row()]).await?;
        }
        loop {
            let rows = self.parts.state.scan(log, Kind::Index, None, STEP).await?;
            if rows.is_empty() {
                return Ok(Indexed::default());
            }
            let gone = |(key, _)| Change { kind: Kind::Index, key, value: None };
            let gone: Vec<_> = rows.into_iter().map(gone).collect();
            self.parts.state.put(log, &gone).await?;
            yield_now().await;
        }
    }

    /// The sum of the MACs of the rows about what is below a segment; nothing if some are another's.
    async fn sum_below(&self, log: &LogId, next: u64) -> Result<Option<u128>, Error> {
        let (name, mut sum, mut after) = (log.to_string(), 0_u128, Vec::new());
        loop {
            let rows = self.parts.state.scan(log, Kind::Index, Some(&after), STEP).await?;
            for (key, value) in &rows {
                let Some(end) = end_of(key) else { return Ok(None) };
                if end > next {
                    continue;
                }
                if self.seal_key.open(&name, Kind::Index, key, value).is_none() {
                    return Ok(None);
                }
                sum = sum.wrapping_add(mac(value));
            }
            let Some((last, _)) = rows.into_iter().next_back() else { return Ok(Some(sum)) };
            after = last;
            yield_now().await;
        }
    }

    /// Indexes the next segment; with the last one of a block, that too. Cut off, it is done again.
    async fn index_segment(&self, log: &LogId, indexed: &mut Indexed) -> Result<(), Error> {
        let number = indexed.next();
        let (segment, damaged) = self.gather(log, indexed.level).await?;
        let mut sum = self.put_all(log, segment.rows(number)).await?;
        if (number + 1).is_multiple_of(SEGMENTS) {
            let Some(block) = self.index_block(log, number / SEGMENTS).await? else {
                self.note_index(log);
                self.put_all(log, vec![Indexed::default().row()]).await?;
                *indexed = self.whole_index(log).await?;
                return Ok(());
            };
            sum = sum.wrapping_add(block);
        }
        indexed.advance(damaged, sum);
        self.put_all(log, vec![indexed.row()]).await?;
        Ok(())
    }

    /// What the records of a segment are found as, and whether some cannot be read.
    async fn gather(&self, log: &LogId, first: u64) -> Result<(Segment, bool), Error> {
        let (mut segment, mut damaged, mut place) = (Segment::default(), false, 0);
        while u64::from(place) < SEGMENT {
            for entry in self.read_all(log, (first + u64::from(place), STEP), Wants::Leaves).await? {
                match Leaf::decode(&entry.leaf) {
                    Ok(leaf) => segment.take(place, &leaf),
                    Err(_) => damaged = true,
                }
                place += 1;
            }
            yield_now().await;
        }
        Ok((segment, damaged))
    }

    /// Makes the rows of a block from those of its segments, and gives the sum of their MACs; nothing if some of those
    /// are another's.
    async fn index_block(&self, log: &LogId, number: u64) -> Result<Option<u128>, Error> {
        let (prefix, name, mut sum) = (within(number), log.to_string(), 0_u128);
        let (mut block, mut after) = (Block::new(number), prefix.clone());
        loop {
            let rows = self.parts.state.scan(log, Kind::Index, Some(&after), STEP).await?;
            let ends = rows.len() < STEP || rows.iter().any(|(key, _)| !key.starts_with(&prefix));
            let mut made = Vec::new();
            for (key, value) in rows.into_iter().take_while(|(key, _)| key.starts_with(&prefix)) {
                let Some(value) = self.seal_key.open(&name, Kind::Index, &key, &value) else {
                    return Ok(None);
                };
                made.extend(block.take(&key, &value));
                after = key;
            }
            if ends {
                made.extend(block.end());
            }
            sum = sum.wrapping_add(self.put_all(log, made).await?);
            if ends {
                return Ok(Some(sum));
            }
        }
    }

    /// Writes rows under their MACs, a few at once, and gives the sum of these.
    async fn put_all(&self, log: &LogId, rows: Vec<Change>) -> Result<u128, Error> {
        let mut rows = rows.into_iter().map(|row| self.seal_key.tagged(log, row)).peekable();
        let mut sum = 0_u128;
        while rows.peek().is_some() {
            let some: Vec<_> = rows.by_ref().take(STEP).collect();
            self.parts.state.put(log, &some).await?;
            let macs = some.iter().filter_map(|row| row.value.as_deref()).map(mac);
            sum = macs.fold(sum, u128::wrapping_add);
            yield_now().await;
        }
        Ok(sum)
    }
}

/// The MAC at the end of a row.
fn mac(value: &[u8]) -> u128 {
    value.last_chunk().copied().map(u128::from_be_bytes).unwrap_or_default()
}
