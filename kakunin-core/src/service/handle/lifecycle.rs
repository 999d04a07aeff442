//! Agents are changed, reinstated and retired.

use crate::agent::{Agent, AgentError, AgentState, NewAgent, Note};
use crate::id::{AgentId, TenantId};
use crate::log::record::Control;
use crate::revoke::Cause;
use crate::service::command::certify::abandon;
use crate::service::command::draft::known;
use crate::service::effects::running::Kakunin;
use crate::service::error::Error;

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
                let standing = draft.standing(entry).map(|c| c.facts.revocation(Cause::Retired, time));
                draft.push(agent, None, Control::AgentRetired)?;
                match standing {
                    Some(revocation) => draft.revoke_saying(revocation, None, said)?,
                    None => draft.end_grace(&agent)?,
                }
                Ok(())
            })
            .await?;
        Ok(())
    }
}
