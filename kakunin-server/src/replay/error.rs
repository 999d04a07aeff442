//! Why a trace is not replayed to its end.

use std::path::PathBuf;

/// Why a trace is not replayed to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The file cannot be opened.
    #[error("cannot open {path}: {source}; name a file with one event a line, gzipped", path = path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file with the agents cannot be opened.
    #[error("cannot open {path}, the agents of the events: {source}; name that file with --agents", path = path.display())]
    Agents {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file for the scores cannot be written.
    #[error("--scores: cannot write {path}: {source}", path = path.display())]
    Scores {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The archive ends early, or is not one.
    #[error("{path} is damaged or not gzip, near line {line}: {source}; get the file again", path = path.display())]
    Archive {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{path} line {line}: {why}", path = path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// The engine refused something.
    #[error(transparent)]
    Engine(#[from] kakunin_core::service::Error),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] kakunin_core::error::StoreError),
    /// The verifier could not be set up.
    #[error(transparent)]
    Verifier(#[from] kakunin_verify::SetupError),
    /// A certificate that was just issued is refused.
    #[error(transparent)]
    Denied(#[from] kakunin_verify::Denied),
    /// An agent of the trace cannot be registered.
    #[error(transparent)]
    Agent(#[from] kakunin_core::agent::AgentError),
    /// A folder could not be made.
    #[error("cannot make a folder for the log: {0}")]
    Folder(#[source] std::io::Error),
    /// Somebody else could have the log written elsewhere, or change it.
    #[error(transparent)]
    NotPrivate(#[from] kakunin_kms::private::NotPrivate),
}
