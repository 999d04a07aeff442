//! Keys: algorithms, public keys, and the two seams behind which private keys stay.

use core::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::BoxError;
use crate::grant::{KeyGrant, Principal};
use crate::id::IssuerId;
use crate::x509::der::Reader;
use crate::x509::oid;

/// A key algorithm, with its size; the signature algorithm follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// RSA with 2,048 bits, signing PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    /// RSA with 3,072 bits, signing PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "rsa-3072")]
    Rsa3072,
    /// RSA with 4,096 bits, signing PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "rsa-4096")]
    Rsa4096,
    /// ECDSA over P-256 with SHA-256.
    P256,
    /// Ed25519 (RFC 8032); never for certificate authorities.
    Ed25519,
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
    pub fn rsa_modulus(&self) -> Option<&[u8]> {
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

/// Reference to a key in its provider: an ARN, a token object, a file name. Never key material.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct KeyRef(String);

impl KeyRef {
    /// Takes a provider's reference.
    #[must_use]
    pub fn new(reference: impl Into<String>) -> Self {
        Self(reference.into())
    }

    /// The reference.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlannedKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The identifier under which a key is planned before it exists: a UUIDv7 in hex, written to the log
/// first, so that a key made by a call that never returned can be found and retired.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PlannedKeyId(String);

impl PlannedKeyId {
    /// From 16 octets.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(crate::id::hex_encode(&bytes))
    }

    /// From text a provider stored: 32 lower-case hex digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        crate::id::hex_decode::<16>(text).filter(|_| lower).map(Self::new)
    }

    /// The 16 octets.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 16] {
        // Both ways to make one see to it that it decodes.
        crate::id::hex_decode(&self.0).unwrap_or_default()
    }

    /// 32 lower-case hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A key a provider holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldKey {
    /// Under which identifier it was planned.
    pub planned: PlannedKeyId,
    /// How to open it.
    pub key: KeyRef,
}

