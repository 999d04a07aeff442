//! Putting a backup back where nothing is.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::BackupError;
use super::make::prove;
use super::manifest::{self, Manifest};
use super::parts::{ITEMS, Item, PARTS, Places};
use super::progress::Progress;
use crate::serve::wire::{self, GUARD_FILE};

/// What is restored, and to where.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Where the parts of the backup are.
    pub from: Places,
    /// Parts that are brought back by hand, or need not be: `vault`, `keys`, `secret`.
    pub without: Vec<String>,
    /// Folder of the deployment.
    pub data: PathBuf,
}

/// Looks at the whole backup, then puts it where nothing is, the database last. Gives what to say.
///
/// # Errors
/// [`BackupError`]; nothing was overwritten.
pub async fn run(restore: &Restore) -> Result<String, BackupError> {
    let manifests = look(restore)?;
    let is_there = |part: &str| manifests.iter().any(|manifest| manifest.part == part);
    let items = || ITEMS.iter().filter(|item| is_there(item.part)).rev();
    for item in items() {
        nothing_at(&restore.data, item)?;
    }
    let logs = prove(&restore.from.of("database").join(wire::DATABASE)).await?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&restore.data)
        .map_err(BackupError::file(&restore.data))?;
    for item in items() {
        let named = manifests.iter().filter(|manifest| manifest.part == item.part);
        for name in named.flat_map(|manifest| manifest.files.keys()).filter(|name| item.has(name)) {
            put(&restore.from.of(item.part).join(name), &item.target(&restore.data, name))?;
        }
    }
    let made_at = manifests.first().map(|manifest| manifest.made_at.clone()).unwrap_or_default();
    let records: u64 = logs.iter().map(|log| log.size).sum();
    Ok(format!(
        "restored {records} records of {} logs, as of {made_at}.\n{}",
        logs.len(),
        next(&restore.data)
    ))
}

/// Each part is whole, and all are of one backup; the database first, which says which there are.
fn look(restore: &Restore) -> Result<Vec<Manifest>, BackupError> {
    let mut manifests: Vec<Manifest> = Vec::new();
    for part in PARTS.into_iter().rev() {
        let wanted = manifests.first().is_none_or(|database| database.parts.iter().any(|p| p == part));
        if !wanted || restore.without.iter().any(|without| without == part) {
            continue;
        }
        let folder = restore.from.of(part);
        let mut progress = Progress::of("looking at the backup");
        // The database is what takes time.
        let all = fs::metadata(folder.join(wire::DATABASE)).map_or(0, |file| file.len());
        let manifest = Manifest::read(part, &folder, |done| {
            if all > 0 {
                progress.at(done, all);
            }
        })?;
        if manifests.first().is_some_and(|database| database.backup != manifest.backup) {
            return Err(BackupError::OtherBackup(folder));
        }
        manifests.push(manifest);
    }
    Ok(manifests)
}

fn nothing_at(data: &Path, item: &Item) -> Result<(), BackupError> {
    let at = data.join(item.name);
    let mut wal = at.clone().into_os_string();
    wal.push("-wal");
    for path in [at, PathBuf::from(wal)] {
        if path.try_exists().map_err(BackupError::file(&path))? {
            return Err(BackupError::Exists(path));
        }
    }
    Ok(())
}

/// A file appears whole, or not at all.
fn put(from: &Path, to: &Path) -> Result<(), BackupError> {
    let folder = to.parent().unwrap_or(to);
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(BackupError::file(folder))?;
    let mut beside = to.to_owned().into_os_string();
    beside.push(".restored");
    let beside = PathBuf::from(beside);
    // What an interrupted attempt left.
    let _ = fs::remove_file(&beside);
    manifest::copy(from, &beside)?;
    let rename = || fs::rename(&beside, to).and_then(|()| File::open(folder)?.sync_all());
    rename().map_err(BackupError::file(to))
}

/// What whoever restored it has to decide.
fn next(data: &Path) -> String {
    let shown = data.display();
    let guard = if data.join(GUARD_FILE).exists() {
        format!(
            "The guard file {} was left as it is: if it is ahead of this backup, the server does not start.",
            data.join(GUARD_FILE).display()
        )
    } else {
        "The server does not start before you say what this copy is.".to_owned()
    };
    format!(
        "{guard}\n\
         * If the server recorded anything after the backup, that is lost, and who was revoked since would be accepted \
         again: run `kakunin log recover --new-origin --data {shown}` with the newest CRLs or feed snapshots.\n\
         * If it recorded nothing since, run `kakunin log renew-guard --data {shown}`."
    )
}
