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
    agent: AgentId,
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
        Ok(Claim { keys: self.clone(), key, agent })
    }

    /// Keys that are on record.
    pub(crate) fn remember(&self, keys: impl IntoIterator<Item = (IssuerId, AgentId)>) {
        let mut all = self.all();
        for (key, agent) in keys {
            // What is on record stands above what is claimed.
            let bound = all.entry(key).or_insert(Bound { agent, recorded: true, claims: 0 });
            if !bound.recorded {
                (bound.agent, bound.recorded) = (agent, true);
            }
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<IssuerId, Bound>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// It is on record.
    pub(crate) fn recorded(self) {
        self.keys.remember([(self.key, self.agent)]);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_stands_above_a_claim() {
        let keys = Arc::new(BoundKeys::default());
        let (key, of) = (IssuerId::from_bytes([1; 20]), |n| AgentId::from_bytes([n; 16]));
        let claim = keys.claim(key, of(1)).unwrap();
        // Another tenant is loaded meanwhile, and the log says whose it is.
        keys.remember([(key, of(2))]);
        assert!(keys.claim(key, of(1)).is_err());
        claim.recorded();
        assert!(keys.claim(key, of(2)).is_ok() && keys.claim(key, of(1)).is_err());
        let other = IssuerId::from_bytes([2; 20]);
        let (first, second) = (keys.claim(other, of(1)).unwrap(), keys.claim(other, of(1)).unwrap());
        drop(first);
        assert!(keys.claim(other, of(2)).is_err(), "one claim is left");
        drop(second);
        assert!(keys.claim(other, of(2)).is_ok());
    }
}
