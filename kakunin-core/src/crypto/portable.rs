//! Pure Rust: `rsa`, `p256`, `ed25519-dalek`. Public data only, so no timing matters here.

use rsa::pkcs1v15;
use sha2::Sha256;
use signature::Verifier;
use spki::DecodePublicKey;

use super::{BadSignature, Verify};
use crate::key::{KeyAlgorithm, Spki, SpkiError};

pub(super) fn parse(spki: &Spki) -> Result<Box<dyn Verify>, SpkiError> {
    let der = spki.as_der();
    Ok(match spki.algorithm() {
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            let key = rsa::PublicKey::from_public_key_der(der).map_err(|_| SpkiError::Malformed)?;
            Box::new(Rsa(pkcs1v15::VerifyingKey::new(key)))
        }
        KeyAlgorithm::P256 => Box::new(P256(
            p256::ecdsa::VerifyingKey::from_public_key_der(der).map_err(|_| SpkiError::Malformed)?,
        )),
        KeyAlgorithm::Ed25519 => {
            let octets = der.last_chunk::<32>().ok_or(SpkiError::Malformed)?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(octets).map_err(|_| SpkiError::Malformed)?;
            Box::new(Ed25519(key))
        }
    })
}

struct Rsa(pkcs1v15::VerifyingKey<Sha256>);

impl Verify for Rsa {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let signature = pkcs1v15::Signature::try_from(signature).map_err(|_| BadSignature)?;
        self.0.verify(message, &signature).map_err(|_| BadSignature)
    }
}

struct P256(p256::ecdsa::VerifyingKey);

impl Verify for P256 {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let signature = p256::ecdsa::DerSignature::try_from(signature).map_err(|_| BadSignature)?;
        self.0.verify(message, &signature).map_err(|_| BadSignature)
    }
}

struct Ed25519(ed25519_dalek::VerifyingKey);

impl Verify for Ed25519 {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| BadSignature)?;
        // Strict: no small-order keys, no malleable encodings.
        self.0.verify_strict(message, &signature).map_err(|_| BadSignature)
    }
}
