//! Which agent each public key belongs to, as far as that is known here: a first answer. The store decides, in the
//! transaction of the append (ADR 23).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::{AgentId, IssuerId};
use crate::store::bound::Binding;
use crate::x509::csr::CsrError;

/// Keys of tenants that are loaded, and those that the store named. Whoever asks for another agent's key has shown
/// possession of it, so that the refusal tells nobody anything new.
#[derive(Debug, Default)]
pub(crate) struct BoundKeys(Mutex<HashMap<IssuerId, AgentId>>);

impl BoundKeys {
    /// Whether a key is another agent's, as far as that is known.
    pub(crate) fn check(&self, bound: Binding) -> Result<(), CsrError> {
        let holder = self.all().get(&bound.key).copied();
        if holder.is_some_and(|agent| agent != bound.agent) { Err(CsrError::Duplicate) } else { Ok(()) }
    }

    /// Keys that are on record. Says whether that was not known of one of them.
    pub(crate) fn remember(&self, keys: impl IntoIterator<Item = Binding>) -> bool {
        let mut all = self.all();
        keys.into_iter().fold(false, |news, Binding { key, agent }| {
            let known = all.insert(key, agent);
            news || known != Some(agent)
        })
    }

    fn all(&self) -> MutexGuard<'_, HashMap<IssuerId, AgentId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
