//! The enforcement point reports: each allow and deny, without making the request wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::scope::Action;
use kakunin_core::time::UnixTime;

use crate::agent::VerifiedAgent;
use crate::denied::Code;

/// What an enforcement point decided about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: UnixTime,
    /// Whose request, if a certificate was accepted as one of this deployment's.
    pub who: Option<Subject>,
    /// What was asked for.
    pub action: Option<String>,
    /// Why it was refused; `None` if it was allowed.
    pub refusal: Option<Code>,
    /// Whether the certificate's scope does not cover it, also where it was refused for another reason.
    pub out_of_scope: bool,
    /// Whether it was shown that the request is the agent's own. Only then may it move the agent's score.
    pub attribution: Attribution,
}

/// The agent a decision is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Which agent.
    pub agent: AgentId,
    /// Whose agent.
    pub tenant: TenantId,
    /// By which certificate.
    pub serial: Serial,
}

impl From<&VerifiedAgent> for Subject {
    fn from(agent: &VerifiedAgent) -> Self {
        Self { agent: *agent.agent(), tenant: agent.tenant().clone(), serial: *agent.serial() }
    }
}

impl Decision {
    pub(crate) fn new(
        at: UnixTime,
        agent: Option<&VerifiedAgent>,
        action: Option<&str>,
        refusal: Option<Code>,
        attribution: Attribution,
    ) -> Self {
        let asked = action.filter(|_| refusal.is_some()).and_then(|action| Action::parse(action).ok());
        let outside = |(agent, action): (&VerifiedAgent, &Action)| !agent.scope().permits(action);
        Self {
            at,
            who: agent.map(Subject::from),
            action: action.map(str::to_owned),
            refusal,
            out_of_scope: agent.zip(asked.as_ref()).is_some_and(outside),
            attribution,
        }
    }

    /// The decision as an event, if it is about an agent and an action of the grammar.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        let (who, action) = (self.who.as_ref()?, self.action.as_ref()?.parse().ok()?);
        let outcome = if self.refusal.is_some() { Outcome::Denied } else { Outcome::Ok };
        let mut event = Event::new(who.serial, action, outcome);
        event.out_of_scope = self.out_of_scope;
        event.attribution = self.attribution;
        event.occurred_at = Some(self.at);
        Some(event)
    }
}

/// Takes decisions. Any function of a [`Decision`] does.
///
/// * Atomicity: each decision is taken whole, or dropped and counted.
/// * Durability: the reporter's; nothing waits for it.
/// * Concurrency: any number of calls at once.
/// * Idempotence: none; one decision, one call.
pub trait Reporter: Send + Sync {
    /// Takes one decision. Never waits.
    fn report(&self, decision: Decision);
}

impl<F: Fn(Decision) + Send + Sync> Reporter for F {
    fn report(&self, decision: Decision) {
        self(decision);
    }
}

/// Puts decisions into a bounded queue; what does not fit is dropped and counted.
#[derive(Clone, Debug)]
pub struct QueueReporter {
    queue: SyncSender<Decision>,
    dropped: Arc<AtomicU64>,
}

/// The other end of the queue: whoever sends decisions on.
#[derive(Debug)]
pub struct Decisions {
    queue: Receiver<Decision>,
}

/// A queue of at most `capacity` decisions.
#[must_use]
pub fn queue(capacity: usize) -> (QueueReporter, Decisions) {
    let (sender, receiver) = sync_channel(capacity);
    (QueueReporter { queue: sender, dropped: Arc::default() }, Decisions { queue: receiver })
}

impl QueueReporter {
    /// How many decisions found no room: the log lacks them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Reporter for QueueReporter {
    fn report(&self, decision: Decision) {
        if self.queue.try_send(decision).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Decisions {
    /// Up to `limit` decisions, once there is one or `patience` is over; `None` when nobody reports any
    /// more.
    #[must_use]
    pub fn next_batch(&self, limit: usize, patience: Duration) -> Option<Vec<Decision>> {
        let mut batch = match self.queue.recv_timeout(patience) {
            Ok(first) => vec![first],
            Err(RecvTimeoutError::Timeout) => return Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        batch.extend(self.queue.try_iter().take(limit.saturating_sub(1)));
        Some(batch)
    }
}
