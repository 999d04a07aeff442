//! What goes wrong at a provider.

use core::fmt;

use super::{KeyAlgorithm, KeyRef};
use crate::error::BoxError;

/// What went wrong with a key, sorted by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The provider does not hold this key: wrong provider, wrong folder, or deleted.
    #[error("key `{0}` is not held by this provider; check that it is the provider of this deployment")]
    NotFound(KeyRef),
    /// The provider has the key and will not use it: disabled, retired, or not allowed.
    #[error("the provider refuses to use key `{key}`: {why}")]
    Refused {
        /// The key.
        key: KeyRef,
        /// What is in the way.
        why: &'static str,
    },
    /// The provider takes no message of this length with this key.
    #[error("the provider signs at most {limit} octets with key `{key}`; use a key that signs digests")]
    TooLong {
        /// The key.
        key: KeyRef,
        /// The most it takes, in octets.
        limit: usize,
    },
    /// The provider does not make keys of this algorithm.
    #[error("this provider makes no keys of {}; take another algorithm", .0)]
    Unsupported(KeyAlgorithm),
    /// The provider cannot be opened with what it was given: passphrase, folder, rights.
    #[error("the key store cannot be opened: {0}")]
    Locked(String),
    /// The provider could not do it now: unreachable, overloaded, or broken. The same call may succeed
    /// later, see [`SignError::is_transient`].
    #[error("the key provider could not {operation} `{key}`; retry later")]
    Unavailable {
        /// What was asked: `generate`, `open`, `sign`, `grant`, `disable`, `enable`, `retire`, `list`.
        operation: &'static str,
        /// The key or the planned identifier; empty for `list`.
        key: String,
        /// What the provider said.
        #[source]
        source: BoxError,
    },
}

impl SignError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "key_not_found",
            Self::Refused { .. } => "key_refused",
            Self::TooLong { .. } => "key_message_too_long",
            Self::Unsupported(_) => "key_unsupported",
            Self::Locked(_) => "key_store_locked",
            Self::Unavailable { .. } => "key_unavailable",
        }
    }

    /// A call did not get through: `operation` on `key`.
    #[must_use]
    pub fn unavailable(operation: &'static str, key: impl fmt::Display, source: impl Into<BoxError>) -> Self {
        Self::Unavailable { operation, key: key.to_string(), source: source.into() }
    }

    /// Whether the same call may succeed later, with nobody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
