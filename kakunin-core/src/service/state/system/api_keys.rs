//! Keys of the API as the log has them; their hashes are in the vault.

use std::collections::HashMap;
use std::sync::Arc;

use crate::access::{ApiKeyFacts, ApiKeyId, KeyCommitment, Role};

/// Keys that are not revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    standing: HashMap<ApiKeyId, Arc<ApiKeyFacts>>,
    /// What commits to the hashes of those that were made before their records did.
    committed: HashMap<ApiKeyId, KeyCommitment>,
    /// The newest admin key, whatever became of it.
    admin: Option<ApiKeyId>,
}

impl Keys {
    pub(super) fn created(&mut self, facts: ApiKeyFacts) {
        if facts.role == Role::Admin {
            self.admin = Some(facts.id);
        }
        self.restored(facts);
    }

    /// As [`Keys::created`], of a row: which admin key was the newest has a row of its own.
    pub(super) fn restored(&mut self, facts: ApiKeyFacts) {
        self.standing.insert(facts.id, Arc::new(facts));
    }

    pub(super) fn committed(&mut self, id: ApiKeyId, commitment: KeyCommitment) {
        self.committed.insert(id, commitment);
    }

    pub(super) fn revoked(&mut self, id: &ApiKeyId) {
        self.standing.remove(id);
        self.committed.remove(id);
    }

    /// Which was the newest admin key, as a row says it: that key may be revoked.
    pub(super) fn had_admin(&mut self, id: ApiKeyId) {
        self.admin = Some(id);
    }

    /// A key that is not revoked; it may have expired.
    pub(crate) fn get(&self, id: &ApiKeyId) -> Option<&Arc<ApiKeyFacts>> {
        self.standing.get(id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<ApiKeyFacts>> {
        self.standing.values()
    }

    pub(crate) fn count(&self) -> usize {
        self.standing.len()
    }

    /// What the log commits to of the hash of a key.
    pub(crate) fn commitment(&self, id: &ApiKeyId) -> Option<KeyCommitment> {
        let made_with = self.standing.get(id).and_then(|facts| facts.commitment);
        made_with.or_else(|| self.committed.get(id).copied())
    }

    /// Whether there ever was an admin key.
    pub(crate) const fn had_admin_key(&self) -> bool {
        self.admin.is_some()
    }
}
