//! What is to change of what an agent is registered as.

use super::{AgentError, Document, Label, NewAgent, Note};
use crate::id::Environment;
use crate::scope::ScopeSet;
use crate::x509::extensions::ModelHash;

/// What is to change of what an agent is registered as. `None` leaves a member as it is; `Some(None)` takes away one
/// that need not be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentChange {
    /// Its name.
    pub name: Option<Label>,
    /// The fleet it belongs to.
    pub fleet: Option<Option<Label>>,
    /// Who runs it.
    pub organization: Option<Option<Label>>,
    /// Where it runs.
    pub environment: Option<Environment>,
    /// The model it runs.
    pub model_hash: Option<ModelHash>,
    /// What it may do.
    pub scope: Option<ScopeSet>,
    /// Limits that no scope can say.
    pub constraints: Option<Option<Document>>,
    /// Name of the model, for people.
    pub model: Option<Option<Label>>,
    /// Version of the agent, for people.
    pub version: Option<Option<Label>>,
    /// What it is there for, for people.
    pub description: Option<Option<Note>>,
    /// Whatever its owner wants to find again.
    pub metadata: Option<Option<Document>>,
}

impl AgentChange {
    /// The specification after it, if that may be registered.
    ///
    /// # Errors
    /// As [`NewAgent::checked`], for what it changes.
    pub fn applied_to(self, before: &NewAgent) -> Result<NewAgent, AgentError> {
        fn or<T: Clone>(new: Option<T>, old: &T) -> T {
            new.unwrap_or_else(|| old.clone())
        }
        let after = NewAgent {
            name: or(self.name, &before.name),
            fleet: or(self.fleet, &before.fleet),
            organization: or(self.organization, &before.organization),
            environment: or(self.environment, &before.environment),
            model_hash: or(self.model_hash, &before.model_hash),
            scope: or(self.scope, &before.scope),
            constraints: or(self.constraints, &before.constraints),
            model: or(self.model, &before.model),
            version: or(self.version, &before.version),
            description: or(self.description, &before.description),
            metadata: or(self.metadata, &before.metadata),
        };
        after.checked_since(Some(before))
    }
}
