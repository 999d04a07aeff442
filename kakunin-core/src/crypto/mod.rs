//! Checking signatures. Signing happens behind [`crate::key::Signer`], never here.
//!
//! The portable algorithms are the default and build everywhere; feature `aws-lc` adds the fast ones,
//! and [`PublicKey::parse`] then uses those. Both pass the same tests.

mod portable;
mod scheme;

#[cfg(feature = "aws-lc")]
mod aws_lc;

use core::fmt;

pub(crate) use scheme::{Digest, Scheme};

use crate::key::{Spki, SpkiError};

/// A signature that does not belong to the key and the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// A public key, parsed once, that checks many signatures.
pub struct PublicKey {
    spki: Spki,
    verify: Box<dyn Verify>,
}

/// A parsed key of one implementation.
trait Verify: Send + Sync {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature>;
}

/// Which implementation checks signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// Pure Rust.
    Portable,
    /// aws-lc.
    #[cfg(feature = "aws-lc")]
    AwsLc,
}

impl Backend {
    /// The fastest implementation that was built in.
    #[must_use]
    pub const fn fastest() -> Self {
        #[cfg(feature = "aws-lc")]
        return Self::AwsLc;
        #[cfg(not(feature = "aws-lc"))]
        Self::Portable
    }
}

impl PublicKey {
    /// Parses a key for the fastest implementation at hand.
    ///
    /// # Errors
    /// [`SpkiError`] if the key is not a point or modulus after all.
    pub fn parse(spki: &Spki) -> Result<Self, SpkiError> {
        Self::with_backend(spki, Backend::fastest())
    }

    /// Parses a key for one implementation.
    ///
    /// # Errors
    /// As [`PublicKey::parse`].
    pub fn with_backend(spki: &Spki, backend: Backend) -> Result<Self, SpkiError> {
        let verify = match backend {
            Backend::Portable => portable::parse(spki)?,
            #[cfg(feature = "aws-lc")]
            Backend::AwsLc => aws_lc::parse(spki)?,
        };
        Ok(Self { spki: spki.clone(), verify })
    }

    /// The key this was parsed from.
    #[must_use]
    pub const fn spki(&self) -> &Spki {
        &self.spki
    }

    /// Checks a signature in X.509 form over `message`, by the one algorithm that fits the key.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.verify.verify(message, signature)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.spki, f)
    }
}
