//! What a tenant's log amounts to: its agents, their certificates, what is planned, and what the tenant decided for itself.

use std::collections::{BTreeSet, HashMap};

use super::agent::AgentEntry;
use super::certificates::Issuances;
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
}

impl Projection {
    /// Without agents; certificates stay for `retention` milliseconds after they expired.
    pub(crate) fn keeping(retention: u64) -> Self {
        Self { certificates: Issuances::keeping(retention), ..Self::default() }
    }

    /// Takes an agent in as it is from now on.
    pub(crate) fn put(&mut self, entry: AgentEntry) {
        let id = entry.row.agent.id;
        let old = self.agents.get(&id).map(|old| &old.row);
        let (was, is) = (old.and_then(|row| row.former), entry.row.former);
        if was != is {
            was.map(|former| self.graces.remove(&(former.until, id)));
            self.graces.extend(is.map(|former| (former.until, id)));
        }
        let before = old.map(|row| &row.agent);
        self.names.moved(before.map(|old| (&old.spec.name, old.state.into())), &entry);
        self.agents.insert(id, entry);
    }

    /// Looks once more for what [`Projection::put`] keeps, after a replay.
    pub(crate) fn recount(&mut self) {
        let former = |(id, entry): (&AgentId, &AgentEntry)| Some((entry.row.former?.until, *id));
        self.graces = self.agents.iter().filter_map(former).collect();
    }
}
