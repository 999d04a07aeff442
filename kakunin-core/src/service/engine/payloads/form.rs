//! How a payload is stored: payload and salt encrypted as one, so that neither says anything without the key.
//!
//! Of what is encrypted, the last 32 octets lie where the salt lay, and the rest where the payload lay, and after it the
//! tag, the name of the key if it is one of an agent and month, and one octet that says so. Payloads of before are JSON
//! objects, which end with a brace.
//!
//! The nonce is the first 12 octets of the leaf's commitment, which no two payloads share, and the rest is authenticated: a
//! payload is opened beside its own leaf and no other.

use super::aead::{Cipher, NONCE, TAG};
use crate::log::entry::Payload;

/// Last octet of what is under the log's own key.
const OF_LOG: u8 = 1;
/// Last octet of what is under a key of an agent and month, before which its name stands.
const OF_MONTH: u8 = 2;

/// What tells a key from others of the same agent and month: 8 random octets.
pub(super) type KeyId = [u8; 8];

/// What a payload is stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Under {
    /// Nothing: it is one of before.
    Nothing,
    /// The log's own key.
    Log,
    /// A key of its agent and month.
    Month(KeyId),
}

/// What this payload, as it is stored, is under.
pub(super) fn under(stored: &Payload) -> Under {
    match stored.octets.split_last() {
        Some((&OF_LOG, _)) => Under::Log,
        Some((&OF_MONTH, rest)) => rest.last_chunk().map_or(Under::Nothing, |id| Under::Month(*id)),
        _ => Under::Nothing,
    }
}

/// Encrypts a payload beside a leaf with this commitment; `None` if that fails.
pub(super) fn close(
    payload: &mut Payload,
    commitment: &[u8; 32],
    cipher: &Cipher,
    id: Option<&KeyId>,
) -> Option<()> {
    let Payload { salt, octets } = payload;
    octets.reserve(salt.len() + TAG + size_of::<KeyId>() + 1);
    octets.extend_from_slice(salt);
    let (nonce, aad) = commitment.split_first_chunk::<NONCE>()?;
    let tag = cipher.seal(*nonce, aad, octets)?;
    salt.copy_from_slice(octets.last_chunk::<32>()?);
    octets.truncate(octets.len() - salt.len());
    octets.extend_from_slice(&tag);
    octets.extend(id.into_iter().flatten());
    octets.push(if id.is_some() { OF_MONTH } else { OF_LOG });
    Some(())
}

/// Decrypts a payload beside a leaf with this commitment; `None` if it is not of this key and leaf.
pub(super) fn open(stored: Payload, commitment: &[u8; 32], cipher: &Cipher) -> Option<Payload> {
    let after = match under(&stored) {
        Under::Nothing => return Some(stored),
        Under::Log => 1,
        Under::Month(id) => id.len() + 1,
    };
    let Payload { mut salt, mut octets } = stored;
    octets.truncate(octets.len().checked_sub(after)?);
    let tag = *octets.last_chunk::<TAG>()?;
    octets.truncate(octets.len() - TAG);
    octets.extend_from_slice(&salt);
    let (nonce, aad) = commitment.split_first_chunk::<NONCE>()?;
    cipher.open(*nonce, aad, &mut octets, &tag)?;
    salt.copy_from_slice(octets.last_chunk::<32>()?);
    octets.truncate(octets.len() - salt.len());
    Some(Payload { salt, octets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_closed_is_opened_beside_its_leaf_and_says_nothing_else() {
        let [one, other] = [[1; 32], [2; 32]].map(|key| Cipher::new(&key).unwrap());
        for octets in [b"{}".to_vec(), vec![b'a'; 16_384]] {
            let payload = Payload { salt: [7; 32], octets };
            let commitment = payload.commitment();
            for id in [None, Some([5; 8])] {
                let mut stored = payload.clone();
                close(&mut stored, &commitment, &one, id.as_ref()).unwrap();
                assert_eq!(under(&stored), id.map_or(Under::Log, Under::Month));
                let more = TAG + id.map_or(0, |id| id.len()) + 1;
                assert_eq!(stored.octets.len(), payload.octets.len() + more);
                assert_ne!(stored.salt, payload.salt, "who has the salt tries payloads");
                assert!(!stored.octets.starts_with(&payload.octets));
                assert_eq!(open(stored.clone(), &commitment, &one).as_ref(), Some(&payload));
                assert_eq!(open(stored.clone(), &commitment, &other), None);
                assert_eq!(open(stored.clone(), &[0; 32], &one), None, "beside another leaf");
                for changed in [0, stored.octets.len() / 2, stored.octets.len() - more] {
                    let mut changed_one = stored.clone();
                    changed_one.octets[changed] ^= 1;
                    assert_eq!(open(changed_one, &commitment, &one), None);
                }
                let mut changed = stored.clone();
                changed.salt[0] ^= 1;
                assert_eq!(open(changed, &commitment, &one), None);
            }
        }
    }

    #[test]
    fn whatever_else_lies_there_is_passed_on_or_refused() {
        let cipher = Cipher::new(&[1; 32]).unwrap();
        let stored = |octets: &[u8]| Payload { salt: [7; 32], octets: octets.to_vec() };
        for plain in [&b"{\"a\":1}"[..], b"", b"x"] {
            assert_eq!(open(stored(plain), &[0; 32], &cipher), Some(stored(plain)), "one of before");
        }
        for broken in [&[OF_LOG][..], &[OF_MONTH], &[0; 10], &[OF_LOG; 17], &[OF_MONTH; 25], &[OF_MONTH; 40]]
        {
            let opened = open(stored(broken), &[0; 32], &cipher);
            assert!(opened.is_none() || opened == Some(stored(broken)), "{broken:?}");
        }
    }
}
