//! [`KeyProvider`] and [`Signer`](crate::key::Signer).

use std::sync::Arc;

use super::at_once;
use crate::crypto::PublicKey;
use crate::key::{KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError};

/// What a backend makes. A backend says here what it cannot do, instead of skipping tests.
#[derive(Clone, Debug)]
pub struct Abilities {
    /// The algorithms it makes keys of.
    pub algorithms: Vec<KeyAlgorithm>,
}

/// Every property but surviving a restart, which needs [`survives_reopening`].
pub async fn all(keys: &dyn KeyProvider, abilities: &Abilities) {
    for (n, algorithm) in abilities.algorithms.iter().enumerate() {
        let seed = u8::try_from(n).unwrap() * 16;
        signatures_verify_and_belong_to_their_message(keys, *algorithm, seed).await;
        the_public_key_is_constant(keys, *algorithm, seed + 1).await;
        generating_is_idempotent_by_planned_id(keys, *algorithm, seed + 2).await;
        a_disabled_key_refuses_until_enabled(keys, *algorithm, seed + 3).await;
        a_retired_key_refuses_for_ever(keys, *algorithm, seed + 4).await;
        sixty_four_signatures_at_once(keys, *algorithm, seed + 5).await;
    }
    let algorithm = abilities.algorithms[0];
    the_list_shows_what_is_not_retired(keys, algorithm, 200).await;
    an_unknown_key_is_not_found(keys).await;
}

fn id(seed: u8, n: u8) -> PlannedKeyId {
    let mut octets = [0x5a; 16];
    (octets[0], octets[1]) = (seed, n);
    PlannedKeyId::new(octets)
}

/// A signature verifies under the public key, and over nothing but its message.
pub async fn signatures_verify_and_belong_to_their_message(
    keys: &dyn KeyProvider,
    algorithm: KeyAlgorithm,
    seed: u8,
) {
    let key = keys.generate(&id(seed, 0), algorithm).await.unwrap();
    let signer = keys.open(&key).await.unwrap();
    assert_eq!(signer.algorithm(), algorithm);
    let public = PublicKey::parse(signer.public_key()).unwrap();
    for message in [&b""[..], b"message", &[7; 10_000]] {
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
    assert_eq!(first.public_key(), keys.open(&key).await.unwrap().public_key());
}

/// One planned id gives one key, also when several ask at once; another id gives another key.
pub async fn generating_is_idempotent_by_planned_id(
    keys: &dyn KeyProvider,
    algorithm: KeyAlgorithm,
    seed: u8,
) {
    let planned = id(seed, 0);
    let made = at_once(4, |_| keys.generate(&planned, algorithm));
    let made: Vec<KeyRef> = made.into_iter().map(Result::unwrap).collect();
    assert!(made.windows(2).all(|w| w[0] == w[1]), "{made:?}");
    let again = keys.generate(&id(seed, 0), algorithm).await.unwrap();
    let other = keys.generate(&id(seed, 1), algorithm).await.unwrap();
    assert!(again == made[0] && other != made[0]);
    let (a, b) = (keys.open(&again).await.unwrap(), keys.open(&other).await.unwrap());
    assert_ne!(a.public_key(), b.public_key());
}

/// Disabling reaches signers that were opened before, and enabling ends it.
pub async fn a_disabled_key_refuses_until_enabled(keys: &dyn KeyProvider, algorithm: KeyAlgorithm, seed: u8) {
    let key = keys.generate(&id(seed, 0), algorithm).await.unwrap();
    let before = keys.open(&key).await.unwrap();
    keys.disable(&key).await.unwrap();
    keys.disable(&key).await.unwrap();
    assert!(matches!(before.sign(b"m").await, Err(SignError::Refused { .. })));
    if let Ok(after) = keys.open(&key).await {
        assert!(matches!(after.sign(b"m").await, Err(SignError::Refused { .. })));
    }
    keys.enable(&key).await.unwrap();
    before.sign(b"m").await.unwrap();
}

/// A retired key never signs again, whatever is tried; retiring it again succeeds.
pub async fn a_retired_key_refuses_for_ever(keys: &dyn KeyProvider, algorithm: KeyAlgorithm, seed: u8) {
    let key = keys.generate(&id(seed, 0), algorithm).await.unwrap();
    let before = keys.open(&key).await.unwrap();
    keys.retire(&key).await.unwrap();
    keys.retire(&key).await.unwrap();
    assert!(matches!(keys.enable(&key).await, Err(SignError::Refused { .. })));
    assert!(matches!(keys.disable(&key).await, Err(SignError::Refused { .. })));
    assert!(matches!(before.sign(b"m").await, Err(SignError::Refused { .. })));
    if let Ok(after) = keys.open(&key).await {
        assert!(matches!(after.sign(b"m").await, Err(SignError::Refused { .. })));
    }
}

/// The list shows keys that stand, disabled ones among them, and no retired one.
pub async fn the_list_shows_what_is_not_retired(keys: &dyn KeyProvider, algorithm: KeyAlgorithm, seed: u8) {
    let mut made = Vec::new();
    for n in 0..3 {
        made.push(keys.generate(&id(seed, n), algorithm).await.unwrap());
    }
    keys.disable(&made[1]).await.unwrap();
    keys.retire(&made[2]).await.unwrap();
    let list = keys.list().await.unwrap();
    let shown = |n: u8| list.iter().any(|k| k.planned == id(seed, n) && k.key == made[usize::from(n)]);
    assert_eq!([0, 1, 2].map(shown), [true, true, false]);
}

/// A reference to nothing is [`SignError::NotFound`], for every call.
pub async fn an_unknown_key_is_not_found(keys: &dyn KeyProvider) {
    for text in ["local:00000000000000000000000000000000", "", "nonsense"] {
        let key = KeyRef::new(text);
        assert!(matches!(keys.open(&key).await, Err(SignError::NotFound(_))));
        assert!(matches!(keys.disable(&key).await, Err(SignError::NotFound(_))));
        assert!(matches!(keys.enable(&key).await, Err(SignError::NotFound(_))));
        assert!(matches!(keys.retire(&key).await, Err(SignError::NotFound(_))));
    }
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

/// After a restart every key is what it was: the enabled one signs with the same public key, the
/// disabled one refuses until enabled, the retired one refuses for ever.
pub async fn survives_reopening(open: impl Fn() -> Arc<dyn KeyProvider>, algorithm: KeyAlgorithm) {
    let keys = open();
    let mut made = Vec::new();
    for n in 0..3 {
        made.push(keys.generate(&id(250, n), algorithm).await.unwrap());
    }
    let spki = keys.open(&made[0]).await.unwrap().public_key().clone();
    keys.disable(&made[1]).await.unwrap();
    keys.retire(&made[2]).await.unwrap();
    drop(keys);
    let keys = open();
    let signer = keys.open(&made[0]).await.unwrap();
    assert_eq!(*signer.public_key(), spki);
    let signature = signer.sign(b"m").await.unwrap();
    assert_eq!(PublicKey::parse(&spki).unwrap().verify(b"m", signature.as_bytes()), Ok(()));
    let disabled = keys.open(&made[1]).await.unwrap();
    assert!(matches!(disabled.sign(b"m").await, Err(SignError::Refused { .. })));
    keys.enable(&made[1]).await.unwrap();
    disabled.sign(b"m").await.unwrap();
    assert!(matches!(keys.enable(&made[2]).await, Err(SignError::Refused { .. })));
    assert_eq!(keys.generate(&id(250, 0), algorithm).await.unwrap(), made[0]);
}
