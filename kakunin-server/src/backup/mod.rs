//! `kakunin backup` and `kakunin restore`: what makes a deployment, in parts that may lie in places of their own.
//!
//! | file | does |
//! |---|---|
//! | `parts.rs` | what belongs to which part: a table |
//! | `manifest.rs` | what says that a part is whole |
//! | `make.rs` | makes a backup while the server runs, and looks at it |
//! | `restore.rs` | puts one back where nothing is |
//! | `progress.rs` | how far it has come, on the standard error |

mod make;
mod manifest;
mod parts;
mod progress;
mod restore;

use std::io;
use std::path::{Path, PathBuf};

use kakunin_core::error::StoreError;
use kakunin_core::service::Error as ServiceError;
use kakunin_kms::private::NotPrivate;

pub use make::run as make;
pub use parts::Places;
pub use restore::{Restore, run as restore};

use crate::serve::ServeError;

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file or folder cannot be used.
    #[error("cannot use {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no deployment to back up.
    #[error("{path} holds no deployment", path = .0.display())]
    NoDeployment(PathBuf),
    /// Something lies where a part is to be made.
    #[error(
        "{path} is not empty: name another folder, or, if a backup into it was interrupted, remove it first", path = .0.display()
    )]
    NotEmpty(PathBuf),
    /// Two parts in one folder.
    #[error("{path} is in the folder of another part, or that is in it: name folders apart from each other", path = .0.display())]
    Shared(PathBuf),
    /// A part is missing, or was interrupted.
    #[error("{path} is no whole `{part}` part of a backup: it has no {file}", path = path.display(), file = manifest::FILE)]
    NotWhole {
        /// The part.
        part: &'static str,
        /// Its folder.
        path: PathBuf,
    },
    /// A manifest that was not written here.
    #[error("{path} cannot be read: {why}; take another backup", path = path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Parts of two backups.
    #[error("{path} is of another backup than the database: name the folders of one", path = .0.display())]
    OtherBackup(PathBuf),
    /// A file is not what was backed up.
    #[error("{path} is not what was backed up: it was changed or cut; take another backup", path = .0.display())]
    Changed(PathBuf),
    /// Something lies where it would be restored to.
    #[error("{path} is there already, and nothing is overwritten: move it away, or restore into another folder", path = .0.display())]
    Exists(PathBuf),
    /// The store cannot be copied or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The logs in it are not what was signed.
    #[error(transparent)]
    Logs(#[from] ServiceError),
    /// Others can write there.
    #[error(transparent)]
    NotPrivate(#[from] NotPrivate),
    /// The deployment's options.
    #[error(transparent)]
    Options(#[from] ServeError),
    /// No randomness, or no runtime.
    #[error("the system refuses: {0}")]
    Io(#[from] io::Error),
}

impl BackupError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }
}
