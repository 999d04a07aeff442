//! Agents that are registered.

use super::error::AgentError;
use super::spec::NewAgent;
use super::state::AgentState;
use crate::id::{AgentId, Serial, TenantId};
use crate::text;
use crate::time::UnixTime;

/// A registered agent.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Agent {
    /// Its identifier.
    pub id: AgentId,
    /// Whose agent it is.
    pub tenant: TenantId,
    /// What was asked for at registration. The certificate, not this, says what it may do.
    #[serde(flatten)]
    pub spec: NewAgent,
    /// Where it stands.
    pub state: AgentState,
    /// Its newest certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Serial>,
    /// When it was registered.
    pub registered_at: UnixTime,
    /// When its registration, state or certificate last changed.
    pub updated_at: UnixTime,
}

impl Agent {
    /// The agent that `spec` asks for.
    ///
    /// # Errors
    /// As [`NewAgent::checked`]; [`AgentError::LabelText`] and [`AgentError::NoteText`] for a text that was
    /// deserialized, and may not be given now.
    pub fn register(
        id: AgentId,
        tenant: TenantId,
        spec: NewAgent,
        now: UnixTime,
    ) -> Result<Self, AgentError> {
        let spec = spec.checked()?;
        let labels = [Some(&spec.name), spec.fleet.as_ref(), spec.organization.as_ref()];
        let others = [spec.model.as_ref(), spec.version.as_ref()];
        for label in labels.into_iter().chain(others).flatten() {
            text::check_name(label.as_str()).map_err(AgentError::LabelText)?;
        }
        if let Some(description) = &spec.description {
            text::check_prose(description.as_str()).map_err(AgentError::NoteText)?;
        }
        Ok(Self {
            id,
            tenant,
            spec,
            state: AgentState::Pending,
            certificate: None,
            registered_at: now,
            updated_at: now,
        })
    }
}
