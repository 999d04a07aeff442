//! Concrete backends, named here and nowhere else: SQLite, and keys in a folder, a KMS or an HSM.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kakunin_core::access::{ApiKey, Role};
use kakunin_core::agent::AgentError;
use kakunin_core::id::{TenantId, hex_encode};
use kakunin_core::key::{KeyAlgorithm, KeyProvider};
use kakunin_core::service::{self, Config, Error as ServiceError, Kakunin, Parts};
use kakunin_core::store::audit::AuditSink;
use kakunin_core::store::guard::{Guard, GuardFile};
use kakunin_core::store::sqlite::{SqliteReader, SqliteStore, SqliteVault};
use kakunin_core::store::vault::{StateVault, Vault, move_all};
use kakunin_core::time::SystemClock;
use kakunin_core::webhook::{self, HttpWebhooks, WebhookTransport};
use kakunin_core::x509::published::Published;
use kakunin_kms::local::{LocalKeys, Secret};
use kakunin_kms::private;

use super::options::{ServeError, ServeOptions, WebhookOptions};
use super::records::Lines;
use crate::pem_file;

/// The tenant of the first key.
const FIRST_TENANT: &str = "default";
const DEFAULT_TRUST_DOMAIN: &str = "agents.localhost";
pub(crate) const ADMIN_KEY_FILE: &str = "admin.key";
pub(crate) const SECRET_FILE: &str = "key.secret";
pub(crate) const DATABASE: &str = "kakunin.db";
/// The newest checkpoints, if they are kept nowhere else.
pub(crate) const GUARD_FILE: &str = "kakunin.guard";
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
    pub clock: SystemClock,
    /// The first tenant.
    pub tenant: TenantId,
    /// The admin key, if this start made it.
    pub admin_key: Option<ApiKey>,
    /// Where that key was written to.
    pub admin_key_file: PathBuf,
    /// Whether this start made the deployment, so that no process served it before.
    pub new: bool,
}

pub(super) async fn open(options: &ServeOptions, address: SocketAddr) -> Result<Deployment, ServeError> {
    let folder = &options.data;
    let parts = parts(options).await?;
    let new = Kakunin::made_as(&parts).await?.is_none();
    if new && folder.join(ADMIN_KEY_FILE).exists() {
        return Err(ServeError::DatabaseGone(folder.clone()));
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
    let admin_key_file = folder.join(ADMIN_KEY_FILE);
    let admin_key = admin_key(&kakunin, &tenant, &admin_key_file).await?;
    Ok(Deployment { kakunin, clock: SystemClock, tenant, admin_key, admin_key_file, new })
}

/// What a deployment in this folder runs on. Its log and feed keys sign with each append, so they are in
/// software wherever the others are.
pub(crate) async fn parts(options: &ServeOptions) -> Result<Parts, ServeError> {
    let folder = &options.data;
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
    let webhooks: Option<Arc<dyn WebhookTransport>> = Some(Arc::new(webhooks(&options.webhooks)?));
    let guard: Option<Arc<dyn Guard>> = Some(Arc::new(GuardFile::new(guard_file(options))));
    let vault: Option<Arc<dyn Vault>> = Some(Arc::new(vault));
    let listener = Arc::new(Lines);
    Ok(Parts { log_keys: local, guard, listener, webhooks, vault, ..Parts::shared(store, keys) })
}

fn webhooks(options: &WebhookOptions) -> Result<HttpWebhooks, ServeError> {
    let roots = match &options.trust {
        Some(path) => {
            let octets = fs::read(path).map_err(|source| ServeError::File { path: path.clone(), source })?;
            let wrong = |why| ServeError::WebhookTrust { path: path.clone(), why };
            pem_file::certificates(path, &octets).map_err(wrong)?
        }
        None => Vec::new(),
    };
    let roots: Vec<_> = roots.iter().map(|root| root.to_vec()).collect();
    let guard = webhook::Guard { allow: options.allow.clone(), http: options.insecure_http };
    Ok(HttpWebhooks::new(guard, &roots)?)
}

/// The same, of a deployment that is there: commands that change one make none.
pub(crate) async fn parts_of_deployment(options: &ServeOptions) -> Result<Parts, ServeError> {
    let none = || ServeError::NoDeployment(options.data.clone());
    if is_gone(&options.data.join(DATABASE)) && !options.data.join(ADMIN_KEY_FILE).exists() {
        return Err(none());
    }
    let parts = parts(options).await?;
    if Kakunin::made_as(&parts).await?.is_none() { Err(none()) } else { Ok(parts) }
}

/// The logs of a deployment that is there, for reading beside its server.
pub(crate) fn reader(options: &ServeOptions) -> Result<SqliteReader, ServeError> {
    let database = options.data.join(DATABASE);
    if is_gone(&database) {
        return Err(ServeError::NoDeployment(options.data.clone()));
    }
    private::folder(&options.data)?;
    private::file(&database)?;
    Ok(SqliteReader::open(database)?)
}

/// The same, their payloads decrypted.
pub(crate) async fn decrypted(
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
pub(super) fn secrets(options: &ServeOptions) -> [PathBuf; 2] {
    [secret_file(options), options.data.join(ADMIN_KEY_FILE)]
}

/// Makes the first key, if there never was one: who revoked the last one meant it.
async fn admin_key(kakunin: &Kakunin, tenant: &TenantId, file: &Path) -> Result<Option<ApiKey>, ServeError> {
    if kakunin.had_admin_key().await? {
        return Ok(None);
    }
    let key = new_admin_key(kakunin, tenant).await?;
    let _ = fs::remove_file(file);
    write_private(file, key.reveal())?;
    Ok(Some(key))
}

async fn new_admin_key(kakunin: &Kakunin, tenant: &TenantId) -> Result<ApiKey, ServeError> {
    let label = "admin".parse().map_err(ServiceError::from)?;
    Ok(kakunin.tenant(tenant).create_api_key(Role::Admin, label, None).await?.1)
}

/// Makes one more admin key for the first tenant of a deployment that is not being served, and gives it: for
/// whoever revoked or lost the last one, and has the folder and its keys.
///
/// # Errors
/// [`ServeError`].
pub async fn make_admin_key(options: &ServeOptions) -> Result<ApiKey, ServeError> {
    let parts = parts_of_deployment(options).await?;
    let kakunin = Kakunin::open(config(options, options.listen, &parts).await?, parts).await?;
    let tenant = first_tenant()?;
    kakunin.create_tenant(&tenant).await?;
    new_admin_key(&kakunin, &tenant).await
}

fn first_tenant() -> Result<TenantId, ServeError> {
    Ok(FIRST_TENANT.parse().map_err(AgentError::from).map_err(ServiceError::from)?)
}

fn write_private(path: &Path, text: &str) -> Result<(), ServeError> {
    let unusable = |source| ServeError::File { path: path.to_owned(), source };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unusable)?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).map_err(unusable)
}
