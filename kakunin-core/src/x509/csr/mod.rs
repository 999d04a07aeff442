//! PKCS#10 requests (RFC 2986): the public key and the proof that its holder has the private one.
//!
//! Nothing else is read from an agent's request, and nothing else is written into one: names and extensions come
//! from policy. A request for an issuing CA says where that will publish.
//!
//! | file | does |
//! |---|---|
//! | `armour.rs` | the forms in which a request arrives |
//! | `proof.rs` | which signatures prove possession, and the names of what is refused |
//! | `repository.rs` | where an authority says that it will publish |

mod armour;
mod proof;
mod repository;

use sha2::{Digest, Sha256};

use crate::brand::KEY_BINDING_LABEL;
use crate::id::{Serial, hex_encode};
use crate::key::{KeyAlgorithm, Signature, Spki, SpkiError};
use crate::x509::der::{DerError, Reader, Writer};
use crate::x509::published::Published;
use crate::x509::weak;

/// Most octets of a request that is looked at.
pub const MAX_REQUEST_LEN: usize = 16 * 1024;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Neither DER nor PEM nor base64 of a PKCS#10 request.
    #[error(
        "this is not a PKCS#10 request: send DER, its base64, or PEM with `-----BEGIN CERTIFICATE REQUEST-----`"
    )]
    Malformed,
    /// PEM of something else.
    #[error("this is a `{0}`; send a PKCS#10 request, `-----BEGIN CERTIFICATE REQUEST-----`")]
    Label(String),
    /// More than one block of PEM.
    #[error("there are {blocks} blocks of PEM; send one request alone")]
    Several {
        /// How many.
        blocks: usize,
    },
    /// A private key beside the request, or instead of it.
    #[error(
        "there is a private key in it, which others may have seen now; make another, and send the request alone"
    )]
    PrivateKey,
    /// The key is not one that gets a certificate here.
    #[error(transparent)]
    Key(#[from] SpkiError),
    /// A key of another kind.
    #[error(
        "the key is {0}, which gets no certificate here: make RSA-2048, RSA-3072, RSA-4096, P-256 or Ed25519"
    )]
    KeyUnsupported(String),
    /// A key of that kind that is too weak, or unusual.
    #[error("the key is {0}: use 2048, 3072 or 4096 bits and exponent 65537")]
    KeyWeak(String),
    /// Signed in a way that proves nothing, or not for such a key.
    #[error(
        "the request is signed with {algorithm}, which is not accepted for its {key} key: sign with SHA-256, SHA-384 or SHA-512, for RSA by PKCS#1 v1.5 or PSS, for P-256 by ECDSA, or with Ed25519 for such a key"
    )]
    Signature {
        /// How it is signed.
        algorithm: String,
        /// The key it names.
        key: String,
    },
    /// The signature is not by the key in the request.
    #[error("the request is not signed by the key it names; sign it with that key")]
    NotPossessed,
    /// A modulus with a small factor, or of the form of CVE-2017-15361.
    #[error("the RSA key was made by a broken generator; make another, with another library")]
    Weak,
    /// The key has a certificate already.
    #[error("the key has, or had, a certificate already; make a fresh key for each")]
    Duplicate,
    /// A renewal by request lacks the signature of the current key.
    #[error(
        "the current key did not sign the key binding; send `key_binding`, made with the key of the certificate that is renewed"
    )]
    NotBound,
}

impl CsrError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed | Self::Label(_) => "csr_malformed",
            Self::Several { .. } => "csr_several",
            Self::PrivateKey => "csr_private_key",
            Self::Key(e) => e.code(),
            Self::KeyUnsupported(_) => SpkiError::Unsupported.code(),
            Self::Signature { .. } => "csr_signature_unsupported",
            Self::NotPossessed => "csr_not_possessed",
            Self::KeyWeak(_) | Self::Weak => "key_weak",
            Self::Duplicate => "key_in_use",
            Self::NotBound => "key_not_bound",
        }
    }
}

