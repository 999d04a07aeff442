//! Lets the workload of an agent sign with the agent's key at the key provider, as whom it is known there.

use crate::agent::{AgentError, AgentState};
use crate::grant::{KeyGrant, Principal};
use crate::id::{AgentId, TenantId};
use crate::key::KeyRef;
use crate::log::record::Control;
use crate::service::command::draft::known;
use crate::service::effects::running::Kakunin;
use crate::service::error::Error;
use crate::service::state::certificates::Standing;

impl Kakunin {
    /// Grants a principal of the key provider's the use of the key of an agent's certificate: to sign, and
    /// to read the public key. It is on record before the provider is asked, and ends with the key: a
    /// revocation disables that, a renewal replaces it. A hold ends it too, and its release brings it not back.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if the agent has no valid certificate; [`Error::KeyElsewhere`]
    /// if the workload keeps the key; what the provider says, which may know no principals.
    pub async fn grant_key(
        &self,
        tenant: &TenantId,
        agent: &AgentId,
        principal: &Principal,
    ) -> Result<(KeyRef, KeyGrant), Error> {
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        if !inner.parts.keys.grants() {
            return Err(Error::NotGrantable);
        }
        let (agent, to) = (*agent, principal.clone());
        let (key, serial, void_before) = inner
            .decide(&tenant, self.by.clone(), move |draft| {
                let entry = known(draft, &agent)?;
                let (state, void_before) = (entry.row.agent.state, entry.row.void_before);
                let good = draft.standing(entry).filter(|c| c.standing == Standing::Good);
                let certificate = good.filter(|_| state == AgentState::Active).ok_or(AgentError::State {
                    state,
                    step: "have its key granted without a valid certificate",
                })?;
                let (serial, key) =
                    (certificate.facts.serial, certificate.key.clone().ok_or(Error::KeyElsewhere)?);
                draft.push(agent, Some(serial), Control::KeyGranted { key: key.clone(), principal: to })?;
                Ok((key, serial, void_before))
            })
            .await?;
        let grant = inner.parts.keys.grant(&key, principal).await;
        // Whoever took trust away meanwhile may have ended the grants before there was this one; also if its answer was lost.
        let granted = key.clone();
        let stands = inner
            .decide_reserved(&tenant, self.by.clone(), move |draft| {
                let row = &known(draft, &agent)?.row;
                if row.void_before == void_before {
                    return Ok(Ok(()));
                }
                let state = row.agent.state;
                draft.push(agent, Some(serial), Control::KeyGrantsVoided { key: granted })?;
                Ok(Err(AgentError::State { state, step: "have the key granted that was asked for before" }))
            })
            .await?;
        stands?;
        Ok((key, grant?))
    }
}
