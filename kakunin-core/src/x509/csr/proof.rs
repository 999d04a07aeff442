//! The signature on a request: which algorithms prove possession, and what the others are called.

use super::CsrError;
use crate::crypto::{Digest, PublicKey, Scheme};
use crate::key::{KeyAlgorithm, Spki, SpkiError};
use crate::x509::der::{DerError, Reader};
use crate::x509::oid;

/// Reads the key, or says by name why it is none for here.
pub(super) fn key(der: &[u8]) -> Result<Spki, CsrError> {
    Spki::from_der(der).map_err(|error| match (error, describe_key(der)) {
        (SpkiError::Unsupported, Ok(key)) => CsrError::KeyUnsupported(key),
        (SpkiError::Weak, Ok(key)) => CsrError::KeyWeak(key),
        (error, _) => CsrError::Key(error),
    })
}

/// Checks that `spki`'s key made `signature` over `message`.
pub(super) fn check(spki: &Spki, algorithm: &[u8], message: &[u8], signature: &[u8]) -> Result<(), CsrError> {
    let is_ours = algorithm == spki.algorithm().signature_algorithm();
    let verified = if is_ours {
        PublicKey::parse(spki)?.verify(message, signature)
    } else {
        scheme(spki.algorithm(), algorithm)?.verify(spki, message, signature)
    };
    verified.map_err(|_| CsrError::NotPossessed)
}

fn scheme(key: KeyAlgorithm, algorithm: &[u8]) -> Result<Scheme, CsrError> {
    let (oid, parameters) = identifier(algorithm).map_err(|_| CsrError::Malformed)?;
    let refused = || CsrError::Signature { algorithm: name(oid), key: key_name(key).to_owned() };
    // NULL, or left out, which readers must accept (RFC 4055, 5).
    let plain = matches!(parameters, [] | [5, 0]);
    let found = match (key, oid) {
        (KeyAlgorithm::Ed25519 | KeyAlgorithm::P256, _) if !parameters.is_empty() => None,
        (KeyAlgorithm::P256, ECDSA_WITH_SHA384) => Some(Scheme::Ecdsa(Digest::Sha384)),
        (KeyAlgorithm::P256, ECDSA_WITH_SHA512) => Some(Scheme::Ecdsa(Digest::Sha512)),
        (KeyAlgorithm::Ed25519 | KeyAlgorithm::P256, _) => None,
        (_, SHA256_WITH_RSA) if plain => Some(Scheme::Pkcs1(Digest::Sha256)),
        (_, SHA384_WITH_RSA) if plain => Some(Scheme::Pkcs1(Digest::Sha384)),
        (_, SHA512_WITH_RSA) if plain => Some(Scheme::Pkcs1(Digest::Sha512)),
        (_, RSASSA_PSS) => return pss(parameters),
        _ => None,
    };
    found.ok_or_else(refused)
}

/// RSASSA-PSS-params (RFC 4055, 3.1): all that is left out is SHA-1.
fn pss(parameters: &[u8]) -> Result<Scheme, CsrError> {
    let params = PssParams::read(parameters).map_err(|_| CsrError::Malformed)?;
    let refused = |what: &str| CsrError::Signature {
        algorithm: format!("RSASSA-PSS with {what}"),
        key: "RSA".to_owned(),
    };
    let digest = match params.hash {
        SHA256 => Digest::Sha256,
        SHA384 => Digest::Sha384,
        SHA512 => Digest::Sha512,
        other => return Err(refused(&name(other))),
    };
    if params.mask != params.hash {
        return Err(refused("another hash in its mask than over the message"));
    }
    Ok(Scheme::Pss { digest, salt_len: params.salt_len })
}

struct PssParams<'a> {
    hash: &'a [u8],
    mask: &'a [u8],
    salt_len: usize,
}

impl<'a> PssParams<'a> {
    fn read(parameters: &'a [u8]) -> Result<Self, DerError> {
        let mut read = Self { hash: SHA1, mask: SHA1, salt_len: 20 };
        let mut outer = Reader::new(parameters);
        let mut params = outer.sequence()?;
        outer.finish()?;
        if let Some(hash) = params.optional(0xa0)? {
            read.hash = hash_of(hash)?;
        }
        if let Some(mask) = params.optional(0xa1)? {
            let (function, hash) = identifier(mask)?;
            if function != MGF1 {
                return Err(DerError);
            }
            read.mask = hash_of(hash)?;
        }
        if let Some(salt) = params.optional(0xa2)? {
            let mut salt = Reader::new(salt);
            let len = salt.positive_integer()?;
            salt.finish()?;
            let [high, low] = match *len {
                [low] => [0, low],
                [high, low] => [high, low],
                _ => return Err(DerError),
            };
            read.salt_len = usize::from(u16::from_be_bytes([high, low]));
        }
        // trailerFieldBC, the only one there is.
        if params.optional(0xa3)?.is_some_and(|trailer| trailer != [2, 1, 1]) {
            return Err(DerError);
        }
        params.finish()?;
        Ok(read)
    }
}

