//! Keys of the API: made, looked up, taken away.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use crate::access::{ApiKey, ApiKeyFacts, ApiKeyId, KeyCommitment, KeyHash, Role};
use crate::agent::Label;
use crate::event::ShortName;
use crate::id::{TenantId, hex_encode};
use crate::log::entry::LogId;
use crate::log::record::Control;
use crate::service::effects::running::Kakunin;
use crate::service::engine::api_keys::{MAX_KEYS, Row, row_key};
use crate::service::error::Error;
use crate::service::state::api_keys::ApiKeys;
use crate::service::state::rows::octets;
use crate::service::state::system;
use crate::store::state::Kind;
use crate::time::UnixTime;

impl Kakunin {
    /// Makes a key for a tenant. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such tenant.
    pub async fn create_api_key(
        &self,
        tenant: &TenantId,
        role: Role,
        label: Label,
        expires_at: Option<UnixTime>,
    ) -> Result<(ApiKeyFacts, ApiKey), Error> {
        let inner = &self.inner;
        let mut system = inner.system.lock().await;
        inner.settle_system(&mut system).await?;
        if !inner.tenants.read().await.contains_key(tenant) {
            return Err(Error::NotFound("tenant"));
        }
        if inner.api_keys.read(HashMap::len) >= MAX_KEYS {
            return Err(Error::Exists("there are 100,000 keys; revoke some first"));
        }
        let created_at = inner.now();
        let id = ApiKeyId::generate(created_at, &*inner.parts.entropy)?;
        let key = ApiKey::generate(&id, &*inner.parts.entropy)?;
        let hash = key.hash().ok_or(Error::NotFound("key"))?;
        let commitment = Some(KeyCommitment::new(id.as_bytes(), &hash));
        let facts =
            ApiKeyFacts { id, tenant: tenant.clone(), role, label, created_at, expires_at, commitment };
        let row = Row { sha256: hex_encode(hash.as_bytes()), facts: facts.clone() };
        // The vault before the record that commits to it: what is on record works.
        inner.parts.vault().put(&row_key(&id), &octets(&row)?).await?;
        let created = Control::ApiKeyCreated(facts.clone());
        if let Err(error) = inner.append_system(&mut system, created, self.by.clone()).await {
            // Perhaps it is on record; nobody was told the key.
            let _ = inner.parts.vault().remove(&[row_key(&id)]).await;
            return Err(error);
        }
        let mut all = inner.api_keys.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(id, (hash, Arc::new(facts.clone())));
        Ok((facts, key))
    }

    /// Whose key this is, if it is one and has not expired.
    #[must_use]
    pub fn authenticate(&self, presented: &str) -> Option<Arc<ApiKeyFacts>> {
        let (id, hash) = ApiKey::open(presented)?;
        let known = self.inner.api_keys.read(|all| all.get(&id).cloned());
        let (kept, facts) = known?;
        (kept.matches(&hash) && facts.valid_at(self.inner.now())).then_some(facts)
    }

    /// Whether there ever was an admin key, of whatever tenant.
    ///
    /// # Errors
    /// What the store says.
    pub async fn had_admin_key(&self) -> Result<bool, Error> {
        let state = &self.inner.parts.state;
        Ok(state.get(&LogId::System, Kind::Certificate, system::ADMIN).await?.is_some())
    }

    /// Whether an admin key would be accepted now.
    #[must_use]
    pub fn has_admin_key(&self) -> bool {
        let now = self.inner.now();
        let stands = |facts: &ApiKeyFacts| facts.role == Role::Admin && facts.valid_at(now);
        self.inner.api_keys.read(|all| all.values().any(|(_, facts)| stands(facts)))
    }

    /// A key by its identifier, if it would be accepted now.
    #[must_use]
    pub fn api_key(&self, id: &ApiKeyId) -> Option<Arc<ApiKeyFacts>> {
        let facts = self.inner.api_keys.read(|all| all.get(id).map(|(_, facts)| facts.clone()));
        facts.filter(|facts| facts.valid_at(self.inner.now()))
    }

    /// The keys of a tenant, or of all, oldest first.
    #[must_use]
    pub fn api_keys(&self, tenant: Option<&TenantId>) -> Vec<Arc<ApiKeyFacts>> {
        let all = |all: &HashMap<ApiKeyId, (KeyHash, Arc<ApiKeyFacts>)>| -> Vec<_> {
            all.values()
                .map(|(_, facts)| facts.clone())
                .filter(|facts| tenant.is_none_or(|tenant| facts.tenant == *tenant))
                .collect()
        };
        let mut keys = self.inner.api_keys.read(all);
        keys.sort_unstable_by_key(|facts| facts.id);
        keys
    }

    /// Takes a key away; from now on it is refused.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn revoke_api_key(&self, id: &ApiKeyId) -> Result<(), Error> {
        let inner = &self.inner;
        let mut system = inner.system.lock().await;
        inner.settle_system(&mut system).await?;
        // What is on record, and not what is in memory: it may be refused already, and its record have failed.
        let row = system::named(system::API_KEY, id);
        if inner.parts.state.get(&LogId::System, Kind::Certificate, &row).await?.is_none() {
            return Err(Error::NotFound("API key"));
        }
        // Refused first, recorded then: who is told of an error has a key that does not work, and tries again.
        inner.api_keys.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        let revoked = Control::ApiKeyRevoked { id: *id };
        inner.append_system(&mut system, revoked, self.by.clone()).await?;
        // A row that stays opens nothing, and is removed by the next start.
        let _ = inner.parts.vault().remove(&[row_key(id)]).await;
        Ok(())
    }
}

/// The API key that somebody acts with, if it is one, as the server names it.
pub(super) fn key_of(keys: &ApiKeys, by: Option<&ShortName>) -> Option<ApiKeyId> {
    let id = by?.as_str().strip_prefix("key:")?.parse().ok()?;
    keys.has(&id).then_some(id)
}
