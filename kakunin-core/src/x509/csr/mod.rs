//! PKCS#10 requests (RFC 2986): the public key and the proof that its holder has the private one.
//!
//! Nothing else is read from a request, and nothing else is written into one: names and extensions come
//! from policy.

use sha2::{Digest, Sha256};

use crate::brand::KEY_BINDING_LABEL;
use crate::crypto::PublicKey;
use crate::id::{Serial, hex_encode};
use crate::key::{KeyAlgorithm, Signature, Spki, SpkiError};
use crate::x509::der::{DerError, Reader, Writer};
use crate::x509::{pem, weak};

/// Most octets of a request that is looked at.
pub const MAX_REQUEST_LEN: usize = 16 * 1024;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsrError {
    /// Neither DER nor PEM of a PKCS#10 request.
    #[error("this is not a PKCS#10 request: send DER, or PEM with `-----BEGIN CERTIFICATE REQUEST-----`")]
    Malformed,
    /// The key is not one that gets a certificate here.
    #[error(transparent)]
    Key(#[from] SpkiError),
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
            Self::Malformed => "csr_malformed",
            Self::Key(e) => e.code(),
            Self::NotPossessed => "csr_not_possessed",
            Self::Weak => "key_weak",
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
}

impl Proven {
    /// Reads a request in DER or PEM, and checks its signature and its key.
    ///
    /// # Errors
    /// [`CsrError`].
    pub fn read(request: &[u8]) -> Result<Self, CsrError> {
        if request.len() > MAX_REQUEST_LEN {
            return Err(CsrError::Malformed);
        }
        match core::str::from_utf8(request) {
            Ok(text) if text.contains("-----BEGIN") => {
                let blocks = pem::decode(pem::CERTIFICATE_REQUEST, text).map_err(|_| CsrError::Malformed)?;
                blocks.first().ok_or(CsrError::Malformed).and_then(|der| Self::of(der))
            }
            _ => Self::of(request),
        }
    }

    fn of(der: &[u8]) -> Result<Self, CsrError> {
        Ok(Self { key: check(der)?, sha256: Sha256::digest(der).into() })
    }

    /// What the key of the certificate `serial` signs to say that this request's key shall follow it:
    /// `kakunin-key-binding:<serial>:<SHA-256 of the request in hex>`.
    #[must_use]
    pub fn binding_text(&self, serial: &Serial) -> String {
        format!("{KEY_BINDING_LABEL}:{serial}:{}", hex_encode(&self.sha256))
    }
}

fn check(der: &[u8]) -> Result<Spki, CsrError> {
    let parts = split(der).map_err(|_| CsrError::Malformed)?;
    let spki = Spki::from_der(parts.spki)?;
    if parts.algorithm != spki.algorithm().signature_algorithm() {
        return Err(CsrError::NotPossessed);
    }
    if spki.rsa_modulus().is_some_and(weak::is_weak) {
        return Err(CsrError::Weak);
    }
    let key = PublicKey::parse(&spki)?;
    key.verify(parts.info, parts.signature).map_err(|_| CsrError::NotPossessed)?;
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
        let mut out = Writer::new();
        out.sequence(|w| {
            w.unsigned(&[0]).sequence(|_| {});
            w.raw(key.as_der()).nested(0xa0, |_| {});
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
    r.optional(0xa0)?;
    r.finish()?;
    Ok(Parts { info, spki, algorithm, signature })
}
