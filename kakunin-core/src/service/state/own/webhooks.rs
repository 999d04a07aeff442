//! Endpoints that are told what is on record.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::StoreError;
use crate::id::WebhookId;
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};
use crate::webhook::{Disabled, WebhookFacts};

/// An endpoint, and from which record on it is told.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Endpoint {
    #[serde(with = "shared")]
    pub(crate) facts: Arc<WebhookFacts>,
    /// Index of the first record that it is told.
    pub(crate) since: u64,
}

/// The endpoints of a tenant, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Webhooks(BTreeMap<WebhookId, Arc<Endpoint>>);

impl Webhooks {
    pub(crate) fn get(&self, id: &WebhookId) -> Option<&Arc<Endpoint>> {
        self.0.get(id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.0.values()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = WebhookId> {
        self.0.keys().copied()
    }

    /// It is so from the record at `index` on.
    pub(super) fn is(&mut self, index: u64, facts: &WebhookFacts) -> Result<Change, StoreError> {
        let since = self.0.get(&facts.id).map_or(index + 1, |before| before.since);
        self.put(Endpoint { facts: Arc::new(facts.clone()), since })
    }

    pub(super) fn disabled(&mut self, id: &WebhookId, why: Disabled) -> Result<Option<Change>, StoreError> {
        let Some(Endpoint { facts, since }) = self.0.get(id).map(Arc::as_ref).cloned() else {
            return Ok(None);
        };
        let facts = WebhookFacts { disabled: Some(why), ..(*facts).clone() };
        self.put(Endpoint { facts: Arc::new(facts), since }).map(Some)
    }

    pub(super) fn deleted(&mut self, id: &WebhookId) -> Change {
        self.0.remove(id);
        Change { kind: Kind::Webhook, key: id.as_bytes().to_vec(), value: None }
    }

    fn put(&mut self, endpoint: Endpoint) -> Result<Change, StoreError> {
        let change = row_of(&endpoint)?;
        self.0.insert(endpoint.facts.id, Arc::new(endpoint));
        Ok(change)
    }

    pub(super) fn load(&mut self, value: &[u8]) -> Option<()> {
        let endpoint: Endpoint = serde_json::from_slice(value).ok()?;
        self.0.insert(endpoint.facts.id, Arc::new(endpoint));
        Some(())
    }

    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Change>, StoreError> {
        let id = <[u8; 16]>::try_from(key).ok().map(WebhookId::from_bytes);
        id.and_then(|id| self.0.get(&id)).map(|endpoint| row_of(endpoint)).transpose()
    }
}

fn row_of(endpoint: &Endpoint) -> Result<Change, StoreError> {
    set(Kind::Webhook, endpoint.facts.id.as_bytes().to_vec(), endpoint)
}

/// A shared value as it is written by itself.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(value: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
        T::serialize(value, to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}
