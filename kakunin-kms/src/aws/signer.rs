//! One key that signs.

use std::fmt;

use async_trait::async_trait;
use aws_sdk_kms::types::SigningAlgorithmSpec;
use kakunin_core::key::{KeyAlgorithm, SignError, Signature, Signer, Spki};

use super::client::AwsKeys;
use super::reference::reference;

/// The longest message that is sent whole (AWS KMS API, `Sign`, `Message`).
const RAW_LIMIT: usize = 4_096;

pub(super) struct Key {
    pub(super) arn: String,
    pub(super) spki: Spki,
    pub(super) provider: AwsKeys,
}

impl Key {
    async fn sign_as(&self, how: SigningAlgorithmSpec, message: &[u8]) -> Result<Signature, SignError> {
        let digest = how != SigningAlgorithmSpec::Ed25519Sha512;
        if !digest && message.len() > RAW_LIMIT {
            return Err(SignError::TooLong { key: reference(&self.arn), limit: RAW_LIMIT });
        }
        let message = if digest {
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message).as_ref().to_vec()
        } else {
            message.to_vec()
        };
        let (keys, arn, algorithm) = (self.provider.keys.clone(), self.arn.clone(), self.algorithm());
        let work = async move { keys.sign(&arn, algorithm, how, message).await };
        self.provider.run("sign", reference(&self.arn).as_str(), work).await
    }
}

#[async_trait]
impl Signer for Key {
    fn algorithm(&self) -> KeyAlgorithm {
        self.spki.algorithm()
    }

    fn public_key(&self) -> &Spki {
        &self.spki
    }

    async fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        let how = match self.algorithm() {
            KeyAlgorithm::P256 => SigningAlgorithmSpec::EcdsaSha256,
            KeyAlgorithm::Ed25519 => SigningAlgorithmSpec::Ed25519Sha512,
            _ => SigningAlgorithmSpec::RsassaPkcs1V15Sha256,
        };
        self.sign_as(how, message).await
    }

    async fn sign_pss(&self, message: &[u8]) -> Result<Signature, SignError> {
        match self.algorithm() {
            other @ (KeyAlgorithm::P256 | KeyAlgorithm::Ed25519) => Err(SignError::Unsupported(other)),
            _ => self.sign_as(SigningAlgorithmSpec::RsassaPssSha256, message).await,
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", reference(&self.arn), self.spki)
    }
}
