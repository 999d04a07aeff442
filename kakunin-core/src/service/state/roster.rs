//! Which agents a tenant has, and in which state: lists of them are made from this and from the store, and wait for
//! nobody who decides.

use std::sync::{PoisonError, RwLock};

use crate::agent::AgentState;
use crate::id::AgentId;

/// In the order of their registration, which is that of their identifiers.
#[derive(Debug, Default)]
pub(crate) struct Roster(RwLock<Vec<(AgentId, AgentState)>>);

impl Roster {
    /// Begins anew.
    pub(crate) fn replace(&self, agents: impl Iterator<Item = (AgentId, AgentState)>) {
        let mut all: Vec<_> = agents.collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// Takes in agents that are new, or in another state than before.
    pub(crate) fn update(&self, moved: &[(AgentId, AgentState)]) {
        if moved.is_empty() {
            return;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (id, state) in moved {
            match all.binary_search_by_key(id, |(id, _)| *id) {
                Ok(place) => all.iter_mut().skip(place).take(1).for_each(|(_, old)| *old = *state),
                Err(place) => all.insert(place, (*id, *state)),
            }
        }
    }

    /// Up to `limit` agents from number `offset` on, of all or of those in one state, and how many those are.
    pub(crate) fn page(
        &self,
        state: Option<AgentState>,
        offset: usize,
        limit: usize,
    ) -> (Vec<AgentId>, usize) {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = state else {
            let page = all.iter().skip(offset).take(limit);
            return (page.map(|(id, _)| *id).collect(), all.len());
        };
        let wanted = || all.iter().filter(|(_, of)| *of == state);
        (wanted().skip(offset).take(limit).map(|(id, _)| *id).collect(), wanted().count())
    }
}
