//! Agents are changed, reinstated and retired.

use crate::agent::{Agent, AgentChange, AgentError, Note};
use crate::id::AgentId;
use crate::log::record::Requested;
use crate::service::command::reinstate::Reinstate;
use crate::service::command::retire::Retire;
use crate::service::command::update::Update;
use crate::service::effects::tenant::Tenant;
use crate::service::error::Error;

impl Tenant {
    /// Changes what an agent is registered as. Its certificates stay what they are: the change takes
    /// effect with the next one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if it is retired, or the change is refused; [`Error::Suspended`] if its
    /// name is to change while an agent of the old or the new one is suspended.
    pub async fn update(&self, agent: &AgentId, change: AgentChange) -> Result<Agent, Error> {
        self.order(Update { agent: *agent, change }).await
    }

    /// Trusts a suspended agent again, by name and for a reason, which goes on record with who said so. What it did
    /// is forgotten, what was begun before stays void, and its revoked certificate stays revoked: it is pending, and
    /// can be given a new one.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Agent`] if the reason is blank, or the agent is not suspended, or its
    /// certificate is held, which [`Tenant::release`] ends; [`Error::Waits`] if the policy wants a second person.
    pub async fn reinstate(&self, agent: &AgentId, reason: Note) -> Result<Agent, Error> {
        if reason.as_str().trim().is_empty() {
            return Err(AgentError::Note.into());
        }
        let reinstate = Reinstate { agent: *agent, reason: reason.clone(), approved: false };
        match self.order(reinstate).await {
            Err(Error::SecondPerson) => {
                self.ask(Requested::Reinstate { agent: *agent, reason, since: None }).await
            }
            done => done,
        }
    }

    /// Retires an agent for good; its certificate is revoked with it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; retiring a retired agent succeeds.
    pub async fn retire(&self, agent: &AgentId) -> Result<(), Error> {
        let retire = Retire { agent: *agent, said: self.said.clone() };
        self.order(retire).await
    }
}
