//! ChaCha20-Poly1305 (RFC 8439): by aws-lc where that is built in, by RustCrypto else. Either reads what the other wrote.

use core::fmt;

#[cfg(feature = "aws-lc")]
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
#[cfg(not(feature = "aws-lc"))]
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, aead::AeadInOut};

use crate::error::StoreError;

/// Octets of a nonce.
pub(super) const NONCE: usize = 12;
/// Octets of a tag.
pub(super) const TAG: usize = 16;

/// A key, ready for use. It is wiped from memory when it is dropped.
pub(super) struct Cipher(
    #[cfg(feature = "aws-lc")] LessSafeKey,
    #[cfg(not(feature = "aws-lc"))] ChaCha20Poly1305,
);

#[cfg(feature = "aws-lc")]
impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Result<Self, StoreError> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key);
        Ok(Self(LessSafeKey::new(key.map_err(|_| StoreError::unavailable("no cipher for payloads"))?)))
    }

    /// Encrypts in place, and gives the tag.
    pub(super) fn seal(&self, nonce: [u8; NONCE], aad: &[u8], octets: &mut [u8]) -> Option<[u8; TAG]> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), octets).ok()?;
        tag.as_ref().try_into().ok()
    }

    /// Decrypts in place; nothing that may be read is there if it is refused.
    pub(super) fn open(
        &self,
        nonce: [u8; NONCE],
        aad: &[u8],
        octets: &mut [u8],
        tag: &[u8; TAG],
    ) -> Option<()> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0.open_in_place_separate_tag(nonce, Aad::from(aad), tag, octets).ok().map(|_| ())
    }
}

#[cfg(not(feature = "aws-lc"))]
impl Cipher {
    #[allow(clippy::unnecessary_wraps, reason = "the other one may fail")]
    pub(super) fn new(key: &[u8; 32]) -> Result<Self, StoreError> {
        Ok(Self(ChaCha20Poly1305::new(key.into())))
    }

    /// Encrypts in place, and gives the tag.
    pub(super) fn seal(&self, nonce: [u8; NONCE], aad: &[u8], octets: &mut [u8]) -> Option<[u8; TAG]> {
        self.0.encrypt_inout_detached(&nonce.into(), aad, octets.into()).ok().map(Into::into)
    }

    /// Decrypts in place; nothing that may be read is there if it is refused.
    pub(super) fn open(
        &self,
        nonce: [u8; NONCE],
        aad: &[u8],
        octets: &mut [u8],
        tag: &[u8; TAG],
    ) -> Option<()> {
        self.0.decrypt_inout_detached(&nonce.into(), aad, octets.into(), tag.into()).ok()
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of RFC 8439, 2.8.2: whichever implementation is built in, what is stored is the same.
    #[test]
    fn it_is_that_of_rfc_8439() {
        let hex = |text: &str| base16ct::lower::decode_vec(text).unwrap();
        let key: [u8; 32] = core::array::from_fn(|n| 0x80 + u8::try_from(n).unwrap());
        let (nonce, aad) = (hex("070000004041424344454647"), hex("50515253c0c1c2c3c4c5c6c7"));
        let nonce: [u8; 12] = nonce.try_into().unwrap();
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let (cipher, mut octets) = (Cipher::new(&key).unwrap(), text.to_vec());
        let tag = cipher.seal(nonce, &aad, &mut octets).unwrap();
        assert_eq!(octets[..16], hex("d31a8d34648e60db7b86afbc53ef7ec2"));
        assert_eq!(tag[..], hex("1ae10b594f09e26a7e902ecbd0600691"));
        let mut wrong = tag;
        wrong[0] ^= 1;
        assert!(cipher.open(nonce, &aad, &mut octets.clone(), &wrong).is_none());
        assert!(cipher.open(nonce, b"", &mut octets.clone(), &tag).is_none());
        cipher.open(nonce, &aad, &mut octets, &tag).unwrap();
        assert_eq!(octets, text);
    }
}
