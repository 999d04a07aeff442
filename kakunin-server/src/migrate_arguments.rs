//! The arguments of `kakunin migrate`.

use std::path::PathBuf;

use clap::Args;
use kakunin_core::store::postgres::{PostgresOptions, Roles};
use kakunin_kms::url::{KeyUrl, Scheme};
use kakunin_server::serve::{Database, ServeOptions};

use crate::config::DEFAULT_LISTEN;
use crate::config_error::ConfigError;
use crate::database_arguments::url_of;

/// Which database, and what is done to it.
#[derive(Args)]
pub(crate) struct Migrate {
    /// The database: with a login that may make tables and roles; with --from, with the servers' login.
    #[arg(long, env = "KAKUNIN_DATABASE", hide_env_values = true, value_name = "URL")]
    database: Option<String>,
    /// File that holds that URL, so that no list of processes shows a password.
    #[arg(long, env = "KAKUNIN_DATABASE_FILE", value_name = "FILE")]
    database_file: Option<PathBuf>,
    /// Role that servers log in as [default: `kakunin_app`].
    #[arg(long, value_name = "ROLE", conflicts_with = "from")]
    application_role: Option<String>,
    /// Role that reads logs, and no secrets [default: `kakunin_auditor`].
    #[arg(long, value_name = "ROLE", conflicts_with = "from")]
    auditor_role: Option<String>,
    /// Role that tables belong to, and nobody logs in as [default: `kakunin_owner`].
    #[arg(long, value_name = "ROLE", conflicts_with = "from")]
    owner_role: Option<String>,
    /// Moves the deployment of a folder there, whose server is not running: `sqlite:DIR`.
    #[arg(long, value_name = "sqlite:DIR", requires = "seal", requires = "keys")]
    from: Option<String>,
    /// What the keys of the log are to lie sealed under: see `kakunin serve --help`.
    #[arg(long, env = "KAKUNIN_SEAL", hide_env_values = true, value_name = "URL")]
    seal: Option<String>,
    /// Where the keys of CAs and agents are, and stay.
    #[arg(long, env = "KAKUNIN_KEYS", hide_env_values = true, value_name = "URL")]
    keys: Option<String>,
    /// File with the key that decrypts the folder's software keys; `key.secret` in it if not given.
    #[arg(long, env = "KAKUNIN_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// The guard file of the folder's deployment, if not in it.
    #[arg(long, env = "KAKUNIN_GUARD")]
    guard: Option<PathBuf>,
}

/// What is done.
pub(crate) enum Task {
    /// Tables.
    Tables(Box<(PostgresOptions, Roles)>),
    /// A move, from and to.
    Move(Box<(ServeOptions, ServeOptions)>),
}

impl Migrate {
    pub(crate) fn task(self) -> Result<Task, ConfigError> {
        let url = url_of(self.database, self.database_file.as_deref())?.ok_or(ConfigError::NoDatabaseUrl)?;
        let Some(from) = self.from else {
            let usual = Roles::default();
            let roles = Roles {
                application: self.application_role.unwrap_or(usual.application),
                auditor: self.auditor_role.unwrap_or(usual.auditor),
                owner: self.owner_role.unwrap_or(usual.owner),
            };
            return Ok(Task::Tables(Box::new((url, roles))));
        };
        let folder = from.strip_prefix("sqlite:").filter(|folder| !folder.is_empty());
        let folder = folder.ok_or(ConfigError::From)?;
        let seal = self.seal.ok_or(ConfigError::NoSeal)?.parse()?;
        let keys = self.keys.as_deref().map(str::parse::<KeyUrl>).transpose()?;
        let from = ServeOptions {
            keys: keys.clone(),
            key_file: self.key_file.clone(),
            guard: self.guard,
            ..ServeOptions::new(folder, DEFAULT_LISTEN)
        };
        let to = ServeOptions {
            insecure_software_keys: keys.as_ref().is_some_and(|url| url.scheme() == Scheme::Local),
            keys,
            key_file: self.key_file,
            database: Some(Database { url, seal, admin_key_file: None }),
            ..ServeOptions::new("", DEFAULT_LISTEN)
        };
        Ok(Task::Move(Box::new((from, to))))
    }
}
