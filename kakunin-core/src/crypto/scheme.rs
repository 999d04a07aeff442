//! Signature schemes that nothing here signs with, and that others prove possession with: the portable
//! algorithms alone, so that each build accepts the same.

use p256::ecdsa;
use rsa::{pkcs1v15, pss};
use sha2::{Sha256, Sha384, Sha512};
use signature::Verifier;
use signature::hazmat::PrehashVerifier;

use super::BadSignature;
use super::portable::{p256_key, rsa_key};
use crate::key::Spki;

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

/// A signature scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// RSASSA-PKCS1-v1_5 (RFC 8017, 8.2).
    Pkcs1(Digest),
    /// RSASSA-PSS (RFC 8017, 8.1), its mask with the same hash.
    Pss { digest: Digest, salt_len: usize },
    /// ECDSA over P-256; of a longer hash the leftmost 256 bits count (FIPS 186-5, 6.4.2).
    Ecdsa(Digest),
}

impl Scheme {
    /// Checks a signature in X.509 form.
    pub(crate) fn verify(self, spki: &Spki, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        match self {
            Self::Ecdsa(digest) => ecdsa_verify(digest, spki, message, signature),
            Self::Pkcs1(digest) => {
                let key = rsa_key(spki).ok_or(BadSignature)?;
                let signature = pkcs1v15::Signature::try_from(signature).map_err(|_| BadSignature)?;
                match digest {
                    Digest::Sha256 => pkcs1v15::VerifyingKey::<Sha256>::new(key).verify(message, &signature),
                    Digest::Sha384 => pkcs1v15::VerifyingKey::<Sha384>::new(key).verify(message, &signature),
                    Digest::Sha512 => pkcs1v15::VerifyingKey::<Sha512>::new(key).verify(message, &signature),
                }
                .map_err(|_| BadSignature)
            }
            Self::Pss { digest, salt_len } => pss_verify(digest, salt_len, spki, message, signature),
        }
    }
}

fn pss_verify(
    digest: Digest,
    salt_len: usize,
    spki: &Spki,
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    // RFC 8017, 9.1.2, step 3: no more than the modulus has room for.
    let room = spki.rsa_modulus().map_or(0, <[u8]>::len).saturating_sub(2);
    if salt_len > room {
        return Err(BadSignature);
    }
    let key = rsa_key(spki).ok_or(BadSignature)?;
    let signature = pss::Signature::try_from(signature).map_err(|_| BadSignature)?;
    match digest {
        Digest::Sha256 => {
            pss::VerifyingKey::<Sha256>::new_with_salt_len(key, salt_len).verify(message, &signature)
        }
        Digest::Sha384 => {
            pss::VerifyingKey::<Sha384>::new_with_salt_len(key, salt_len).verify(message, &signature)
        }
        Digest::Sha512 => {
            pss::VerifyingKey::<Sha512>::new_with_salt_len(key, salt_len).verify(message, &signature)
        }
    }
    .map_err(|_| BadSignature)
}

fn ecdsa_verify(digest: Digest, spki: &Spki, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
    use sha2::Digest as _;
    let key = p256_key(spki).ok_or(BadSignature)?;
    let signature = ecdsa::DerSignature::try_from(signature).map_err(|_| BadSignature)?;
    let hash = match digest {
        Digest::Sha256 => Sha256::digest(message).to_vec(),
        Digest::Sha384 => Sha384::digest(message).to_vec(),
        Digest::Sha512 => Sha512::digest(message).to_vec(),
    };
    key.verify_prehash(&hash, &signature).map_err(|_| BadSignature)
}
