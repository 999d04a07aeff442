//! The contract of key providers, kept with AWS KMS.

use std::sync::Arc;

use async_trait::async_trait;
use kakunin_core::grant::{KeyGrant, Principal};
use kakunin_core::key::{HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signer, Spki};

use super::client::AwsKeys;
use super::reference::arn;
use super::signer::Key;

#[async_trait]
impl KeyProvider for AwsKeys {
    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        let (keys, id) = (self.keys.clone(), planned.clone());
        self.run("generate", planned.as_str(), async move { keys.generate(&id, algorithm).await }).await
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        let (keys, arn) = (self.keys.clone(), arn(key)?);
        let of = arn.clone();
        let spki = self.run("open", key.as_str(), async move { keys.public_key(&of).await }).await?;
        Ok(Arc::new(Key { arn, spki, provider: self.clone() }))
    }

    fn is_near(&self) -> bool {
        false
    }

    async fn open_known(&self, key: &KeyRef, public: &Spki) -> Result<Arc<dyn Signer>, SignError> {
        let arn = arn(key)?;
        self.keys.remember(&arn, public);
        Ok(Arc::new(Key { arn, spki: public.clone(), provider: self.clone() }))
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        let (keys, arn) = (self.keys.clone(), arn(key)?);
        self.run("disable", key.as_str(), async move { keys.disable(&arn).await }).await
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        let (keys, arn) = (self.keys.clone(), arn(key)?);
        self.run("enable", key.as_str(), async move { keys.enable(&arn).await }).await
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        let (keys, arn) = (self.keys.clone(), arn(key)?);
        self.run("retire", key.as_str(), async move { keys.retire(&arn).await }).await
    }

    fn grants(&self) -> bool {
        true
    }

    async fn grant(&self, key: &KeyRef, principal: &Principal) -> Result<KeyGrant, SignError> {
        let (keys, arn, principal) = (self.keys.clone(), arn(key)?, principal.clone());
        self.run("grant", key.as_str(), async move { keys.grant(&arn, &principal).await }).await
    }

    async fn ungrant(&self, key: &KeyRef) -> Result<(), SignError> {
        let (keys, arn) = (self.keys.clone(), arn(key)?);
        self.run("ungrant", key.as_str(), async move { keys.ungrant(&arn).await }).await
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        let keys = self.keys.clone();
        self.run("list", "", async move { keys.list().await }).await
    }

    async fn find(&self, planned: &PlannedKeyId) -> Result<Vec<KeyRef>, SignError> {
        let (keys, id) = (self.keys.clone(), planned.clone());
        self.run("find", planned.as_str(), async move { keys.find(&id).await }).await
    }
}
