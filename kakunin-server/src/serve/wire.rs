//! Concrete backends, named here and in `database.rs`: SQLite, and keys in a folder, a KMS or an HSM.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kakunin_core::access::ApiKey;
use kakunin_core::agent::AgentError;
use kakunin_core::id::{TenantId, hex_encode};
use kakunin_core::key::{KeyAlgorithm, KeyProvider};
use kakunin_core::service::{self, Config, Error as ServiceError, Kakunin, Parts};
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::postgres::PostgresStore;
use kakunin_core::store::sqlite::{SqliteReader, SqliteStore, SqliteVault};
use kakunin_core::store::vault::{StateVault, Vault, move_all};
use kakunin_core::time::Clock;
use kakunin_core::x509::published::Published;
use kakunin_kms::local::{LocalKeys, Secret};
use kakunin_kms::private;

use super::around::{Logs, surrounded};
use super::database;
use super::first_key::{self, write_private};
use super::options::{ServeError, ServeOptions};

/// The tenant of the first key.
const FIRST_TENANT: &str = "default";
const DEFAULT_TRUST_DOMAIN: &str = "agents.localhost";
pub(crate) const ADMIN_KEY_FILE: &str = "admin.key";
pub(crate) const SECRET_FILE: &str = "key.secret";
pub(crate) const DATABASE: &str = "kakunin.db";
/// The newest checkpoints, if they are kept nowhere else.
pub(crate) const GUARD_FILE: &str = "kakunin.guard";
/// What says that the deployment was moved into a database, and is served there.
pub(crate) const MOVED_FILE: &str = "moved.txt";
/// Secrets lie apart from the logs: who copies these has none of them, and a backup of these brings none back.
pub(crate) const VAULT: &str = "vault.db";
/// What lies in the folder beside the keys.
const OURS: [&str; 13] = [
    DATABASE,
    VAULT,
    "vault.db.reserve",
    "vault.db-wal",
    "vault.db-shm",
    "vault.db.lock",
    "kakunin.db.reserve",
    "kakunin.db-wal",
    "kakunin.db-shm",
    "kakunin.db.lock",
    GUARD_FILE,
    SECRET_FILE,
    ADMIN_KEY_FILE,
];

/// A deployment that is open.
#[derive(Debug)]
pub struct Deployment {
    /// The deployment.
    pub kakunin: Kakunin,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// The first tenant.
    pub tenant: TenantId,
    /// The admin key, if this start made it.
    pub admin_key: Option<ApiKey>,
    /// Where that key was written to; it is shown once if it was written nowhere.
    pub admin_key_file: Option<PathBuf>,
    /// Whether this start made the deployment, so that no process served it before.
    pub new: bool,
    /// The database, if it is in one.
    pub(super) store: Option<Arc<PostgresStore>>,
}

pub(super) async fn open(options: &ServeOptions, address: SocketAddr) -> Result<Deployment, ServeError> {
    let (parts, store) = match &options.database {
        Some(database) => {
            let (parts, store) = database::parts(options, database).await?;
            (parts, Some(store))
        }
        None => (folder_parts(options).await?, None),
    };
    let (clock, made) = (parts.clock.clone(), Kakunin::made_as(&parts).await?.is_some());
    if !made && store.is_none() && options.data.join(ADMIN_KEY_FILE).exists() {
        return Err(ServeError::DatabaseGone(options.data.clone()));
    }
    let config = config(options, address, &parts).await?;
    let kakunin = Kakunin::open(config, parts).await?;
    for name in options.opt_outs() {
        tracing::warn!("--{name} is in force");
    }
    let tenant = first_tenant()?;
    kakunin.create_tenant(&tenant).await?;
    kakunin.load().await?;
    options.warn_of_dry_runs();
    let known = kakunin.tenants().await;
    for tenant in options.api.insecure_dry_run.tenants().iter().filter(|tenant| !known.contains(tenant)) {
        tracing::warn!(%tenant, "--insecure-dry-run-tenant names a tenant that is not there");
    }
    let (admin_key, admin_key_file) = match &options.database {
        None => first_key::in_folder(&kakunin, &tenant, options.data.join(ADMIN_KEY_FILE)).await?,
        Some(database) => {
            first_key::of_several(&kakunin, &tenant, database.admin_key_file.as_deref()).await?
        }
    };
    if let (Some(database), Some(store)) = (&options.database, &store) {
        database::say(database, store, &kakunin).await?;
    }
    // In a database others may have served it meanwhile.
    let new = !made && store.is_none();
    Ok(Deployment { kakunin, clock, tenant, admin_key, admin_key_file, new, store })
}

