//! How much each holder has of something that has an end.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is held, by holder. Who holds nothing is not remembered.
#[derive(Debug)]
pub(crate) struct Tally<K>(Arc<Mutex<HashMap<K, usize>>>);

impl<K> Clone for Tally<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Clone + Eq + Hash> Tally<K> {
    /// A share of this holder, of nothing yet.
    pub(crate) fn share(&self, holder: K) -> Share<K> {
        Share { tally: self.clone(), holder, amount: 0 }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

/// What one use holds, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Clone + Eq + Hash> {
    tally: Tally<K>,
    holder: K,
    amount: usize,
}

impl<K: Clone + Eq + Hash> Share<K> {
    /// Takes so much more, unless the holder would have more than `most` in all.
    pub(crate) fn grow(&mut self, by: usize, most: usize) -> bool {
        let mut all = self.tally.lock();
        let held = all.get(&self.holder).copied().unwrap_or(0);
        let Some(sum) = held.checked_add(by).filter(|sum| *sum <= most) else { return false };
        if by > 0 {
            all.insert(self.holder.clone(), sum);
            self.amount = self.amount.saturating_add(by);
        }
        true
    }
}

impl<K: Clone + Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        if self.amount == 0 {
            return;
        }
        let mut all = self.tally.lock();
        match all.get_mut(&self.holder) {
            Some(held) if *held > self.amount => *held -= self.amount,
            _ => drop(all.remove(&self.holder)),
        }
    }
}
