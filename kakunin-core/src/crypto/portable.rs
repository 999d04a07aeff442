//! Pure Rust: `rsa`, `p256`, `ed25519-dalek`. Public data only, so no timing matters here.

use rsa::{BoxedUint, pkcs1v15};
use sha2::Sha256;
use signature::Verifier;

use super::{BadSignature, Verify};
use crate::key::{KeyAlgorithm, Spki, SpkiError};

pub(super) fn parse(spki: &Spki) -> Result<Box<dyn Verify>, SpkiError> {
    Ok(match spki.algorithm() {
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
            Box::new(Rsa(pkcs1v15::VerifyingKey::new(rsa_key(spki).ok_or(SpkiError::Malformed)?)))
        }
        KeyAlgorithm::P256 => Box::new(P256(p256_key(spki).ok_or(SpkiError::Malformed)?)),
        KeyAlgorithm::Ed25519 => {
            let octets = spki.as_der().last_chunk::<32>().ok_or(SpkiError::Malformed)?;
            let key = ed25519_dalek::VerifyingKey::from_bytes(octets).map_err(|_| SpkiError::Malformed)?;
            Box::new(Ed25519(key))
        }
    })
}

/// The key of its modulus and 65537, the exponent of every RSA key here.
pub(super) fn rsa_key(spki: &Spki) -> Option<rsa::PublicKey> {
    let modulus = BoxedUint::from_be_slice_vartime(spki.rsa_modulus()?);
    rsa::PublicKey::new(modulus, BoxedUint::from(65_537_u32)).ok()
}

/// The key of the uncompressed point that the DER ends with (RFC 5480, 2.2).
pub(super) fn p256_key(spki: &Spki) -> Option<p256::ecdsa::VerifyingKey> {
    let point = spki.as_der().last_chunk::<65>().filter(|_| spki.algorithm() == KeyAlgorithm::P256)?;
    p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()
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
