//! Keys of what was erased: the record comes first, and whoever wrote it may have ended before they were destroyed. Keys of
//! an old vault that was put back are destroyed as well, once more at each start.

use async_trait::async_trait;

use super::follower::Follower;
use super::running::Running;
use super::unit::{Pace, Turn};
use crate::log::entry::LogId;
use crate::service::error::Error;
use crate::time::{MINUTE, SECOND};

/// Agents whose keys are looked at in one turn.
const AT_ONCE: usize = 256;

/// Destroys keys that are destroyed by what is on record.
pub(super) struct Erasures;

#[async_trait]
impl Follower for Erasures {
    fn name(&self) -> &'static str {
        "erasures"
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        running.tenant_logs()
    }

    fn pace(&self) -> Pace {
        Pace { rest: SECOND, again: MINUTE, longest: MINUTE }
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let agents = running.payloads.to_destroy(log)?;
        turn.left = agents.len().saturating_sub(AT_ONCE);
        for agent in agents.iter().take(AT_ONCE) {
            running.payloads.destroy(log, agent).await?;
        }
        if turn.left > 0 {
            turn.pace.again = SECOND;
        }
        Ok(())
    }
}
