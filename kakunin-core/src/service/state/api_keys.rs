//! Keys of the API that are accepted: facts from the system log, hashes from the vault.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::system::known::Known;
use crate::access::{ApiKeyFacts, ApiKeyId, KeyCommitment, KeyHash};

/// Keys that are on record and not revoked, and whose hash is in the vault as the log commits to it.
#[derive(Debug)]
pub(crate) struct ApiKeys {
    known: Arc<Known>,
    /// None for what the vault was asked for in vain. One that is on no record opens nothing.
    hashes: RwLock<HashMap<ApiKeyId, Option<KeyHash>>>,
}

impl ApiKeys {
    pub(crate) fn new(known: Arc<Known>) -> Self {
        Self { known, hashes: RwLock::default() }
    }

    /// The hash of a key, or that there is none to be believed. What was believed before stays.
    pub(crate) fn learn(&self, id: ApiKeyId, hash: Option<KeyHash>) {
        let mut hashes = self.hashes.write().unwrap_or_else(PoisonError::into_inner);
        let known = hashes.entry(id).or_insert(hash);
        *known = known.or(hash);
    }

    fn hash(&self, id: &ApiKeyId) -> Option<KeyHash> {
        self.hashes.read().unwrap_or_else(PoisonError::into_inner).get(id).copied().flatten()
    }

    /// Keys on record that the vault was not asked for. What is known of others is forgotten.
    pub(crate) fn unknown(&self) -> Vec<ApiKeyId> {
        self.known.read(|state| {
            let mut hashes = self.hashes.write().unwrap_or_else(PoisonError::into_inner);
            hashes.retain(|id, _| state.keys.get(id).is_some());
            if hashes.len() == state.keys.count() {
                return Vec::new();
            }
            let ids = state.keys.all().map(|facts| facts.id);
            ids.filter(|id| !hashes.contains_key(id)).collect()
        })
    }

    /// A key and its hash, unless it was revoked; it may have expired.
    pub(crate) fn get(&self, id: &ApiKeyId) -> Option<(KeyHash, Arc<ApiKeyFacts>)> {
        let facts = self.known.key(id)?;
        Some((self.hash(id)?, facts))
    }

    /// Whether a key was not revoked; it may have expired.
    pub(crate) fn has(&self, id: &ApiKeyId) -> bool {
        self.get(id).is_some()
    }

    /// In no order.
    pub(crate) fn all(&self) -> Vec<Arc<ApiKeyFacts>> {
        self.known.keys(|id| self.hash(id).is_some())
    }

    /// What commits to the hash of each key whose own record does not.
    pub(crate) fn to_commit(&self) -> Vec<(ApiKeyId, KeyCommitment)> {
        let old = self.all().into_iter().filter(|facts| facts.commitment.is_none());
        let commit = |id: ApiKeyId| Some((id, KeyCommitment::new(id.as_bytes(), &self.hash(&id)?)));
        old.filter_map(|facts| commit(facts.id)).collect()
    }
}