/// What a deployment runs on.
pub(crate) async fn parts(options: &ServeOptions) -> Result<Parts, ServeError> {
    match &options.database {
        Some(database) => Ok(database::parts(options, database).await?.0),
        None => folder_parts(options).await,
    }
}

/// What a deployment in this folder runs on. Its log and feed keys sign with each append, so they are in
/// software wherever the others are.
async fn folder_parts(options: &ServeOptions) -> Result<Parts, ServeError> {
    let folder = &options.data;
    if folder.join(MOVED_FILE).exists() {
        return Err(ServeError::Moved(folder.clone()));
    }
    let unusable = |source| ServeError::File { path: folder.clone(), source };
    let path = keys_folder(options);
    if is_gone(&folder.join(DATABASE)) && (folder.join(ADMIN_KEY_FILE).exists() || has_keys(&path)) {
        return Err(ServeError::DatabaseGone(folder.clone()));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    private::folder(folder)?;
    for name in OURS {
        private::file(&folder.join(name))?;
    }
    for path in options.tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]) {
        private::given(path)?;
    }
    let local: Arc<dyn KeyProvider> = Arc::new(LocalKeys::open(&path, &secret(options, &path)?)?);
    let keys = match &options.keys {
        Some(url) if !options.software_keys() => url.open().await?,
        _ => local.clone(),
    };
    let store = Arc::new(SqliteStore::open(folder.join(DATABASE))?);
    let vault = SqliteVault::open(folder.join(VAULT))?;
    // They lay among the rows of the database before.
    move_all(&StateVault(store.clone()), &vault).await?;
    let vault: Option<Arc<dyn Vault>> = Some(Arc::new(vault));
    let parts = Parts { log_keys: local, vault, ..Parts::shared(store, keys) };
    surrounded(options, Some(&guard_file(options)), parts)
}

/// The same, of a deployment that is there: commands that change one make none.
pub(crate) async fn parts_of_deployment(options: &ServeOptions) -> Result<Parts, ServeError> {
    if let Some(database) = &options.database {
        let parts = parts(options).await?;
        let none = || ServeError::NoDeploymentIn(database.url.place());
        return if Kakunin::made_as(&parts).await?.is_none() { Err(none()) } else { Ok(parts) };
    }
    let none = || ServeError::NoDeployment(options.data.clone());
    if is_gone(&options.data.join(DATABASE)) && !options.data.join(ADMIN_KEY_FILE).exists() {
        return Err(none());
    }
    let parts = parts(options).await?;
    if Kakunin::made_as(&parts).await?.is_none() { Err(none()) } else { Ok(parts) }
}

/// Opens the logs of a deployment that is there.
pub(crate) async fn logs(options: &ServeOptions) -> Result<Logs, ServeError> {
    if let Some(database) = &options.database {
        return database::logs(database).await;
    }
    let reader = Arc::new(reader(options)?);
    let sink = decrypted(options, reader.clone()).await?;
    Ok(Logs { raw: reader.clone(), sink, heads: reader })
}

/// The logs of a folder.
fn reader(options: &ServeOptions) -> Result<SqliteReader, ServeError> {
    let database = options.data.join(DATABASE);
    if is_gone(&database) {
        return Err(ServeError::NoDeployment(options.data.clone()));
    }
    private::folder(&options.data)?;
    private::file(&database)?;
    Ok(SqliteReader::open(database)?)
}

/// The same, their payloads decrypted.
async fn decrypted(
    options: &ServeOptions,
    reader: Arc<SqliteReader>,
) -> Result<Arc<dyn AuditSink>, ServeError> {
    let (path, secret) = (keys_folder(options), secret_file(options));
    if !path.exists() || !secret.exists() {
        return Err(ServeError::KeyFileMissing(secret));
    }
    let keys = LocalKeys::open_to_read(&path, &Secret::from_key_file(&secret)?)?;
    let vault = options.data.join(VAULT);
    // Before there was such a file they lay among the rows.
    let vault: Arc<dyn Vault> = match is_gone(&vault) {
        true => reader.clone(),
        false => Arc::new(SqliteVault::open_to_read(vault)?),
    };
    Ok(service::decrypted(reader, vault, &keys).await?)
}

