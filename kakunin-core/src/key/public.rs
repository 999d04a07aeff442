//! Algorithms, public keys, signatures.

use core::fmt;

use crate::id::IssuerId;
use crate::words::words;
use crate::x509::der::Reader;
use crate::x509::oid;

words! {
    /// A key algorithm, with its size; the signature algorithm follows from it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
    #[non_exhaustive]
    pub enum KeyAlgorithm {
        /// RSA with 2,048 bits, signing PKCS#1 v1.5 with SHA-256.
        Rsa2048 = "rsa-2048",
        /// RSA with 3,072 bits, signing PKCS#1 v1.5 with SHA-256.
        Rsa3072 = "rsa-3072",
        /// RSA with 4,096 bits, signing PKCS#1 v1.5 with SHA-256.
        Rsa4096 = "rsa-4096",
        /// ECDSA over P-256 with SHA-256.
        P256 = "p256",
        /// Ed25519 (RFC 8032); never for certificate authorities.
        Ed25519 = "ed25519",
    }
}

impl KeyAlgorithm {
    /// DER of the AlgorithmIdentifier that X.509 writes for signatures by such a key
    /// (RFC 4055, 5; RFC 5758, 3.2; RFC 8410, 3).
    #[must_use]
    pub const fn signature_algorithm(self) -> &'static [u8] {
        match self {
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => oid::SHA256_WITH_RSA_IDENTIFIER,
            Self::P256 => oid::ECDSA_WITH_SHA256_IDENTIFIER,
            Self::Ed25519 => oid::ED25519_IDENTIFIER,
        }
    }

    /// Octets of a signature by such a key, or the most there can be.
    #[must_use]
    pub const fn signature_len(self) -> usize {
        match self {
            Self::Rsa2048 => 256,
            Self::Rsa3072 => 384,
            Self::Rsa4096 => 512,
            Self::P256 => 72,
            Self::Ed25519 => 64,
        }
    }
}

/// A public key as DER SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), of an algorithm this crate knows.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Spki {
    der: Vec<u8>,
    algorithm: KeyAlgorithm,
    key_id: IssuerId,
}

impl Spki {
    /// Parses a SubjectPublicKeyInfo; weak or unknown keys are refused.
    ///
    /// # Errors
    /// [`SpkiError`] says what is wrong with the key.
    pub fn from_der(der: &[u8]) -> Result<Self, SpkiError> {
        let mut outer = Reader::new(der);
        let mut body = outer.sequence().map_err(|_| SpkiError::Malformed)?;
        outer.finish().map_err(|_| SpkiError::Malformed)?;
        let algorithm = body.raw(0x30).map_err(|_| SpkiError::Malformed)?;
        let bits = body.bit_string().map_err(|_| SpkiError::Malformed)?;
        body.finish().map_err(|_| SpkiError::Malformed)?;
        let algorithm = match algorithm {
            oid::RSA_KEY_IDENTIFIER => rsa_size(bits)?,
            oid::P256_KEY_IDENTIFIER if bits.len() == 65 && bits.first() == Some(&4) => KeyAlgorithm::P256,
            oid::ED25519_IDENTIFIER if bits.len() == 32 => KeyAlgorithm::Ed25519,
            oid::P256_KEY_IDENTIFIER | oid::ED25519_IDENTIFIER => return Err(SpkiError::Malformed),
            _ => return Err(SpkiError::Unsupported),
        };
        Ok(Self { der: der.to_vec(), algorithm, key_id: key_id_of(bits) })
    }

    /// The DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The algorithm of this key.
    #[must_use]
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The modulus of an RSA key, big-endian, without leading zeros.
    #[must_use]
    pub(crate) fn rsa_modulus(&self) -> Option<&[u8]> {
        let mut body = Reader::new(&self.der).sequence().ok()?;
        let algorithm = body.raw(0x30).ok()?;
        let bits = body.bit_string().ok()?;
        let rsa = algorithm == oid::RSA_KEY_IDENTIFIER;
        rsa.then(|| Reader::new(bits).sequence().ok()?.positive_integer().ok()).flatten()
    }

    /// The key identifier: leftmost 160 bits of SHA-256 over the public key bits (RFC 7093, method 1).
    #[must_use]
    pub const fn key_id(&self) -> IssuerId {
        self.key_id
    }
}

impl fmt::Debug for Spki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spki({:?} {})", self.algorithm, self.key_id)
    }
}

/// Why a public key is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpkiError {
    /// Not a SubjectPublicKeyInfo in DER.
    #[error("the public key is not a DER SubjectPublicKeyInfo")]
    Malformed,
    /// An algorithm or curve this deployment does not use.
    #[error("the key algorithm is not supported: use RSA-2048, RSA-3072, RSA-4096, P-256 or Ed25519")]
    Unsupported,
    /// An RSA key that is too small, or whose exponent is not 65537.
    #[error("the RSA key is weak: use 2048, 3072 or 4096 bits and exponent 65537")]
    Weak,
}

impl SpkiError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "key_malformed",
            Self::Unsupported => "key_unsupported",
            Self::Weak => "key_weak",
        }
    }
}

/// A signature in the form X.509 carries: RSA integer, DER `Ecdsa-Sig-Value`, or the 64 octets of Ed25519.
#[derive(Clone, PartialEq, Eq)]
pub struct Signature(Vec<u8>);

impl Signature {
    /// Takes the octets of a signature.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} bytes)", self.0.len())
    }
}

fn key_id_of(public_key_bits: &[u8]) -> IssuerId {
    use sha2::{Digest, Sha256};
    let digest: [u8; 32] = Sha256::digest(public_key_bits).into();
    let mut id = [0; 20];
    for (to, from) in id.iter_mut().zip(digest) {
        *to = from;
    }
    IssuerId::from_bytes(id)
}

// RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER } (RFC 8017, A.1.1)
fn rsa_size(bits: &[u8]) -> Result<KeyAlgorithm, SpkiError> {
    let mut outer = Reader::new(bits);
    let mut body = outer.sequence().map_err(|_| SpkiError::Malformed)?;
    let modulus = body.positive_integer().map_err(|_| SpkiError::Malformed)?;
    let exponent = body.positive_integer().map_err(|_| SpkiError::Malformed)?;
    body.finish().and_then(|()| outer.finish()).map_err(|_| SpkiError::Malformed)?;
    let full = modulus.first().is_some_and(|b| b & 0x80 != 0);
    let odd = modulus.last().is_some_and(|b| b & 1 == 1);
    match (modulus.len(), full && odd && exponent == [1, 0, 1]) {
        (256, true) => Ok(KeyAlgorithm::Rsa2048),
        (384, true) => Ok(KeyAlgorithm::Rsa3072),
        (512, true) => Ok(KeyAlgorithm::Rsa4096),
        _ => Err(SpkiError::Weak),
    }
}
