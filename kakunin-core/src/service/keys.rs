//! Keys of the API: made, looked up, taken away. Hashes are in the vault, facts in the system log.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::damage::Damages;
use super::deployment::Parts;
use super::error::Error;
use super::projection::set;
use super::{Inner, Kakunin, system};
use crate::access::{ApiKey, ApiKeyFacts, ApiKeyId, KeyCommitment, KeyHash, Role};
use crate::agent::Label;
use crate::error::StoreError;
use crate::event::ShortName;
use crate::id::{TenantId, hex_decode, hex_encode};
use crate::log::record::Control;
use crate::log::sink::LogId;
use crate::state::{Change, Kind};
use crate::time::UnixTime;

const PREFIX: &str = "api-key/";
/// The most there can be.
const MAX_KEYS: usize = 100_000;
/// Rows read at once: more than there can be, by somebody else's hand too.
const MAX_ROWS: usize = 2 * MAX_KEYS;

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
    /// The keys that the log says there are, with the hashes that it commits to. What else the vault has is
    /// taken away.
    pub(super) async fn load(parts: &Parts, damages: &Damages, sealed: bool) -> Result<Self, Error> {
        let corrupt = |_| StoreError::Corrupt("the record of an API key does not decode".into());
        let mut committed: HashMap<ApiKeyId, KeyCommitment> = HashMap::new();
        for (key, value) in system::rows_with_keys(parts, system::API_KEY_COMMITMENT).await? {
            if let Some(id) = id_of(system::API_KEY_COMMITMENT, &key) {
                committed.insert(id, serde_json::from_slice(&value).map_err(corrupt)?);
            }
        }
        let mut standing: HashMap<ApiKeyId, ApiKeyFacts> = HashMap::new();
        for row in system::rows(parts, system::API_KEY).await? {
            let facts: ApiKeyFacts = serde_json::from_slice(&row).map_err(corrupt)?;
            standing.insert(facts.id, facts);
        }
        let mut all = HashMap::new();
        // The vault is shared; of its rows, those of keys follow their prefix.
        let rows = parts.state.scan(&LogId::System, Kind::Vault, Some(PREFIX.as_bytes()), MAX_ROWS).await?;
        for (key, value) in rows.into_iter().take_while(|(key, _)| key.starts_with(PREFIX.as_bytes())) {
            let known = id_of(PREFIX, &key).and_then(|id| standing.get(&id));
            let Some(facts) = known else {
                let name = String::from_utf8_lossy(&key).escape_default().to_string();
                damages.note(format!(
                    "{name} in the vault is of no key on record; it is refused, and was removed"
                ));
                parts.state.put(&LogId::System, &[Change { kind: Kind::Vault, key, value: None }]).await?;
                continue;
            };
            let hash = stored_hash(&value);
            let commitment = facts.commitment.or_else(|| committed.get(&facts.id).copied());
            let fits = |hash: &KeyHash| match commitment {
                Some(commitment) => commitment == KeyCommitment::new(facts.id.as_bytes(), hash),
                // Of before commitments were on record; after the first start since then there are none.
                None => !sealed,
            };
            match hash.filter(fits) {
                Some(hash) => _ = all.insert(facts.id, (hash, Arc::new(facts.clone()))),
                None => damages.note(format!(
                    "the hash of API key {} was changed by somebody else; the key is refused: revoke it, and make another",
                    facts.id
                )),
            }
        }
        Ok(Self(RwLock::new(all)))
    }

    /// What is to be put on record of keys whose record does not commit to their hash.
    pub(super) fn to_commit(&self) -> Vec<Control> {
        let commit = |id: &ApiKeyId, hash: &KeyHash| {
            let commitment = KeyCommitment::new(id.as_bytes(), hash);
            Control::ApiKeyCommitted { id: *id, commitment }
        };
        self.read(|all| {
            let old = all.iter().filter(|(_, (_, facts))| facts.commitment.is_none());
            old.map(|(id, (hash, _))| commit(id, hash)).collect()
        })
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
        let hash = key.hash().ok_or(Error::NotFound("key"))?;
        let commitment = Some(KeyCommitment::new(id.as_bytes(), &hash));
        let facts =
            ApiKeyFacts { id, tenant: tenant.clone(), role, label, created_at, expires_at, commitment };
        let row = Row { sha256: hex_encode(hash.as_bytes()), facts: facts.clone() };
        // With the record that commits to it: what is in the vault and on no record, nobody here wrote.
        let change = set(Kind::Vault, row_key(&id), &row)?;
        let created = Control::ApiKeyCreated(facts.clone());
        inner.append_system_with(&mut system, created, vec![change], self.by.clone()).await?;
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
        let gone = Change { kind: Kind::Vault, key: row_key(id), value: None };
        let revoked = Control::ApiKeyRevoked { id: *id };
        inner.append_system_with(&mut system, revoked, vec![gone], self.by.clone()).await
    }
}

impl Inner {
    /// The API key that somebody acts with, if it is one, as the server names it.
    pub(super) fn key_of(&self, by: Option<&ShortName>) -> Option<ApiKeyId> {
        let id = by?.as_str().strip_prefix("key:")?.parse().ok()?;
        self.has_key(&id).then_some(id)
    }

    /// Whether a key was not revoked; it may have expired.
    pub(super) fn has_key(&self, id: &ApiKeyId) -> bool {
        self.api_keys.read(|all| all.contains_key(id))
    }
}

fn stored_hash(value: &[u8]) -> Option<KeyHash> {
    let row: Row = serde_json::from_slice(value).ok()?;
    Some(KeyHash::from_bytes(hex_decode(&row.sha256)?))
}

fn id_of(prefix: &str, key: &[u8]) -> Option<ApiKeyId> {
    core::str::from_utf8(key).ok()?.strip_prefix(prefix)?.parse().ok()
}

fn row_key(id: &ApiKeyId) -> Vec<u8> {
    format!("{PREFIX}{id}").into_bytes()
}
