//! What decides over a tenant's scores, whether its breaker tripped, and what waits for a second person.

use crate::id::AgentId;
use crate::log::record::Tripped;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::own::InForce;
use crate::service::state::own::approvals::Waiting;

/// How a tenant's breaker stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerStatus {
    /// How many identities were lost automatically within the window.
    pub recent: u64,
    /// In which record it tripped, and why, if it did.
    pub tripped: Option<(u64, Tripped)>,
    /// Agents whose identities it holds, in the order of their identifiers.
    pub held: Vec<AgentId>,
}

impl Tenant {
    /// The policy that is in force.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn policy(&self) -> Result<InForce, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let committed = self.inner.committed(&tenant).await?;
        Ok(InForce::of(&committed.own, &self.inner.settings.policy))
    }

    /// In which record the breaker tripped, and why, if it did: what [`Tenant::breaker`] says without looking at every
    /// agent.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn tripped(&self) -> Result<Option<(u64, Tripped)>, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        Ok(self.inner.committed(&tenant).await?.own.breaker.is_tripped().cloned())
    }

    /// How the breaker stands.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn breaker(&self) -> Result<BreakerStatus, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let now = self.inner.now();
        let committed = self.inner.committed(&tenant).await?;
        let breaker = &committed.own.breaker;
        let policy = InForce::of(&committed.own, &self.inner.settings.policy).policy.breaker;
        let held = committed.agents.iter().filter(|(_, entry)| entry.row.braked.is_some());
        let mut held: Vec<_> = held.map(|(id, _)| *id).collect();
        held.sort_unstable();
        Ok(BreakerStatus {
            recent: policy.map_or(0, |policy| breaker.recent(&policy, now)),
            tripped: breaker.is_tripped().cloned(),
            held,
        })
    }

    /// What waits for a second person, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn waiting(&self) -> Result<Vec<Waiting>, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let now = self.inner.now();
        let committed = self.inner.committed(&tenant).await?;
        let waits = committed.own.approvals.all().filter(|waiting| waiting.request.expires > now);
        Ok(waits.cloned().collect())
    }
}
