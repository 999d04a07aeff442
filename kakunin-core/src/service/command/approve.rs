//! Orders that wait for a second person.

use super::breaker::Resolve;
use super::decide::{Command, Need};
use super::draft::Draft;
use super::hold::Release;
use super::policy::{Replaces, SetPolicy};
use super::reinstate::Reinstate;
use super::revoke::Revoke;
use crate::agent::Note;
use crate::id::{AgentId, ApprovalId};
use crate::log::record::{Approval, Control, Request, Requested};
use crate::service::error::Error;
use crate::service::limits::{APPROVAL_LIFE, MAX_WAITING};
use crate::service::state::own::approvals::Waiting;

/// Agents that an approved release of what the breaker holds begins with; the rest follows.
pub(crate) const RELEASED_AT_ONCE: usize = 256;

/// Has an order wait for a second person. The answer: under which identifier.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) id: ApprovalId,
    pub(crate) order: Requested,
}

impl Command for Ask {
    const NEED: Need = Need::Ordinary;
    type Answer = ApprovalId;

    fn decide(self, draft: &mut Draft<'_>) -> Result<ApprovalId, Error> {
        let order = draft.bound(self.order);
        let by = draft.by().ok_or(Error::Unnamed)?;
        let same = |waiting: &&Waiting| {
            waiting.request.expires > draft.time && waiting.by == *by && waiting.request.order == order
        };
        // Sent again, by whoever never got the answer.
        if let Some(same) = draft.own().approvals.all().find(same) {
            return Ok(same.request.id);
        }
        let over = draft.own().approvals.all().filter(|waiting| waiting.request.expires <= draft.time);
        let over: Vec<_> = over.map(|waiting| waiting.request.id).collect();
        if draft.own().approvals.len() - over.len() >= MAX_WAITING {
            return Err(Error::TooManyWaiting);
        }
        for id in over {
            draft.push_own(Control::ApprovalDecided(Approval { id, approved: false, reason: None }))?;
        }
        let request = Request { id: self.id, order, expires: draft.time.plus(APPROVAL_LIFE) };
        draft.push_own(Control::ApprovalRequested(request))?;
        Ok(self.id)
    }
}

/// The word of a second person; whoever asked may take it back. The answer: what was ordered, if it was done.
#[derive(Clone)]
pub(crate) struct Approve {
    pub(crate) id: ApprovalId,
    pub(crate) approved: bool,
    pub(crate) reason: Option<Note>,
}

impl Command for Approve {
    const NEED: Need = Need::Ordinary;
    type Answer = Option<Requested>;

    fn decide(self, draft: &mut Draft<'_>) -> Result<Option<Requested>, Error> {
        let Self { id, approved, reason } = self;
        let waiting = draft.own().approvals.get(&id).filter(|waiting| waiting.request.expires > draft.time);
        let waiting = waiting.cloned().ok_or(Error::NotFound("order that waits for a second person"))?;
        let order = waiting.request.order;
        if approved {
            match draft.by() {
                None => return Err(Error::Unnamed),
                Some(by) if *by == waiting.by => return Err(Error::SamePerson),
                Some(_) => draft.do_approved(order.clone())?,
            }
        }
        draft.push_own(Control::ApprovalDecided(Approval { id, approved, reason }))?;
        Ok(approved.then_some(order))
    }
}

impl Draft<'_> {
    /// An order, bound to what it is about as that stands now.
    fn bound(&self, order: Requested) -> Requested {
        let since = |agent: Option<AgentId>| Some(self.agent(&agent?)?.row.void_before);
        match order {
            Requested::Release { serial, .. } => {
                Requested::Release { serial, since: since(self.agent_of(&serial)) }
            }
            Requested::Reinstate { agent, reason, .. } => {
                Requested::Reinstate { agent, reason, since: since(Some(agent)) }
            }
            Requested::ReleaseHeld { reason, .. } => {
                let tripped = self.own().breaker.is_tripped().map(|(index, _)| *index);
                Requested::ReleaseHeld { reason, tripped }
            }
            other @ (Requested::Policy { .. } | Requested::Revoke { .. }) => other,
        }
    }

    /// Does what a second person approved, as the first ordered it.
    fn do_approved(&mut self, order: Requested) -> Result<(), Error> {
        let approved = true;
        // Who was stopped again since is not given back by an older order.
        if self.bound(order.clone()) != order {
            return Err(Error::OrderOutdated);
        }
        match order {
            Requested::Policy { policy, replaces, reason } => {
                let replaces = Replaces::Since(replaces);
                SetPolicy { policy: *policy, replaces, reason, approved }.decide(self).map(drop)
            }
            Requested::Revoke { serial, cause, said } => {
                Revoke { serial, cause, said, approved }.decide(self).map(drop)
            }
            Requested::Release { serial, .. } => Release { serial, approved }.decide(self),
            Requested::Reinstate { agent, reason, .. } => {
                Reinstate { agent, reason, approved }.decide(self).map(drop)
            }
            Requested::ReleaseHeld { reason, tripped: of } => {
                let most = RELEASED_AT_ONCE;
                Resolve { confirm: false, reason, approved, of, most }.decide(self).map(drop)
            }
        }
    }
}
