//! The two seams behind which private keys stay.

use core::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{HeldKey, KeyAlgorithm, KeyRef, PlannedKeyId, SignError, Signature, Spki};
use crate::grant::{KeyGrant, Principal};

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
    /// what was decided by [`Kakunin::run`](crate::service::Kakunin::run), and nobody waits for it.
    fn is_near(&self) -> bool;

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

    /// Ends every grant that [`KeyProvider::grant`] gave of a key. Ending none succeeds.
    ///
    /// # Errors
    /// As [`KeyProvider::disable`].
    async fn ungrant(&self, _: &KeyRef) -> Result<(), SignError> {
        Ok(())
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
