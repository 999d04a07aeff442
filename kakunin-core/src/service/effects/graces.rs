//! Graces that are over.

use async_trait::async_trait;

use super::follower::Follower;
use super::running::Running;
use super::unit::{Pace, Turn};
use crate::id::AgentId;
use crate::log::entry::LogId;
use crate::service::command::grace::EndGraces;
use crate::service::engine::inner::Inner;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::time::{MINUTE, SECOND, UnixTime};

/// Graces that end in one append.
const AT_ONCE: usize = 256;

/// Supersedes renewed certificates whose grace is over.
pub(super) struct Graces;

#[async_trait]
impl Follower for Graces {
    fn name(&self) -> &'static str {
        "graces"
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        running.tenant_logs()
    }

    fn pace(&self) -> Pace {
        Pace { rest: SECOND, again: MINUTE, longest: 4 * SECOND }
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let Some(tenant) = running.loaded(log).await else { return Ok(()) };
        running.end_due_graces(&tenant).await?;
        let next = tenant.committed.read().graces.first().map(|(until, _)| *until);
        if let Some(next) = next {
            turn.pace.again = next.since(running.now()).clamp(SECOND, MINUTE);
        }
        Ok(())
    }
}

impl Inner {
    /// Supersedes what stood beside its successor for long enough.
    pub(crate) async fn end_due_graces(&self, tenant: &TenantLog) -> Result<(), Error> {
        loop {
            let due = {
                let committed = self.committed(tenant).await?;
                let (graces, now) = (&committed.graces, self.now());
                let over = |(until, _): &&(UnixTime, AgentId)| self.settings.grace_is_over(*until, now);
                let ended = graces.iter().take_while(over);
                let due = ended.chain(graces.iter().rev().take_while(over));
                due.take(AT_ONCE).map(|(_, agent)| *agent).collect::<Vec<_>>()
            };
            if due.is_empty() {
                return Ok(());
            }
            self.decide(tenant, None, EndGraces(due)).await?;
        }
    }
}
