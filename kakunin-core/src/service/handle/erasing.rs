//! Payloads of events are erased, on the record.

use crate::agent::{AgentError, Note};
use crate::id::AgentId;
use crate::log::entry::LogId;
use crate::month::Month;
use crate::service::command::erase::Erase;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;
use crate::service::state::erasures::Erasure;

/// What was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Index of the record that says so.
    pub record: u64,
    /// The first month.
    pub from: Month,
    /// The last month.
    pub to: Month,
    /// Whether the keys are destroyed by now. If not, nobody is shown what they open all the same, and it is tried again.
    pub destroyed: bool,
}

impl Tenant {
    /// Erases what an agent's events of these months hold beside their leaves, as far as they are recorded by now: first a
    /// record says so, with who asked and why, then the keys are destroyed that they are encrypted with. The log and its
    /// proofs stay what they are, and so do scores: their facts stand in the leaves.
    ///
    /// Asked for again, it is the same erasure, unless something came to these months since.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// # use kakunin_core::prelude::*;
    /// # use kakunin_core::month::Month;
    /// # use kakunin_kms::local::LocalKeys;
    /// # use std::sync::Arc;
    /// #
    /// # let mut config = Config::new("agents.example")?;
    /// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    /// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    /// # let clock = parts.clock.clone();
    /// # let kakunin = Kakunin::open(config, parts).await?;
    /// # let acme = kakunin.create_tenant(&"acme".parse()?).await?;
    /// # let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// # let agent = acme.register(NewAgent::new("desk-7", model, ["read:mail"])?).await?;
    /// let month = Month::of(clock.now());
    /// let erased = acme.erase(&agent.id, month, month, "GDPR Art. 17, ticket 4711".to_owned().try_into()?).await?;
    /// assert!(erased.destroyed);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if the reason is blank; [`Error::ErasureMonths`] if the months are not in order,
    /// or the last one is yet to come; [`Error::TooManyErasures`]; and what the store says.
    pub async fn erase(
        &self,
        agent: &AgentId,
        from: Month,
        to: Month,
        reason: Note,
    ) -> Result<Erased, Error> {
        if reason.as_str().trim().is_empty() {
            return Err(AgentError::Note.into());
        }
        let order = self.order(Erase { agent: *agent, from, to, reason });
        let Erasure { record, from, to, .. } = order.await?;
        let log = LogId::Tenant(self.id.clone());
        let destroyed = self.inner.payloads.destroy(&log, agent).await.is_ok();
        Ok(Erased { record, from, to, destroyed })
    }
}
