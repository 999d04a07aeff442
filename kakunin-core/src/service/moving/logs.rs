//! Entries, from one signed head to a later one.

use super::{MovedLog, OnMoved, Origin};
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::leaf_hash;
use crate::log::walk::SignedHead;
use crate::service::engine::parts::Parts;
use crate::service::engine::seal::altered;
use crate::service::engine::yielding::yield_now;
use crate::service::error::Error;
use crate::store::audit::{Append, Head};
use crate::store::bound::{Binding, Bound};

/// About how many entries are appended at once.
const STEP: u64 = 2_048;
/// Keys that go with an append.
const KEYS: usize = 4_096;

/// Keys of agents. They go with appends, as they came.
pub(super) struct Keys<'s> {
    from: &'s dyn Bound,
    last: Option<IssuerId>,
    count: u64,
    is_over: bool,
}

impl<'s> Keys<'s> {
    pub(super) const fn of(from: &'s dyn Bound) -> Self {
        Self { from, last: None, count: 0, is_over: false }
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    async fn next(&mut self) -> Result<Vec<Binding>, StoreError> {
        if self.is_over {
            return Ok(Vec::new());
        }
        let some = self.from.bound(self.last.as_ref(), KEYS).await?;
        self.is_over = some.len() < KEYS;
        self.last = some.last().map(|bound| bound.key).or(self.last);
        self.count += u64::try_from(some.len()).unwrap_or_default();
        Ok(some)
    }

    /// All that are left.
    async fn rest(&mut self) -> Result<Vec<Binding>, StoreError> {
        let mut all = Vec::new();
        while !self.is_over {
            all.extend(self.next().await?);
        }
        Ok(all)
    }
}

/// Appends what a log has there and lacks here. The last append takes the keys that are left.
pub(super) async fn entries(
    from: &Origin<'_>,
    to: &Parts,
    log: &LogId,
    keys: &mut Keys<'_>,
    progress: OnMoved<'_>,
) -> Result<(), Error> {
    let (end, _) = from.parts.sink.head(log).await?;
    let (mut head, _) = to.sink.head(log).await?;
    if head.frontier.size() > end.frontier.size()
        || head.frontier != from.parts.sink.frontier(log, head.frontier.size()).await?
    {
        return Err(altered(log).into());
    }
    let size = end.frontier.size();
    while head.frontier.size() < size {
        let next = next_head(from, log, head.frontier.size()).await?;
        let entries = between(from, log, head.frontier.size(), next.size).await?;
        let (expected, mut frontier) = (head.clone(), head.frontier);
        entries.iter().for_each(|entry| frontier.push(leaf_hash(&entry.leaf)));
        if frontier.root() != next.root || frontier.size() != next.size {
            return Err(altered(log).into());
        }
        head = Head { frontier, time: next.time };
        let last = *log == LogId::System && next.size == size;
        let bindings = if last { keys.rest().await? } else { keys.next().await? };
        to.sink
            .append(vec![Append {
                log: log.clone(),
                expected,
                next: head.clone(),
                entries,
                checkpoint: next.checkpoint,
                changes: Vec::new().into(),
                revocations: Vec::new(),
                bindings,
                reserved: false,
            }])
            .await?;
        progress(log, next.size, size);
        yield_now().await;
    }
    Ok(())
}

/// The furthest signed head that is near, or the next one.
async fn next_head(from: &Origin<'_>, log: &LogId, size: u64) -> Result<SignedHead, Error> {
    let near = from.heads.at_most(log, size.saturating_add(STEP)).await?;
    if let Some(near) = near.filter(|near| near.size > size) {
        return Ok(near);
    }
    let next = from.heads.above(log, size, 1).await?.pop();
    Ok(next.ok_or_else(|| StoreError::Corrupt(format!("log {log} has no signed head above {size}")))?)
}

async fn between(from: &Origin<'_>, log: &LogId, start: u64, end: u64) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let mut at = start;
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let some = from.parts.sink.read(log, at, left).await?;
        if some.is_empty() {
            return Err(altered(log).into());
        }
        at = at.saturating_add(u64::try_from(some.len()).unwrap_or(u64::MAX));
        entries.extend(some);
    }
    Ok(entries)
}

/// Whether head, time and checkpoint of a log are the same in both stores, and its last entries lead there; nothing for a log
/// without records.
pub(super) async fn compare(from: &Parts, to: &Parts, log: LogId) -> Result<Option<MovedLog>, Error> {
    let (there, here) = (from.sink.head(&log).await?, to.sink.head(&log).await?);
    let (size, root) = (there.0.frontier.size(), there.0.frontier.root());
    // From the entries as they lie there now, and not from what was sent.
    let led = to.sink.frontier(&log, size).await?;
    if there != here || led != there.0.frontier {
        return Err(StoreError::Corrupt(format!(
            "log {log} did not come out as it was; take an empty store, and move it again"
        ))
        .into());
    }
    Ok((size > 0).then_some(MovedLog { log, size, root }))
}
