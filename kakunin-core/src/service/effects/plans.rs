//! Plans that a process left behind that is gone: where others share its store nobody ends them as they load the tenant, for
//! whoever planned may be at it.

use std::collections::HashMap;

use async_trait::async_trait;

use super::follower::Follower;
use super::running::Running;
use super::unit::{Pace, Turn};
use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::entry::LogId;
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::error::Error;
use crate::time::{MINUTE, UnixTime};

/// How long whoever plans may be at it: a key provider that is far answers within that, or never.
const PATIENCE: u64 = 5 * MINUTE;

/// Plans that were seen, each with the size of the log as its agent changed last, and when that was seen first.
type Seen = HashMap<AgentId, (u64, UnixTime)>;

/// Gives up plans that nobody goes on with.
pub(super) struct Plans;

#[async_trait]
impl Follower for Plans {
    fn name(&self) -> &'static str {
        "plans"
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        if running.is_shared() { running.tenant_logs() } else { Some(Vec::new()) }
    }

    fn pace(&self) -> Pace {
        Pace { rest: MINUTE, again: MINUTE, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let Some(tenant) = running.loaded(log).await else { return Ok(()) };
        let before =
            turn.memory.kept.take().and_then(|kept| kept.downcast::<Seen>().ok()).unwrap_or_default();
        let now = turn.now;
        let seen: Seen = {
            let committed = tenant.committed.read();
            let planned = committed.agents.iter().filter(|(_, entry)| entry.row.plan.is_some());
            let since = |id, reach| match before.get(id) {
                Some((of, since)) if *of == reach => *since,
                _ => now,
            };
            planned.map(|(id, entry)| (*id, (entry.reach, since(id, entry.reach)))).collect()
        };
        for (agent, _) in seen.iter().filter(|(_, (_, since))| now.since(*since) >= PATIENCE) {
            match running.abandon(&tenant, *agent).await {
                // When there is room.
                Err(Error::Store(StoreError::Full)) => break,
                abandoned => _ = abandoned?,
            }
        }
        turn.memory.kept = Some(Box::new(seen));
        Ok(())
    }
}
