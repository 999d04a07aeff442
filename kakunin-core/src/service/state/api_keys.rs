//! Keys of the API that are not revoked: hashes from the vault, facts from the system log.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::access::{ApiKeyFacts, ApiKeyId, KeyCommitment, KeyHash};
use crate::log::record::Control;

/// Keys that are not revoked.
#[derive(Debug, Default)]
pub(crate) struct ApiKeys(pub(crate) RwLock<HashMap<ApiKeyId, (KeyHash, Arc<ApiKeyFacts>)>>);

impl ApiKeys {
    /// What is to be put on record of keys whose record does not commit to their hash.
    pub(crate) fn to_commit(&self) -> Vec<Control> {
        let commit = |id: &ApiKeyId, hash: &KeyHash| {
            let commitment = KeyCommitment::new(id.as_bytes(), hash);
            Control::ApiKeyCommitted { id: *id, commitment }
        };
        self.read(|all| {
            let old = all.iter().filter(|(_, (_, facts))| facts.commitment.is_none());
            old.map(|(id, (hash, _))| commit(id, hash)).collect()
        })
    }

    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&HashMap<ApiKeyId, (KeyHash, Arc<ApiKeyFacts>)>) -> T,
    ) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a key was not revoked; it may have expired.
    pub(crate) fn has(&self, id: &ApiKeyId) -> bool {
        self.read(|all| all.contains_key(id))
    }
}
