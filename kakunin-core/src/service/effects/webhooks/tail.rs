//! What a log tells, read once for all endpoints of a tenant: most of its records are events, which nobody is told.

use std::collections::VecDeque;

use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::entry::{Entry, LogId};
use crate::log::leaf::Leaf;
use crate::log::record::Record;
use crate::store::audit::AuditSink;
use crate::webhook::WebhookEvent;
use crate::webhook::message::{event_of, may_be_told};

/// Records read at once.
const STEP: usize = 1_024;
/// What is kept of what was read; who is further behind reads by itself.
const KEPT: usize = 4_096;

/// A record that is told: its index, whose it is, and as what. What is about no agent is the nil agent's.
pub(super) type Tells = (u64, AgentId, WebhookEvent);

/// The newest that a log tells.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Everything from this record on,
    from: u64,
    /// and below this one, that is told.
    upto: u64,
    tells: VecDeque<Tells>,
}

impl Tail {
    /// What the log tells from `next` on, oldest first, and up to where: not always to its end.
    pub(super) async fn after(
        &mut self,
        sink: &dyn AuditSink,
        log: &LogId,
        (next, size): (u64, u64),
    ) -> Result<(Vec<Tells>, u64), StoreError> {
        if next >= size {
            return Ok((Vec::new(), next));
        }
        if self.upto == 0 {
            (self.from, self.upto) = (next, next);
        }
        if next < self.from {
            return read(sink, log, next, self.from).await;
        }
        while self.upto < size {
            let (tells, upto) = read(sink, log, self.upto, size).await?;
            self.tells.extend(tells);
            self.upto = upto;
            while self.tells.len() > KEPT {
                self.from = self.tells.pop_front().map_or(self.from, |(index, ..)| index + 1);
            }
        }
        if next < self.from {
            return read(sink, log, next, self.from).await;
        }
        let first = self.tells.partition_point(|(index, ..)| *index < next);
        let tells: Vec<_> = self.tells.range(first..).take(STEP).copied().collect();
        let upto = match tells.last() {
            Some((last, ..)) if tells.len() == STEP => last + 1,
            _ => self.upto,
        };
        Ok((tells, upto))
    }
}

/// What some records from `from` on tell, none at or above `end`.
async fn read(
    sink: &dyn AuditSink,
    log: &LogId,
    from: u64,
    end: u64,
) -> Result<(Vec<Tells>, u64), StoreError> {
    let count = usize::try_from(end - from).unwrap_or(STEP).min(STEP);
    let entries = sink.read_leaves(log, from, count).await?;
    let upto = from + u64::try_from(entries.len()).unwrap_or_default();
    if upto == from {
        return Err(StoreError::Corrupt(format!("index {from} of log {log} is missing")));
    }
    Ok(((from..).zip(&entries).filter_map(|(index, entry)| tells(index, entry)).collect(), upto))
}

fn tells(index: u64, entry: &Entry) -> Option<Tells> {
    // The leaf says most of it, at a fraction of the cost.
    let leaf = Leaf::decode(&entry.leaf).ok().filter(|leaf| may_be_told(leaf.kind))?;
    let record = Record::open(entry).ok()?;
    Some((index, leaf.agent.unwrap_or(AgentId::from_bytes([0; 16])), event_of(&record)?))
}
