//! A seal in a file: 32 random octets, and XChaCha20-Poly1305.
//!
//! What is sealed is `nonce (24) || ciphertext || tag (16)`, with the context as associated data.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use aws_lc_rs::rand;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use kakunin_core::id::hex_encode;
use zeroize::Zeroizing;

use super::contract::{SEALED_LIMIT, Seal, SealError, takes};
use crate::local::secret::key_of;
use crate::private;

const NONCE: usize = 24;

/// A seal whose key lies in a file. Whoever has a copy of the file and of the vault has the keys.
pub struct FileSeal {
    path: PathBuf,
    /// Wipes its key when dropped.
    cipher: XChaCha20Poly1305,
}

impl FileSeal {
    /// Reads the file: 32 octets, or 64 hex digits. It is ours or root's, and nobody else can write to it or read
    /// it, nor exchange it on the way there; links are followed where nobody else can set them. Its group may
    /// read it if that is root's, or the one that this process runs as: Kubernetes gives secrets as 0440, and
    /// systemd credentials as 0400 or 0440.
    ///
    /// # Errors
    /// [`SealError::Unusable`] says what to do.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SealError> {
        let path = path.as_ref();
        let file = private::secret(path).map_err(|e| unusable(e.to_string()))?;
        let mut octets = Zeroizing::new(Vec::with_capacity(128));
        file.take(128).read_to_end(&mut octets).map_err(|e| io_error("read", path, &e))?;
        let key = key_of(&octets);
        let key =
            key.ok_or_else(|| unusable(format!("{} must hold 32 bytes, or 64 hex digits", path.display())))?;
        Ok(Self { path: path.to_owned(), cipher: XChaCha20Poly1305::new(&(*key).into()) })
    }

    /// Makes the file, with a new key in hex and mode 0600, in a folder that is there and ours alone to write to.
    ///
    /// # Errors
    /// [`SealError::Unusable`]; also if there is a file already, which is left as it is.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, SealError> {
        let path = path.as_ref();
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        private::folder(folder).map_err(|e| unusable(e.to_string()))?;
        let mut key = Zeroizing::new([0; 32]);
        rand::fill(&mut *key).map_err(|e| SealError::Unavailable(e.into()))?;
        let mut text = Zeroizing::new(hex_encode(&*key));
        text.push('\n');
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.as_mut().map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => {
                unusable(format!("{} is there already; it may be what keys are sealed with", path.display()))
            }
            _ => io_error("make", path, e),
        })?;
        let mut write = || {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|e| {
            // Nothing is sealed with it yet; half a key would only be in the way.
            let _ = fs::remove_file(path);
            io_error("write", path, &e)
        })?;
        Self::open(path)
    }
}

#[async_trait]
impl Seal for FileSeal {
    async fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError> {
        takes(secret)?;
        let mut nonce = [0; NONCE];
        rand::fill(&mut nonce).map_err(|e| SealError::Unavailable(e.into()))?;
        let payload = Payload { msg: secret, aad: context };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Length)?;
        Ok([&nonce[..], &sealed].concat())
    }

    async fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        if sealed.len() > SEALED_LIMIT {
            return Err(SealError::Wrong);
        }
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(SealError::Wrong)?;
        let payload = Payload { msg: sealed, aad: context };
        let secret = self.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Wrong)?;
        Ok(Zeroizing::new(secret))
    }
}

impl fmt::Debug for FileSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSeal({})", self.path.display())
    }
}

const fn unusable(why: String) -> SealError {
    SealError::Unusable(why)
}

fn io_error(step: &str, path: &Path, error: &io::Error) -> SealError {
    unusable(format!("cannot {step} {}: {error}", path.display()))
}
