//! [`KeyProvider`].

use std::sync::Arc;

use super::at_once;
use super::signer::{self, id};
use crate::crypto::PublicKey;
use crate::key::{HeldKey, KeyAlgorithm, KeyProvider, KeyRef, SignError};

/// What a backend makes. A backend says here what it cannot do, instead of skipping tests.
#[derive(Clone, Debug)]
pub struct Abilities {
    /// The algorithms it makes keys of.
    pub algorithms: Vec<KeyAlgorithm>,
    /// The longest message that it signs whole, as Ed25519 demands, in octets.
    pub longest_whole: Option<usize>,
}

/// Every property, those of [`signer`] among them, but surviving a restart, which needs
/// [`survives_reopening`].
pub async fn all(keys: &dyn KeyProvider, abilities: &Abilities) {
    for (n, algorithm) in abilities.algorithms.iter().enumerate() {
        let seed = u8::try_from(n).unwrap() * 16;
        signer::all(keys, *algorithm, seed, abilities.longest_whole).await;
        generating_is_idempotent_by_planned_id(keys, *algorithm, seed + 8).await;
        a_disabled_key_refuses_until_enabled(keys, *algorithm, seed + 9).await;
        a_retired_key_refuses_for_ever(keys, *algorithm, seed + 10).await;
    }
    let algorithm = abilities.algorithms[0];
    the_list_shows_what_is_not_retired(keys, algorithm, 200).await;
    an_unknown_key_is_not_found(keys).await;
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
    // Nothing was granted of it, and ending that is no failure.
    keys.ungrant(&key).await.unwrap();
    keys.retire(&key).await.unwrap();
    keys.retire(&key).await.unwrap();
    assert!(matches!(keys.enable(&key).await, Err(SignError::Refused { .. })));
    assert!(matches!(keys.disable(&key).await, Err(SignError::Refused { .. })));
    assert!(matches!(before.sign(b"m").await, Err(SignError::Refused { .. })));
    if let Ok(after) = keys.open(&key).await {
        assert!(matches!(after.sign(b"m").await, Err(SignError::Refused { .. })));
    }
    // A provider may refuse the planned id now, or name the key it was; a second key it does not make.
    if let Ok(again) = keys.generate(&id(seed, 0), algorithm).await {
        assert_eq!(again, key);
    }
    assert!(keys.list().await.unwrap().iter().all(|k| k.planned != id(seed, 0)));
}

/// The list shows every key that stands, disabled ones among them, once, and no retired one.
pub async fn the_list_shows_what_is_not_retired(keys: &dyn KeyProvider, algorithm: KeyAlgorithm, seed: u8) {
    let mut made = Vec::new();
    for n in 0..3 {
        made.push(keys.generate(&id(seed, n), algorithm).await.unwrap());
    }
    keys.disable(&made[1]).await.unwrap();
    keys.retire(&made[2]).await.unwrap();
    let held = |n: u8| HeldKey { planned: id(seed, n), key: made[usize::from(n)].clone() };
    let mut list = keys.list().await.unwrap();
    list.retain(|k| (0..=u8::MAX).any(|n| k.planned == id(seed, n)));
    list.sort_by(|a, b| a.planned.cmp(&b.planned));
    assert_eq!(list, [held(0), held(1)]);
    assert_eq!(keys.find(&id(seed, 1)).await.unwrap(), [made[1].clone()]);
    assert_eq!(keys.find(&id(seed, 2)).await.unwrap(), []);
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
