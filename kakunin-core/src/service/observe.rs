//! Taking events in: callers queue, one of them sequences for all, and each is answered once its
//! records are on disk.

use futures_channel::oneshot;

use super::draft::{Draft, EventStatus, Observed};
use super::error::Error;
use super::tenant::{Job, Sequencer, Tenant};
use super::{Inner, Kakunin, MAX_EVENTS};
use crate::error::StoreError;
use crate::event::Event;
use crate::id::{AgentId, Serial, TenantId};
use crate::time::UnixTime;

/// Events that go into one append, over all callers that wait.
const MAX_BATCH: usize = 4 * MAX_EVENTS;

const OUTCOME_UNKNOWN: &str =
    "the call that was writing these events was dropped; send them again with their stream numbers";

impl Kakunin {
    /// Records one event, scores it, and revokes if the score says so.
    ///
    /// # Errors
    /// As [`Kakunin::observe_all`].
    pub async fn observe(&self, tenant: &TenantId, event: Event) -> Result<Observed, Error> {
        self.observe_all(tenant, vec![event]).await?.pop().ok_or(Error::NotFound("event"))
    }

    /// Records events in order, scores each, and revokes where a score says so. All of them, or none.
    /// On return they are on disk, with their places in the log.
    ///
    /// # Errors
    /// [`Error::NotFound`] if a serial is not of this tenant's, [`Error::TooManyEvents`], and what the
    /// store says; nothing of these events was recorded then.
    pub async fn observe_all(&self, tenant: &TenantId, events: Vec<Event>) -> Result<Vec<Observed>, Error> {
        self.take_in(tenant, events, None).await
    }

    /// As [`Kakunin::observe_all`], with the time of each event: for recorded traces, where the clock of
    /// this process says nothing. Times never go back in a log; an earlier one counts as the last.
    ///
    /// # Errors
    /// As [`Kakunin::observe_all`].
    pub async fn replay(
        &self,
        tenant: &TenantId,
        events: Vec<(UnixTime, Event)>,
    ) -> Result<Vec<Observed>, Error> {
        let (times, events) = events.into_iter().unzip();
        self.take_in(tenant, events, Some(times)).await
    }

    async fn take_in(
        &self,
        tenant: &TenantId,
        events: Vec<Event>,
        times: Option<Vec<UnixTime>>,
    ) -> Result<Vec<Observed>, Error> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        if events.len() > MAX_EVENTS {
            return Err(Error::TooManyEvents(events.len()));
        }
        let inner = &self.inner;
        let tenant = inner.tenant(tenant).await?;
        let (answer, mut answered) = oneshot::channel();
        tenant.enqueue(Job { events, times, answer });
        loop {
            let mut sequencer = tenant.sequencer.lock().await;
            // Whoever had the sequencer before may have taken our events along.
            match answered.try_recv() {
                Ok(Some(result)) => {
                    drop(sequencer);
                    inner.run_key_tasks_if_revoked(&tenant, &result).await;
                    return result;
                }
                // It was dropped while it wrote: our events may be in the log, or not.
                Err(oneshot::Canceled) => return Err(StoreError::unavailable(OUTCOME_UNKNOWN).into()),
                Ok(None) => sequence(inner, &tenant, &mut sequencer).await,
            }
        }
    }
}

async fn sequence(inner: &Inner, tenant: &Tenant, sequencer: &mut Sequencer) {
    let jobs = tenant.take_jobs(MAX_BATCH);
    if let Err(error) = sequencer.settle(inner).await {
        return refuse_all(jobs, error);
    }
    let mut draft = sequencer.draft(inner.now());
    let mut answers = Vec::new();
    let mut failure = None;
    for job in jobs.into_iter().filter(|job| !job.answer.is_canceled()) {
        if failure.is_some() {
            answers.push((job.answer, Vec::new()));
            continue;
        }
        match subjects(sequencer, &job.events) {
            Ok(subjects) => {
                let observed = decide(inner, tenant, &mut draft, subjects, job.events, job.times);
                let observed = observed.unwrap_or_else(|error| {
                    failure = Some(Error::from(error));
                    Vec::new()
                });
                answers.push((job.answer, observed));
            }
            // The receiver is gone only if its caller is.
            Err(error) => _ = job.answer.send(Err(error)),
        }
    }
    let decided = draft.decided();
    let mut error = match failure {
        Some(error) => Some(error),
        None => sequencer.commit(inner, decided).await.err(),
    };
    for (answer, observed) in answers {
        let result = match &mut error {
            None => Ok(observed),
            Some(error) => Err(again(error)),
        };
        let _ = answer.send(result);
    }
}

/// Takes one job's events into the draft.
fn decide(
    inner: &Inner,
    tenant: &Tenant,
    draft: &mut Draft<'_>,
    subjects: Vec<AgentId>,
    events: Vec<Event>,
    times: Option<Vec<UnixTime>>,
) -> Result<Vec<Observed>, StoreError> {
    let mut times = times.unwrap_or_default().into_iter();
    let each = subjects.into_iter().zip(events).map(|(agent, event)| {
        draft.time = times.next().unwrap_or(draft.time).max(draft.time);
        draft.observe(agent, event, &tenant.tokens, &inner.policy, &*inner.parts.model)
    });
    each.collect()
}

/// The agents of a job's events, if every one is known and has room for its stream.
fn subjects(sequencer: &Sequencer, events: &[Event]) -> Result<Vec<AgentId>, Error> {
    let agent = |serial: &Serial| sequencer.projection.serials.get(serial).copied();
    events
        .iter()
        .map(|event| {
            let agent = agent(&event.serial).ok_or(Error::NotFound("certificate"))?;
            let entry = sequencer.projection.agents.get(&agent);
            let room = event.stream.is_none_or(|s| entry.is_some_and(|e| e.seen.has_room(s.stream)));
            if room { Ok(agent) } else { Err(Error::TooManyStreams) }
        })
        .collect()
}

fn refuse_all(jobs: Vec<Job>, mut error: Error) {
    for job in jobs {
        let _ = job.answer.send(Err(again(&mut error)));
    }
}

// One failure answers many callers: the first gets it with its source, the others its text.
fn again(error: &mut Error) -> Error {
    let copy = match &*error {
        Error::Store(StoreError::Full) => Error::Store(StoreError::Full),
        Error::Store(StoreError::Conflict) => Error::Store(StoreError::Conflict),
        Error::Store(StoreError::Corrupt(what)) => Error::Store(StoreError::Corrupt(what.clone())),
        other => Error::Store(StoreError::unavailable(other.to_string())),
    };
    core::mem::replace(error, copy)
}

impl Inner {
    async fn run_key_tasks_if_revoked(&self, tenant: &Tenant, result: &Result<Vec<Observed>, Error>) {
        let revoked = |o: &Observed| o.revoked && o.status == EventStatus::Scored;
        if result.as_ref().is_ok_and(|all| all.iter().any(revoked)) {
            // What fails stays in the store and is tried again with the next decision or start.
            self.run_key_tasks(tenant).await;
        }
    }
}
