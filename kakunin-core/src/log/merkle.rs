//! RFC 6962 Merkle tree (SHA-256): hashing, the frontier that appends need, proofs and their checks.

use sha2::{Digest, Sha256};

/// A node or leaf hash.
pub type Hash = [u8; 32];

/// Longest proof there can be: one hash a level.
pub(crate) const MAX_PROOF_LEN: usize = 64;

/// Hash of a leaf: `SHA-256(0x00 || leaf)`.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// Hash of an inner node: `SHA-256(0x01 || left || right)`.
#[must_use]
pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// Root of the empty tree: `SHA-256("")`.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// All that appending needs: the size, and one root a set bit of it, the largest subtree first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    roots: Vec<Hash>,
}

impl Frontier {
    /// Takes a stored frontier, if it has one root for each set bit of `size`.
    #[must_use]
    pub fn from_parts(size: u64, roots: Vec<Hash>) -> Option<Self> {
        (u32::try_from(roots.len()) == Ok(size.count_ones())).then_some(Self { size, roots })
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The subtree roots.
    #[must_use]
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Appends a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// Root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut right_to_left = self.roots.iter().rev();
        let Some(last) = right_to_left.next() else {
            return empty_root();
        };
        right_to_left.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Root over leaf hashes: `MTH`.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split_point(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// Inclusion proof of leaf `index`: `PATH`. Empty if there is no such leaf.
#[must_use]
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() <= 1 || index >= leaves.len() {
        return Vec::new();
    }
    let k = split_point(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if index < k {
        (inclusion_proof(left, index), root(right))
    } else {
        (inclusion_proof(right, index - k), root(left))
    };
    path.push(sibling);
    path
}

/// Consistency proof from the first `m` leaves to all of them: `PROOF`. Empty for `m` of 0 or all.
#[must_use]
pub fn consistency_proof(leaves: &[Hash], m: usize) -> Vec<Hash> {
    if m == 0 || m >= leaves.len() { Vec::new() } else { subproof(leaves, m, true) }
}

fn subproof(leaves: &[Hash], m: usize, whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![root(leaves)] };
    }
    let k = split_point(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if m <= k {
        (subproof(left, m, whole), root(right))
    } else {
        (subproof(right, m - k, false), root(left))
    };
    path.push(sibling);
    path
}

/// A proof that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not lead to this root")]
pub struct BadProof;

/// Checks an inclusion proof (RFC 9162, 2.1.3.2).
///
/// # Errors
/// [`BadProof`].
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), BadProof> {
    if index >= size || proof.len() > MAX_PROOF_LEN {
        return Err(BadProof);
    }
    let (mut fnode, mut snode, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if snode == 0 {
            return Err(BadProof);
        }
        if fnode & 1 == 1 || fnode == snode {
            hash = node_hash(sibling, &hash);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    if snode == 0 && hash == *root { Ok(()) } else { Err(BadProof) }
}

/// Checks a consistency proof (RFC 9162, 2.1.4.2; size 0 as C2SP tlog-witness has it).
///
/// # Errors
/// [`BadProof`].
pub fn verify_consistency(
    (first, first_root): (u64, &Hash),
    (second, second_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), BadProof> {
    let holds = |ok: bool| if ok { Ok(()) } else { Err(BadProof) };
    if first > second || proof.len() > MAX_PROOF_LEN {
        return Err(BadProof);
    }
    if first == second {
        return holds(proof.is_empty() && first_root == second_root);
    }
    if first == 0 {
        return holds(proof.is_empty() && *first_root == empty_root());
    }
    let (start, rest) = match proof {
        _ if first.is_power_of_two() => (first_root, proof),
        [start, rest @ ..] => (start, rest),
        [] => return Err(BadProof),
    };
    let shift = (first - 1).trailing_ones();
    let (mut fnode, mut snode) = ((first - 1) >> shift, (second - 1) >> shift);
    let (mut old, mut new) = (*start, *start);
    for sibling in rest {
        if snode == 0 {
            return Err(BadProof);
        }
        if fnode & 1 == 1 || fnode == snode {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    holds(snode == 0 && old == *first_root && new == *second_root)
}

// Largest power of two below `len`, for `len` of 2 or more.
const fn split_point(len: usize) -> usize {
    1 << (usize::BITS - 1 - (len - 1).leading_zeros())
}
