//! Draws that are the same for the same seed.

use sha2::{Digest, Sha256};

/// `SplitMix64`.
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// Draws for one agent and one purpose, whatever is drawn for others.
    pub(super) fn of(seed: u64, agent: &str, purpose: &str) -> Self {
        let text = format!("{seed}\n{agent}\n{purpose}");
        let digest = Sha256::digest(text.as_bytes());
        Self(digest.first_chunk::<8>().map_or(seed, |octets| u64::from_be_bytes(*octets)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `first` to below `end`; `first` if that is not above it.
    pub(super) fn between(&mut self, first: u64, end: u64) -> u64 {
        let width = end.saturating_sub(first).max(1);
        first + self.next() % width
    }

    /// One of these, if there are any.
    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(all.len()).unwrap_or(u64::MAX);
        all.get(usize::try_from(self.between(0, count)).ok()?)
    }
}
