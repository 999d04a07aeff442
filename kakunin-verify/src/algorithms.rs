//! Signature algorithms of `kakunin-core` behind the seam of rustls-webpki, so that issuers are
//! validated by the same code on every platform.

use kakunin_core::crypto::{Backend, PublicKey};
use kakunin_core::key::Spki;
use kakunin_core::x509::{der::Writer, oid};
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

/// One signature algorithm with the one kind of key it goes with.
#[derive(Clone, Copy, Debug)]
pub struct Algorithm {
    backend: Backend,
    key_identifier: &'static [u8],
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
}

impl Algorithm {
    /// RSA PKCS#1 v1.5 and ECDSA over P-256, both with SHA-256, and Ed25519.
    #[must_use]
    pub const fn all(backend: Backend) -> [Self; 3] {
        [
            Self {
                backend,
                key_identifier: oid::RSA_KEY_IDENTIFIER,
                key: alg_id::RSA_ENCRYPTION,
                signature: alg_id::RSA_PKCS1_SHA256,
            },
            Self {
                backend,
                key_identifier: oid::P256_KEY_IDENTIFIER,
                key: alg_id::ECDSA_P256,
                signature: alg_id::ECDSA_SHA256,
            },
            Self {
                backend,
                key_identifier: oid::ED25519_IDENTIFIER,
                key: alg_id::ED25519,
                signature: alg_id::ED25519,
            },
        ]
    }
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let mut spki = Writer::new();
        spki.sequence(|w| _ = w.raw(self.key_identifier).bit_string(public_key));
        // Weak keys end here too.
        let spki = Spki::from_der(&spki.into_bytes()).map_err(|_| InvalidSignature)?;
        let key = PublicKey::with_backend(&spki, self.backend).map_err(|_| InvalidSignature)?;
        key.verify(message, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}
