//! Registering agents, changing and retiring them, and what is known of them.

use super::draft::{Draft, revocation};
use super::error::Error;
use super::projection::{AgentEntry, CertificateState, Standing};
use super::{Inner, Kakunin};
use crate::agent::{Agent, AgentError, AgentState, NewAgent};
use crate::id::{AgentId, TenantId};
use crate::issue::{Issued, Profile};
use crate::key::KeyRef;
use crate::log::record::Control;
use crate::revoke::{Cause, Revocation};
use crate::risk::{Band, Day, Family, Score, Thresholds};
use crate::time::UnixTime;

/// A certificate of an agent, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateEntry {
    /// What it says.
    pub facts: Issued,
    /// The profile it was issued under.
    pub profile: Profile,
    /// Where its key is; `None` when the workload keeps it.
    pub key: Option<KeyRef>,
    /// Its revocation or hold.
    pub revocation: Option<Revocation>,
}

/// What is believed of an agent, and on what evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// The agent.
    pub agent: Agent,
    /// Its score now; it falls while nothing happens.
    pub score: Score,
    /// The band the score is in.
    pub band: Band,
    /// Where bands begin.
    pub thresholds: Thresholds,
    /// What each family contributed when the agent last did something, strongest first.
    pub evidence: Vec<(Family, Score)>,
    /// The days of the window on which something happened, oldest first.
    pub days: Vec<Day>,
}

impl Kakunin {
    /// Registers an agent; it is `pending` until it has a certificate.
    ///
    /// # Errors
    /// [`Error::Agent`] if the specification is refused.
    pub async fn register(&self, tenant: &TenantId, spec: NewAgent) -> Result<Agent, Error> {
        let inner = &self.inner;
        let id = AgentId::generate(inner.now(), &*inner.parts.entropy)?;
        let agent = Agent::register(id, tenant.clone(), spec, inner.now())?;
        let tenant = inner.tenant(tenant).await?;
        let recorded = agent.clone();
        inner
            .decide(&tenant, self.by.clone(), move |draft| {
                Ok(draft.push(id, None, Control::AgentRegistered(recorded))?)
            })
            .await?;
        Ok(agent)
    }

    /// Changes what an agent is registered as. Its certificates stay what they are: the change takes
    /// effect with the next one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if it is retired, or the change is refused.
    pub async fn update(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        change: impl FnOnce(&mut NewAgent) -> Result<(), AgentError> + Send + 'static,
    ) -> Result<Agent, Error> {
        let (inner, agent) = (&self.inner, *agent);
        let tenant = inner.tenant(tenant).await?;
        inner
            .decide(&tenant, self.by.clone(), move |draft| {
                let entry = known(draft, &agent)?;
                let state = entry.row.agent.state;
                if state == AgentState::Retired {
                    return Err(AgentError::State { state, step: "be changed" }.into());
                }
                let mut spec = entry.row.agent.spec.clone();
                change(&mut spec)?;
                let spec = spec.checked()?;
                if spec != entry.row.agent.spec {
                    draft.push(agent, None, Control::AgentUpdated(spec))?;
                }
                Ok(known(draft, &agent)?.row.agent.clone())
            })
            .await
    }

    /// One agent.
    ///
    /// # Errors
    /// [`Error::NotFound`] for another tenant's agents too.
    pub async fn agent(&self, tenant: &TenantId, agent: &AgentId) -> Result<Agent, Error> {
        self.inner.with_agent(tenant, agent, |entry| entry.row.agent.clone()).await
    }

    /// Up to `limit` agents from number `offset` on, in the order of their registration, all of them or
    /// those in one state; and how many there are in all.
    ///
    /// # Errors
    /// What the store says.
    pub async fn agents(
        &self,
        tenant: &TenantId,
        state: Option<AgentState>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Agent>, usize), Error> {
        let tenant = self.inner.tenant(tenant).await?;
        let sequencer = self.inner.settled(&tenant).await?;
        let all = sequencer.projection.agents.values().map(|entry| &entry.row.agent);
        let mut all: Vec<_> = all.filter(|a| state.is_none_or(|s| s == a.state)).collect();
        all.sort_unstable_by_key(|a| a.id);
        let total = all.len();
        Ok((all.into_iter().skip(offset).take(limit).cloned().collect(), total))
    }

    /// Every certificate an agent ever had, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn certificates(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
    ) -> Result<Vec<CertificateEntry>, Error> {
        let all = |entry: &AgentEntry| entry.row.certificates.iter().map(CertificateState::entry).collect();
        self.inner.with_agent(tenant, agent, all).await
    }

    /// What is believed of an agent now. Scores fall while nothing happens.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn risk(&self, tenant: &TenantId, agent: &AgentId) -> Result<Risk, Error> {
        let inner = &self.inner;
        let now = inner.now();
        inner
            .with_agent(tenant, agent, |entry| {
                let (score, band) = inner.standing_of(entry, now);
                Risk {
                    agent: entry.row.agent.clone(),
                    score,
                    band,
                    thresholds: inner.policy.thresholds,
                    evidence: Family::ranked(&entry.evidence),
                    days: entry.history.days(now),
                }
            })
            .await
    }

    /// Retires an agent for good; its certificate is revoked with it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; retiring a retired agent succeeds.
    pub async fn retire(&self, tenant: &TenantId, agent: &AgentId) -> Result<(), Error> {
        let (inner, agent) = (&self.inner, *agent);
        let tenant = inner.tenant(tenant).await?;
        inner
            .decide(&tenant, self.by.clone(), move |draft| {
                let time = draft.time;
                let entry = known(draft, &agent)?;
                if entry.row.agent.state == AgentState::Retired {
                    return Ok(());
                }
                let standing =
                    entry.standing_certificate(time).map(|c| revocation(&c.facts, Cause::Retired, time));
                draft.push(agent, None, Control::AgentRetired)?;
                if let Some(revocation) = standing {
                    draft.revoke(revocation, None)?;
                }
                Ok(())
            })
            .await?;
        // The identity is gone already; a provider that does not answer now is asked again later.
        inner.run_key_tasks(&tenant).await;
        Ok(())
    }
}

impl Inner {
    /// An agent's score and band now; they fall while nothing happens.
    pub(super) fn standing_of(&self, entry: &AgentEntry, now: UnixTime) -> (Score, Band) {
        let score = self.parts.model.current(&entry.history, now).min(entry.score);
        (score, self.policy.thresholds.band(score))
    }

    async fn with_agent<T>(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        read: impl FnOnce(&AgentEntry) -> T,
    ) -> Result<T, Error> {
        let tenant = self.tenant(tenant).await?;
        let sequencer = self.settled(&tenant).await?;
        let entry = sequencer.projection.agents.get(agent).ok_or(Error::NotFound("agent"))?;
        Ok(read(entry))
    }
}

impl CertificateState {
    pub(super) fn entry(&self) -> CertificateEntry {
        let revocation = match self.standing {
            Standing::Good => None,
            Standing::Held(revocation) | Standing::Revoked(revocation) => Some(revocation),
        };
        CertificateEntry { facts: self.facts, profile: self.profile, key: self.key.clone(), revocation }
    }
}

pub(super) fn known<'d>(draft: &'d Draft<'_>, agent: &AgentId) -> Result<&'d AgentEntry, Error> {
    draft.agent(agent).ok_or(Error::NotFound("agent"))
}
