//! Agents are registered, and found again by a program that starts.

use crate::agent::{Agent, NewAgent};
use crate::id::AgentId;
use crate::service::command::register::{Ensure, Register};
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;

impl Tenant {
    /// Registers an agent; it is `pending` until it has a certificate.
    ///
    /// ```
    /// # pollster::block_on(async {
    /// # use kakunin_core::prelude::*;
    /// # use kakunin_kms::local::LocalKeys;
    /// # use std::sync::Arc;
    /// #
    /// # let mut config = Config::new("agents.example")?;
    /// # config.ca_algorithms = (KeyAlgorithm::P256, KeyAlgorithm::P256);
    /// # let parts = Parts::new(MemoryStore::new(), Arc::new(LocalKeys::ephemeral()));
    /// # let kakunin = Kakunin::open(config, parts).await?;
    /// let acme = kakunin.create_tenant(&"acme".parse()?).await?;
    /// let model = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    /// let spec = NewAgent::new("desk-7", model, ["read:mail"])?;
    /// let agent = acme.register(spec).await?;
    /// assert_eq!(agent.state, AgentState::Pending);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Agent`] if the specification is refused; [`Error::Suspended`] while an agent of that name is.
    pub async fn register(&self, spec: NewAgent) -> Result<Agent, Error> {
        let new = self.new_agent(spec)?;
        self.order(Register(new)).await
    }

    /// The agent of that name, or a new one of that specification if there was none: for a program that starts,
    /// perhaps again. One that is there stays what it is registered as. Two calls at once give one agent; of
    /// several of that name it is the oldest.
    ///
    /// # Errors
    /// [`Error::Suspended`] while an agent of that name is; [`Error::Agent`] if all of that name are retired, or the
    /// specification is refused.
    pub async fn ensure_agent(&self, spec: NewAgent) -> Result<Agent, Error> {
        let new = self.new_agent(spec)?;
        self.order(Ensure(new)).await
    }

    fn new_agent(&self, spec: NewAgent) -> Result<Agent, Error> {
        let inner = &self.inner;
        let id = AgentId::generate(inner.now(), &*inner.parts.entropy)?;
        Ok(Agent::register(id, self.id.clone(), spec, inner.now())?)
    }
}
