//! What belongs to which part of a backup.

use std::fs;
use std::path::{Path, PathBuf};

use crate::serve::{ServeOptions, wire};

use super::BackupError;

/// How a file is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// As SQLite has it at one moment.
    Sqlite,
    /// Octet for octet: it is written once, or exchanged whole.
    Plain,
    /// Each file in a folder, that way.
    Folder,
}

/// One file or folder: what it is called in its part, how it is copied, and whether each deployment has it.
pub(super) struct Item {
    pub(super) part: &'static str,
    pub(super) name: &'static str,
    pub(super) how: How,
    pub(super) always: bool,
}

const DATABASE: &str = "database";
const VAULT: &str = "vault";
const KEYS: &str = "keys";
const SECRET: &str = "secret";

/// In this order: a secret or key that the database names was made before, and is there when it is copied after it.
pub(super) const ITEMS: [Item; 5] = [
    Item { part: DATABASE, name: wire::DATABASE, how: How::Sqlite, always: true },
    Item { part: VAULT, name: wire::VAULT, how: How::Sqlite, always: false },
    Item { part: KEYS, name: "keys", how: How::Folder, always: true },
    Item { part: SECRET, name: wire::SECRET_FILE, how: How::Plain, always: true },
    Item { part: SECRET, name: wire::ADMIN_KEY_FILE, how: How::Plain, always: false },
];

/// The parts that a deployment may have. The database's manifest is written last: with it the backup is whole.
pub(super) const PARTS: [&str; 4] = [SECRET, KEYS, VAULT, DATABASE];

/// Where the parts of a backup are, if not beside each other in one folder.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of those that are named nowhere else.
    pub folder: PathBuf,
    /// The vault, if it is a file of its own.
    pub vault: Option<PathBuf>,
    /// The keys.
    pub keys: Option<PathBuf>,
    /// What decrypts them.
    pub secret: Option<PathBuf>,
}

impl Places {
    pub(super) fn of(&self, part: &str) -> PathBuf {
        let named = match part {
            VAULT => self.vault.as_ref(),
            KEYS => self.keys.as_ref(),
            SECRET => self.secret.as_ref(),
            _ => None,
        };
        named.cloned().unwrap_or_else(|| self.folder.join(part))
    }
}

impl Item {
    /// Where a deployment has it.
    pub(super) fn source(&self, options: &ServeOptions) -> PathBuf {
        match self.name {
            "keys" => wire::keys_folder(options),
            wire::SECRET_FILE => wire::secret_file(options),
            name => options.data.join(name),
        }
    }

    /// Where one of its files is restored to.
    pub(super) fn target(&self, data: &Path, name: &str) -> PathBuf {
        match self.how {
            How::Folder => data.join(self.name).join(name),
            How::Sqlite | How::Plain => data.join(name),
        }
    }

    /// Whether a file of its part is its own: a folder has a part to itself.
    pub(super) fn has(&self, name: &str) -> bool {
        self.how == How::Folder || name == self.name
    }

    /// The files of it that are there, and what they are called in its part.
    pub(super) fn files(&self, at: &Path) -> Result<Vec<(PathBuf, PathBuf)>, BackupError> {
        if self.how != How::Folder {
            let there = at.try_exists().map_err(BackupError::file(at))?;
            return Ok(if there || self.always {
                vec![(at.to_owned(), self.name.into())]
            } else {
                Vec::new()
            });
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(at).map_err(BackupError::file(at))? {
            let path = entry.map_err(BackupError::file(at))?.path();
            let Some(name) = path.file_name() else { continue };
            // A lock is whoever holds it; what is being written is exchanged for the old file when it is whole.
            let passing = name == "lock" || path.extension().is_some_and(|extension| extension == "new");
            if !passing && path.is_file() {
                files.push((path.clone(), name.into()));
            }
        }
        files.sort();
        Ok(files)
    }
}
