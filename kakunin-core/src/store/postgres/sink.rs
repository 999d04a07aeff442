//! Logs, and who is on duty.

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::append::{Batch, months, sizes};
use super::link::BRIEF;
use super::rows::Much;
use super::store::PostgresStore;
use super::{rows, sql};
use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};
use crate::store::audit::{Append, AuditSink, Head, Room, Turn};
use crate::store::duty::Duties;

#[async_trait]
impl AuditSink for PostgresStore {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let writes = self.sizes.writes(appends.iter().map(|append| &append.log));
        let outcome = self.write(&appends).await;
        match &outcome {
            Ok(()) => self.full.store(false, Ordering::Relaxed),
            Err(StoreError::Full) => self.full.store(true, Ordering::Relaxed),
            Err(_) => {}
        }
        outcome?;
        for (log, size) in sizes(&appends) {
            self.sizes.wrote(log, size);
            self.notifier.tell(log, size);
            self.state.raise(log, size);
        }
        drop(writes);
        for Append { log, revocations, .. } in &appends {
            // An append that named no revocations applied none.
            if let (LogId::Revocations(issuer), Some((last, _))) = (log, revocations.last()) {
                self.revocations.raise(issuer, last.saturating_add(1));
            }
        }
        Ok(())
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        rows::head(&*self.reader().await?, log).await
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        rows::read(&*self.reader().await?, log, from, (limit, Much::All)).await
    }

    async fn read_leaves(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        rows::read(&*self.reader().await?, log, from, (limit, Much::Leaves)).await
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        rows::logs(&*self.reader().await?).await
    }

    async fn room(&self) -> Room {
        if self.full.load(Ordering::Relaxed) && self.has_room().await {
            self.full.store(false, Ordering::Relaxed);
        }
        Room { full: self.full.load(Ordering::Relaxed), reserve: 0 }
    }

    async fn turn(&self, log: &LogId) -> Result<Box<dyn Turn>, StoreError> {
        self.turns.take(log).await
    }

    async fn grown(&self) -> Vec<(LogId, u64)> {
        self.sizes.grown().await
    }
}

impl PostgresStore {
    /// Over the connection of a turn that this process has, so that it ends with that; else over one for logs like it.
    async fn write(&self, appends: &[Append]) -> Result<(), StoreError> {
        let Some(first) = appends.first() else { return Ok(()) };
        let batch = Batch::of(appends)?;
        if let Some(link) = appends.iter().find_map(|append| self.turns.link(&append.log)) {
            let next = link.next().await;
            self.make_months(months(appends)).await?;
            let sent = batch.send(&link).await?;
            drop(next);
            return sent.outcome().await;
        }
        let slot = self.writers.of(&first.log).await?;
        self.make_months(months(appends)).await?;
        let link = slot.link.clone();
        let sent = batch.send(&link).await?;
        // Whoever comes next is sent behind it, while this one waits for its answer.
        drop(slot);
        sent.outcome().await
    }

    /// Whether something can be written: it is given up again.
    async fn has_room(&self) -> bool {
        let probe = async {
            let link = self.reader().await?;
            let _limit = link.limit(BRIEF);
            let script = format!("BEGIN; {}; ROLLBACK", sql::FILL);
            let filled = link.client().batch_execute(&script).await;
            if filled.is_err() {
                // It is in the middle of a transaction that failed.
                link.spoil();
            }
            filled.map_err(super::error::undone)
        };
        probe.await.is_ok()
    }
}

#[async_trait]
impl Duties for PostgresStore {
    fn is_alone(&self) -> bool {
        false
    }

    async fn on_duty(&self) -> bool {
        self.duty.is_ours().await
    }
}
