//! Roots of the subtrees of a log: those that are stored, and what has to be made from the leaves.
//!
//! The log is tiled: 256 leaves make a tile of level 0, and the roots of 256 full tiles one of the level above. A stored
//! row is the root of a full tile, so that a proof reads a few tiles, each at most 256 leaves or rows, however long the
//! log is. A row that is not there is made from the log.

use std::collections::HashMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

use super::parts::Parts;
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::log::merkle::{Hash, leaf_hash, root};
use crate::log::subtrees::{Subtree, full, roots};
use crate::store::state::{Change, Kind};

/// Leaves, or roots, of a full tile.
pub(crate) const WIDTH: u64 = 256;
/// By how many levels of the tree a level of tiles is above the one below.
const STEP: u8 = 8;

/// The nodes of a log of this size.
pub(crate) struct Nodes<'p> {
    parts: &'p Parts,
    log: &'p LogId,
    size: u64,
    /// Whether what is stored is believed.
    stored: bool,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
}

impl<'p> Nodes<'p> {
    pub(crate) fn new(parts: &'p Parts, log: &'p LogId, size: u64) -> Self {
        Self { parts, log, size, stored: true, tiles: HashMap::new() }
    }

    /// The same, all made from the leaves.
    pub(crate) fn from_leaves(parts: &'p Parts, log: &'p LogId, size: u64) -> Self {
        Self { stored: false, ..Self::new(parts, log, size) }
    }

    /// The roots of these spans of leaves.
    pub(crate) async fn roots(&mut self, spans: &[Range<u64>]) -> Result<Vec<Hash>, StoreError> {
        for subtree in spans.iter().flat_map(full) {
            let (level, tile, _) = place(subtree);
            if !self.tiles.contains_key(&(level, tile)) {
                let hashes = self.tile(level, tile).await?;
                self.tiles.insert((level, tile), hashes);
            }
        }
        let root_of = |subtree| {
            let (level, tile, slots) = place(subtree);
            self.tiles.get(&(level, tile))?.get(slots).map(root)
        };
        let missing = || StoreError::Corrupt(format!("log {} is shorter than its head says", self.log));
        roots(spans, root_of).ok_or_else(missing)
    }

    /// The root of a full tile.
    pub(crate) async fn tile_root(&self, level: u8, tile: u64) -> Result<Hash, StoreError> {
        Ok(root(&self.tile(level, tile).await?))
    }

    /// The hashes of a tile, as far as the log goes.
    async fn tile(&self, level: u8, tile: u64) -> Result<Vec<Hash>, StoreError> {
        let first = tile.saturating_mul(WIDTH);
        let above = self.size.checked_shr(u32::from(level) * u32::from(STEP)).unwrap_or(0);
        let width = usize::try_from(above.saturating_sub(first).min(WIDTH)).unwrap_or(0);
        let hashes = match level.checked_sub(1) {
            None => {
                let entries = self.parts.sink.read_leaves(self.log, first, width).await?;
                entries.iter().map(|entry| leaf_hash(&entry.leaf)).collect()
            }
            Some(below) => {
                let mut stored =
                    if self.stored { self.rows(level, first, width).await? } else { HashMap::new() };
                let mut hashes = Vec::with_capacity(width);
                for index in (first..).take(width) {
                    hashes.push(match stored.remove(&index) {
                        Some(hash) => hash,
                        None => self.made(below, index).await?,
                    });
                }
                hashes
            }
        };
        if hashes.len() == width {
            return Ok(hashes);
        }
        Err(StoreError::Corrupt(format!("log {} is shorter than its head says", self.log)))
    }

    fn made(
        &self,
        level: u8,
        tile: u64,
    ) -> Pin<Box<dyn Future<Output = Result<Hash, StoreError>> + Send + '_>> {
        Box::pin(self.tile_root(level, tile))
    }

    async fn rows(&self, level: u8, first: u64, count: usize) -> Result<HashMap<u64, Hash>, StoreError> {
        let after = first.checked_sub(1).map_or(vec![level], |before| key(level, before));
        let rows = self.parts.state.scan(self.log, Kind::Tile, Some(&after), count).await?;
        let row = |(found, hash): (Vec<u8>, Vec<u8>)| {
            let index = u64::from_be_bytes(found.strip_prefix(&[level])?.try_into().ok()?);
            Some((index, hash.try_into().ok()?))
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }
}

/// Tile, and slots of it, that a full subtree is the root of.
fn place(subtree: Subtree) -> (u8, u64, Range<usize>) {
    let (level, height) = (subtree.level / STEP, subtree.level % STEP);
    let slot = subtree.index << height;
    let first = usize::try_from(slot % WIDTH).unwrap_or(0);
    (level, slot / WIDTH, first..first + (1 << height))
}

fn key(level: u8, index: u64) -> Vec<u8> {
    [&[level][..], &index.to_be_bytes()].concat()
}

