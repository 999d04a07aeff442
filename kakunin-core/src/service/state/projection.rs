//! What a tenant's log amounts to: its agents, their certificates, what is planned, and what the tenant decided for itself.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use super::agent::AgentEntry;
use super::certificates::{Issuances, told_from};
use super::names::Names;
use super::own::Own;
use crate::id::AgentId;
use crate::time::UnixTime;

/// Agents of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Projection {
    pub(crate) agents: HashMap<AgentId, AgentEntry>,
    pub(crate) certificates: Issuances,
    pub(crate) names: Names,
    /// What the tenant decided for itself.
    pub(crate) own: Own,
    /// When the certificate before an agent's newest is superseded.
    pub(crate) graces: BTreeSet<(UnixTime, AgentId)>,
    /// From when on an agent's newest certificate is about to end, and nobody was told.
    pub(crate) expiries: Expiries,
}

/// Agents by when something is to be told of them; each once.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    in_order: BTreeSet<(UnixTime, AgentId)>,
    of: HashMap<AgentId, UnixTime>,
}

impl Expiries {
    fn set(&mut self, agent: AgentId, at: Option<UnixTime>) {
        let before = match at {
            Some(at) => self.of.insert(agent, at),
            None => self.of.remove(&agent),
        };
        if before != at {
            before.map(|before| self.in_order.remove(&(before, agent)));
            self.in_order.extend(at.map(|at| (at, agent)));
        }
    }

    /// Those after this place, the soonest first.
    pub(crate) fn after(&self, place: (UnixTime, AgentId)) -> impl Iterator<Item = (UnixTime, AgentId)> {
        self.in_order.range((Bound::Excluded(place), Bound::Unbounded)).copied()
    }

    /// The first that is not due yet.
    pub(crate) fn next(&self, now: UnixTime) -> Option<UnixTime> {
        self.after((now, AgentId::from_bytes([0xff; 16]))).next().map(|(at, _)| at)
    }
}

impl Projection {
    /// Without agents; certificates stay for `retention` milliseconds after they expired.
    pub(crate) fn keeping(retention: u64) -> Self {
        Self { certificates: Issuances::keeping(retention), ..Self::default() }
    }

    /// Takes an agent in as it is from now on, after its certificates.
    pub(crate) fn put(&mut self, entry: AgentEntry) {
        let id = entry.row.agent.id;
        let old = self.agents.get(&id).map(|old| &old.row);
        let [was, is] =
            [old, Some(&entry.row)].map(|row| row.and_then(|row| row.former).map(|former| former.until));
        let before = old.map(|row| &row.agent);
        self.names.moved(before.map(|old| (&old.spec.name, old.state.into())), &entry);
        self.grace(id, was, is);
        self.expiries.set(id, told_from(&self.certificates, &entry));
        self.agents.insert(id, entry);
    }

    /// Takes agents in of which only histories changed.
    pub(crate) fn add(&mut self, agents: &HashMap<AgentId, AgentEntry>) {
        self.agents.extend(agents.iter().map(|(id, entry)| (*id, entry.clone())));
    }

    fn grace(&mut self, id: AgentId, was: Option<UnixTime>, is: Option<UnixTime>) {
        if was != is {
            was.map(|until| self.graces.remove(&(until, id)));
            self.graces.extend(is.map(|until| (until, id)));
        }
    }

    /// Looks once more for what [`Projection::put`] keeps of an agent whose grace was until then, after a record of it was
    /// replayed.
    pub(crate) fn recount_one(&mut self, id: AgentId, was: Option<UnixTime>) {
        let Some(entry) = self.agents.get(&id) else { return };
        let is = entry.row.former.map(|former| former.until);
        self.expiries.set(id, told_from(&self.certificates, entry));
        self.grace(id, was, is);
    }

    /// Looks once more for what [`Projection::put`] keeps, after a replay.
    pub(crate) fn recount(&mut self) {
        let former = |(id, entry): (&AgentId, &AgentEntry)| Some((entry.row.former?.until, *id));
        self.graces = self.agents.iter().filter_map(former).collect();
        self.expiries = Expiries::default();
        for (id, entry) in &self.agents {
            self.expiries.set(*id, told_from(&self.certificates, entry));
        }
    }
}
