//! Keys of payloads in memory: those that were used last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::aead::Cipher;
use super::form::KeyId;
use super::name::Slot;
use crate::id::AgentId;

/// Most keys of one half: once it is full, what was not used since the last time is forgotten.
const HALF: usize = 16_384;

/// A key of an agent and month.
#[derive(Debug)]
pub(super) struct DataKey {
    pub(super) id: KeyId,
    pub(super) cipher: Cipher,
}

/// By the number of their log, and what they are for.
type Keys = HashMap<(u32, Slot), Vec<Arc<DataKey>>>;

/// Two halves: those that were used of late, and those before.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<(Keys, Keys)>);

impl Cache {
    fn halves(&self) -> MutexGuard<'_, (Keys, Keys)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key that is used for this.
    pub(super) fn current(&self, log: u32, slot: Slot) -> Option<Arc<DataKey>> {
        self.find(log, slot, |_| true)
    }

    /// The key of this name.
    pub(super) fn get(&self, log: u32, slot: Slot, id: &KeyId) -> Option<Arc<DataKey>> {
        self.find(log, slot, |key| key.id == *id)
    }

    fn find(&self, log: u32, slot: Slot, is: impl Fn(&DataKey) -> bool) -> Option<Arc<DataKey>> {
        let (young, old) = &mut *self.halves();
        let at = (log, slot);
        if !young.contains_key(&at)
            && let Some(keys) = old.remove(&at)
        {
            put(young, old, at, keys);
        }
        young.get(&at)?.iter().find(|key| is(key)).cloned()
    }

    pub(super) fn add(&self, log: u32, slot: Slot, key: Arc<DataKey>) {
        let (young, old) = &mut *self.halves();
        let mut keys = young.remove(&(log, slot)).or_else(|| old.remove(&(log, slot))).unwrap_or_default();
        keys.retain(|known| known.id != key.id);
        keys.push(key);
        put(young, old, (log, slot), keys);
    }

    /// Forgets all of an agent.
    pub(super) fn forget(&self, log: u32, agent: &AgentId) {
        let (young, old) = &mut *self.halves();
        let is_other = |at: &(u32, Slot)| at.0 != log || at.1.agent != *agent;
        young.retain(|at, _| is_other(at));
        old.retain(|at, _| is_other(at));
    }
}

fn put(young: &mut Keys, old: &mut Keys, at: (u32, Slot), keys: Vec<Arc<DataKey>>) {
    if young.len() >= HALF {
        *old = core::mem::take(young);
    }
    young.insert(at, keys);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::month::Month;
    use crate::time::UnixTime;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let cache = Cache::default();
        let slot = |n: u128| {
            let agent = AgentId::from_bytes(n.to_be_bytes());
            Slot { agent, month: Month::of(UnixTime::default()), since: 0 }
        };
        let key = |id| Arc::new(DataKey { id, cipher: Cipher::new(&[1; 32]).unwrap() });
        for n in 0..50_000 {
            cache.add(1, slot(n), key([1; 8]));
            assert!(cache.current(1, slot(0)).is_some(), "used all the time");
        }
        let (young, old) = &*cache.halves();
        assert!(young.len() <= HALF && old.len() <= HALF);
    }

    #[test]
    fn a_key_is_one_logs_and_one_names() {
        let cache = Cache::default();
        let agent = AgentId::from_bytes([7; 16]);
        let slot = Slot { agent, month: Month::of(UnixTime::default()), since: 3 };
        for id in [[1; 8], [2; 8], [1; 8]] {
            cache.add(1, slot, Arc::new(DataKey { id, cipher: Cipher::new(&[1; 32]).unwrap() }));
        }
        assert_eq!([[1; 8], [2; 8], [3; 8]].map(|id| cache.get(1, slot, &id).is_some()), [true, true, false]);
        assert!(cache.current(2, slot).is_none() && cache.current(1, Slot { since: 0, ..slot }).is_none());
        cache.forget(2, &agent);
        assert!(cache.current(1, slot).is_some());
        cache.forget(1, &agent);
        assert!(cache.current(1, slot).is_none());
    }
}