fn hash_of(der: &[u8]) -> Result<&[u8], DerError> {
    match identifier(der)? {
        (hash, [] | [5, 0]) => Ok(hash),
        _ => Err(DerError),
    }
}

/// Object identifier and parameters of an AlgorithmIdentifier.
fn identifier(der: &[u8]) -> Result<(&[u8], &[u8]), DerError> {
    let mut outer = Reader::new(der);
    let mut body = outer.sequence()?;
    outer.finish()?;
    let oid = body.read(6)?;
    let parameters = if body.is_empty() { &[] } else { body.any()?.2 };
    body.finish()?;
    Ok((oid, parameters))
}

fn describe_key(der: &[u8]) -> Result<String, DerError> {
    let mut body = Reader::new(der).sequence()?;
    let (algorithm, parameters) = identifier(body.raw(0x30)?)?;
    let bits = body.bit_string()?;
    Ok(match algorithm {
        RSA_ENCRYPTION if parameters != [5, 0] => "RSA with parameters other than NULL".to_owned(),
        RSA_ENCRYPTION => {
            let mut rsa = Reader::new(bits).sequence()?;
            let modulus = rsa.positive_integer()?;
            let top = modulus.first().map_or(0, |b| b.leading_zeros());
            let size = u32::try_from(modulus.len()).map_err(|_| DerError)?.saturating_mul(8) - top;
            let usual = rsa.positive_integer()? == [1, 0, 1];
            format!("RSA-{size}{}", if usual { "" } else { " with another exponent than 65537" })
        }
        EC_PUBLIC_KEY => match Reader::new(parameters).read(6) {
            Ok(curve) => name(curve),
            Err(_) => "an EC key with parameters instead of a named curve".to_owned(),
        },
        other => name(other),
    })
}

const fn key_name(key: KeyAlgorithm) -> &'static str {
    match key {
        KeyAlgorithm::P256 => "P-256",
        KeyAlgorithm::Ed25519 => "Ed25519",
        KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096 => "RSA",
    }
}

/// What an algorithm, hash or curve is called; its number, if it is not known here.
fn name(oid: &[u8]) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(known, _)| *known == oid) {
        return (*name).to_owned();
    }
    match const_oid::ObjectIdentifier::from_bytes(oid) {
        Ok(oid) => format!("the algorithm {oid}"),
        Err(_) => "an algorithm without a valid number".to_owned(),
    }
}

const RSA_ENCRYPTION: &[u8] = oid::RSA_KEY_IDENTIFIER.split_at(4).1.split_at(9).0;
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const SHA384_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const SHA512_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const ECDSA_WITH_SHA512: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];
const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3];

/// What is met in requests, and has a name that people know.
const NAMES: &[(&[u8], &str)] = &[
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 2], "RSA with MD2"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4], "RSA with MD5"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5], "RSA with SHA-1"),
    (&[0x2b, 14, 3, 2, 29], "RSA with SHA-1"),
    (RSASSA_PSS, "RSASSA-PSS"),
    (SHA256_WITH_RSA, "RSA with SHA-256"),
    (SHA384_WITH_RSA, "RSA with SHA-384"),
    (SHA512_WITH_RSA, "RSA with SHA-512"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 14], "RSA with SHA-224"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 15], "RSA with SHA-512/224"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 16], "RSA with SHA-512/256"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1], "ECDSA with SHA-1"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1], "ECDSA with SHA-224"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], "ECDSA with SHA-256"),
    (ECDSA_WITH_SHA384, "ECDSA with SHA-384"),
    (ECDSA_WITH_SHA512, "ECDSA with SHA-512"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 2], "DSA with SHA-256"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 3], "DSA with SHA-1"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 10], "ECDSA with SHA3-256"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 11], "ECDSA with SHA3-384"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 12], "ECDSA with SHA3-512"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 14], "RSA with SHA3-256"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 15], "RSA with SHA3-384"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 16], "RSA with SHA3-512"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17], "ML-DSA-44"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18], "ML-DSA-65"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 19], "ML-DSA-87"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], "DSA"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1], "P-192"),
    (&[0x2b, 0x81, 4, 0, 10], "secp256k1"),
    (&[0x2b, 0x81, 4, 0, 33], "P-224"),
    (&[0x2b, 0x81, 4, 0, 34], "P-384"),
    (&[0x2b, 0x81, 4, 0, 35], "P-521"),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7], "brainpoolP256r1"),
    (&[0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11], "brainpoolP384r1"),
    (&[0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x82, 0x2d], "SM2"),
    (&[0x2b, 0x65, 110], "X25519"),
    (&[0x2b, 0x65, 111], "X448"),
    (&[0x2b, 0x65, 112], "Ed25519"),
    (&[0x2b, 0x65, 113], "Ed448"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 2, 5], "MD5"),
    (SHA1, "SHA-1"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 4], "SHA-224"),
];
