//! One request at a time for one key: whoever sends the same again waits for the first, and gets its answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_lock::{Mutex as Lock, MutexGuardArc};

use crate::id::IssuerId;

/// Who is at it, by key identifier. As many as there are requests at the moment.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<IssuerId, Arc<Lock<()>>>>);

/// The right to ask for a certificate for a key, until it is dropped.
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
    key: IssuerId,
    lock: Arc<Lock<()>>,
    held: Option<MutexGuardArc<()>>,
}

impl Turns {
    /// Waits until nobody else asks for this key.
    pub(crate) async fn of(&self, key: IssuerId) -> Turn<'_> {
        let lock = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
        // Before it waits: a call that is dropped meanwhile leaves nothing behind.
        let mut turn = Turn { turns: self, key, lock, held: None };
        turn.held = Some(turn.lock.lock_arc().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.held = None;
        let mut all = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's, and this one's: nobody waits.
        if Arc::strong_count(&self.lock) == 2 {
            all.remove(&self.key);
        }
    }
}
