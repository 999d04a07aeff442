//! Orders that wait for a second person.

use super::breaker::Resolve;
use super::decide::{Command, Need};
use super::draft::Draft;
use super::hold::Release;
use super::policy::{Replaces, SetPolicy};
use super::reinstate::Reinstate;
use super::revoke::Revoke;
use crate::agent::Note;
use crate::id::ApprovalId;
use crate::log::record::{Approval, Control, Request, Requested};
use crate::service::error::Error;
use crate::service::limits::{APPROVAL_LIFE, MAX_WAITING};

/// Agents that an approved release of what the breaker holds begins with; the rest follows.
pub(crate) const RELEASED_AT_ONCE: usize = 256;

/// Has an order wait for a second person.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) id: ApprovalId,
    pub(crate) order: Requested,
}

impl Command for Ask {
    const NEED: Need = Need::Ordinary;
    type Answer = ();

    fn decide(self, draft: &mut Draft<'_>) -> Result<(), Error> {
        if draft.by().is_none() {
            return Err(Error::Unnamed);
        }
        let over = draft.own().approvals.all().filter(|waiting| waiting.request.expires <= draft.time);
        let over: Vec<_> = over.map(|waiting| waiting.request.id).collect();
        if draft.own().approvals.len() - over.len() >= MAX_WAITING {
            return Err(Error::TooManyWaiting);
        }
        for id in over {
            draft.push_own(Control::ApprovalDecided(Approval { id, approved: false, reason: None }))?;
        }
        let request = Request { id: self.id, order: self.order, expires: draft.time.plus(APPROVAL_LIFE) };
        Ok(draft.push_own(Control::ApprovalRequested(request))?)
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
    const NEED: Need = Need::Reserved;
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
    /// Does what a second person approved, as the first ordered it.
    fn do_approved(&mut self, order: Requested) -> Result<(), Error> {
        let approved = true;
        match order {
            Requested::Policy { policy, replaces, reason } => {
                let replaces = Replaces::Since(replaces);
                SetPolicy { policy: *policy, replaces, reason, approved }.decide(self).map(drop)
            }
            Requested::Revoke { serial, cause, said } => {
                Revoke { serial, cause, said, approved }.decide(self).map(drop)
            }
            Requested::Release { serial } => Release { serial, approved }.decide(self),
            Requested::Reinstate { agent, reason } => {
                Reinstate { agent, reason, approved }.decide(self).map(drop)
            }
            Requested::ReleaseHeld { reason } => {
                Resolve { confirm: false, reason, approved, most: RELEASED_AT_ONCE }.decide(self).map(drop)
            }
        }
    }
}
