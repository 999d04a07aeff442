//! Snapshots of risk histories, from which a start replays; and of what logs amount to, on record.

use async_trait::async_trait;

use super::follower::Follower;
use super::running::{Kakunin, Running};
use super::unit::{Pace, Turn};
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::engine::on_record::When;
use crate::service::engine::state_snapshot::StateOf;
use crate::service::error::Error;
use crate::time::{MINUTE, SECOND};

/// Stores what changed of the histories of a log, and puts on record what the log amounts to.
pub(super) struct Snapshots;

#[async_trait]
impl Follower for Snapshots {
    fn name(&self) -> &'static str {
        "snapshots"
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        Some([running.tenant_logs()?, vec![LogId::System]].concat())
    }

    fn pace(&self) -> Pace {
        Pace { rest: 5 * SECOND, again: MINUTE, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, log: &LogId, _: &mut Turn<'_>) -> Result<(), Error> {
        if *log == LogId::System {
            return running.record_state(StateOf::System, When::Due).await;
        }
        let Some(tenant) = running.loaded(log).await else { return Ok(()) };
        running.snapshot_if_due(&tenant).await?;
        running.record_state(StateOf::Tenant(&tenant), When::Due).await
    }
}

impl Kakunin {
    /// Stores the risk histories of every tenant in use, so that the next start replays little. Then puts on record, in
    /// each log that grew since that was last done, what it amounts to: a `state.snapshot`. Where there is no room that is
    /// left out. Where several processes share a store the one on duty does this, and the others nothing.
    ///
    /// # Errors
    /// What the store says.
    pub async fn snapshot(&self) -> Result<(), Error> {
        if !self.inner.is_due_here(&Snapshots) {
            return Ok(());
        }
        let tenants = self.inner.loaded_tenants().await;
        for tenant in &tenants {
            self.inner.snapshot(tenant).await?;
        }
        for of in tenants.iter().map(|tenant| StateOf::Tenant(tenant)).chain([StateOf::System]) {
            match self.inner.record_state(of, When::Now).await {
                Ok(()) | Err(Error::Store(StoreError::Full)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
