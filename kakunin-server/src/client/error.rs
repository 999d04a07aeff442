//! Why there is no answer, or another than was asked for.

use std::path::PathBuf;

/// Why there is no answer, or another than was asked for. Each is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The key cannot be read.
    #[error("--key-file: cannot read {path}: {source}", path = path.display())]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("--key-file: {path} holds no API key; write the key alone in it, as the server gave it", path = .0.display())]
    NoKeyIn(PathBuf),
    /// Nobody says which key.
    #[error("no API key; name a file with --key-file, or set KAKUNIN_API_KEY")]
    NoKey,
    /// The API key would be seen by everybody on the way.
    #[error("an API key goes over https alone, but on this machine; name a --url with https")]
    PlainKey,
    /// The trusted certificates cannot be used.
    #[error("--ca: cannot use {path}: {why}", path = path.display())]
    Trust {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No answer, or it broke.
    #[error("no answer from {url}: {why}")]
    NoAnswer {
        /// Which server.
        url: String,
        /// Why.
        why: String,
    },
    /// The server refuses.
    #[error("{what} was answered {status}: {sentence}")]
    Refused {
        /// What was asked.
        what: String,
        /// The status.
        status: u16,
        /// The code of the refusal; empty if there is none.
        code: String,
        /// What the server says.
        sentence: String,
    },
    /// What answers is no kakunin, or of another version.
    #[error("{what} was answered with something else than was expected; see what --url names")]
    Unexpected {
        /// What was asked.
        what: String,
    },
    /// Output, or the runtime.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
