//! Why a folder is not evaluated.

use std::path::PathBuf;

use crate::replay::ReplayError;

/// Why a folder is not evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluateError {
    /// The folder lacks a file.
    #[error("cannot open {name}.jsonl.gz or {name}.jsonl in {folder}: {source}; name a folder of recorded traces", folder = folder.display())]
    Missing {
        /// Which folder.
        folder: PathBuf,
        /// Which file, without its ending.
        name: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A file has no lines.
    #[error("{path} has no {what}; get the file again", path = path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
        /// What it should have.
        what: &'static str,
    },
    /// The generator finds nobody to work on.
    #[error(
        "no honest agent of {path} has six days of events; --loud needs five days of history and one after them",
        path = .0.display()
    )]
    NobodySettled(PathBuf),
    /// A file cannot be read, or a line of it is not what it should be.
    #[error(transparent)]
    Trace(#[from] ReplayError),
}
