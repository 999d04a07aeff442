//! The error every storage seam shares, sorted by who must act.

use std::sync::Arc;

use crate::id::{AgentId, IssuerId};

/// A source error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong in a store. One failure may answer many callers, so that it can be cloned, with its source.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing is stored under that name. The caller asked for something that is not there.
    #[error("{0} is not stored here")]
    NotFound(&'static str),
    /// Somebody else moved the head of the log. The caller reads it anew and decides again.
    #[error("the log moved on meanwhile; read its head and decide again")]
    Conflict,
    /// The key is another agent's. Whoever wanted it makes a new one; nothing was written.
    #[error("the key belongs to another agent; make a new one")]
    KeyTaken {
        /// The key.
        key: IssuerId,
        /// Whose it is. It is not said to whoever asks.
        agent: AgentId,
    },
    /// There is no room. The operator frees space; what was acknowledged is safe.
    #[error("no space left for the log; free space on its volume and retry, nothing acknowledged is lost")]
    Full,
    /// The vault cannot be reached now, so that nothing was written. The operator sees to it; the caller retries later.
    #[error(
        "the vault, which keeps the keys of payloads, does not answer; nothing was recorded: see that it can be reached, and try again"
    )]
    Vault(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The store cannot be reached now. The caller retries later.
    #[error("the store is not available; retry later")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The store did not take it, and it is certain that nothing was written. The caller retries.
    #[error("the store did not take this, and nothing was written; retry later")]
    NotWritten(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// What is stored is not what was written. The operator restores or investigates; nothing is served.
    #[error("the store is damaged ({0}); stop, keep a copy, and compare it with a checkpoint held elsewhere")]
    Corrupt(String),
    /// The store belongs to another deployment or version. The operator corrects the configuration.
    #[error("this store cannot be used here: {0}")]
    Foreign(String),
}

impl StoreError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Conflict => "conflict",
            Self::KeyTaken { .. } => "key_in_use",
            Self::Full => "storage_full",
            Self::Vault(_) => "vault_unavailable",
            Self::Unavailable(_) | Self::NotWritten(_) => "storage_unavailable",
            Self::Corrupt(_) => "storage_corrupt",
            Self::Foreign(_) => "storage_foreign",
        }
    }

    /// Whether it is certain that an append that failed with this wrote nothing.
    #[cfg(feature = "service")]
    pub(crate) const fn wrote_nothing(&self) -> bool {
        matches!(self, Self::Full | Self::KeyTaken { .. } | Self::Vault(_) | Self::NotWritten(_))
    }

    /// Wraps an error of a client library or of the operating system.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable(source.into().into())
    }

    /// The same, where it is certain that nothing was written.
    pub fn not_written(source: impl Into<BoxError>) -> Self {
        Self::NotWritten(source.into().into())
    }
}
