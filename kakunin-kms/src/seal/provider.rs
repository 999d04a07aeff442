//! The contract of key providers, kept with a vault and a seal.

use std::sync::Arc;

use async_trait::async_trait;
use kakunin_core::key::{HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signer};

use super::keys::{SealedKeys, planned, reference, unread};
use super::rows::{self, Names};
use crate::local::keys::Private;
use crate::local::state::State;

#[async_trait]
impl KeyProvider for SealedKeys {
    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        if algorithm != KeyAlgorithm::Ed25519 {
            return Err(SignError::Unsupported(algorithm));
        }
        let (key, names) = (reference(planned), Names::of(planned));
        let row = names.read(&*self.vault).await.map_err(|e| unread("generate", &key, e))?;
        if row.retired {
            return Err(SignError::Refused { key, why: "it is retired" });
        }
        if row.key.is_none() {
            let (_, pkcs8) = Private::generate(algorithm)?;
            let sealed = rows::sealed(&*self.seal, planned, &pkcs8).await;
            let sealed = sealed.map_err(|e| e.of_key("generate", &key))?;
            // Of several servers one keeps its key; the others drop theirs, and open that one.
            self.vault.put_new(&names.key, &sealed).await.map_err(|e| unread("generate", &key, e))?;
        }
        Ok(key)
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        Ok(self.unseal(&planned(key)?).await?)
    }

    /// The vault and the seal may both be services.
    fn is_near(&self) -> bool {
        false
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.change("disable", key, State::Disabled).await
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.change("enable", key, State::Enabled).await
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        self.change("retire", key, State::Retired).await
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        let standing = rows::standing(&*self.vault).await.map_err(|e| unread("list", &KeyRef::new(""), e))?;
        Ok(standing.into_iter().map(|planned| HeldKey { key: reference(&planned), planned }).collect())
    }
}
