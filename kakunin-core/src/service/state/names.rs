//! Agents by their names.

use std::collections::{BTreeSet, HashMap};

use super::agent::AgentEntry;
use crate::agent::{Agent, AgentState, Label};
use crate::id::AgentId;

/// What a name says of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Usable,
    Suspended,
    Retired,
}

impl From<AgentState> for Class {
    fn from(state: AgentState) -> Self {
        match state {
            AgentState::Pending | AgentState::Active => Self::Usable,
            AgentState::Suspended => Self::Suspended,
            AgentState::Retired => Self::Retired,
        }
    }
}

/// Identifiers by name and class. An identifier begins with its time, so that the first is the oldest.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<Label, ByClass>);

#[derive(Debug, Default)]
struct ByClass {
    usable: BTreeSet<AgentId>,
    suspended: BTreeSet<AgentId>,
    retired: BTreeSet<AgentId>,
}

impl ByClass {
    const fn of(&self, class: Class) -> &BTreeSet<AgentId> {
        match class {
            Class::Usable => &self.usable,
            Class::Suspended => &self.suspended,
            Class::Retired => &self.retired,
        }
    }

    const fn of_mut(&mut self, class: Class) -> &mut BTreeSet<AgentId> {
        match class {
            Class::Usable => &mut self.usable,
            Class::Suspended => &mut self.suspended,
            Class::Retired => &mut self.retired,
        }
    }
}

/// An agent's name and class, before a record.
pub(crate) fn known_as(entry: &AgentEntry) -> (Label, Class) {
    (entry.row.agent.spec.name.clone(), entry.row.agent.state.into())
}

impl Names {
    /// Takes a change of an agent in.
    pub(crate) fn moved(&mut self, before: Option<(&Label, Class)>, entry: &AgentEntry) {
        let Agent { id, spec, state, .. } = &entry.row.agent;
        let class = Class::from(*state);
        if before == Some((&spec.name, class)) {
            return;
        }
        if let Some((name, was)) = before
            && let Some(all) = self.0.get_mut(name)
        {
            all.of_mut(was).remove(id);
        }
        if !self.0.contains_key(&spec.name) {
            self.0.insert(spec.name.clone(), ByClass::default());
        }
        if let Some(all) = self.0.get_mut(&spec.name) {
            all.of_mut(class).insert(*id);
        }
    }

    pub(crate) fn of(&self, name: &Label, class: Class) -> impl Iterator<Item = &AgentId> {
        self.0.get(name).into_iter().flat_map(move |all| all.of(class))
    }

    /// Every agent of that name.
    pub(crate) fn all(&self, name: &Label) -> impl Iterator<Item = &AgentId> {
        [Class::Usable, Class::Suspended, Class::Retired].into_iter().flat_map(|class| self.of(name, class))
    }
}
