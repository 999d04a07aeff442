//! Keys of the API: made, looked up, taken away. Hashes are in the vault, facts in the system log.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Kakunin;
use super::deployment::Parts;
use super::error::Error;
use super::projection::set;
use crate::access::{ApiKey, ApiKeyFacts, ApiKeyId, KeyHash, Role};
use crate::agent::Label;
use crate::error::StoreError;
use crate::id::{TenantId, hex_decode, hex_encode};
use crate::log::record::Control;
use crate::log::sink::LogId;
use crate::state::{Change, Kind};
use crate::time::UnixTime;

const PREFIX: &str = "api-key/";
/// Keys read at once; also the most there can be.
const MAX_KEYS: usize = 100_000;

/// A key in the vault.
#[derive(serde::Serialize, serde::Deserialize)]
struct Row {
    sha256: String,
    facts: ApiKeyFacts,
}

/// Keys that are not revoked.
#[derive(Debug, Default)]
pub(super) struct ApiKeys(RwLock<HashMap<ApiKeyId, (KeyHash, Arc<ApiKeyFacts>)>>);

impl ApiKeys {
    pub(super) async fn load(parts: &Parts) -> Result<Self, Error> {
        let corrupt = || StoreError::Corrupt("an API key does not decode".into());
        // The vault is shared; of its rows, those of keys follow their prefix.
        let rows = parts.state.scan(&LogId::System, Kind::Vault, Some(PREFIX.as_bytes()), MAX_KEYS).await?;
        let mut all = HashMap::new();
        for (_, value) in rows.iter().take_while(|(key, _)| key.starts_with(PREFIX.as_bytes())) {
            let row: Row = serde_json::from_slice(value).map_err(|_| corrupt())?;
            let hash = KeyHash::from_bytes(hex_decode(&row.sha256).ok_or_else(corrupt)?);
            all.insert(row.facts.id, (hash, Arc::new(row.facts)));
        }
        Ok(Self(RwLock::new(all)))
    }

    fn read<T>(&self, read: impl FnOnce(&HashMap<ApiKeyId, (KeyHash, Arc<ApiKeyFacts>)>) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

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
        let facts = ApiKeyFacts { id, tenant: tenant.clone(), role, label, created_at, expires_at };
        let hash = key.hash().ok_or(Error::NotFound("key"))?;
        let row = Row { sha256: hex_encode(hash.as_bytes()), facts: facts.clone() };
        // The vault before the record that names it: what is on record works.
        let change = set(Kind::Vault, row_key(&id), &row)?;
        inner.parts.state.put(&LogId::System, &[change]).await?;
        inner.append_system(&mut system, Control::ApiKeyCreated(facts.clone()), self.by.clone()).await?;
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
        if !inner.api_keys.read(|all| all.contains_key(id)) {
            return Err(Error::NotFound("API key"));
        }
        // Refused first, recorded then: a crash in between leaves a key that does not work.
        inner.api_keys.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        let gone = Change { kind: Kind::Vault, key: row_key(id), value: None };
        inner.parts.state.put(&LogId::System, &[gone]).await?;
        inner.append_system(&mut system, Control::ApiKeyRevoked { id: *id }, self.by.clone()).await
    }
}

fn row_key(id: &ApiKeyId) -> Vec<u8> {
    format!("{PREFIX}{id}").into_bytes()
}
