//! Which full subtrees a proof is made of. Each of its hashes is the root over a span of leaves, and each span is a few
//! full subtrees, whose roots never change: whoever keeps those makes any proof in a time that does not grow with the log.

use core::ops::Range;

use super::merkle::{Frontier, Hash, node_hash};

/// A full subtree: `2^level` leaves from `index * 2^level` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subtree {
    /// Its height; 0 is a leaf.
    pub level: u8,
    /// Its place among those of its height, from 0.
    pub index: u64,
}

impl Subtree {
    /// Its leaves; `None` if it ends beyond what 64 bits count.
    #[must_use]
    pub fn leaves(self) -> Option<Range<u64>> {
        let width = 1_u64.checked_shl(self.level.into())?;
        let start = self.index.checked_mul(width)?;
        Some(start..start.checked_add(width)?)
    }

    /// Its left and right half; `None` for a leaf.
    #[must_use]
    pub fn halves(self) -> Option<(Self, Self)> {
        let (level, index) = (self.level.checked_sub(1)?, self.index.checked_mul(2)?);
        Some((Self { level, index }, Self { level, index: index + 1 }))
    }
}

/// What a range proof says beside the leaves: the spans before them and after them, each from left to right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Before the range.
    pub left: Vec<Range<u64>>,
    /// After it.
    pub right: Vec<Range<u64>>,
}

/// The spans of an inclusion proof (`PATH`), the leaf's sibling first. Empty if there is no such leaf.
#[must_use]
pub fn inclusion(index: u64, size: u64) -> Vec<Range<u64>> {
    if index >= size {
        return Vec::new();
    }
    let (mut low, mut high, mut spans) = (0, size, Vec::new());
    while high - low > 1 {
        let middle = low + split_point(high - low);
        if index < middle {
            spans.push(middle..high);
            high = middle;
        } else {
            spans.push(low..middle);
            low = middle;
        }
    }
    spans.reverse();
    spans
}

/// The spans of a consistency proof (`PROOF`) from `first` leaves to `size`. Empty for `first` of 0, `size`, or more.
#[must_use]
pub fn consistency(first: u64, size: u64) -> Vec<Range<u64>> {
    if first == 0 || first >= size {
        return Vec::new();
    }
    let (mut low, mut high, mut spans) = (0, size, Vec::new());
    while first < high {
        let middle = low + split_point(high - low);
        if first <= middle {
            spans.push(middle..high);
            high = middle;
        } else {
            spans.push(low..middle);
            low = middle;
        }
    }
    // Whoever has the smaller tree knows its root.
    if low > 0 {
        spans.push(low..high);
    }
    spans.reverse();
    spans
}

/// The spans of a range proof: the fewest subtrees of the tree of `size` leaves that are everything but the range.
#[must_use]
pub fn around(range: &Range<u64>, size: u64) -> Around {
    if range.is_empty() || range.end > size {
        return Around::default();
    }
    let left = full(&(0..range.start)).iter().filter_map(|subtree| subtree.leaves()).collect();
    let (mut low, mut high, mut right) = (0, size, Vec::new());
    while range.end < high {
        let middle = low + split_point(high - low);
        if range.end <= middle {
            right.push(middle..high);
            high = middle;
        } else {
            low = middle;
        }
    }
    right.reverse();
    Around { left, right }
}

/// The full subtrees that a span is made of, from left to right: as many as it has bits, if it stands in a tree.
#[must_use]
pub fn full(span: &Range<u64>) -> Vec<Subtree> {
    let (mut low, mut subtrees) = (span.start, Vec::new());
    while low < span.end {
        let fits = (span.end - low).ilog2();
        // Of 0 it is 64, and every subtree may begin there.
        let level = low.trailing_zeros().min(fits);
        subtrees.push(Subtree { level: u8::try_from(level).unwrap_or(63), index: low >> level });
        low += 1 << level;
    }
    subtrees
}

/// The roots of spans, from those of full subtrees; `None` if one is not known.
pub fn roots(spans: &[Range<u64>], mut root: impl FnMut(Subtree) -> Option<Hash>) -> Option<Vec<Hash>> {
    spans.iter().map(|span| folded(full(span).into_iter().map(&mut root))).collect()
}

// From the right, as a tree has its largest subtrees on the left.
fn folded(roots: impl DoubleEndedIterator<Item = Option<Hash>>) -> Option<Hash> {
    let mut right_to_left = roots.rev();
    let last = right_to_left.next()??;
    right_to_left.try_fold(last, |right, left| Some(node_hash(&left?, &right)))
}

/// Leaves that were appended at once, and the frontier before them. It knows the root of every full subtree that ends
/// among them, and those of the frontier: all that a proof of one of them in the tree after them needs.
#[derive(Clone, Debug)]
pub struct Stretch {
    before: Frontier,
    /// From the leaves up: the index of the first subtree that lies whole among them, and the roots from there on.
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Stretch {
    /// Takes the hashes of the leaves that came after `before`.
    #[must_use]
    pub fn new(before: Frontier, leaves: Vec<Hash>) -> Self {
        let mut levels = vec![(before.size(), leaves)];
        while let Some((first, roots)) = levels.last().filter(|(_, roots)| roots.len() > 1) {
            let lonely = usize::from(first % 2 == 1);
            let pairs = roots.get(lonely..).unwrap_or_default().as_chunks::<2>().0;
            let above = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
            levels.push((first.div_ceil(2), above));
        }
        Self { before, levels }
    }

    /// Hashes of the leaves, from index `before.size()` on.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        self.levels.first().map_or(&[], |(_, leaves)| leaves)
    }

    /// The root of a full subtree, if it is known.
    #[must_use]
    pub fn root(&self, subtree: Subtree) -> Option<Hash> {
        let leaves = subtree.leaves()?;
        let size = self.before.size();
        if leaves.end <= size {
            let place = full(&(0..size)).iter().position(|known| *known == subtree)?;
            return self.before.roots().get(place).copied();
        }
        if leaves.start >= size {
            let (first, roots) = self.levels.get(usize::from(subtree.level))?;
            return roots.get(usize::try_from(subtree.index.checked_sub(*first)?).ok()?).copied();
        }
        let (left, right) = subtree.halves()?;
        Some(node_hash(&self.root(left)?, &self.root(right)?))
    }
}

// Largest power of two below `width`, for a width of 2 or more.
const fn split_point(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}
