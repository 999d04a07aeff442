//! What is written while the next is decided: how that ended, for what was decided on it.

use std::collections::HashMap;
use std::sync::Arc;

use super::ledger::Place;
use crate::error::StoreError;
use crate::id::AgentId;
use crate::service::state::agent::AgentEntry;

/// How the last append ended that others decided on. It is locked while one is under way, so there is one at a time.
#[derive(Debug, Default)]
pub(crate) enum Writing {
    /// It is durable, and everybody reads it.
    #[default]
    Done,
    /// Nothing was written, and that is certain: the log still ends there.
    Refused(Place),
    /// It is written, or it is not: that is found out before anything is decided again. So it is, too, while it is under
    /// way: whoever writes may be dropped.
    InDoubt,
}

/// Agents as they are after an append that may still be under way.
pub(crate) type Agents = Arc<HashMap<AgentId, AgentEntry>>;

impl Writing {
    /// How it is after an append to a log that ended there before failed with this.
    pub(super) fn failed(error: &StoreError, before: Place) -> Self {
        if error.wrote_nothing() { Self::Refused(before) } else { Self::InDoubt }
    }
}
