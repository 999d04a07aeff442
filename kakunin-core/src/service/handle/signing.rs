//! Messages signed with an agent's own key, where the deployment's provider keeps it.

use crate::agent::AgentError;
use crate::event::{Event, EventKind, Name, Outcome};
use crate::id::{AgentId, Serial, hex_encode};
use crate::key::{KeyAlgorithm, Signature};
use crate::scope::Action;
use crate::service::command::observe::EventStatus;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::certificates::Standing;
use crate::time::UnixTime;

/// A message signed in an agent's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The certificate whose key signed.
    pub serial: Serial,
    /// The key's algorithm.
    pub algorithm: KeyAlgorithm,
    /// The signature in X.509 form.
    pub signature: Signature,
    /// SHA-256 of the message.
    pub sha256: [u8; 32],
    /// When.
    pub at: UnixTime,
}

impl Tenant {
    /// Signs a message with the key of an agent's certificate, which the provider keeps. That it was
    /// signed is recorded first, as an act of the agent's with the message's hash as its target.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if the agent is not active; [`Error::KeyElsewhere`] if the
    /// workload keeps the key; what the provider says.
    pub async fn sign(&self, agent: &AgentId, message: &[u8]) -> Result<Signed, Error> {
        use sha2::{Digest, Sha256};
        let sha256: [u8; 32] = Sha256::digest(message).into();
        let (serial, key, void_before) = {
            let tenant = self.inner.tenant(&self.id).await?;
            let committed = self.inner.committed(&tenant).await?;
            let entry = committed.agents.get(agent).ok_or(Error::NotFound("agent"))?;
            let state = entry.row.agent.state;
            let standing = committed.certificates.standing(entry, self.inner.now());
            let certificate = standing
                .filter(|c| c.standing == Standing::Good)
                .ok_or(AgentError::State { state, step: "sign without a valid certificate" })?;
            let key = certificate.key.clone().ok_or(Error::KeyElsewhere)?;
            (certificate.facts.serial, key, entry.row.void_before)
        };
        let action: Action = "sign:message".parse().map_err(AgentError::from)?;
        let mut event = Event::new(serial, action, Outcome::Ok);
        event.kind = EventKind::MessageSigned;
        event.target = Name::try_from(hex_encode(&sha256)).ok();
        let observed = self.observe(event).await?;
        if observed.revoked || observed.status != EventStatus::Scored {
            let state = self.agent(agent).await?.state;
            return Err(AgentError::State { state, step: "sign" }.into());
        }
        let signer = self.inner.parts.keys.open(&key).await?;
        let signature = signer.sign(message).await?;
        // A provider may take seconds: whoever took trust away meanwhile was answered that nothing more comes.
        let tenant = self.inner.tenant(&self.id).await?;
        let committed = self.inner.committed(&tenant).await?;
        let row = committed.agents.get(agent).map(|entry| &entry.row);
        if let Some(row) = row.filter(|row| row.void_before != void_before) {
            return Err(AgentError::State {
                state: row.agent.state,
                step: "be given what was signed before",
            }
            .into());
        }
        Ok(Signed { serial, algorithm: signer.algorithm(), signature, sha256, at: self.inner.now() })
    }
}
