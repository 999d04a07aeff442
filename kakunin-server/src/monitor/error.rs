//! Why nothing was measured.

use std::path::PathBuf;
use std::time::Duration;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The key cannot be read.
    #[error("--key-file: cannot read {path}: {source}", path = path.display())]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("--key-file: {path} holds no API key; write the key alone in it, as the server gave it", path = .0.display())]
    NoKey(PathBuf),
    /// The API key would be seen by everybody on the way.
    #[error("--key-file takes a --url with https, but on this machine")]
    PlainKey,
    /// The trusted certificates cannot be used.
    #[error("--ca: {0}")]
    Trust(String),
    /// No answer.
    #[error("{0}: {1}")]
    Http(String, String),
    /// Nobody is there, or nobody answers in time.
    #[error("{0}: {1}")]
    Unreachable(String, String),
    /// The server did not do what the monitor needs.
    #[error("{what} was answered {status}: {text}")]
    Refused {
        /// What was asked.
        what: String,
        /// The status.
        status: u16,
        /// What the answer says.
        text: String,
    },
    /// An answer lacks something, or a key cannot be used.
    #[error("not as expected: {0}")]
    Unexpected(String),
    /// A consumer refuses the canary from the start, so that its refusal would say nothing.
    #[error("{0} refuses the canary before it is revoked; let it in, or leave it out")]
    Beforehand(String),
    /// A consumer did not refuse within the bound.
    #[error("not refused within {bound} s: {consumers}", bound = bound.as_secs_f64())]
    Late {
        /// How long each may take.
        bound: Duration,
        /// Which did not.
        consumers: String,
    },
    /// The file for Prometheus cannot be written.
    #[error("cannot write {path}: {source}", path = path.display())]
    Textfile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Output, or the runtime.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
