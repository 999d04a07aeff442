//! Secrets as they lie in the vault: encrypted under a key that follows from the log key, each for its own name.

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::seal::SealKey;
use crate::error::StoreError;
use crate::id::Entropy;
use crate::service::error::Error;

/// Octets of a nonce, which stands before what is encrypted.
const NONCE: usize = 24;

impl SealKey {
    fn cipher(&self, name: &[u8]) -> XChaCha20Poly1305 {
        let key = Zeroizing::new(self.of_secret(name));
        XChaCha20Poly1305::new(&(*key).into())
    }

    /// What the vault keeps of a secret under this name.
    pub(super) fn wrap(&self, name: &[u8], secret: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE];
        entropy.fill(&mut nonce)?;
        let sealed = self.cipher(name).encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: name });
        let sealed = sealed.map_err(|_| StoreError::Corrupt("a secret cannot be encrypted".into()))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The secret of this name, if what is kept is one of this deployment.
    pub(super) fn unwrap(&self, name: &[u8], kept: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = kept.split_first_chunk::<NONCE>()?;
        let secret = self.cipher(name).decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: name });
        secret.ok().map(Zeroizing::new)
    }
}
