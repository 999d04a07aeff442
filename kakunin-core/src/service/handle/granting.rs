//! Lets the workload of an agent sign with the agent's key at the key provider, as whom it is known there.

use crate::grant::{KeyGrant, Principal};
use crate::id::AgentId;
use crate::key::KeyRef;
use crate::service::command::grant::{ConfirmGrant, Grant};
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;

impl Tenant {
    /// Grants a principal of the key provider's the use of the key of an agent's certificate: to sign, and
    /// to read the public key. It is on record before the provider is asked, and ends with the key: a
    /// revocation disables that, a renewal replaces it. A hold ends it too, and its release brings it not back.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if the agent has no valid certificate; [`Error::KeyElsewhere`]
    /// if the workload keeps the key; what the provider says, which may know no principals.
    pub async fn grant_key(
        &self,
        agent: &AgentId,
        principal: &Principal,
    ) -> Result<(KeyRef, KeyGrant), Error> {
        let inner = &self.inner;
        if !inner.parts.keys.grants() {
            return Err(Error::NotGrantable);
        }
        let grant = Grant { agent: *agent, to: principal.clone() };
        let granted = self.order(grant).await?;
        let grant = inner.parts.keys.grant(&granted.key, principal).await;
        // Whoever took trust away meanwhile may have ended the grants before there was this one; also if its answer was lost.
        let stands = self.order(ConfirmGrant(granted.clone())).await?;
        stands?;
        Ok((granted.key, grant?))
    }
}
