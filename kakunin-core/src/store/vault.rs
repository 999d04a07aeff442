//! Secrets that no log holds and nobody can rebuild: what tokens are made with, hashes of API keys and join tokens, secrets
//! of webhooks, keys of payloads.

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

    /// Keeps all of these, each as [`Vault::put`] does: all of them, or none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put_all(&self, secrets: &[Kept]) -> Result<(), StoreError>;

    /// Keeps a secret under a name if none is kept there, and says whether it did: of several at once, one is told so.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put_new(&self, name: &[u8], secret: &[u8]) -> Result<bool, StoreError>;

    /// The secret of that name.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The secrets of these names, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Removes these, also where there is no room left. With none named it does what an earlier call may have left undone:
    /// nothing that was removed stays readable anywhere.
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
        self.put_all(&[(name.to_vec(), secret.to_vec())]).await
    }

    async fn put_all(&self, secrets: &[Kept]) -> Result<(), StoreError> {
        let set = |(name, secret): &Kept| {
            let (key, value) = (name.clone(), Some(secret.clone()));
            Change { kind: Kind::Vault, key, value }
        };
        self.0.put(&LogId::System, &secrets.iter().map(set).collect::<Vec<_>>()).await
    }

    async fn put_new(&self, name: &[u8], secret: &[u8]) -> Result<bool, StoreError> {
        let change = Change { kind: Kind::Vault, key: name.to_vec(), value: Some(secret.to_vec()) };
        self.0.swap(&LogId::System, None, &change).await
    }

    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(&LogId::System, Kind::Vault, name).await
    }

    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            found.push(self.get(name).await?);
        }
        Ok(found)
    }

    async fn remove(&self, names: &[Vec<u8>]) -> Result<(), StoreError> {
        if names.is_empty() {
            return Ok(());
        }
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

/// Rows that are moved at once.
const STEP: usize = 1_000;

/// Moves every secret of one vault to another, and says how many there were. What ends it in between loses none: a secret
/// is in its new place for good before it goes from the old one, and the next call goes on.
///
/// # Errors
/// What either vault says; [`StoreError::Corrupt`] if the new one keeps another secret under a name already.
pub async fn move_all(from: &dyn Vault, to: &dyn Vault) -> Result<usize, StoreError> {
    let mut moved = 0;
    loop {
        let rows = from.list(b"", STEP).await?;
        if rows.is_empty() {
            return Ok(moved);
        }
        let names: Vec<_> = rows.iter().map(|(name, _)| name.clone()).collect();
        let there = to.get_all(&names).await?;
        if rows
            .iter()
            .zip(&there)
            .any(|((_, secret), there)| there.as_ref().is_some_and(|there| there != secret))
        {
            return Err(StoreError::Corrupt("two vaults keep two secrets under one name; restore the one that the log goes by from a backup".into()));
        }
        to.put_all(&rows).await?;
        from.remove(&names).await?;
        moved += rows.len();
    }
}
