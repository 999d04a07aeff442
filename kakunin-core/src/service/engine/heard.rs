//! What other processes were heard to have appended.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use event_listener::{Event, EventListener};

use crate::log::entry::LogId;
use crate::time::SECOND;

/// How long a process that shares its store goes on by what it heard last, in milliseconds: by then another may have taken
/// trust away.
pub(crate) const STALE: u64 = 15 * SECOND;

/// What other processes were heard to have appended.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    known: Mutex<Known>,
    grown: Event,
}

#[derive(Debug, Default)]
struct Known {
    sizes: HashMap<LogId, u64>,
    /// What the steady clock said when the store was read, or said last what grew; nothing where there are no others.
    at: Option<u64>,
}

impl Heard {
    /// Of a store that other processes share it is known how it is at this time of the steady clock. Whoever hears nothing
    /// from then on, as one that never polls [`Kakunin::run`](crate::service::Kakunin::run), does not know for long.
    pub(crate) fn since(at: Option<u64>) -> Self {
        let known = Known { at, ..Known::default() };
        Self { known: Mutex::new(known), grown: Event::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store said so, at this time of the steady clock.
    pub(crate) fn hear(&self, grown: Vec<(LogId, u64)>, at: u64) {
        let mut known = self.known();
        known.at = Some(at);
        for (log, size) in grown {
            let old = known.sizes.entry(log).or_default();
            *old = size.max(*old);
        }
        drop(known);
        self.grown.notify(usize::MAX);
    }

    /// How many records a log has, as far as was heard.
    pub(crate) fn size(&self, log: &LogId) -> u64 {
        self.known().sizes.get(log).copied().unwrap_or_default()
    }

    /// Every log that was heard of.
    pub(crate) fn sizes(&self) -> Vec<(LogId, u64)> {
        self.known().sizes.iter().map(|(log, size)| (log.clone(), *size)).collect()
    }

    pub(super) fn listen(&self) -> EventListener {
        self.grown.listen()
    }

    /// For how long nothing was heard, in milliseconds; nothing where there are no others.
    pub(super) fn silence(&self, now: u64) -> Option<u64> {
        self.known().at.map(|at| now.saturating_sub(at))
    }
}