/// The row of a full tile's root: it is number `index` of the level above the tile.
pub(crate) fn row(level: u8, index: u64, root: Hash) -> Change {
    Change { kind: Kind::Tile, key: key(level, index), value: Some(root.to_vec()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

    use std::sync::Arc;

    use super::*;
    use crate::key::{HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signer};
    use crate::log::entry::Entry;
    use crate::log::merkle::{Frontier, consistency_proof, inclusion_proof};
    use crate::log::subtrees::{consistency, inclusion};
    use crate::store::MemoryStore;
    use crate::store::audit::{Append, Head};
    use crate::time::UnixTime;
    use pollster::block_on;

    /// Nothing here signs.
    #[derive(Debug)]
    struct NoKeys;

    #[async_trait::async_trait]
    impl KeyProvider for NoKeys {
        fn is_near(&self) -> bool {
            true
        }
        async fn generate(&self, _: &PlannedKeyId, _: KeyAlgorithm) -> Result<KeyRef, SignError> {
            unreachable!()
        }
        async fn open(&self, _: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
            unreachable!()
        }
        async fn disable(&self, _: &KeyRef) -> Result<(), SignError> {
            unreachable!()
        }
        async fn enable(&self, _: &KeyRef) -> Result<(), SignError> {
            unreachable!()
        }
        async fn retire(&self, _: &KeyRef) -> Result<(), SignError> {
            unreachable!()
        }
        async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
            unreachable!()
        }
    }

    /// A log of so many leaves, in a store without a row.
    fn grown(size: u32) -> (Parts, LogId, Vec<Hash>) {
        let (parts, log) =
            (Parts::new(MemoryStore::new(), Arc::new(NoKeys)), LogId::Tenant("acme".parse().unwrap()));
        let entries: Vec<_> =
            (0..size).map(|i| Entry { leaf: i.to_be_bytes().to_vec(), payload: None }).collect();
        let leaves: Vec<_> = entries.iter().map(|entry| leaf_hash(&entry.leaf)).collect();
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        let append = Append {
            log: log.clone(),
            expected: Head::default(),
            next: Head { frontier, time: UnixTime::default() },
            entries,
            checkpoint: String::new(),
            changes: Vec::new().into(),
            revocations: Vec::new(),
            bindings: Vec::new(),
            reserved: false,
        };
        block_on(parts.sink.append(vec![append])).unwrap();
        (parts, log, leaves)
    }

    /// All rows that a log of this size has.
    fn store(parts: &Parts, log: &LogId, size: u64) {
        for level in 1..=3 {
            let nodes = Nodes::new(parts, log, size);
            let rows: Vec<_> = (0..size >> (u32::from(level) * 8))
                .map(|index| row(level, index, block_on(nodes.tile_root(level - 1, index)).unwrap()))
                .collect();
            block_on(parts.state.put(log, &rows)).unwrap();
        }
    }

    #[test]
    fn roots_are_those_of_the_tree_whichever_of_them_are_stored() {
        let (parts, log, leaves) = grown(70_000);
        let (size, all) = (70_000, leaves.len());
        let proofs = |what: &str| {
            for index in [0, 1, 255, 256, 65_535, 65_536, 69_887, 69_888, 69_999] {
                let (spans, place) = (inclusion(index, size), usize::try_from(index).unwrap());
                let mut nodes = Nodes::new(&parts, &log, size);
                assert_eq!(
                    block_on(nodes.roots(&spans)).unwrap(),
                    inclusion_proof(&leaves, place),
                    "{what}, {index}"
                );
                assert!(nodes.tiles.len() <= 6, "{what}: {} tiles for one proof", nodes.tiles.len());
                let spans = consistency(index, size);
                let hashes = block_on(Nodes::new(&parts, &log, size).roots(&spans)).unwrap();
                assert_eq!(hashes, consistency_proof(&leaves, place), "{what}, {index}");
            }
        };
        proofs("no row");
        store(&parts, &log, size);
        let rows = block_on(parts.state.scan(&log, Kind::Tile, None, 1_000)).unwrap();
        assert_eq!((rows.len(), rows[0].0.as_slice()), (273 + 1, &key(1, 0)[..]));
        assert_eq!(rows.last().unwrap().1, root(&leaves[..65_536]));
        proofs("every row");
        let gone: Vec<_> = [(1, 0), (1, 17), (1, 272), (2, 0)]
            .map(|(level, index)| Change { value: None, ..row(level, index, [0; 32]) })
            .into();
        block_on(parts.state.put(&log, &gone)).unwrap();
        proofs("some rows");
        let wrong = [row(1, 3, [7; 32]), Change { value: Some(vec![1]), ..row(1, 4, [0; 32]) }];
        block_on(parts.state.put(&log, &wrong)).unwrap();
        let spans = inclusion(0, size);
        let root_of = |index: usize, hashes: &[Hash]| {
            crate::log::merkle::verify_inclusion(0, size, &leaves[index], hashes, &root(&leaves)).is_ok()
        };
        assert!(!root_of(0, &block_on(Nodes::new(&parts, &log, size).roots(&spans)).unwrap()));
        assert!(root_of(0, &block_on(Nodes::from_leaves(&parts, &log, size).roots(&spans)).unwrap()));
        let longer = block_on(Nodes::new(&parts, &log, size + 1).roots(&inclusion(0, size + 1)));
        assert!(matches!(longer, Err(StoreError::Corrupt(_))), "{all} leaves, and not one more");
    }
}
