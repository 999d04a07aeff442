//! Making a backup while the server runs.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use kakunin_core::error::StoreError;
use kakunin_core::id::hex_encode;
use kakunin_core::service::{ProvenLog, prove_logs};
use kakunin_core::store::sqlite::{SqliteFile, copy_file};
use kakunin_core::time::{Clock, SystemClock};

use super::BackupError;
use super::manifest::{self, Manifest};
use super::parts::{How, ITEMS, Item, PARTS, Places};
use super::progress::Progress;
use crate::serve::{ServeError, ServeOptions, wire};

/// Backs up the deployment of these options, also while it is being served, and looks at what was written. Gives what to
/// say. What an error leaves unfinished is taken away again; what a crash leaves has no manifest, and is restored by nobody.
///
/// # Errors
/// [`BackupError`].
pub async fn run(options: &ServeOptions, places: &Places) -> Result<String, BackupError> {
    if options.database.is_some() {
        return Err(ServeError::NeedsFolder(
            "`kakunin backup` copies a folder, and this deployment is in a database: back that up with pg_basebackup and the WAL, or pg_dump, and keep what --seal and --keys name apart from it: without both nobody opens the copy",
        )
        .into());
    }
    let database = options.data.join(wire::DATABASE);
    if fs::metadata(&database).map_or(true, |file| file.len() == 0) {
        return Err(BackupError::NoDeployment(options.data.clone()));
    }
    // What is not ours, or was changed, is no backup.
    SqliteFile::open(&database)?;
    let mut made = Vec::new();
    let written = write(options, places, &mut made).await;
    if written.is_err() {
        for folder in made.iter().rev() {
            // Nothing else is in them: each was empty.
            let _ = fs::remove_dir_all(folder);
        }
    }
    written
}

async fn write(
    options: &ServeOptions,
    places: &Places,
    made: &mut Vec<PathBuf>,
) -> Result<String, BackupError> {
    let parts = parts_of(options)?;
    for part in &parts {
        make_folder(&places.of(part), made)?;
    }
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| io::Error::other(error.to_string()))?;
    let (id, made_at) = (hex_encode(&id), SystemClock.now().to_string());
    let of_part = |part: &&'static str| (*part, Manifest::new(&id, part, &parts, made_at.clone()));
    let mut manifests: BTreeMap<_, _> = parts.iter().map(of_part).collect();
    for item in &ITEMS {
        let folder = places.of(item.part);
        for (from, name) in item.files(&item.source(options))? {
            copy(item, &from, &folder.join(&name))?;
            let described = manifest::describe(&folder.join(&name), |_| {})?;
            if let Some(manifest) = manifests.get_mut(item.part) {
                manifest.files.insert(name.to_string_lossy().into_owned(), described);
            }
        }
    }
    let copied = places.of("database").join(wire::DATABASE);
    let logs = prove(&copied).await?;
    if let Some(manifest) = manifests.get_mut("database") {
        let of_log = |log: &ProvenLog| (log.log.to_string(), log.checkpoint.clone());
        manifest.checkpoints = logs.iter().map(of_log).collect();
    }
    for part in &parts {
        if let Some(manifest) = manifests.get(part) {
            manifest.write(&places.of(part))?;
        }
    }
    Ok(said(places, &parts, &logs))
}

/// Those parts of which this deployment has something.
fn parts_of(options: &ServeOptions) -> Result<Vec<&'static str>, BackupError> {
    let mut parts = Vec::new();
    for part in PARTS {
        let items = ITEMS.iter().filter(|item| item.part == part);
        for item in items {
            if !parts.contains(&part) && !item.files(&item.source(options))?.is_empty() {
                parts.push(part);
            }
        }
    }
    Ok(parts)
}

fn said(places: &Places, parts: &[&str], logs: &[ProvenLog]) -> String {
    let records: u64 = logs.iter().map(|log| log.size).sum();
    let folders: Vec<_> = parts.iter().map(|part| places.of(part).display().to_string()).collect();
    let folders = folders.join(", ");
    format!(
        "backed up {records} records of {} logs, and read them back; keep the parts apart: {folders}",
        logs.len()
    )
}

/// Reads every record of a database that nobody uses, and holds it against what was signed.
pub(super) async fn prove(database: &Path) -> Result<Vec<ProvenLog>, BackupError> {
    let file = SqliteFile::open(database)?;
    let mut progress = Progress::of("reading it back");
    Ok(prove_logs(&file, |done, of| progress.at(done, of)).await?)
}

fn copy(item: &Item, from: &Path, to: &Path) -> Result<(), BackupError> {
    if item.how != How::Sqlite {
        return manifest::copy(from, to);
    }
    let mut progress = Progress::of("copying the database");
    copy_file(from, to, |done, of| progress.at(done, of)).map_err(|error| match error {
        // On the volume of the backup, not of the log.
        StoreError::Full => BackupError::file(to)(io::ErrorKind::StorageFull.into()),
        other => other.into(),
    })
}

/// A folder for one part, for its owner alone. No two parts share one, under whatever names, nor does
/// one lie in another.
fn make_folder(folder: &Path, made: &mut Vec<PathBuf>) -> Result<(), BackupError> {
    if folder.try_exists().map_err(BackupError::file(folder))? {
        let mut entries = fs::read_dir(folder).map_err(BackupError::file(folder))?;
        if entries.next().is_some() {
            return Err(BackupError::NotEmpty(folder.to_owned()));
        }
    } else {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(BackupError::file(folder))?;
    }
    let folder = fs::canonicalize(folder).map_err(BackupError::file(folder))?;
    if made.iter().any(|other| folder.starts_with(other) || other.starts_with(&folder)) {
        return Err(BackupError::Shared(folder));
    }
    made.push(folder);
    Ok(())
}
