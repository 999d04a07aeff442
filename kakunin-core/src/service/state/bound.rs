//! Which agent each public key belongs to: a key that stands for two agents stands for neither.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::{AgentId, IssuerId};
use crate::x509::csr::CsrError;

/// Keys of every tenant that is loaded, by key identifier. Whoever asks for another agent's key has shown
/// possession of it, so that the refusal tells nobody anything new.
#[derive(Debug, Default)]
pub(crate) struct BoundKeys(Mutex<HashMap<IssuerId, Bound>>);

#[derive(Clone, Copy, Debug)]
struct Bound {
    agent: AgentId,
    recorded: bool,
    /// Decisions under way that claim it.
    claims: usize,
}

/// A decision's word that a key is its agent's: without a record of it, the key is nobody's once this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    keys: Arc<BoundKeys>,
    key: IssuerId,
}

impl BoundKeys {
    /// Makes a key an agent's, unless it is another's.
    pub(crate) fn claim(self: &Arc<Self>, key: IssuerId, agent: AgentId) -> Result<Claim, CsrError> {
        let mut all = self.all();
        let bound = all.entry(key).or_insert(Bound { agent, recorded: false, claims: 0 });
        if bound.agent != agent {
            return Err(CsrError::Duplicate);
        }
        bound.claims += 1;
        Ok(Claim { keys: self.clone(), key })
    }

    /// Keys that are on record.
    pub(crate) fn remember(&self, keys: impl IntoIterator<Item = (IssuerId, AgentId)>) {
        let mut all = self.all();
        for (key, agent) in keys {
            all.entry(key).or_insert(Bound { agent, recorded: true, claims: 0 }).recorded = true;
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<IssuerId, Bound>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// It is on record.
    pub(crate) fn recorded(self) {
        self.keys.all().entry(self.key).and_modify(|bound| bound.recorded = true);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = self.keys.all();
        if let Entry::Occupied(mut bound) = all.entry(self.key) {
            let claims = &mut bound.get_mut().claims;
            *claims = claims.saturating_sub(1);
            if *claims == 0 && !bound.get().recorded {
                bound.remove();
            }
        }
    }
}
