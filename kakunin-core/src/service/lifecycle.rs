//! Changing agents, reinstating and retiring them, and what is known of them.

use super::certify::abandon;
use super::draft::{Draft, revocation};
use super::error::Error;
use super::projection::AgentEntry;
use super::tally::{Adverse, DayTally};
use super::usage::Refusals;
use super::{Inner, Kakunin};
use crate::agent::{Agent, AgentError, AgentState, NewAgent, Note};
use crate::id::{AgentId, TenantId};
use crate::issue::{Issued, Profile};
use crate::key::KeyRef;
use crate::log::record::Control;
use crate::revoke::{Cause, Revocation, Said};
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
    /// What whoever ordered that had to say.
    pub said: Said,
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
    /// The same days by kind of event and band; `None` where a snapshot of an earlier version took the
    /// place of some of their events.
    pub tally: Option<Vec<DayTally>>,
    /// The last events outside the scope or with a failed authentication, newest first, at most ten; `None`
    /// as above.
    pub adverse: Option<Vec<Adverse>>,
    /// What it was refused since a person last approved what it may do.
    pub refused: Refusals,
}

impl Kakunin {
    /// Changes what an agent is registered as. Its certificates stay what they are: the change takes
    /// effect with the next one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if it is retired, or the change is refused; [`Error::Suspended`] if its
    /// name is to change while an agent of the old or the new one is suspended.
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
                let spec = spec.checked_since(Some(&entry.row.agent.spec))?;
                if spec.name != entry.row.agent.spec.name {
                    // Neither out of the way of a new one, nor into the place of a suspended one.
                    draft.may_be_named(&entry.row.agent.spec.name)?;
                    draft.may_be_named(&spec.name)?;
                }
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
    /// those in one state; and how many there are in all. Waits for nobody who decides.
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
        let (ids, total) = tenant.roster.page(state, offset, limit);
        let mut agents = Vec::with_capacity(ids.len());
        for id in ids {
            agents.extend(self.inner.stored_agent(&tenant, &id).await?);
        }
        Ok((agents, total))
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
                let (days, tally) = (entry.history.days(now), entry.tally.days(now));
                let counted: u64 = tally.iter().map(DayTally::events).sum();
                let whole = days.iter().map(|d| u64::from(d.events)).sum::<u64>() == counted;
                Risk {
                    agent: entry.row.agent.clone(),
                    score,
                    band,
                    thresholds: inner.policy.thresholds,
                    evidence: Family::ranked(&entry.evidence),
                    days,
                    tally: whole.then_some(tally),
                    adverse: whole.then(|| entry.tally.adverse(now)),
                    refused: entry.usage.refusals(),
                }
            })
            .await
    }

    /// Trusts a suspended agent again, by name and for a reason, which goes on record with who said so. What it did
    /// is forgotten, what was begun before stays void, and its revoked certificate stays revoked: it is pending, and
    /// can be given a new one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if the reason is blank, or the agent is not suspended, or its
    /// certificate is held, which [`Kakunin::release`] ends.
    pub async fn reinstate(&self, tenant: &TenantId, agent: &AgentId, reason: Note) -> Result<Agent, Error> {
        if reason.as_str().trim().is_empty() {
            return Err(AgentError::Note.into());
        }
        let (inner, agent) = (&self.inner, *agent);
        let tenant = inner.tenant(tenant).await?;
        let reinstated = inner
            .decide(&tenant, self.by.clone(), move |draft| {
                let entry = known(draft, &agent)?;
                let state = entry.row.agent.state;
                let held = draft.standing(entry).is_some() && entry.row.halt.is_none();
                let refused = match state {
                    AgentState::Suspended if held => {
                        Some("be reinstated: release its certificate, which is held")
                    }
                    AgentState::Suspended => None,
                    _ => Some("be reinstated"),
                };
                if let Some(step) = refused {
                    return Err(AgentError::State { state, step }.into());
                }
                abandon(draft, agent)?;
                draft.push(agent, None, Control::AgentReinstated { reason })?;
                draft.forgive(&agent);
                Ok(known(draft, &agent)?.row.agent.clone())
            })
            .await?;
        inner.run_key_tasks(&tenant).await;
        Ok(reinstated)
    }

    /// Retires an agent for good; its certificate is revoked with it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; retiring a retired agent succeeds.
    pub async fn retire(&self, tenant: &TenantId, agent: &AgentId) -> Result<(), Error> {
        let (inner, agent, said) = (&self.inner, *agent, self.said.clone());
        let tenant = inner.tenant(tenant).await?;
        inner
            .decide_reserved(&tenant, self.by.clone(), move |draft| {
                let time = draft.now;
                let entry = known(draft, &agent)?;
                if entry.row.agent.state == AgentState::Retired {
                    return Ok(());
                }
                let standing = draft.standing(entry).map(|c| revocation(&c.facts, Cause::Retired, time));
                draft.push(agent, None, Control::AgentRetired)?;
                match standing {
                    Some(revocation) => draft.revoke_saying(revocation, None, said)?,
                    None => draft.end_grace(&agent)?,
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

pub(super) fn known<'d>(draft: &'d Draft<'_>, agent: &AgentId) -> Result<&'d AgentEntry, Error> {
    draft.agent(agent).ok_or(Error::NotFound("agent"))
}
