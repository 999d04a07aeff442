//! Back to where a draft stood, for events of which one is refused.

use std::collections::HashSet;

use super::draft::Draft;
use crate::id::{AgentId, Serial};
use crate::service::state::agent::AgentEntry;
use crate::service::state::certificates::CertificateState;
use crate::service::state::names;
use crate::service::state::own::Own;

/// Where a draft stood.
pub(crate) struct Mark {
    own: Option<Own>,
    records: usize,
    revocations: usize,
    changes: usize,
    voided: usize,
    certificates: Vec<(Serial, Option<CertificateState>)>,
    agents: Vec<(AgentId, Option<AgentEntry>)>,
}

impl Draft<'_> {
    /// What is taken back to by [`Draft::back_to`], for events that are about these agents.
    pub(crate) fn mark(&self, agents: impl Iterator<Item = AgentId>) -> Mark {
        let agents: HashSet<_> = agents.collect();
        let agents: Vec<_> = agents.into_iter().map(|id| (id, self.agents.get(&id).cloned())).collect();
        // An event takes nothing away but the newest one, and the one that stands beside it.
        let two = |(id, _): &(AgentId, _)| self.agent(id).map(|entry| entry.row.two());
        let drafted = |serial| (serial, self.certificates.changed.get(&serial).cloned());
        Mark {
            own: self.own.clone(),
            records: self.records.len(),
            revocations: self.revocations.len(),
            changes: self.changes.len(),
            voided: self.voided.len(),
            certificates: agents.iter().filter_map(two).flatten().flatten().map(drafted).collect(),
            agents,
        }
    }

    /// Undoes what was drafted since: rows that stay named are written as they are.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        self.own = mark.own;
        self.records.truncate(mark.records);
        self.revocations.truncate(mark.revocations);
        self.changes.truncate(mark.changes);
        self.voided.truncate(mark.voided);
        for (serial, certificate) in mark.certificates {
            match certificate {
                Some(certificate) => _ = self.certificates.changed.insert(serial, certificate),
                None => _ = self.certificates.changed.remove(&serial),
            }
        }
        for (id, entry) in mark.agents {
            let undone = match entry {
                Some(entry) => self.agents.insert(id, entry),
                None => self.agents.remove(&id),
            };
            let entry = self.agents.get(&id).or_else(|| self.before(&id));
            if let (Some((name, class)), Some(entry)) = (undone.as_ref().map(names::known_as), entry) {
                self.names.moved(Some((&name, class)), entry);
            }
        }
    }
}
