//! Keys in AWS KMS: made there, never exported; only their ARNs are kept.
//!
//! | file | does |
//! |---|---|
//! | `config.rs` | what an operator chooses; the client, built by hand |
//! | `calls.rs` | quota, retries, breaker around each call |
//! | `pace.rs`, `breaker.rs` | the quota and the breaker themselves |
//! | `keys.rs` | what a key is there: tags, alias, states |
//! | `signer.rs` | one key that signs |
//!
//! Each call runs on the Tokio runtime that [`AwsKeys`] was made in, to its end, whoever awaits it and on
//! whatever runtime. `CreateKey` is not idempotent: the alias decides which key a planned identifier has,
//! and tags show those that lost, or whose maker died before it named them.

mod breaker;
mod calls;
mod config;
mod keys;
mod pace;
mod signer;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use kakunin_core::grant::{KeyGrant, Principal};
use kakunin_core::key::{HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signer, Spki};
use tokio::runtime::Handle;

pub use config::{AwsConfig, Credentials, Quotas};
use keys::Keys;
use signer::Key;

const SCHEME: &str = "awskms:";

/// Keys of a deployment in one account and region of AWS KMS.
#[derive(Clone)]
pub struct AwsKeys {
    keys: Arc<Keys>,
    runtime: Handle,
}

impl AwsKeys {
    /// A client. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// [`SignError::Locked`] outside a Tokio runtime, and for a deployment's name that cannot be part of an
    /// alias.
    pub fn new(config: AwsConfig) -> Result<Self, SignError> {
        let runtime = Handle::try_current()
            .map_err(|_| SignError::Locked("AWS KMS needs a Tokio runtime".to_owned()))?;
        Ok(Self { keys: Arc::new(Keys::new(config)?), runtime })
    }

    /// Does the work on the runtime, to its end also if the caller goes away: a key that was made gets its
    /// alias.
    async fn run<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: &str,
        work: impl Future<Output = Result<T, SignError>> + Send + 'static,
    ) -> Result<T, SignError> {
        let done = self.runtime.spawn(work).await;
        done.map_err(|error| SignError::unavailable(operation, key, error))?
    }
}

fn arn(key: &KeyRef) -> Result<String, SignError> {
    let arn = key.as_str().strip_prefix(SCHEME).filter(|arn| arn.starts_with("arn:"));
    arn.map(str::to_owned).ok_or_else(|| SignError::NotFound(key.clone()))
}

fn reference(arn: &str) -> KeyRef {
    KeyRef::new(format!("{SCHEME}{arn}"))
}

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

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AwsKeys({})", self.keys.deployment())
    }
}
