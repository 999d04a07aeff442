//! Keys of each algorithm that signs certificates.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use kakunin_core::id::IssuerId;
use kakunin_core::key::Spki;
use kakunin_core::x509::oid;

use super::encode;

pub enum Key {
    P256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Key {
    pub fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    /// The same key in every run.
    pub fn fixed(secret: u8) -> Self {
        let der = encode(|w| {
            w.sequence(|w| {
                w.unsigned(&[1]).element(0x04, &[secret; 32]);
                w.nested(0xa0, |w| _ = w.oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]));
            });
        });
        Self::P256(EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).unwrap())
    }

    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub fn algorithm(&self) -> &'static [u8] {
        match self {
            Self::P256(_) => oid::ECDSA_WITH_SHA256_IDENTIFIER,
            Self::Rsa(_) => oid::SHA256_WITH_RSA_IDENTIFIER,
            Self::Ed25519(_) => oid::ED25519_IDENTIFIER,
        }
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match self {
            Self::P256(key) => key.sign(&rng, message).unwrap().as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &rng, message, &mut signature).unwrap();
                signature
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    pub fn spki(&self) -> Vec<u8> {
        let (identifier, bits) = match self {
            Self::P256(key) => (oid::P256_KEY_IDENTIFIER, key.public_key().as_ref()),
            Self::Rsa(key) => (oid::RSA_KEY_IDENTIFIER, key.public_key().as_ref()),
            Self::Ed25519(key) => (oid::ED25519_IDENTIFIER, key.public_key().as_ref()),
        };
        encode(|w| _ = w.sequence(|w| _ = w.raw(identifier).bit_string(bits)))
    }

    pub fn id(&self) -> IssuerId {
        Spki::from_der(&self.spki()).unwrap().key_id()
    }

    pub fn pkcs8(&self) -> Vec<u8> {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let der: Pkcs8V1Der<'_> = match self {
            Self::P256(key) => return key.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Self::Rsa(key) => key.as_der().unwrap(),
            Self::Ed25519(key) => key.as_der().unwrap(),
        };
        der.as_ref().to_vec()
    }
}