/// One private key that signs.
///
/// * Atomicity: a call gives one signature over the whole message, or an error.
/// * Durability: none; signing changes nothing.
/// * Concurrency: any number of calls at once.
/// * Idempotence: every call is independent; RSA and Ed25519 give the same octets for the same message.
///
/// Takes the message, never a digest: the backend hashes as its scheme demands, and sends a digest
/// where the service takes one. [`Signer::public_key`] is constant for the life of the value.
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync {
    /// The algorithm of the key.
    fn algorithm(&self) -> KeyAlgorithm;

    /// The public key.
    fn public_key(&self) -> &Spki;

    /// Whether the private half is in this process: then it is known to be that of [`Signer::public_key`].
    /// What a service sends back is checked with the public key before anybody gets it.
    fn is_in_process(&self) -> bool {
        false
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// [`SignError`]; after [`KeyProvider::disable`] or [`KeyProvider::retire`] always
    /// [`SignError::Refused`], also on signers that were opened before.
    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError>;

    /// Signs `message` with RSASSA-PSS, SHA-256 and a salt of 32 octets, which TLS 1.3 demands of RSA
    /// keys (RFC 8446, 4.2.3).
    ///
    /// # Errors
    /// As [`Signer::sign`]; [`SignError::Unsupported`] for keys that are not RSA, and by providers that
    /// do not know PSS.
    async fn sign_pss(&self, _message: &[u8]) -> Result<Signature, SignError> {
        Err(SignError::Unsupported(self.algorithm()))
    }
}

/// Where private keys are made and kept.
///
/// * Atomicity: a key exists with its public key, or not at all.
/// * Durability: on return of [`KeyProvider::generate`] the key survives a restart of the provider.
/// * Concurrency: any number of calls at once, also for one planned identifier.
/// * Idempotence: [`KeyProvider::generate`] by its planned identifier; disable, enable and retire by
///   the state they lead to.
#[async_trait]
pub trait KeyProvider: fmt::Debug + Send + Sync {
    /// Makes a key, or returns the one already made under this planned identifier.
    ///
    /// # Errors
    /// [`SignError`]; the key may exist all the same, and [`KeyProvider::list`] then shows it.
    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError>;

    /// Opens a key for signing.
    ///
    /// # Errors
    /// [`SignError::NotFound`] if the provider does not hold it.
    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError>;

    /// Whether every call is over within a moment, whatever happens elsewhere. One that is not near is told
    /// what was decided by [`Kakunin::tend`](crate::service::Kakunin::tend), and nobody waits for it.
    fn is_near(&self) -> bool {
        true
    }

    /// Opens a key whose public key is known already: a provider that is down then keeps nobody from
    /// starting, only from signing.
    ///
    /// # Errors
    /// As [`KeyProvider::open`]; [`SignError::Refused`] if it is another key.
    async fn open_known(&self, key: &KeyRef, public: &Spki) -> Result<Arc<dyn Signer>, SignError> {
        let signer = self.open(key).await?;
        if signer.public_key() != public {
            return Err(SignError::Refused {
                key: key.clone(),
                why: "it is another key than the certificate's",
            });
        }
        Ok(signer)
    }

    /// Makes the key refuse to sign until [`KeyProvider::enable`].
    ///
    /// # Errors
    /// [`SignError`]; disabling a retired key is refused.
    async fn disable(&self, key: &KeyRef) -> Result<(), SignError>;

    /// Lets a disabled key sign again. A retired key stays retired.
    ///
    /// # Errors
    /// [`SignError`]; enabling a retired key is refused.
    async fn enable(&self, key: &KeyRef) -> Result<(), SignError>;

    /// Makes the key refuse to sign for ever, and deletes it when the provider's waiting time is over.
    ///
    /// # Errors
    /// [`SignError`]; retiring a retired key succeeds.
    async fn retire(&self, key: &KeyRef) -> Result<(), SignError>;

    /// Whether the provider knows principals to whom it can grant the use of a key.
    fn grants(&self) -> bool {
        false
    }

    /// Lets a principal sign with a key at the provider, and read its public half, for as long as the key can
    /// be used. Granting it again gives the same grant.
    ///
    /// # Errors
    /// [`SignError::Refused`] if the provider knows no principals; else as [`KeyProvider::disable`].
    async fn grant(&self, key: &KeyRef, _: &Principal) -> Result<KeyGrant, SignError> {
        Err(SignError::Refused { key: key.clone(), why: "this provider knows no principals" })
    }

    /// Every key that is not retired, for sweeping what was planned and never bound.
    ///
    /// # Errors
    /// [`SignError`].
    async fn list(&self) -> Result<Vec<HeldKey>, SignError>;

    /// The keys that were made under this planned identifier and are not retired: more than one if the
    /// provider's own call is not idempotent and an answer was lost.
    ///
    /// # Errors
    /// [`SignError`].
    async fn find(&self, planned: &PlannedKeyId) -> Result<Vec<KeyRef>, SignError> {
        Ok(self
            .list()
            .await?
            .into_iter()
            .filter(|held| held.planned == *planned)
            .map(|held| held.key)
            .collect())
    }
}

/// What went wrong with a key, sorted by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The provider does not hold this key: wrong provider, wrong folder, or deleted.
    #[error("key `{0}` is not held by this provider; check that it is the provider of this deployment")]
    NotFound(KeyRef),
    /// The provider has the key and will not use it: disabled, retired, or not allowed.
    #[error("the provider refuses to use key `{key}`: {why}")]
    Refused {
        /// The key.
        key: KeyRef,
        /// What is in the way.
        why: &'static str,
    },
    /// The provider takes no message of this length with this key.
    #[error("the provider signs at most {limit} octets with key `{key}`; use a key that signs digests")]
    TooLong {
        /// The key.
        key: KeyRef,
        /// The most it takes, in octets.
        limit: usize,
    },
    /// The provider does not make keys of this algorithm.
    #[error("this provider does not make {0:?} keys")]
    Unsupported(KeyAlgorithm),
    /// The provider cannot be opened with what it was given: passphrase, folder, rights.
    #[error("the key store cannot be opened: {0}")]
    Locked(String),
    /// The provider could not do it now: unreachable, overloaded, or broken. The same call may succeed
    /// later, see [`SignError::is_transient`].
    #[error("the key provider could not {operation} `{key}`; retry later")]
    Unavailable {
        /// What was asked: `generate`, `open`, `sign`, `grant`, `disable`, `enable`, `retire`, `list`.
        operation: &'static str,
        /// The key or the planned identifier; empty for `list`.
        key: String,
        /// What the provider said.
        #[source]
        source: BoxError,
    },
}

impl SignError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "key_not_found",
            Self::Refused { .. } => "key_refused",
            Self::TooLong { .. } => "key_message_too_long",
            Self::Unsupported(_) => "key_unsupported",
            Self::Locked(_) => "key_store_locked",
            Self::Unavailable { .. } => "key_unavailable",
        }
    }

    /// A call did not get through: `operation` on `key`.
    #[must_use]
    pub fn unavailable(operation: &'static str, key: impl fmt::Display, source: impl Into<BoxError>) -> Self {
        Self::Unavailable { operation, key: key.to_string(), source: source.into() }
    }

    /// Whether the same call may succeed later, with nobody changing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
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
