//! Accepted leaves, so that the same certificate again costs no signature check.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::leaf::Leaf;

/// The last octets of a certificate lie in its signature: nobody but the issuer chooses them, and only
/// what the issuer signed gets in. So they make a key that is short to hash (keyed, by the map), and the
/// whole certificate is compared after it.
type Tail = [u8; 64];

/// Bounded, in two generations: when the young one is full it becomes the old one, and what was old
/// and not asked for is forgotten.
pub(crate) struct Cache {
    shards: [RwLock<Shard>; SHARDS],
    per_generation: usize,
}

const SHARDS: usize = 16;

#[derive(Default)]
struct Shard {
    young: HashMap<Tail, Arc<Leaf>>,
    old: HashMap<Tail, Arc<Leaf>>,
}

impl Cache {
    /// Holds up to about `capacity` leaves; 0 turns it off.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { shards: Default::default(), per_generation: capacity.div_ceil(2 * SHARDS) }
    }

    pub(crate) fn get(&self, der: &[u8]) -> Option<Arc<Leaf>> {
        let tail = der.last_chunk()?;
        let shard = read(self.shard(tail)?);
        let (found, young) = match shard.young.get(tail) {
            Some(leaf) => (leaf, true),
            None => (shard.old.get(tail)?, false),
        };
        let leaf = Some(found).filter(|leaf| *leaf.der == *der)?.clone();
        drop(shard);
        if !young {
            self.insert(&leaf);
        }
        Some(leaf)
    }

    pub(crate) fn insert(&self, leaf: &Arc<Leaf>) {
        let Some(tail) = leaf.der.last_chunk() else { return };
        let Some(shard) = self.shard(tail).filter(|_| self.per_generation > 0) else {
            return;
        };
        let mut shard = write(shard);
        if shard.young.len() >= self.per_generation {
            shard.old = core::mem::take(&mut shard.young);
        }
        shard.young.insert(*tail, leaf.clone());
    }

    fn shard(&self, tail: &Tail) -> Option<&RwLock<Shard>> {
        self.shards.get(usize::from(*tail.last()?) % SHARDS)
    }
}

// A panic elsewhere leaves whole entries behind: the maps stay usable.
fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}
