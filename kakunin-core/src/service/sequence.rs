//! Deciding: callers queue, one of them decides for all that wait and makes it durable in one append, and
//! each is answered once its own records are on disk.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::task::Poll;

use futures_channel::oneshot;

use super::Inner;
use super::draft::Draft;
use super::error::Error;
use super::tenant::{Sequencer, Tenant};
use crate::error::StoreError;
use crate::event::ShortName;
use crate::state::Kind;

/// Records that go into one append, over all callers that wait.
const MAX_BATCH: usize = 4_000;
/// Records of a decision that is not about events, at the most about.
const RECORDS: usize = 4;

const OUTCOME_UNKNOWN: &str = "the call that was writing this was dropped; see whether it was done, or send it again with its stream number";

/// What a decision may use where there is no room left (ADR 21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it is refused.
    Ordinary,
    /// It takes in events, of which those are recorded that take an identity away: see [`Draft::scarce`].
    Events,
    /// It takes trust away: what is set aside for that.
    Reserved,
}

/// One caller's decision.
pub(super) struct Job {
    records: usize,
    need: Need,
    work: Box<dyn Work>,
}

trait Work: Send {
    /// Takes the decision into the draft.
    fn decide(&mut self, draft: &mut Draft<'_>) -> Result<(), Error>;
    /// Tells the caller how it ended.
    fn answer(self: Box<Self>, outcome: Result<(), Error>);
}

struct Decision<F, T> {
    by: Option<ShortName>,
    decision: Option<F>,
    value: Option<T>,
    caller: oneshot::Sender<Result<T, Error>>,
}

impl<F, T: Send> Work for Decision<F, T>
where
    F: FnOnce(&mut Draft<'_>) -> Result<T, Error> + Send,
{
    fn decide(&mut self, draft: &mut Draft<'_>) -> Result<(), Error> {
        // If its caller is gone nothing of it was written, and nothing will be.
        if let Some(decision) = self.decision.take().filter(|_| !self.caller.is_canceled()) {
            draft.asked_by(self.by.take());
            self.value = Some(decision(draft)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), Error>) {
        let result = match (outcome, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Err(error), _) => Err(error),
            (Ok(()), None) => return,
        };
        // The receiver is gone only if its caller is.
        let _ = self.caller.send(result);
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Job({})", self.records)
    }
}

impl Inner {
    /// Decides under the tenant's sequencer, and makes it durable, together with what others decide.
    ///
    /// A decision that refuses does so before it records anything: see [`Draft::position`].
    pub(super) async fn decide<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        by: Option<ShortName>,
        decision: impl FnOnce(&mut Draft<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.decide_many(tenant, by, (RECORDS, Need::Ordinary), decision).await
    }

    /// As [`Inner::decide`], for what takes trust away: also where there is no room left for anything else.
    pub(super) async fn decide_reserved<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        by: Option<ShortName>,
        decision: impl FnOnce(&mut Draft<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.decide_many(tenant, by, (RECORDS, Need::Reserved), decision).await
    }

    /// As [`Inner::decide`], with about so many records.
    pub(super) async fn decide_many<T: Send + 'static>(
        &self,
        tenant: &Tenant,
        by: Option<ShortName>,
        (records, need): (usize, Need),
        decision: impl FnOnce(&mut Draft<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (caller, answered) = oneshot::channel();
        let work = Decision { by, decision: Some(decision), value: None, caller };
        tenant.enqueue(Job { records, need, work: Box::new(work) });
        self.answered(tenant, answered).await
    }

    /// Waits for an answer, or for the sequencer, to decide for everybody who waits.
    async fn answered<T>(
        &self,
        tenant: &Tenant,
        mut answered: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        loop {
            let mut turn = pin!(tenant.sequencer.lock());
            let next = poll_fn(|cx| match Pin::new(&mut answered).poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Err(answer)),
                Poll::Pending => turn.as_mut().poll(cx).map(Ok),
            });
            match next.await {
                Ok(mut sequencer) => self.sequence(tenant, &mut sequencer).await,
                // Whoever had the sequencer before took our decision along.
                Err(Ok(answer)) => return answer,
                // It was dropped while it wrote: our records may be in the log, or not.
                Err(Err(oneshot::Canceled)) => return Err(StoreError::unavailable(OUTCOME_UNKNOWN).into()),
            }
        }
    }

    async fn sequence(&self, tenant: &Tenant, sequencer: &mut Sequencer) {
        let mut jobs = tenant.take_jobs(MAX_BATCH);
        let mut error = self.sequence_all(tenant, sequencer, &mut jobs).await.err();
        for job in jobs {
            job.work.answer(error.as_mut().map_or(Ok(()), |error| Err(again(error))));
        }
    }

    /// Decides, and makes it durable; who was refused is answered, and no longer among the jobs.
    async fn sequence_all(
        &self,
        tenant: &Tenant,
        sequencer: &mut Sequencer,
        jobs: &mut Vec<Job>,
    ) -> Result<(), Error> {
        sequencer.settle(self).await?;
        let full = self.parts.sink.room().await.full;
        let mut draft = sequencer.draft(self, tenant);
        draft.scarce = full;
        // Where there is no room, nothing else gets into the draft.
        let reserved = full || jobs.iter().all(|job| job.need == Need::Reserved);
        let events = jobs.iter().all(|job| job.need == Need::Events);
        let mut failure = None;
        for mut job in std::mem::take(jobs) {
            if full && job.need == Need::Ordinary {
                job.work.answer(Err(StoreError::Full.into()));
                continue;
            }
            let before = draft.position();
            let decided = if failure.is_none() { job.work.decide(&mut draft) } else { Ok(()) };
            match decided {
                Err(error) if !matches!(error, Error::Store(_)) && draft.position() == before => {
                    job.work.answer(Err(error));
                    continue;
                }
                // What it recorded before it failed must not be written: nothing of this draft is.
                Err(error) => failure = Some(error),
                Ok(()) => {}
            }
            jobs.push(job);
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let mut decided = draft.decided()?;
        decided.reserved = reserved || events && decided.is_small_and_takes();
        let voided = std::mem::take(&mut decided.voided);
        let has_tasks = decided.changes.iter().any(|change| change.kind == Kind::Plan);
        let done = sequencer.commit(self, decided).await;
        // After it, so that whoever looks finds them; whatever came of it, they may be there.
        if has_tasks {
            tenant.has_tasks.store(true, Ordering::Release);
        }
        if done.is_ok() {
            self.forget_join_tokens(&voided).await;
        }
        done
    }
}

impl Tenant {
    fn enqueue(&self, job: Job) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(job);
    }

    /// Jobs that were waiting, up to about `limit` records; their order is kept, but that those come first, and alone,
    /// that take trust away: no other one is written into what is set aside for them.
    fn take_jobs(&self, limit: usize) -> Vec<Job> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut records = 0;
        if queue.iter().any(|job| job.need == Need::Reserved) {
            let take = |job: &mut Job| {
                let fits = job.need == Need::Reserved && (records == 0 || records + job.records <= limit);
                records += if fits { job.records } else { 0 };
                fits
            };
            return queue.extract_if(.., take).collect();
        }
        let fits = queue.iter().take_while(|job| {
            let first = records == 0;
            records += job.records;
            first || records <= limit
        });
        let count = fits.count();
        queue.drain(..count).collect()
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
