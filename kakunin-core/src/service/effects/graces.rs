//! Graces that are over.

use crate::service::engine::inner::Inner;
use crate::service::engine::tenant::Tenant;
use crate::service::error::Error;

/// Graces that end in one append.
const AT_ONCE: usize = 256;

impl Inner {
    /// Supersedes what stood beside its successor for long enough.
    pub(crate) async fn end_due_graces(&self, tenant: &Tenant) -> Result<(), Error> {
        loop {
            let due = {
                let sequencer = self.settled(tenant).await?;
                let now = sequencer.ledger.time(self.now());
                let due = sequencer.projection.graces.iter().take_while(|(until, _)| *until <= now);
                due.take(AT_ONCE).map(|(_, agent)| *agent).collect::<Vec<_>>()
            };
            if due.is_empty() {
                return Ok(());
            }
            self.decide(tenant, None, move |draft| {
                due.iter().try_for_each(|agent| Ok(draft.end_due_grace(agent)?))
            })
            .await?;
        }
    }
}
