//! [`Signer`](crate::key::Signer), of whatever provider opens it.

use super::at_once;
use crate::crypto::PublicKey;
use crate::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, SignError};

/// Every property. Makes keys under planned ids that begin with `seed` and the few numbers after it.
///
/// # Panics
/// If one does not hold.
pub async fn all(keys: &dyn KeyProvider, algorithm: KeyAlgorithm, seed: u8, longest_whole: Option<usize>) {
    let limit = longest_whole.filter(|_| algorithm == KeyAlgorithm::Ed25519);
    signatures_verify_and_belong_to_their_message(keys, algorithm, seed, limit).await;
    the_public_key_is_constant(keys, algorithm, seed + 1).await;
    rsa_and_ed25519_sign_the_same_octets_again(keys, algorithm, seed + 2).await;
    sixty_four_signatures_at_once(keys, algorithm, seed + 3).await;
    only_rsa_signs_pss(keys, algorithm, seed + 4).await;
}

/// RSA keys sign with PSS and draw a salt for each signature; others say that they do not. That the
/// signature verifies is for a verifier of TLS to say: this crate has none for PSS.
pub async fn only_rsa_signs_pss(keys: &dyn KeyProvider, algorithm: KeyAlgorithm, seed: u8) {
    let key = keys.generate(&id(seed, 0), algorithm).await.unwrap();
    let signer = keys.open(&key).await.unwrap();
    let rsa = matches!(algorithm, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096);
    match (signer.sign_pss(b"m").await, signer.sign_pss(b"m").await) {
        (Ok(one), Ok(two)) => {
            assert!(rsa && one != two);
            assert_eq!(one.as_bytes().len(), algorithm.signature_len());
        }
        (one, _) => assert!(!rsa && matches!(one, Err(SignError::Unsupported(_))), "{one:?}"),
    }
}

/// A signature verifies under the public key, and over nothing but its message. A message that is longer
/// than the provider's limit is refused, and not cut.
pub async fn signatures_verify_and_belong_to_their_message(
    keys: &dyn KeyProvider,
    algorithm: KeyAlgorithm,
    seed: u8,
    limit: Option<usize>,
) {
    let key = keys.generate(&id(seed, 0), algorithm).await.unwrap();
    let signer = keys.open(&key).await.unwrap();
    assert_eq!((signer.algorithm(), signer.public_key().algorithm()), (algorithm, algorithm));
    let public = PublicKey::parse(signer.public_key()).unwrap();
    if let Some(limit) = limit {
        let long = signer.sign(&vec![7; limit + 1]).await;
        assert!(matches!(long, Err(SignError::TooLong { limit: l, .. }) if l == limit), "{long:?}");
    }
    for message in [&b""[..], b"message", &vec![7; limit.unwrap_or(10_000)]] {
        let signature = signer.sign(message).await.unwrap();
        assert_eq!(public.verify(message, signature.as_bytes()), Ok(()));
        assert!(public.verify(b"another", signature.as_bytes()).is_err());
        assert!(signature.as_bytes().len() <= algorithm.signature_len());
    }
}

/// Opening a key again gives the same public key.
pub async fn the_public_key_is_constant(keys: &dyn KeyProvider, algorithm: KeyAlgorithm, seed: u8) {
    let key = keys.generate(&id(seed, 0), algorithm).await.unwrap();
    let first = keys.open(&key).await.unwrap();
    first.sign(b"m").await.unwrap();
    assert_eq!(first.public_key(), keys.open(&key).await.unwrap().public_key());
}

/// Only ECDSA draws a number for each signature.
pub async fn rsa_and_ed25519_sign_the_same_octets_again(
    keys: &dyn KeyProvider,
    algorithm: KeyAlgorithm,
    seed: u8,
) {
    let key = keys.generate(&id(seed, 0), algorithm).await.unwrap();
    let (one, two) = (keys.open(&key).await.unwrap(), keys.open(&key).await.unwrap());
    let (first, again) = (one.sign(b"m").await.unwrap(), two.sign(b"m").await.unwrap());
    assert!(algorithm == KeyAlgorithm::P256 || first == again, "{algorithm:?}");
}

/// Sixty-four calls at once all give a signature that verifies.
pub async fn sixty_four_signatures_at_once(keys: &dyn KeyProvider, algorithm: KeyAlgorithm, seed: u8) {
    let key = keys.generate(&id(seed, 0), algorithm).await.unwrap();
    let signer = keys.open(&key).await.unwrap();
    let public = PublicKey::parse(signer.public_key()).unwrap();
    at_once(64, |i| {
        let (signer, public) = (signer.clone(), &public);
        async move {
            let message = i.to_be_bytes();
            let signature = signer.sign(&message).await.unwrap();
            assert_eq!(public.verify(&message, signature.as_bytes()), Ok(()));
        }
    });
}

/// The planned id of the `n`th key of a test.
pub(super) fn id(seed: u8, n: u8) -> PlannedKeyId {
    let mut octets = [0x5a; 16];
    (octets[0], octets[1]) = (seed, n);
    PlannedKeyId::new(octets)
}
