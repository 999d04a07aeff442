//! Where randomness comes from.

use core::fmt;

/// Fills buffers with unpredictable bytes. Entropy is an argument, as time is.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills `out`; an error means that nothing in `out` may be used.
    ///
    /// # Errors
    /// When the source of randomness is not available.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError>;
}

/// The operating system gave no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's source of randomness is not available; nothing was issued")]
pub struct EntropyError;

/// The operating system's source of randomness.
#[cfg(feature = "service")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

#[cfg(feature = "service")]
impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(out).map_err(|_| EntropyError)
    }
}
