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
use crate::service::state::tally::Failing;
use crate::time::UnixTime;

/// How often an agent must have failed at a target for that to count: once happens to everybody.
const FAILED: u32 = 2;
/// Why it closes by itself.
const CLOSED: &str = "nobody is held by it any more";

/// A person looked at what the breaker holds: the agents have their identities again, or lose them for good. It is done
/// for so many at once; the breaker is closed with the last.
#[derive(Clone)]
pub(crate) struct Resolve {
    pub(crate) confirm: bool,
    pub(crate) reason: Note,
    /// Whether a second person approved it.
    pub(crate) approved: bool,
    /// Of which trip, if it is to be none that came later.
    pub(crate) of: Option<u64>,
    pub(crate) most: usize,
}

/// What was done of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolving {
    /// For how many agents.
    pub(crate) agents: usize,
    /// Whether that was all.
    pub(crate) done: bool,
    /// In which record it had tripped.
    pub(crate) tripped: u64,
}

impl Command for Resolve {
    const NEED: Need = Need::Ordinary;
    type Answer = Resolving;

    fn records(&self) -> usize {
        self.most * 4
    }

    fn decide(self, draft: &mut Draft<'_>) -> Result<Resolving, Error> {
        let tripped = draft.own().breaker.is_tripped().map(|(index, _)| *index);
        let of = |tripped: &u64| self.of.is_none_or(|of| of == *tripped);
        let tripped = tripped.filter(of).ok_or(Error::NotTripped)?;
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
        Ok(Resolving { agents: held.len(), done: all, tripped })
    }
}

impl Draft<'_> {
    /// All agents, as they will be after the draft so far.
    pub(crate) fn all_agents(&self) -> impl Iterator<Item = &AgentEntry> {
        let before = self.base.agents.keys().filter_map(|id| self.agent(id));
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
        let counts = |f: &Failing, target| f.target == target && f.times >= FAILED;
        let fails = |target| {
            move |entry: &&AgentEntry| {
                let victim = entry.row.agent.state == AgentState::Active || entry.row.braked.is_some();
                victim && entry.tally.failing(from).any(|f| counts(f, target))
            }
        };
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

    /// Closes the breaker with the last agent that it held, if that was released, revoked, halted or retired by itself:
    /// else somebody is held long after without an alert.
    pub(super) fn close_if_empty(&mut self) -> Result<(), StoreError> {
        let tripped = self.own().breaker.is_tripped().map(|(index, _)| *index);
        let empty = || self.all_agents().all(|entry| entry.row.braked.is_none());
        let Some(tripped) = tripped.filter(|_| empty()) else { return Ok(()) };
        let reason = CLOSED.to_owned().try_into().map_err(StoreError::unavailable)?;
        self.push_own(Control::BreakerResolved(Resolved { tripped, confirmed: false, reason }))
    }

    /// Takes away what the breaker holds of an agent.
    fn take_held(&mut self, agent: &AgentId, reason: &Note) -> Result<(), Error> {
        let Some(entry) = self.agent(agent) else { return Ok(()) };
        let evidence = entry.row.braked.as_ref().map(|braked| braked.evidence.clone());
        let Some(facts) = self.held_of(agent) else { return Ok(()) };
        let said = Said { reason: None, note: Some(reason.clone()) };
        let cause = Cause::RiskThresholdExceeded;
        self.judge(agent, Verdict::ConfirmCompromised, reason.clone())?;
        Ok(self.revoke_saying(facts.revocation(cause, self.now), evidence, said)?)
    }
}

fn named(event: &Event) -> Option<Name> {
    event.target.clone().or_else(|| event.counterparty.clone())
}
