//! Which agent each public key belongs to: a key that stands for two agents stands for neither.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::id::{AgentId, IssuerId};
use crate::x509::csr::CsrError;

/// Keys of every tenant that is loaded, by key identifier. Whoever asks for another agent's key has shown
/// possession of it, so that the refusal tells nobody anything new.
#[derive(Debug, Default)]
pub(crate) struct BoundKeys(Mutex<HashMap<IssuerId, AgentId>>);

impl BoundKeys {
    /// Makes a key an agent's, unless it is another's.
    pub(crate) fn claim(&self, key: IssuerId, agent: AgentId) -> Result<(), CsrError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *all.entry(key).or_insert(agent) == agent { Ok(()) } else { Err(CsrError::Duplicate) }
    }

    pub(crate) fn remember(&self, keys: impl IntoIterator<Item = (IssuerId, AgentId)>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, agent) in keys {
            all.entry(key).or_insert(agent);
        }
    }
}
