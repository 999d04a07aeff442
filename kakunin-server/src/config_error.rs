//! Why a configuration is refused.

use std::path::PathBuf;

use kakunin_core::error::StoreError;
use kakunin_kms::seal::SealUrlError;
use kakunin_kms::url::KeyUrlError;
use kakunin_server::models::NoModel;

/// Why the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("--config: cannot read {path}: {source}", path = path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("--config: {0}")]
    NotPrivate(#[from] kakunin_kms::private::NotPrivate),
    #[error("{path} line {line}: {why}", path = path.display())]
    File { path: PathBuf, line: usize, why: String },
    #[error("{0}: {1}")]
    Model(&'static str, NoModel),
    #[error("--log-level is `{0}`: write error, warn, info or debug")]
    LogLevel(String),
    #[error("name the folder of the deployment with --data, or its database with --database")]
    NoData,
    #[error(
        "--data and --database exclude each other: a server with a database has no folder; leave one out"
    )]
    FolderAndDatabase,
    #[error("--database and --database-file exclude each other; leave one out")]
    TwoDatabases,
    #[error(
        "--database needs --seal: what the keys of the log lie sealed under, such as file:/run/secrets/seal; make that file with `openssl rand -hex 32`, of mode 0600"
    )]
    NoSeal,
    #[error("{0} goes with --database; leave it out, or name a database")]
    NoDatabase(&'static str),
    #[error("name the database with --database, or the file that holds its URL with --database-file")]
    NoDatabaseUrl,
    #[error("--from names what is moved: write sqlite:DIR, with the folder of the deployment")]
    From,
    #[error("--database: {0}")]
    Database(StoreError),
    #[error("--seal: {0}")]
    Seal(#[from] SealUrlError),
    #[error("--database-file: cannot read {path}: {why}", path = path.display())]
    DatabaseFile { path: PathBuf, why: String },
    #[error("{0} is missing: --tls-cert and --tls-key go together")]
    HalfTls(&'static str),
    #[error("--keys: {0}")]
    Keys(#[from] KeyUrlError),
    #[error(
        "--ca-algorithm is rsa-2048, rsa-3072, rsa-4096 or p256: many relying parties refuse CAs with Ed25519"
    )]
    CaAlgorithm,
    #[error("--gateway names {0}, and the same addresses in another form: say it once")]
    Gateways(String),
    #[error("--default-policy: cannot use {path}: {why}", path = path.display())]
    Policy { path: PathBuf, why: String },
    #[error("--client-certificates needs --tls-cert and --tls-key")]
    NoTls,
}
