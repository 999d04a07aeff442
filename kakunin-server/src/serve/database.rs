//! A deployment in a PostgreSQL database: any number of servers over it, none with a folder of its own.

use std::sync::Arc;

use async_trait::async_trait;
use kakunin_core::error::StoreError;
use kakunin_core::key::KeyProvider;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::walk::SignedHead;
use kakunin_core::service::moving::is_being_moved_into;
use kakunin_core::service::{self, Kakunin, Parts};
use kakunin_core::store::duty::Duties;
use kakunin_core::store::heads::{Heads, Newest};
use kakunin_core::store::postgres::PostgresStore;
use kakunin_core::store::vault::{StateVault, Vault};
use kakunin_kms::local::{LocalKeys, Secret};
use kakunin_kms::private;
use kakunin_kms::seal::SealedKeys;
use kakunin_kms::url::Scheme;

use super::around::{Logs, surrounded};
use super::options::{ServeError, ServeOptions};
use super::place::Database;

impl Database {
    /// Opens the store.
    pub(crate) async fn store(&self) -> Result<Arc<PostgresStore>, ServeError> {
        Ok(Arc::new(PostgresStore::open(&self.url).await.map_err(|source| self.failed(source))?))
    }

    fn failed(&self, source: StoreError) -> ServeError {
        ServeError::Database { place: self.url.place(), source }
    }

    /// The keys of the log.
    pub(crate) async fn sealed_keys(&self, vault: Arc<dyn Vault>) -> Result<SealedKeys, ServeError> {
        Ok(SealedKeys::new(vault, self.seal.open().await?))
    }
}

/// What a deployment in this database runs on, and the store that is below it. Nothing is read from a folder, and none is made.
pub(super) async fn parts(
    options: &ServeOptions,
    database: &Database,
) -> Result<(Parts, Arc<PostgresStore>), ServeError> {
    for path in options.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]) {
        private::given(path)?;
    }
    let keys = keys(options).await?;
    let store = database.store().await?;
    let vault: Arc<dyn Vault> = Arc::new(StateVault(store.clone()));
    let parts = Parts {
        log_keys: Arc::new(database.sealed_keys(vault.clone()).await?),
        vault: Some(vault),
        clock: store.clock(),
        duties: store.clone(),
        ..surrounded(options, options.guard.as_deref(), Parts::shared(store.clone(), keys))?
    };
    if is_being_moved_into(&parts).await? {
        return Err(ServeError::HalfMoved(database.url.place()));
    }
    Ok((parts, store))
}

/// Keys of certificate authorities and agents, which all servers share.
async fn keys(options: &ServeOptions) -> Result<Arc<dyn KeyProvider>, ServeError> {
    let url = options.shared_keys()?;
    if url.scheme() != Scheme::Local {
        return Ok(url.open().await?);
    }
    let (folder, file) = options.shared_folder(url)?;
    Ok(Arc::new(LocalKeys::open_shared(folder, &Secret::from_key_file(file)?)?))
}

/// The logs, for reading beside the servers.
pub(super) async fn logs(database: &Database) -> Result<Logs, ServeError> {
    let store = database.store().await?;
    let vault: Arc<dyn Vault> = Arc::new(StateVault(store.clone()));
    let keys = database.sealed_keys(vault.clone()).await?;
    let sink = service::decrypted(store.clone(), vault, &keys).await?;
    Ok(Logs { heads: Arc::new(NewestOf(store.clone())), raw: store, sink })
}

/// The newest head of each log, which is what a database keeps.
#[derive(Debug)]
struct NewestOf(Arc<PostgresStore>);

#[async_trait]
impl Heads for NewestOf {
    async fn at_most(&self, log: &LogId, size: u64) -> Result<Option<SignedHead>, StoreError> {
        Newest(&*self.0).at_most(log, size).await
    }

    async fn above(&self, log: &LogId, size: u64, limit: usize) -> Result<Vec<SignedHead>, StoreError> {
        Newest(&*self.0).above(log, size, limit).await
    }
}

/// Refuses to go on while a server of the deployment runs: one of them is on duty.
pub(crate) async fn alone(parts: &Parts) -> Result<(), ServeError> {
    let duties: &Arc<dyn Duties> = &parts.duties;
    if duties.is_alone() || duties.on_duty().await { Ok(()) } else { Err(ServeError::ServersRun) }
}

/// Says which database it is, once it is open.
pub(super) async fn say(
    database: &Database,
    store: &PostgresStore,
    kakunin: &Kakunin,
) -> Result<(), ServeError> {
    let (place, version) = (database.url.place(), store.server().await?);
    let on_duty = kakunin.is_on_duty();
    tracing::info!(database = %place, postgresql = %version, on_duty, "the deployment is in a database");
    for note in store.notes().await? {
        tracing::warn!(database = %place, "{note}");
    }
    Ok(())
}
