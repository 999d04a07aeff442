//! The breaker: when automatic revocations are too many to be true, further ones are holds, until a person looks.

use super::decide::{Command, Need};
use super::draft::Draft;
use crate::agent::{AgentState, Note};
use crate::error::StoreError;
use crate::event::{Event, Name};
use crate::id::AgentId;
use crate::log::record::{Body, Control, InCommon, Resolved, Tripped};
use crate::policy::{BreakerPolicy, Verdict};
use crate::revoke::{Cause, Said};
use crate::service::error::Error;
use crate::service::state::agent::AgentEntry;
use crate::time::UnixTime;

/// How often an agent must have failed at a target before that is looked at: once happens to everybody.
const FAILED: u32 = 2;

/// A person looked at what the breaker holds: the agents have their identities again, or lose them for good. It is done
/// for so many at once; the breaker is closed with the last. The answer: for how many, and whether that was all.
#[derive(Clone)]
pub(crate) struct Resolve {
    pub(crate) confirm: bool,
    pub(crate) reason: Note,
    /// Whether a second person approved it.
    pub(crate) approved: bool,
    pub(crate) most: usize,
}

impl Command for Resolve {
    const NEED: Need = Need::Ordinary;
    type Answer = (usize, bool);

    fn records(&self) -> usize {
        self.most * 4
    }

    fn decide(self, draft: &mut Draft<'_>) -> Result<(usize, bool), Error> {
        let Some((tripped, _)) = draft.own().breaker.is_tripped().cloned() else {
            return Err(Error::NotTripped);
        };
        if !self.confirm && !self.approved && draft.policy.policy.second_approver.release {
            return Err(Error::SecondPerson);
        }
        let mut held: Vec<_> = draft.all_agents().filter(|entry| entry.row.braked.is_some()).collect();
        held.sort_unstable_by_key(|entry| entry.row.agent.id);
        let all = held.len() <= self.most;
        let held: Vec<_> = held.into_iter().take(self.most).map(|entry| entry.row.agent.id).collect();
        for agent in &held {
            if self.confirm {
                draft.take_held(agent, &self.reason)?;
            } else {
                draft.judge(agent, Verdict::Dismiss, self.reason.clone())?;
                draft.release_of(agent)?;
            }
        }
        if all {
            let Self { confirm: confirmed, reason, .. } = self;
            draft.push_own(Control::BreakerResolved(Resolved { tripped, confirmed, reason }))?;
        }
        Ok((held.len(), all))
    }
}

impl Draft<'_> {
    /// All agents, as they will be after the draft so far.
    pub(crate) fn all_agents(&self) -> impl Iterator<Item = &AgentEntry> {
        let before = self.base.agents.iter().map(|(id, entry)| self.agents.get(id).unwrap_or(entry));
        before.chain(self.agents.iter().filter(|(id, _)| !self.base.agents.contains_key(id)).map(|(_, e)| e))
    }

    /// In which record the breaker tripped, if it did or does with this agent. Everybody is looked at then, which is no
    /// more often than identities are lost.
    pub(super) fn brakes(&mut self, agent: AgentId) -> Result<Option<u64>, StoreError> {
        let Some(policy) = self.policy.policy.breaker else { return Ok(None) };
        if let Some((index, _)) = self.own().breaker.is_tripped() {
            return Ok(Some(*index));
        }
        let Some(in_common) = self.in_common(agent, &policy) else { return Ok(None) };
        let index = self.next_index();
        self.push_own(Control::BreakerTripped(Tripped { in_common, window: policy.window }))?;
        Ok(Some(index))
    }

    fn in_common(&self, agent: AgentId, policy: &BreakerPolicy) -> Option<InCommon> {
        let from = self.time.minus(policy.window);
        if let Some(failing) = self.fails_with_others(agent, from, policy.same_target) {
            return Some(failing);
        }
        let active = self.all_agents().filter(|entry| entry.row.agent.state == AgentState::Active).count();
        let (count, allowed) = (self.own().breaker.recent(policy, self.time), policy.allowed(active));
        (count >= allowed).then_some(InCommon::Revocations { count, allowed })
    }

    /// The target at which this agent fails, and so many others do.
    fn fails_with_others(&self, agent: AgentId, from: UnixTime, least: u32) -> Option<InCommon> {
        let own = self.agent(&agent)?.tally.failing(from).filter(|failing| failing.times >= FAILED);
        let fails = |target| move |entry: &&AgentEntry| entry.tally.failing(from).any(|f| f.target == target);
        let counted = own.map(|failing| (self.all_agents().filter(fails(failing.target)).count(), failing));
        let (agents, failing) = counted.max_by_key(|(agents, failing)| (*agents, failing.times))?;
        let agents = u64::try_from(agents).unwrap_or(u64::MAX);
        (agents >= u64::from(least)).then(|| InCommon::Target {
            token: failing.target,
            target: self.drafted_event(failing.index).and_then(named),
            agents,
            event: failing.index,
        })
    }

    /// An event that is in this draft.
    fn drafted_event(&self, index: u64) -> Option<&Event> {
        let place = index.checked_sub(self.next_index_after(0))?;
        match &self.records.get(usize::try_from(place).ok()?)?.body {
            Body::Event(_, event) => event.as_deref(),
            Body::Control(_) => None,
        }
    }

    /// Takes away what the breaker holds of an agent.
    fn take_held(&mut self, agent: &AgentId, reason: &Note) -> Result<(), Error> {
        let Some(entry) = self.agent(agent) else { return Ok(()) };
        let evidence = entry.row.braked.as_ref().map(|braked| braked.evidence.clone());
        let Some(facts) = self.held_of(agent) else { return Ok(()) };
        let said = Said { reason: None, note: Some(reason.clone()) };
        let cause = Cause::RiskThresholdExceeded;
        Ok(self.revoke_saying(facts.revocation(cause, self.now), evidence, said)?)
    }
}

fn named(event: &Event) -> Option<Name> {
    event.target.clone().or_else(|| event.counterparty.clone())
}
