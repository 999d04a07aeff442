//! Private keys by aws-lc: made, read, used.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};
use kakunin_core::error::BoxError;
use kakunin_core::key::{KeyAlgorithm, SignError, Signature, Spki};
use zeroize::Zeroizing;

/// A private key, ready to sign. aws-lc wipes it when it is dropped.
pub(crate) enum Private {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// PKCS#8, wiped when dropped.
pub(crate) type Pkcs8 = Zeroizing<Vec<u8>>;

impl Private {
    pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<(Self, Pkcs8), SignError> {
        let pkcs8 = match algorithm {
            KeyAlgorithm::Rsa2048 => rsa(KeySize::Rsa2048)?,
            KeyAlgorithm::Rsa3072 => rsa(KeySize::Rsa3072)?,
            KeyAlgorithm::Rsa4096 => rsa(KeySize::Rsa4096)?,
            KeyAlgorithm::P256 => {
                let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
                wiped(key.to_pkcs8v1().map_err(failed)?.as_ref())
            }
            KeyAlgorithm::Ed25519 => {
                let key = Ed25519KeyPair::generate().map_err(failed)?;
                wiped(key.to_pkcs8().map_err(failed)?.as_ref())
            }
            other => return Err(SignError::Unsupported(other)),
        };
        Ok((Self::from_pkcs8(algorithm, &pkcs8)?, pkcs8))
    }

    pub(crate) fn from_pkcs8(algorithm: KeyAlgorithm, pkcs8: &[u8]) -> Result<Self, SignError> {
        let damaged = |_| SignError::Locked("a private key does not decode; restore its file".to_owned());
        Ok(match algorithm {
            KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => {
                Self::Rsa(RsaKeyPair::from_pkcs8(pkcs8).map_err(damaged)?)
            }
            KeyAlgorithm::P256 => {
                Self::P256(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).map_err(damaged)?)
            }
            KeyAlgorithm::Ed25519 => Self::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8).map_err(damaged)?),
            other => return Err(SignError::Unsupported(other)),
        })
    }

    pub(crate) fn spki(&self) -> Result<Spki, SignError> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Rsa(key) => key.public_key().as_der(),
            Self::P256(key) => key.public_key().as_der(),
            Self::Ed25519(key) => key.public_key().as_der(),
        }
        .map_err(failed)?;
        Spki::from_der(der.as_ref()).map_err(failed)
    }

    pub(crate) fn sign_pss(&self, message: &[u8]) -> Result<Signature, SignError> {
        let Self::Rsa(key) = self else { return Err(SignError::Unsupported(self.spki()?.algorithm())) };
        rsa_signature(key, &RSA_PSS_SHA256, message)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        Ok(match self {
            Self::Rsa(key) => rsa_signature(key, &RSA_PKCS1_SHA256, message)?,
            Self::P256(key) => {
                Signature::new(key.sign(&SystemRandom::new(), message).map_err(failed)?.as_ref().to_vec())
            }
            Self::Ed25519(key) => Signature::new(key.sign(message).as_ref().to_vec()),
        })
    }
}

fn rsa_signature(
    key: &RsaKeyPair,
    scheme: &'static dyn RsaEncoding,
    message: &[u8],
) -> Result<Signature, SignError> {
    let mut out = vec![0; key.public_modulus_len()];
    key.sign(scheme, &SystemRandom::new(), message, &mut out).map_err(failed)?;
    Ok(Signature::new(out))
}

fn rsa(size: KeySize) -> Result<Pkcs8, SignError> {
    let key = RsaKeyPair::generate(size).map_err(failed)?;
    let der: Pkcs8V1Der<'_> = key.as_der().map_err(failed)?;
    Ok(wiped(der.as_ref()))
}

fn wiped(octets: &[u8]) -> Pkcs8 {
    Zeroizing::new(octets.to_vec())
}

fn failed(error: impl Into<BoxError>) -> SignError {
    SignError::unavailable("use", "a local key", error)
}
