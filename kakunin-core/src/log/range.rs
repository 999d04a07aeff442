//! Range proofs: that leaves which follow each other are in a log, at which places, and that nothing is missing between
//! them. See `docs/AUDIT-LOG.md`.

use core::ops::Range;

use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::merkle::{BadProof, Hash, MAX_PROOF_LEN, node_hash, root};
use super::note::VerifierKey;
use super::proof::ProofError;

/// Proof that leaves which follow each other are in a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeProof {
    /// Index of the first of them.
    pub first: u64,
    /// Roots of the full subtrees before them, from left to right.
    #[serde(with = "texts")]
    pub left: Vec<Hash>,
    /// Roots of the subtrees after them, from left to right.
    #[serde(with = "texts")]
    pub right: Vec<Hash>,
    /// Signed note over the log with all of them in it.
    pub checkpoint: String,
}

impl RangeProof {
    /// Checks that leaves with these hashes are in the log of `key` from [`RangeProof::first`] on, and gives the
    /// checkpoint that says so.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn verify(&self, leaves: &[Hash], key: &VerifierKey) -> Result<Checkpoint, ProofError> {
        let signed = Checkpoint::open(&self.checkpoint, key)?;
        verify_range((self.first, leaves), (&self.left, &self.right), (signed.size, &signed.root))?;
        Ok(signed)
    }
}

/// Checks that leaves with these hashes, at least one, stand from index `first` on in the tree of `size` leaves with this
/// root, by the hashes left and right of them.
///
/// # Errors
/// [`BadProof`].
pub fn verify_range(
    (first, leaves): (u64, &[Hash]),
    (left, right): (&[Hash], &[Hash]),
    (size, root): (u64, &Hash),
) -> Result<(), BadProof> {
    let end = u64::try_from(leaves.len()).ok().and_then(|count| first.checked_add(count));
    let end = end.filter(|end| *end <= size && !leaves.is_empty()).ok_or(BadProof)?;
    if left.len().max(right.len()) > MAX_PROOF_LEN {
        return Err(BadProof);
    }
    let mut rest = Rest { range: first..end, leaves, left: left.iter(), right: right.iter() };
    let found = rest.root(&(0..size)).ok_or(BadProof)?;
    let used = rest.left.next().is_none() && rest.right.next().is_none();
    if used && found == *root { Ok(()) } else { Err(BadProof) }
}

/// What of a proof was not used yet.
struct Rest<'p> {
    range: Range<u64>,
    leaves: &'p [Hash],
    left: core::slice::Iter<'p, Hash>,
    right: core::slice::Iter<'p, Hash>,
}

impl Rest<'_> {
    /// The root over this part of the tree.
    fn root(&mut self, span: &Range<u64>) -> Option<Hash> {
        let range = &self.range;
        if span.end <= range.start {
            return self.left.next().copied();
        }
        if span.start >= range.end {
            return self.right.next().copied();
        }
        if range.start <= span.start && span.end <= range.end {
            let from = usize::try_from(span.start - range.start).ok()?;
            let to = usize::try_from(span.end - range.start).ok()?;
            return self.leaves.get(from..to).map(root);
        }
        // It is partly of the range, so it has two leaves at least.
        let middle = span.start + (1 << (span.end - span.start - 1).ilog2());
        let left = self.root(&(span.start..middle))?;
        Some(node_hash(&left, &self.root(&(middle..span.end))?))
    }
}

/// Hashes as base64.
mod texts {
    use base64ct::{Base64, Encoding};
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    use super::super::merkle::Hash;

    pub(super) fn serialize<S: Serializer>(hashes: &[Hash], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(hashes.iter().map(|hash| Base64::encode_string(hash)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Hash>, D::Error> {
        let of = |text: &String| {
            let mut hash = [0; 32];
            let whole = Base64::decode(text, &mut hash).is_ok_and(|octets| octets.len() == 32);
            whole.then_some(hash).ok_or_else(|| D::Error::custom("a hash is not 32 octets in base64"))
        };
        Vec::<String>::deserialize(from)?.iter().map(of).collect()
    }
}
