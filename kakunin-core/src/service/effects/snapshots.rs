//! Snapshots of risk histories, from which a start replays.

use async_trait::async_trait;

use super::follower::Follower;
use super::running::Running;
use super::unit::{Pace, Turn};
use crate::log::entry::LogId;
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::error::Error;
use crate::time::{MINUTE, SECOND};

/// Stores what changed of the histories of a log.
pub(super) struct Snapshots;

#[async_trait]
impl Follower for Snapshots {
    fn name(&self) -> &'static str {
        "snapshots"
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        running.tenant_logs()
    }

    fn pace(&self) -> Pace {
        Pace { rest: 5 * SECOND, again: MINUTE, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, log: &LogId, _: &mut Turn<'_>) -> Result<(), Error> {
        let Some(tenant) = running.loaded(log).await else { return Ok(()) };
        running.snapshot_if_due(&tenant).await
    }
}
