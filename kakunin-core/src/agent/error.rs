//! Why an agent cannot be registered, or not be used so.

use super::state::AgentState;
use crate::id::IdError;
use crate::ijson::IJsonError;
use crate::scope::ScopeError;
use crate::text::TextError;
use crate::x509::extensions::ModelHashError;

/// Why an agent cannot be registered, or not be used so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A name that does not fit into a subject.
    #[error("a name has 1 to 64 characters, no control characters, no space at its ends")]
    Label,
    /// A name with a character that people would not see as what it is.
    #[error("a name cannot be so: {0}")]
    LabelText(TextError),
    /// A remark that is empty, too long, or not plain text.
    #[error("a note has 1 to 1000 characters, and no control characters but line breaks and tabs")]
    Note,
    /// A remark with a character that hides text, or moves it.
    #[error("a note cannot be so: {0}")]
    NoteText(TextError),
    /// A document that is empty or too long.
    #[error("a document has 1 to 4096 bytes and no NUL")]
    Document,
    /// A document that readers do not take for the same.
    #[error(transparent)]
    Json(#[from] IJsonError),
    /// At renewal: the model that is attested is not the one registered.
    #[error("the attested model is not the registered one; register the new model, then renew")]
    Attestation,
    /// A model hash in another form.
    #[error(transparent)]
    ModelHash(#[from] ModelHashError),
    /// A malformed identifier.
    #[error(transparent)]
    Id(#[from] IdError),
    /// A malformed scope.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// A step that the agent's state does not allow.
    #[error("the agent is {state}, so it cannot {step}")]
    State {
        /// Its state.
        state: AgentState,
        /// What was asked for.
        step: &'static str,
    },
}

impl AgentError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Label | Self::LabelText(_) => "name_malformed",
            Self::Note | Self::NoteText(_) => "note_malformed",
            Self::Document => "document_malformed",
            Self::Json(e) => e.code(),
            Self::Attestation => "attestation_mismatch",
            Self::ModelHash(_) => "model_hash_malformed",
            Self::Id(e) => e.code(),
            Self::Scope(e) => e.code(),
            Self::State { .. } => "agent_state",
        }
    }
}
