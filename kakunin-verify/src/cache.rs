//! Accepted leaves, so that the same certificate again costs no signature check.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::leaf::Leaf;

/// The last octets of a certificate lie in its signature: nobody but the issuer chooses them, and only
/// what the issuer signed gets in. So they make a key that is short to hash (keyed, by the map), and the
/// whole certificate is compared after it.
type Tail = [u8; 64];

/// Bounded, in two generations: when the young one is full it becomes the old one, and what was old
/// and not asked for is forgotten. Who comes once is not kept: to keep a leaf costs a fifth of a signature check, and those who
/// come once would forget those who come again.
pub(crate) struct Cache {
    shards: [RwLock<Shard>; SHARDS],
    per_generation: usize,
    /// A part of the tail of who came last, by another part.
    came: Box<[AtomicU64]>,
}

const SHARDS: usize = 16;
/// Of whom it is known that they came, 8 octets each.
const MOST_PLACES: usize = 1 << 20;

#[derive(Default)]
struct Shard {
    young: HashMap<Tail, Arc<Leaf>>,
    old: HashMap<Tail, Arc<Leaf>>,
}

impl Cache {
    /// Holds up to about `capacity` leaves; 0 turns it off.
    pub(crate) fn new(capacity: usize) -> Self {
        let places = capacity.min(MOST_PLACES).next_power_of_two();
        let came = (0..places).map(|_| AtomicU64::new(0)).collect();
        Self { shards: Default::default(), per_generation: capacity.div_ceil(2 * SHARDS), came }
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

    /// A leaf was accepted: it is remembered from the second time on.
    pub(crate) fn accepted(&self, leaf: &Arc<Leaf>) {
        if self.per_generation > 0 && leaf.der.last_chunk().is_some_and(|tail| self.came_before(tail)) {
            self.insert(leaf);
        }
    }

    /// Whether this one came before, and nobody else in its place since.
    fn came_before(&self, tail: &Tail) -> bool {
        let (Some((_, place)), Some((name, _))) =
            (tail.split_last_chunk::<8>(), tail.split_first_chunk::<8>())
        else {
            return false;
        };
        let (name, place) = (u64::from_be_bytes(*name), u64::from_be_bytes(*place));
        // The last octet says which shard, and a power of two is as many places.
        let places = u64::try_from(self.came.len()).unwrap_or(1);
        let came = self.came.get(usize::try_from((place >> 8) % places).unwrap_or_default());
        came.is_some_and(|last| last.swap(name, Ordering::Relaxed) == name)
    }

    fn insert(&self, leaf: &Arc<Leaf>) {
        let Some(tail) = leaf.der.last_chunk() else { return };
        let Some(shard) = self.shard(tail).filter(|_| self.per_generation > 0) else {
            return;
        };
        let mut shard = write(shard);
        let mut forgotten = HashMap::new();
        if shard.young.len() >= self.per_generation {
            let young = core::mem::replace(&mut shard.young, HashMap::with_capacity(self.per_generation));
            forgotten = core::mem::replace(&mut shard.old, young);
        }
        shard.young.insert(*tail, leaf.clone());
        drop(shard);
        // Nobody waits while they are let go.
        drop(forgotten);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_once_is_told_from_who_comes_again() {
        let tail =
            |n: u8| core::array::from_fn(|i| n.wrapping_mul(31).wrapping_add(u8::try_from(i).unwrap_or(0)));
        let cache = Cache::new(16 * 1024);
        for n in 0..100 {
            assert!(!cache.came_before(&tail(n)), "{n}");
        }
        assert!((0..100).all(|n| cache.came_before(&tail(n))));
        // With one place, whoever comes between is the one who came.
        let small = Cache::new(1);
        assert!(!small.came_before(&tail(1)) && small.came_before(&tail(1)));
        assert!(!small.came_before(&tail(2)) && !small.came_before(&tail(1)));
    }
}
