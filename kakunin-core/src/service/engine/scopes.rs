//! What certificates allow, kept at hand: it never changes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::Serial;
use crate::scope::ScopeSet;

/// Certificates of one generation. Many allow the same, which is kept once.
const MOST: usize = 16 * 1024;

/// Scopes of certificates. Bounded, in two generations: when the young one is full it becomes the old one, and what was
/// old and not asked for is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Scopes(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    by_serial: HashMap<Serial, Arc<ScopeSet>>,
    sets: HashSet<Arc<ScopeSet>>,
}

impl Scopes {
    pub(crate) fn get(&self, serial: &Serial) -> Option<Arc<ScopeSet>> {
        let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scope) = both.young.by_serial.get(serial) {
            return Some(scope.clone());
        }
        let scope = both.old.by_serial.get(serial)?.clone();
        Some(both.put(*serial, scope))
    }

    pub(crate) fn put(&self, serial: Serial, scope: ScopeSet) -> Arc<ScopeSet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(serial, Arc::new(scope))
    }
}

impl Generations {
    fn put(&mut self, serial: Serial, scope: Arc<ScopeSet>) -> Arc<ScopeSet> {
        if self.young.by_serial.len() >= MOST {
            self.old = core::mem::take(&mut self.young);
        }
        let Generation { by_serial, sets } = &mut self.young;
        let scope = sets.get(&scope).cloned().unwrap_or(scope);
        sets.insert(scope.clone());
        by_serial.insert(serial, scope.clone());
        scope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let serial = |n: usize| {
            let mut octets = [1; 16];
            octets[8..].copy_from_slice(&n.to_be_bytes());
            Serial::from_bytes(octets).unwrap()
        };
        let (scopes, set) = (Scopes::default(), ScopeSet::parse(["read:a"]).unwrap());
        for n in 0..3 * MOST {
            let kept = scopes.put(serial(n), set.clone());
            assert!(scopes.get(&serial(0)).is_some_and(|first| Arc::ptr_eq(&first, &kept) || n % MOST < 2));
        }
        let both = scopes.0.lock().unwrap();
        assert!(both.young.by_serial.len() + both.old.by_serial.len() <= 2 * MOST);
        assert_eq!((both.young.sets.len(), both.old.sets.len()), (1, 1));
        assert!(
            !both.young.by_serial.contains_key(&serial(1)) && !both.old.by_serial.contains_key(&serial(1))
        );
    }
}
