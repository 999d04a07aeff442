//! Lets the workload of an agent sign with the agent's key at the key provider, as whom it is known there.

use super::Kakunin;
use super::error::Error;
use super::lifecycle::known;
use super::projection::Standing;
use crate::agent::AgentError;
use crate::grant::{KeyGrant, Principal};
use crate::id::{AgentId, TenantId};
use crate::key::KeyRef;
use crate::log::record::Control;

impl Kakunin {
    /// Grants a principal of the key provider's the use of the key of an agent's certificate: to sign, and
    /// to read the public key. It is on record before the provider is asked, and ends with the key: a
    /// revocation disables that, a renewal replaces it.
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
        let key = inner
            .decide(&tenant, self.by.clone(), move |draft| {
                let entry = known(draft, &agent)?;
                let state = entry.row.agent.state;
                let certificate =
                    entry.standing_certificate(draft.time).filter(|c| c.standing == Standing::Good).ok_or(
                        AgentError::State { state, step: "have its key granted without a valid certificate" },
                    )?;
                let (serial, key) =
                    (certificate.facts.serial, certificate.key.clone().ok_or(Error::KeyElsewhere)?);
                draft.push(agent, Some(serial), Control::KeyGranted { key: key.clone(), principal: to })?;
                Ok(key)
            })
            .await?;
        let grant = inner.parts.keys.grant(&key, principal).await?;
        Ok((key, grant))
    }
}
