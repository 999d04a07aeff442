//! Keys of the API: made, looked up, taken away.

use std::sync::Arc;

use crate::access::{ApiKey, ApiKeyFacts, ApiKeyId, KeyCommitment, Role};
use crate::agent::Label;
use crate::event::ShortName;
use crate::id::{TenantId, hex_encode};
use crate::service::command::system::api_keys::{CreateApiKey, CreateFirstAdminKey, FIRST, RevokeApiKey};
use crate::service::command::system::order::SystemOrder;
use crate::service::effects::running::Kakunin;
use crate::service::effects::tenant::Tenant;
use crate::service::engine::api_keys::{Row, row_key};
use crate::service::error::Error;
use crate::service::state::api_keys::ApiKeys;
use crate::service::state::rows::octets;
use crate::time::UnixTime;

impl Kakunin {
    /// Whose key this is, if it is one and has not expired.
    #[must_use]
    pub fn authenticate(&self, presented: &str) -> Option<Arc<ApiKeyFacts>> {
        let (id, hash) = ApiKey::open(presented)?;
        let (kept, facts) = self.inner.api_keys.get(&id)?;
        (kept.matches(&hash) && facts.valid_at(self.inner.now())).then_some(facts)
    }

    /// Whether there ever was an admin key, of whatever tenant.
    ///
    /// # Errors
    /// What the store says.
    pub async fn had_admin_key(&self) -> Result<bool, Error> {
        Ok(self.inner.known.read(|state| state.keys.had_admin_key()))
    }

    /// Whether an admin key would be accepted now.
    #[must_use]
    pub fn has_admin_key(&self) -> bool {
        let now = self.inner.now();
        let stands = |facts: &ApiKeyFacts| facts.role == Role::Admin && facts.valid_at(now);
        self.inner.api_keys.all().iter().any(|facts| stands(facts))
    }

    /// A key by its identifier, if it would be accepted now.
    #[must_use]
    pub fn api_key(&self, id: &ApiKeyId) -> Option<Arc<ApiKeyFacts>> {
        let facts = self.inner.api_keys.get(id).map(|(_, facts)| facts);
        facts.filter(|facts| facts.valid_at(self.inner.now()))
    }

    /// The keys of a tenant, or of all, oldest first.
    #[must_use]
    pub fn api_keys(&self, tenant: Option<&TenantId>) -> Vec<Arc<ApiKeyFacts>> {
        let mut keys = self.inner.api_keys.all();
        keys.retain(|facts| tenant.is_none_or(|tenant| facts.tenant == *tenant));
        keys.sort_unstable_by_key(|facts| facts.id);
        keys
    }

    /// Takes a key away; from now on it is refused.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn revoke_api_key(&self, id: &ApiKeyId) -> Result<(), Error> {
        self.inner.order(&RevokeApiKey(*id), self.by.as_ref()).await?;
        // A row that stays opens nothing, and is removed by a later start.
        let _ = self.inner.parts.vault().remove(&[row_key(id)]).await;
        Ok(())
    }
}

impl Tenant {
    /// Makes a key for a tenant. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such tenant.
    pub async fn create_api_key(
        &self,
        role: Role,
        label: Label,
        expires_at: Option<UnixTime>,
    ) -> Result<(ApiKeyFacts, ApiKey), Error> {
        self.make_key((role, label, expires_at), CreateApiKey).await
    }

    /// Makes an admin key for a tenant, unless there ever was one of whatever tenant: of several processes over one store that
    /// do so at once, one makes it.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such tenant.
    pub async fn create_first_admin_key(&self, label: Label) -> Result<Option<(ApiKeyFacts, ApiKey)>, Error> {
        match self.make_key((Role::Admin, label, None), CreateFirstAdminKey).await {
            Err(Error::Exists(FIRST)) => Ok(None),
            made => made.map(Some),
        }
    }

    async fn make_key<O: SystemOrder>(
        &self,
        (role, label, expires_at): (Role, Label, Option<UnixTime>),
        order: impl FnOnce(ApiKeyFacts) -> O,
    ) -> Result<(ApiKeyFacts, ApiKey), Error> {
        let inner = &self.inner;
        let created_at = inner.now();
        let id = ApiKeyId::generate(created_at, &*inner.parts.entropy)?;
        let key = ApiKey::generate(&id, &*inner.parts.entropy)?;
        let hash = key.hash().ok_or(Error::NotFound("key"))?;
        let commitment = Some(KeyCommitment::new(id.as_bytes(), &hash));
        let facts =
            ApiKeyFacts { id, tenant: self.id.clone(), role, label, created_at, expires_at, commitment };
        let row = Row { sha256: hex_encode(hash.as_bytes()), facts: facts.clone() };
        // The vault before the record that commits to it: what is on record works.
        inner.parts.vault().put(&row_key(&id), &octets(&row)?).await?;
        if let Err(error) = inner.order(&order(facts.clone()), self.by.as_ref()).await {
            // Perhaps it is on record; nobody was told the key.
            let _ = inner.parts.vault().remove(&[row_key(&id)]).await;
            return Err(error);
        }
        inner.api_keys.learn(id, Some(hash));
        Ok((facts, key))
    }
}

/// The API key that somebody acts with, if it is one, as the server names it.
pub(super) fn key_of(keys: &ApiKeys, by: Option<&ShortName>) -> Option<ApiKeyId> {
    let id = by?.as_str().strip_prefix("key:")?.parse().ok()?;
    keys.has(&id).then_some(id)
}