/// A request that shows possession of the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// The public key.
    pub key: Spki,
    /// SHA-256 of the request, DER.
    pub sha256: [u8; 32],
    /// Where the authority that is asked for will publish, if the request says so as `kakunin ca request` does.
    pub published: Option<Published>,
}

impl Proven {
    /// Reads a request in DER, PEM or base64, and checks its signature and its key.
    ///
    /// # Errors
    /// [`CsrError`].
    pub fn read(request: &[u8]) -> Result<Self, CsrError> {
        if request.len() > MAX_REQUEST_LEN {
            return Err(CsrError::Malformed);
        }
        Self::of(&armour::open(request)?)
    }

    fn of(der: &[u8]) -> Result<Self, CsrError> {
        let parts = split(der).map_err(|_| CsrError::Malformed)?;
        let key = check(&parts)?;
        let published = parts.attributes.and_then(repository::read);
        Ok(Self { key, sha256: Sha256::digest(der).into(), published })
    }

    /// What the key of the certificate `serial` signs to say that this request's key shall follow it:
    /// `kakunin-key-binding:<serial>:<SHA-256 of the request in hex>`.
    #[must_use]
    pub fn binding_text(&self, serial: &Serial) -> String {
        format!("{KEY_BINDING_LABEL}:{serial}:{}", hex_encode(&self.sha256))
    }
}

fn check(parts: &Parts<'_>) -> Result<Spki, CsrError> {
    let spki = proof::key(parts.spki)?;
    if spki.rsa_modulus().is_some_and(weak::is_weak) {
        return Err(CsrError::Weak);
    }
    proof::check(&spki, parts.algorithm, parts.info, parts.signature)?;
    Ok(spki)
}

/// A request for a key that somebody else holds, before it is signed with that key.
#[derive(Debug)]
pub struct RequestToSign {
    info: Vec<u8>,
    algorithm: KeyAlgorithm,
}

impl RequestToSign {
    /// A request for a certificate of `key`: an empty name, no attributes.
    #[must_use]
    pub fn new(key: &Spki) -> Self {
        Self::with(key, |_| {})
    }

    /// A request for an issuing CA that will publish there: the root above it is to be found there as well.
    #[must_use]
    pub fn for_authority(key: &Spki, published: &Published) -> Self {
        Self::with(key, |attributes| repository::write(attributes, published))
    }

    fn with(key: &Spki, attributes: impl FnOnce(&mut Writer)) -> Self {
        let mut out = Writer::new();
        out.sequence(|w| {
            w.unsigned(&[0]).sequence(|_| {});
            w.raw(key.as_der()).nested(0xa0, attributes);
        });
        Self { info: out.into_bytes(), algorithm: key.algorithm() }
    }

    /// The bytes to sign with the key.
    #[must_use]
    pub fn to_be_signed(&self) -> &[u8] {
        &self.info
    }

    /// Joins the signature: the request, DER.
    #[must_use]
    pub fn assemble(self, signature: &Signature) -> Vec<u8> {
        let mut out = Writer::new();
        out.sequence(|w| {
            w.raw(&self.info).raw(self.algorithm.signature_algorithm());
            w.bit_string(signature.as_bytes());
        });
        out.into_bytes()
    }
}

struct Parts<'a> {
    info: &'a [u8],
    spki: &'a [u8],
    attributes: Option<&'a [u8]>,
    algorithm: &'a [u8],
    signature: &'a [u8],
}

fn split(der: &[u8]) -> Result<Parts<'_>, DerError> {
    let mut outer = Reader::new(der);
    let mut request = outer.sequence()?;
    outer.finish()?;
    let info = request.raw(0x30)?;
    let algorithm = request.raw(0x30)?;
    let signature = request.bit_string()?;
    request.finish()?;
    let mut r = Reader::new(info).sequence()?;
    r.positive_integer()?;
    r.raw(0x30)?;
    let spki = r.raw(0x30)?;
    let attributes = r.optional(0xa0)?;
    r.finish()?;
    Ok(Parts { info, spki, attributes, algorithm, signature })
}
