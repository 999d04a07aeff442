//! What a key folder is encrypted under: a passphrase, or a key of 32 octets.

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use crate::private::{self, NotPrivate};

/// A passphrase or key. Wiped when dropped, and never shown.
pub struct Secret {
    octets: Zeroizing<Vec<u8>>,
    is_key: bool,
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The environment variable is not set.
    #[error("environment variable {0} is not set: set it to the passphrase of the key folder")]
    NoVariable(String),
    /// The passphrase is empty.
    #[error("the passphrase is empty")]
    Empty,
    /// The key file cannot be read.
    #[error("cannot read the key file {path}: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read the key file.
    #[error("key file {0} must be a regular file that only its owner can read: chmod 600 it")]
    TooOpen(String),
    /// Others can exchange the key file.
    #[error(transparent)]
    NotPrivate(#[from] NotPrivate),
    /// The key file has another content.
    #[error("key file {0} must hold 32 bytes, or 64 hex digits")]
    NotAKey(String),
}

impl Secret {
    /// A passphrase.
    ///
    /// # Errors
    /// [`SecretError::Empty`].
    pub fn new(passphrase: impl Into<Vec<u8>>) -> Result<Self, SecretError> {
        let octets = Zeroizing::new(passphrase.into());
        if octets.is_empty() { Err(SecretError::Empty) } else { Ok(Self { octets, is_key: false }) }
    }

    /// A passphrase from an environment variable.
    ///
    /// # Errors
    /// [`SecretError::NoVariable`], [`SecretError::Empty`].
    pub fn from_env(variable: &str) -> Result<Self, SecretError> {
        use std::os::unix::ffi::OsStringExt;
        let value = std::env::var_os(variable).ok_or_else(|| SecretError::NoVariable(variable.to_owned()))?;
        Self::new(value.into_vec())
    }

    /// A key from a regular file of mode 0600 or stricter: 32 octets, or 64 hex digits.
    ///
    /// # Errors
    /// [`SecretError`] says what is wrong with the file.
    pub fn from_key_file(path: impl AsRef<Path>) -> Result<Self, SecretError> {
        use std::os::unix::fs::MetadataExt;
        let shown = path.as_ref().display().to_string();
        let unreadable = |source| SecretError::Unreadable { path: shown.clone(), source };
        // Asked first, because opening a pipe that nobody writes to does not return.
        if !fs::metadata(path.as_ref()).map_err(unreadable)?.is_file() {
            return Err(SecretError::TooOpen(shown));
        }
        let file = File::open(path.as_ref()).map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        private::given(path.as_ref())?;
        if !about.is_file() || about.mode() & 0o077 != 0 {
            return Err(SecretError::TooOpen(shown));
        }
        let mut octets = Zeroizing::new(Vec::with_capacity(128));
        file.take(128).read_to_end(&mut octets).map_err(unreadable)?;
        let key = key_of(&octets).ok_or(SecretError::NotAKey(shown))?;
        Ok(Self { octets: Zeroizing::new(key.to_vec()), is_key: true })
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Whether this is a key of full entropy, which needs no stretching.
    pub(super) const fn is_key(&self) -> bool {
        self.is_key
    }
}

/// A key as a file has it: 32 octets, or 64 hex digits.
pub(crate) fn key_of(octets: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    if let Ok(key) = <[u8; 32]>::try_from(octets) {
        return Some(Zeroizing::new(key));
    }
    let text = core::str::from_utf8(octets).ok()?.trim_end();
    kakunin_core::id::hex_decode::<32>(text).map(Zeroizing::new)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
