//! Agents by their names: nobody is put in the place of one that is suspended.

use super::draft::Draft;
use crate::agent::{Agent, Label};
use crate::id::AgentId;
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::service::state::names::Class;

impl Draft<'_> {
    /// The first agent of that name and class, as they will be after the draft so far.
    pub(crate) fn named(&self, name: &Label, class: Class) -> Option<&Agent> {
        let fits = |id: &AgentId| {
            let agent = &self.agent(id)?.row.agent;
            (agent.spec.name == *name && Class::from(agent.state) == class).then_some(agent)
        };
        let (before, drafted) = (self.base.names.of(name, class), self.names.of(name, class));
        before.chain(drafted).find_map(fits)
    }

    /// That no agent of that name is suspended: a program that starts again must not find itself trusted anew.
    pub(crate) fn may_be_named(&self, name: &Label) -> Result<(), Error> {
        self.named(name, Class::Suspended).map_or(Ok(()), |agent| Err(Error::Suspended(agent.id)))
    }

    /// The same of an agent that was registered before, and has never been trusted: a spare one would be as good as
    /// a new one. Who was trusted under that name goes on, and whom somebody reinstated.
    pub(crate) fn may_begin(&self, entry: &AgentEntry) -> Result<(), Error> {
        let row = &entry.row;
        let is_new = row.agent.certificate.is_none() && row.reinstated == 0;
        if is_new { self.may_be_named(&row.agent.spec.name) } else { Ok(()) }
    }
}
