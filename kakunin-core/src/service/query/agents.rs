//! Agents, and what is believed of them.

use crate::agent::{Agent, AgentState, Label};
use crate::id::{AgentId, TenantId};
use crate::policy::RiskState;
use crate::risk::{Band, Day, Family, Score, Thresholds};
use crate::service::effects::running::Running;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::folding::{Judging, standing_of};
use crate::service::state::own::InForce;
use crate::service::state::tally::{Adverse, DayTally};
use crate::service::state::usage::Refusals;

/// What is believed of an agent, and on what evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// The agent.
    pub agent: Agent,
    /// Its score now; it falls while nothing happens.
    pub score: Score,
    /// The band the score is in.
    pub band: Band,
    /// Where it stands between its score and people.
    pub state: RiskState,
    /// Index of the record in which the breaker tripped that holds its identity, if one does.
    pub held: Option<u64>,
    /// Where bands begin.
    pub thresholds: Thresholds,
    /// What each family contributed when the agent last did something, strongest first.
    pub evidence: Vec<(Family, Score)>,
    /// The days of the window on which something happened, oldest first.
    pub days: Vec<Day>,
    /// The same days by kind of event and band; `None` where a snapshot of an earlier version took the
    /// place of some of their events.
    pub tally: Option<Vec<DayTally>>,
    /// The last events outside the scope or with a failed authentication, newest first, at most ten; `None`
    /// as above.
    pub adverse: Option<Vec<Adverse>>,
    /// What it was refused since a person last approved what it may do.
    pub refused: Refusals,
}

impl Tenant {
    /// One agent.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's agents too.
    pub async fn agent(&self, agent: &AgentId) -> Result<Agent, Error> {
        self.inner.with_agent(&self.id, agent, |entry| entry.row.agent.clone()).await
    }

    /// Up to `limit` agents from number `offset` on, in the order of their registration, all of them or
    /// those in one state; and how many there are in all. Waits for nobody who decides.
    ///
    /// # Errors
    /// What the store says.
    pub async fn agents(
        &self,
        state: Option<AgentState>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Agent>, usize), Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let (ids, total) = tenant.roster.page(state, offset, limit);
        let mut agents = Vec::with_capacity(ids.len());
        for id in ids {
            agents.extend(self.inner.stored_agent(&tenant, &id).await?);
        }
        Ok((agents, total))
    }

    /// The agents of exactly that name, of one state or any, oldest first: up to `limit` from number `offset` on, and
    /// how many there are.
    ///
    /// # Errors
    /// What the store says.
    pub async fn agents_named(
        &self,
        name: &Label,
        state: Option<AgentState>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Agent>, usize), Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let projection = self.inner.committed(&tenant).await?;
        let of = projection.names.all(name).filter_map(|id| projection.agents.get(id));
        let mut all: Vec<_> =
            of.map(|entry| &entry.row.agent).filter(|a| state.is_none_or(|s| s == a.state)).collect();
        all.sort_unstable_by_key(|agent| agent.id);
        let total = all.len();
        Ok((all.into_iter().skip(offset).take(limit).cloned().collect(), total))
    }

    /// What is believed of an agent now. Scores fall while nothing happens.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn risk(&self, agent: &AgentId) -> Result<Risk, Error> {
        let inner = &self.inner;
        let now = inner.now();
        let tenant = inner.tenant(&self.id).await?;
        let (policy, judging) = {
            let own = &inner.committed(&tenant).await?.own;
            (InForce::of(own, &inner.settings.policy).policy, Judging::now(own, &inner.models))
        };
        inner
            .with_agent(&self.id, agent, |entry| {
                let (score, band) = standing_of(entry, judging, &policy, now);
                let evidence = if entry.is_of_another(judging) { [0; 4] } else { entry.evidence };
                let (days, tally) = (entry.history.days(now), entry.tally.days(now));
                let counted: u64 = tally.iter().map(DayTally::events).sum();
                let whole = days.iter().map(|d| u64::from(d.events)).sum::<u64>() == counted;
                Risk {
                    agent: entry.row.agent.clone(),
                    score,
                    band,
                    thresholds: policy.thresholds,
                    state: entry.row.risk_state,
                    held: entry.row.braked.as_ref().map(|braked| braked.tripped),
                    evidence: Family::ranked(&evidence),
                    days,
                    tally: whole.then_some(tally),
                    adverse: whole.then(|| entry.tally.adverse(now)),
                    refused: entry.usage.refusals(),
                }
            })
            .await
    }
}

impl Running {
    async fn with_agent<T>(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        read: impl FnOnce(&AgentEntry) -> T,
    ) -> Result<T, Error> {
        let tenant = self.tenant(tenant).await?;
        let committed = self.committed(&tenant).await?;
        let entry = committed.agents.get(agent).ok_or(Error::NotFound("agent"))?;
        Ok(read(entry))
    }
}
