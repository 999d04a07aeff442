//! What a seal is.

use std::fmt;

use async_trait::async_trait;
use kakunin_core::error::BoxError;
use kakunin_core::key::{KeyRef, SignError};
use zeroize::Zeroizing;

/// Octets of the longest secret that a seal takes: what AWS KMS encrypts in one call.
pub const LIMIT: usize = 4_096;

/// Octets of the longest sealed secret: what AWS KMS decrypts in one call.
pub(crate) const SEALED_LIMIT: usize = 6_144;

/// Seals small secrets, each for a context that is not secret: it opens with the same context alone.
///
/// * Atomicity: a call gives the whole of it, or an error.
/// * Durability: none; a seal keeps nothing, and opens for as long as its key is there.
/// * Concurrency: any number of calls at once, from any number of processes.
/// * Idempotence: every call is independent; sealing twice gives two forms, and both open.
#[async_trait]
pub trait Seal: fmt::Debug + Send + Sync {
    /// Seals a secret of 1 to [`LIMIT`] octets.
    ///
    /// # Errors
    /// [`SealError`].
    async fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError>;

    /// Opens what was sealed for this context.
    ///
    /// # Errors
    /// [`SealError::Wrong`] for everything else.
    async fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError>;
}

/// What goes wrong with a seal, sorted by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// It was sealed by another seal, or for another place, or it is damaged. The operator gives the seal that
    /// belongs to the vault, or restores the vault.
    #[error(
        "the seal does not open the keys of this deployment; give the one that they were sealed with, or restore the vault that belongs to this one"
    )]
    Wrong,
    /// The secret is too long, or none. The caller seals a key, and encrypts with that.
    #[error("a seal takes 1 to {LIMIT} octets; seal a key, and encrypt with it")]
    Length,
    /// Whoever keeps the seal does not let us use it. The operator gives the right.
    #[error("the seal may not be used here; give this server the right to encrypt and decrypt with it: {0}")]
    Denied(String),
    /// The seal is not there, or is none. The operator corrects the configuration.
    #[error("the seal cannot be used: {0}")]
    Unusable(String),
    /// It could not be done now. The same call may succeed later.
    #[error("the seal does not answer; retry later")]
    Unavailable(#[source] BoxError),
}

impl SealError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Wrong => "seal_wrong",
            Self::Length => "seal_length",
            Self::Denied(_) => "seal_denied",
            Self::Unusable(_) => "seal_unusable",
            Self::Unavailable(_) => "seal_unavailable",
        }
    }

    /// Whether the same call may succeed later, with nobody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// What it means for a key.
    pub(super) fn of_key(self, operation: &'static str, key: &KeyRef) -> SignError {
        match self {
            Self::Unavailable(source) => SignError::unavailable(operation, key, source),
            other => SignError::Locked(other.to_string()),
        }
    }
}

/// Whether a seal takes it.
pub(crate) fn takes(secret: &[u8]) -> Result<(), SealError> {
    if (1..=LIMIT).contains(&secret.len()) { Ok(()) } else { Err(SealError::Length) }
}