pub(crate) fn keys_folder(options: &ServeOptions) -> PathBuf {
    let named = options.keys.as_ref().and_then(|url| url.folder());
    named.map_or_else(|| options.data.join("keys"), PathBuf::from)
}

/// Where the newest checkpoints are kept.
pub(crate) fn guard_file(options: &ServeOptions) -> PathBuf {
    options.guard.clone().unwrap_or_else(|| options.data.join(GUARD_FILE))
}

/// Whether there is no database, or an empty file in its place.
fn is_gone(database: &Path) -> bool {
    fs::metadata(database).map_or(true, |file| file.len() == 0)
}

/// Whether keys were made in this folder: they are named after the deployment is begun in its database.
fn has_keys(folder: &Path) -> bool {
    let named = |entry: io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "key"))
    };
    fs::read_dir(folder).is_ok_and(|mut entries| entries.any(named))
}

/// The deployment as it was made, or as it is to be made.
pub(crate) async fn config(
    options: &ServeOptions,
    address: SocketAddr,
    parts: &Parts,
) -> Result<Config, ServeError> {
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let (trust_domain, public_url) = match Kakunin::made_as(parts).await? {
        Some((trust_domain, public_url, _)) => (trust_domain.to_string(), public_url),
        None if address.ip().is_unspecified() && options.public_url.is_none() => {
            return Err(ServeError::NoPublicUrl(address));
        }
        None => {
            let url = options.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
            let published = Published::for_new(&url)?;
            // Both stand in every certificate for ever: two deployments that are somewhere are not of one trust domain.
            (published.host_name().unwrap_or_else(|| DEFAULT_TRUST_DOMAIN.to_owned()), url)
        }
    };
    let config = Config::new(options.trust_domain.as_deref().unwrap_or(&trust_domain))?;
    let root = match options.ca_algorithm {
        KeyAlgorithm::Rsa2048 => config.ca_algorithms.0,
        same => same,
    };
    Ok(Config {
        public_url: options.public_url.clone().unwrap_or(public_url),
        ca_algorithms: (root, options.ca_algorithm),
        renewal_grace: u64::try_from(options.renewal_grace.as_millis()).unwrap_or(u64::MAX),
        policy: options.default_policy.clone(),
        believe_clock: options.believe_clock,
        ..config
    })
}

/// What the software keys are encrypted with. Made on the first start; a key beside what it encrypts keeps
/// nobody out who can read the folder, so production names another place.
fn secret(options: &ServeOptions, keys: &Path) -> Result<Secret, ServeError> {
    let path = secret_file(options);
    if !path.exists() {
        if keys.exists() {
            return Err(ServeError::KeyFileMissing(path));
        }
        let mut octets = [0; 32];
        getrandom::fill(&mut octets).map_err(|error| ServeError::Io(io::Error::other(error.to_string())))?;
        write_private(&path, &hex_encode(&octets))?;
    }
    Ok(Secret::from_key_file(&path)?)
}

pub(crate) fn secret_file(options: &ServeOptions) -> PathBuf {
    let named = options.keys.as_ref().and_then(|url| url.key_file()).map(Path::to_owned);
    named.or(options.key_file.clone()).unwrap_or_else(|| options.data.join(SECRET_FILE))
}

/// Files with what opens everything else.
pub(super) fn secrets(options: &ServeOptions) -> Vec<PathBuf> {
    match &options.database {
        None => vec![secret_file(options), options.data.join(ADMIN_KEY_FILE)],
        Some(database) => {
            let key_file = options.keys.as_ref().and_then(|url| url.key_file()).map(Path::to_owned);
            let all = [database.admin_key_file.clone(), options.key_file.clone(), key_file];
            all.into_iter().flatten().collect()
        }
    }
}

/// Makes one more admin key for the first tenant of a deployment that is not being served, and gives it: for
/// whoever revoked or lost the last one, and has the folder or the database, and its keys.
///
/// # Errors
/// [`ServeError`].
pub async fn make_admin_key(options: &ServeOptions) -> Result<ApiKey, ServeError> {
    let parts = parts_of_deployment(options).await?;
    let kakunin = Kakunin::open(config(options, options.listen, &parts).await?, parts).await?;
    let tenant = first_tenant()?;
    kakunin.create_tenant(&tenant).await?;
    first_key::new(&kakunin, &tenant).await
}

fn first_tenant() -> Result<TenantId, ServeError> {
    Ok(FIRST_TENANT.parse().map_err(AgentError::from).map_err(ServiceError::from)?)
}
