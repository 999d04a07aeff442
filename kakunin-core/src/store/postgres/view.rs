//! The rows of one log at one moment.

use std::sync::Arc;

use async_trait::async_trait;

use super::error::unread;
use super::link::BRIEF;
use super::pool::Lent;
use super::rows::{self, Pairs};
use super::runs::Runs;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::store::state::{Kind, StateView};

/// The moment is that of the first read. Whoever reads may take a minute between two reads.
const BEGIN: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '60s'";

/// A transaction that reads, on a connection of its own.
#[derive(Debug)]
pub(super) struct View {
    lent: Option<Lent>,
    runs: Arc<Runs>,
    log: LogId,
    applied: u64,
}

impl View {
    pub(super) async fn open(lent: Lent, runs: Arc<Runs>, log: &LogId) -> Result<Self, StoreError> {
        // From here on whoever is dropped ends the transaction.
        let mut view = Self { lent: Some(lent), runs, log: log.clone(), applied: 0 };
        let link = view.link()?;
        let _limit = link.limit(BRIEF);
        link.client().batch_execute(BEGIN).await.map_err(unread)?;
        view.applied = rows::applied(link, log).await?;
        Ok(view)
    }

    fn link(&self) -> Result<&Lent, StoreError> {
        self.lent.as_ref().ok_or_else(|| StoreError::unavailable("the view has ended"))
    }
}

#[async_trait]
impl StateView for View {
    fn applied(&self) -> u64 {
        self.applied
    }

    async fn scan(&mut self, kind: Kind, after: Option<&[u8]>, limit: usize) -> Result<Pairs, StoreError> {
        rows::scan(self.link()?, &self.log, kind, after, limit).await
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let Some(lent) = self.lent.take() else { return };
        self.runs.spawn(async move {
            let _limit = lent.limit(BRIEF);
            if lent.client().batch_execute("ROLLBACK").await.is_err() {
                lent.spoil();
            }
        });
    }
}
