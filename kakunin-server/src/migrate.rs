//! `kakunin migrate`: the tables of a database are made and brought up to date, and a deployment is moved there from a folder.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kakunin_core::error::StoreError;
use kakunin_core::id::hex_encode;
use kakunin_core::log::entry::LogId;
use kakunin_core::service::moving::{Moved, Origin, finish_move, log_keys_of, move_deployment};
use kakunin_core::service::{Error as ServiceError, Kakunin, Parts};
use kakunin_core::store::postgres::{Migrated, PostgresOptions, Roles, migrate};
use kakunin_core::store::sqlite::SqliteReader;
use kakunin_core::store::vault::{StateVault, Vault};
use kakunin_kms::local::{LocalKeys, Secret};

use crate::progress::Progress;
use crate::serve::{Database, ServeError, ServeOptions, wire};

/// Why nothing was migrated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// The database refuses.
    #[error("database {place}: {source}")]
    Database {
        /// Host and database.
        place: String,
        /// Why.
        source: StoreError,
    },
    /// The folder or the database cannot be used.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// It cannot be moved.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The keys of CAs are elsewhere.
    #[error(
        "the keys that --keys names do not sign for the CA of this deployment: name those that it has ({0})"
    )]
    OtherKeys(ServiceError),
    /// The folder was moved, or cannot be marked.
    #[error("cannot write {path}: {source}; everything is in the database: run this again", path = path.display())]
    Mark {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system does not do it.
    #[error("the system refuses: {0}")]
    Io(#[from] std::io::Error),
}

/// Makes and brings up to date the tables. Gives what to say.
///
/// # Errors
/// [`MigrateError`].
pub async fn tables(url: &PostgresOptions, roles: &Roles) -> Result<String, MigrateError> {
    let failed = |source| MigrateError::Database { place: url.place(), source };
    let Migrated { roles: made, run, version, guarded } = migrate(url, roles).await.map_err(failed)?;
    let place = url.place();
    // Versions are numbered one after the other.
    let before = i64::from(version).saturating_sub(i64::try_from(run.len()).unwrap_or_default());
    let mut lines: Vec<_> = made.iter().map(|role| format!("made role {role}, without a login")).collect();
    lines.extend(run.iter().map(|name| format!("ran {name}")));
    if !guarded {
        lines.push(
            "the login is no superuser: event triggers that guard the structure of tables stay as they were"
                .to_owned(),
        );
    }
    lines.push(match run.is_empty() {
        true => format!("database {place}: the schema is of version {version}; nothing was changed"),
        false => format!("database {place}: the schema was of version {before}, and is of version {version}"),
    });
    Ok(lines.join("\n"))
}

/// Moves the deployment of a folder, which is not being served, into a database. The folder stays as it is, and is marked.
/// Gives what to say.
///
/// # Errors
/// [`MigrateError`]; until it is done the folder is served as before, and called again it goes on.
pub async fn from_folder(from: &ServeOptions, to: &ServeOptions) -> Result<String, MigrateError> {
    let Some(database) = &to.database else {
        return Err(ServeError::NeedsFolder("name the database to move to with --database").into());
    };
    let parts = wire::parts_of_deployment(from).await?;
    check(from, &parts).await?;
    let store = database.store().await?;
    let vault: Arc<dyn Vault> = Arc::new(StateVault(store.clone()));
    let sealed = database.sealed_keys(vault.clone()).await?;
    let target = Parts { vault: Some(vault), ..Parts::shared(store, parts.keys.clone()) };
    let reader = SqliteReader::open(from.data.join(wire::DATABASE)).map_err(ServeError::from)?;
    let origin = Origin { parts: &parts, heads: &reader, bound: &reader };
    let mut now: Option<(LogId, Progress)> = None;
    let mut shown = |log: &LogId, done, of| {
        if now.as_ref().is_none_or(|(shown, _)| shown != log) {
            now = Some((log.clone(), Progress::of(&log.to_string())));
        }
        if let Some((_, bar)) = &mut now {
            bar.at(done, of);
        }
    };
    let moved = move_deployment(&origin, &target, &mut shown).await?;
    // Beside the folder's, which is open here.
    let folder = software_keys(from)?;
    for key in log_keys_of(&parts).await? {
        sealed.adopt(&folder, &key).await.map_err(ServeError::from)?;
    }
    mark(&from.data, database)?;
    // From here on it is served there, and from the folder no more.
    finish_move(&target).await?;
    Ok(said(&moved, from, database))
}

/// Opens it as a server would, so that everything is level, and the keys are those that it has.
async fn check(from: &ServeOptions, parts: &Parts) -> Result<(), MigrateError> {
    let config = wire::config(from, from.listen, parts).await?;
    let kakunin = Kakunin::open(config, parts.clone()).await?;
    kakunin.load().await?;
    kakunin.check_signing().await.map_err(MigrateError::OtherKeys)
}

fn software_keys(from: &ServeOptions) -> Result<LocalKeys, ServeError> {
    let secret = Secret::from_key_file(wire::secret_file(from))?;
    Ok(LocalKeys::open_to_read(wire::keys_folder(from), &secret)?)
}

fn mark(folder: &Path, database: &Database) -> Result<(), MigrateError> {
    let path = folder.join(wire::MOVED_FILE);
    let place = database.url.place();
    let text = format!(
        "The deployment of this folder was moved into database {place}, and is served there. If it was served from here again,\n\
         the two would be two logs under one key. Keep the folder until the database is backed up, and then destroy it: it holds\n\
         the keys of the log.\n"
    );
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|source| MigrateError::Mark { path: path.clone(), source })
}

fn said(moved: &Moved, from: &ServeOptions, database: &Database) -> String {
    let Moved { logs, rows, revocations, keys, secrets, resumed } = moved;
    let mut lines = Vec::new();
    if *resumed {
        lines.push("an earlier move was cut off, and was gone on with".to_owned());
    }
    for log in logs {
        lines.push(format!("{}: {} records, root {}", log.log, log.size, hex_encode(&log.root)));
    }
    lines.push(format!(
        "also {rows} rows, {revocations} revocations, {keys} keys of agents, {secrets} secrets, and the keys of the log, sealed; \
         every head and root is the same in both"
    ));
    lines.push(format!(
        "database {} is served from here on, and {} is not any more",
        database.url.place(),
        from.data.display()
    ));
    if from.keys.as_ref().is_none_or(|url| url.folder().is_some()) {
        lines.push(format!(
            "the keys of CAs and agents are in software, in {}: all servers need that folder, and {}, which decrypts it",
            wire::keys_folder(from).display(),
            wire::secret_file(from).display()
        ));
    }
    lines.join("\n")
}
