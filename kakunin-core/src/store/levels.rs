//! How far projections were applied, as far as this process knows: applying again then costs nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A size for each key. It may lag behind the file (a caller that gave up, a restart), and never runs ahead.
#[derive(Debug)]
pub(super) struct Levels<K>(Mutex<HashMap<K, u64>>);

impl<K: Clone + Eq + Hash> Levels<K> {
    pub(super) fn reaches(&self, key: &K, size: u64) -> bool {
        self.map().get(key).is_some_and(|known| *known >= size)
    }

    /// Notes that `key` was applied up to `size` at least: answers may overtake each other.
    pub(super) fn raise(&self, key: &K, size: u64) {
        let mut map = self.map();
        match map.get_mut(key) {
            Some(known) => *known = size.max(*known),
            None => _ = map.insert(key.clone(), size),
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<K, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Default for Levels<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
