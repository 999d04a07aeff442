//! Graces that are over.

use crate::id::AgentId;
use crate::service::command::grace::EndGraces;
use crate::service::engine::inner::Inner;
use crate::service::engine::tenant::Tenant;
use crate::service::error::Error;
use crate::time::UnixTime;

/// Graces that end in one append.
const AT_ONCE: usize = 256;

impl Inner {
    /// Supersedes what stood beside its successor for long enough.
    pub(crate) async fn end_due_graces(&self, tenant: &Tenant) -> Result<(), Error> {
        loop {
            let due = {
                let committed = self.committed(tenant).await?;
                let (graces, now) = (&committed.graces, self.now());
                let over = |(until, _): &&(UnixTime, AgentId)| self.policy.grace_is_over(*until, now);
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
