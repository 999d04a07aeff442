//! Agents: what is registered, and the states an agent goes through.

mod change;
mod error;
mod registered;
mod spec;
mod state;
mod texts;

pub use change::AgentChange;
pub use error::AgentError;
pub use registered::Agent;
pub use spec::NewAgent;
pub use state::AgentState;
pub use texts::{Document, Label, MAX_DOCUMENT_LEN, MAX_LABEL_CHARS, MAX_NOTE_CHARS, Note};
