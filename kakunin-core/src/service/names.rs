//! Agents by their names: found again by them, and not replaced under them while they are suspended.

use std::collections::{BTreeSet, HashMap};

use super::Kakunin;
use super::draft::Draft;
use super::error::Error;
use super::projection::AgentEntry;
use crate::agent::{Agent, AgentError, AgentState, Label, NewAgent};
use crate::id::{AgentId, TenantId};
use crate::log::record::Control;

/// What a name says of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
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
pub(super) struct Names(HashMap<Label, ByClass>);

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
pub(super) fn known_as(entry: &AgentEntry) -> (Label, Class) {
    (entry.row.agent.spec.name.clone(), entry.row.agent.state.into())
}

impl Names {
    /// Takes a change of an agent in.
    pub(super) fn moved(&mut self, before: Option<(&Label, Class)>, entry: &AgentEntry) {
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

    fn of(&self, name: &Label, class: Class) -> impl Iterator<Item = &AgentId> {
        self.0.get(name).into_iter().flat_map(move |all| all.of(class))
    }

    /// Every agent of that name.
    pub(super) fn all(&self, name: &Label) -> impl Iterator<Item = &AgentId> {
        [Class::Usable, Class::Suspended, Class::Retired].into_iter().flat_map(|class| self.of(name, class))
    }
}

impl Draft<'_> {
    /// The first agent of that name and class, as they will be after the draft so far.
    fn named(&self, name: &Label, class: Class) -> Option<&Agent> {
        let fits = |id: &AgentId| {
            let agent = &self.agent(id)?.row.agent;
            (agent.spec.name == *name && Class::from(agent.state) == class).then_some(agent)
        };
        let (before, drafted) = (self.base.names.of(name, class), self.names.of(name, class));
        before.chain(drafted).find_map(fits)
    }

    /// That no agent of that name is suspended: a program that starts again must not find itself trusted anew.
    pub(super) fn may_be_named(&self, name: &Label) -> Result<(), Error> {
        self.named(name, Class::Suspended).map_or(Ok(()), |agent| Err(Error::Suspended(agent.id)))
    }

    /// The same of an agent that was registered before, and has never been trusted: a spare one would be as good as
    /// a new one. Who was trusted under that name goes on, and whom somebody reinstated.
    pub(super) fn may_begin(&self, entry: &AgentEntry) -> Result<(), Error> {
        let row = &entry.row;
        let is_new = row.agent.certificate.is_none() && row.reinstated == 0;
        if is_new { self.may_be_named(&row.agent.spec.name) } else { Ok(()) }
    }
}

impl Kakunin {
    /// Registers an agent; it is `pending` until it has a certificate.
    ///
    /// # Errors
    /// [`Error::Agent`] if the specification is refused; [`Error::Suspended`] while an agent of that name is.
    pub async fn register(&self, tenant: &TenantId, spec: NewAgent) -> Result<Agent, Error> {
        self.register_with(tenant, spec, |draft, new| {
            draft.may_be_named(&new.spec.name)?;
            draft.register(new)
        })
        .await
    }

    /// The agent of that name, or a new one of that specification if there was none: for a program that starts,
    /// perhaps again. One that is there stays what it is registered as. Two calls at once give one agent; of
    /// several of that name it is the oldest.
    ///
    /// # Errors
    /// [`Error::Suspended`] while an agent of that name is; [`Error::Agent`] if all of that name are retired, or the
    /// specification is refused.
    pub async fn ensure_agent(&self, tenant: &TenantId, spec: NewAgent) -> Result<Agent, Error> {
        self.register_with(tenant, spec, |draft, new| {
            let name = &new.spec.name;
            draft.may_be_named(name)?;
            if let Some(found) = draft.named(name, Class::Usable) {
                return Ok(found.clone());
            }
            if let Some(Agent { state, .. }) = draft.named(name, Class::Retired) {
                let step = "be used again; register another by an order of its own";
                return Err(AgentError::State { state: *state, step }.into());
            }
            draft.register(new)
        })
        .await
    }

    async fn register_with(
        &self,
        tenant: &TenantId,
        spec: NewAgent,
        decision: impl FnOnce(&mut Draft<'_>, Agent) -> Result<Agent, Error> + Send + 'static,
    ) -> Result<Agent, Error> {
        let inner = &self.inner;
        let id = AgentId::generate(inner.now(), &*inner.parts.entropy)?;
        let agent = Agent::register(id, tenant.clone(), spec, inner.now())?;
        let tenant = inner.tenant(tenant).await?;
        inner.decide(&tenant, self.by.clone(), move |draft| decision(draft, agent)).await
    }

    /// The agents of exactly that name, of one state or any, oldest first: up to `limit` from number `offset` on, and
    /// how many there are.
    ///
    /// # Errors
    /// What the store says.
    pub async fn agents_named(
        &self,
        tenant: &TenantId,
        name: &Label,
        state: Option<AgentState>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<Agent>, usize), Error> {
        let tenant = self.inner.tenant(tenant).await?;
        let sequencer = self.inner.settled(&tenant).await?;
        let projection = &sequencer.projection;
        let of = projection.names.all(name).filter_map(|id| projection.agents.get(id));
        let mut all: Vec<_> =
            of.map(|entry| &entry.row.agent).filter(|a| state.is_none_or(|s| s == a.state)).collect();
        all.sort_unstable_by_key(|agent| agent.id);
        let total = all.len();
        Ok((all.into_iter().skip(offset).take(limit).cloned().collect(), total))
    }
}

impl Draft<'_> {
    fn register(&mut self, new: Agent) -> Result<Agent, Error> {
        self.push(new.id, None, Control::AgentRegistered(new.clone()))?;
        Ok(new)
    }
}
