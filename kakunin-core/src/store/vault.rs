//! Secrets that no log holds and nobody can rebuild: what tokens are made with, hashes of API keys and join tokens.

use std::sync::Arc;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::store::state::{Change, Kind, StateStore};

/// A row: its name, and what it keeps.
pub type Kept = (Vec<u8>, Vec<u8>);

/// Keeps secrets by name. They are written before the record that names them, so that what is on record works; a row of
/// which no record came opens nothing. Nobody can rebuild one: it is backed up apart, and shown to nobody.
///
/// * Atomicity: one call is one transaction.
/// * Durability: on return of `put` and `remove` what they did survives a crash.
/// * Concurrency: any number of calls at once.
/// * Idempotence: `put` sets; what is not there is removed already.
#[async_trait]
pub trait Vault: core::fmt::Debug + Send + Sync {
    /// Keeps a secret under a name, in place of the one before.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put(&self, name: &[u8], secret: &[u8]) -> Result<(), StoreError>;

    /// The secret of that name.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Removes these, also where there is no room left.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove(&self, names: &[Vec<u8>]) -> Result<(), StoreError>;

    /// Up to `limit` secrets whose names begin with `prefix` and go on, in order of their names.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<Kept>, StoreError>;
}

/// A vault among the rows of a state store: in memory, in SQLite, or wherever that keeps them.
#[derive(Clone, Debug)]
pub struct StateVault(pub Arc<dyn StateStore>);

#[async_trait]
impl Vault for StateVault {
    async fn put(&self, name: &[u8], secret: &[u8]) -> Result<(), StoreError> {
        let change = Change { kind: Kind::Vault, key: name.to_vec(), value: Some(secret.to_vec()) };
        self.0.put(&LogId::System, &[change]).await
    }

    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(&LogId::System, Kind::Vault, name).await
    }

    async fn remove(&self, names: &[Vec<u8>]) -> Result<(), StoreError> {
        let gone = names.iter().map(|name| Change { kind: Kind::Vault, key: name.clone(), value: None });
        self.0.put(&LogId::System, &gone.collect::<Vec<_>>()).await
    }

    async fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<Kept>, StoreError> {
        let mut rows = self.0.scan(&LogId::System, Kind::Vault, Some(prefix), limit).await?;
        // In order of their names: those that begin so come first.
        rows.truncate(rows.partition_point(|(name, _)| name.starts_with(prefix)));
        Ok(rows)
    }
}
