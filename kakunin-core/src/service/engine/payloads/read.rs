//! Logs as they were recorded, for who reads beside a server.

use std::sync::Arc;

use super::keys::DataKeys;
use super::sink::SealedSink;
use crate::error::StoreError;
use crate::id::SystemEntropy;
use crate::key::KeyProvider;
use crate::log::entry::LogId;
use crate::log::record::{Body, Control, Record};
use crate::service::engine::seal::SealKey;
use crate::service::error::Error;
use crate::store::audit::AuditSink;
use crate::store::vault::Vault;

/// What `sink` keeps encrypted, for who has the log keys of the deployment and its vault. A payload whose key the vault does
/// not have is not there. It is for reading: see [`LogCheck`](crate::service::LogCheck).
///
/// # Errors
/// What sink, vault and provider say; [`Error::Store`] if there is no deployment.
pub async fn decrypted(
    sink: Arc<dyn AuditSink>,
    vault: Arc<dyn Vault>,
    log_keys: &dyn KeyProvider,
) -> Result<Arc<dyn AuditSink>, Error> {
    let missing = || StoreError::Corrupt("the deployment's record is missing".into());
    let first = sink.read(&LogId::System, 0, 1).await?.pop().ok_or_else(missing)?;
    let Body::Control(control) = Record::open(&first)?.body else { return Err(missing().into()) };
    let Control::DeploymentCreated { log_key, .. } = *control else { return Err(missing().into()) };
    let seal_key = SealKey::derive(&*log_keys.open(&log_key).await?).await?;
    let keys = DataKeys::new(seal_key.clone(), vault, Arc::new(SystemEntropy));
    Ok(Arc::new(SealedSink::over(sink, seal_key, keys)))
}
