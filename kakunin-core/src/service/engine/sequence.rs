//! Deciding: callers queue, one of them decides for all that wait and makes it durable in one append, and
//! each is answered once its own records are on disk.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_channel::oneshot;

use super::inner::Inner;
use super::job::{Answer, Decision, Job};
use super::telling::Made;
use super::tenant::{Sequencer, TenantLog};
use crate::error::StoreError;
use crate::event::ShortName;
use crate::id::JoinTokenId;
use crate::log::entry::LogId;
use crate::service::command::decide::{Command, Need};
use crate::service::command::draft::Decided;
use crate::service::error::Error;
use crate::store::bound::Binding;
use crate::store::state::Kind;

/// Records that go into one append, over all callers that wait.
const MAX_BATCH: usize = 4_000;

const OUTCOME_UNKNOWN: &str = "the call that was writing this was dropped; see whether it was done, or send it again with its stream number";

impl Inner {
    /// Decides under the tenant's sequencer, and makes it durable, together with what others decide.
    ///
    /// A decision that refuses does so before it records anything: see [`Draft::position`](crate::service::command::draft::Draft::position).
    pub(crate) async fn decide<C: Command>(
        &self,
        tenant: &TenantLog,
        by: Option<ShortName>,
        command: C,
    ) -> Result<C::Answer, Error> {
        let (caller, answered) = oneshot::channel();
        let (records, need) = (command.records(), C::NEED);
        let work = Decision { by, command: Some(command), value: None, caller };
        tenant.enqueue(Job { records, need, work: Box::new(work) });
        let (value, made) = self.answered(tenant, answered).await?;
        self.told(tenant, &made);
        // Whoever made something to do of it does it, and nobody else waits.
        // So does who asks again because an answer was lost.
        if !made.is_empty() || need == Need::Reserved {
            self.commits.hurry(tenant).await;
        }
        Ok(value)
    }

    fn told(&self, tenant: &TenantLog, made: &Made) {
        if !made.is_empty() {
            let log = LogId::Tenant(tenant.id.clone());
            made.iter().for_each(|(index, record)| self.parts.listener.recorded(&log, *index, record));
        }
    }

    /// Waits for an answer, or for the sequencer, to decide for everybody who waits.
    async fn answered<T>(&self, tenant: &TenantLog, mut answered: oneshot::Receiver<Answer<T>>) -> Answer<T> {
        loop {
            let mut turn = pin!(tenant.sequencer.lock());
            let next = poll_fn(|cx| match Pin::new(&mut answered).poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Err(answer)),
                Poll::Pending => turn.as_mut().poll(cx).map(Ok),
            });
            match next.await {
                Ok(mut sequencer) => {
                    let voided = self.sequence(tenant, &mut sequencer).await;
                    drop(sequencer);
                    // Others are answered, and decide meanwhile: a vault may be far.
                    self.forget_join_tokens(&voided).await;
                }
                // Whoever had the sequencer before took our decision along.
                Err(Ok(answer)) => return answer,
                // It was dropped while it wrote: our records may be in the log, or not.
                Err(Err(oneshot::Canceled)) => return Err(StoreError::unavailable(OUTCOME_UNKNOWN).into()),
            }
        }
    }

    /// Gives join tokens that open nothing any more.
    async fn sequence(&self, tenant: &TenantLog, sequencer: &mut Sequencer) -> Vec<JoinTokenId> {
        let mut jobs = tenant.take_jobs(MAX_BATCH);
        let done = loop {
            match self.sequence_all(tenant, sequencer, &mut jobs).await {
                // Nothing was written. Now that it is known whose the key is, the one who wants it is refused, and the
                // others are decided without that.
                Err(Error::Store(StoreError::KeyTaken { key, agent }))
                    if self.bound.remember([Binding { key, agent }]) => {}
                done => break done,
            }
        };
        let (voided, mut error) = match done {
            Ok(voided) => (voided, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        for job in jobs {
            let alone = job.work.answer(error.as_mut().map_or(Ok(()), |error| Err(again(error))));
            self.told(tenant, &alone);
        }
        voided
    }

    /// Decides, and makes it durable; who was refused is answered, and no longer among the jobs.
    async fn sequence_all(
        &self,
        tenant: &TenantLog,
        sequencer: &mut Sequencer,
        jobs: &mut Vec<Job>,
    ) -> Result<Vec<JoinTokenId>, Error> {
        sequencer.settle(self).await?;
        let full = self.parts.sink.room().await.full;
        let mut decided = self.decide_all(tenant, sequencer, full, jobs)?;
        let voided = std::mem::take(&mut decided.voided);
        let has_tasks = decided.changes.iter().any(|change| change.kind == Kind::Plan);
        // After it, so that whoever looks finds them; whatever comes of it, also if this is dropped, they may be there.
        let _flag = has_tasks.then(|| Flag(&tenant.has_tasks));
        sequencer.commit(self, decided).await?;
        Ok(voided)
    }

    /// Decides for all, one after the other, each on what those before it decided.
    fn decide_all(
        &self,
        tenant: &TenantLog,
        sequencer: &Sequencer,
        full: bool,
        jobs: &mut Vec<Job>,
    ) -> Result<Decided, Error> {
        let committed = tenant.committed.read();
        let mut draft = sequencer.draft(self, tenant, &committed);
        draft.scarce = full;
        draft.again = jobs.iter().any(|job| job.need == Need::Key);
        // Where there is no room, nothing else gets into the draft.
        let reserved = full || jobs.iter().all(|job| job.need == Need::Reserved);
        let events = jobs.iter().all(|job| job.need == Need::Events);
        let mut failure = None;
        for mut job in std::mem::take(jobs) {
            if full && matches!(job.need, Need::Ordinary | Need::Key) {
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
        Ok(decided)
    }
}

/// Says so once it is dropped.
struct Flag<'t>(&'t AtomicBool);

impl Drop for Flag<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

// One failure answers many callers: of one that is not the store's the first gets it with its source, the others its text.
fn again(error: &mut Error) -> Error {
    let copy = match &*error {
        Error::Store(error) => error.clone(),
        other => StoreError::unavailable(other.to_string()),
    };
    core::mem::replace(error, copy.into())
}
