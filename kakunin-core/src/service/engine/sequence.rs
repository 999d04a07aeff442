//! Deciding: callers queue, one of them decides for all that wait and makes it durable in one append, and each is answered
//! once its own records are on disk. While events are written, the next ones are decided on them (ADR 27).

use std::future::{Future, poll_fn};
use std::mem::take;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use async_lock::MutexGuard;
use futures_channel::oneshot;

use super::ahead::Ahead;
use super::boxed::Boxed;
use super::inner::Inner;
use super::job::{Answer, Decision, Job};
use super::settled::Settled;
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
/// And while another is written: what is durable is shown to everybody between two decisions.
const MAX_AHEAD: usize = 1_000;

/// How often orders are decided again because somebody else wrote first.
const TRIES: u32 = 8;

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
        let (records, need, taken) = (command.records(), C::NEED, Arc::<AtomicBool>::default());
        let work = Box::new(Decision { by, command: Some(command), value: None, caller });
        tenant.queue.push(Job { records, need, taken: taken.clone(), refused: None, work })?;
        let (value, made) = self.answered(tenant, &taken, answered).await?;
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
    async fn answered<T>(
        &self,
        tenant: &TenantLog,
        taken: &AtomicBool,
        mut answered: oneshot::Receiver<Answer<T>>,
    ) -> Answer<T> {
        // Whoever took it along was dropped while it wrote: our records may be in the log, or not.
        let unknown = |_: oneshot::Canceled| Err(StoreError::unavailable(OUTCOME_UNKNOWN).into());
        loop {
            let mut turn = pin!(tenant.sequencer.lock());
            let next = poll_fn(|cx| match Pin::new(&mut answered).poll(cx) {
                Poll::Ready(answer) => Poll::Ready(Err(answer)),
                Poll::Pending => turn.as_mut().poll(cx).map(Ok),
            });
            match next.await {
                // Others decide meanwhile.
                Ok(sequencer) if taken.load(Ordering::Acquire) => {
                    drop(sequencer);
                    return answered.await.unwrap_or_else(unknown);
                }
                Ok(sequencer) => {
                    let voided = self.sequence(tenant, sequencer).await;
                    // A vault may be far.
                    self.forget_join_tokens(&voided).await;
                }
                Err(answer) => return answer.unwrap_or_else(unknown),
            }
        }
    }

    /// Decides for those that wait, and answers them. Gives join tokens that open nothing any more.
    fn sequence<'a>(
        &'a self,
        tenant: &'a TenantLog,
        sequencer: MutexGuard<'a, Sequencer>,
    ) -> Boxed<'a, Vec<JoinTokenId>> {
        Box::pin(async move {
            // Whatever comes of it, and also if this is dropped, others have their turn if nobody goes on here.
            let _turn = YieldTurn(tenant);
            self.sequence_queue(tenant, sequencer).await
        })
    }

    async fn sequence_queue(
        &self,
        tenant: &TenantLog,
        mut sequencer: MutexGuard<'_, Sequencer>,
    ) -> Vec<JoinTokenId> {
        let turn = self.take_turn(tenant, &mut sequencer).await;
        let most = if tenant.writing.try_lock().is_some() { MAX_BATCH } else { MAX_AHEAD };
        let mut jobs = tenant.queue.take(most);
        let events = jobs.iter().all(|job| job.need == Need::Events);
        let done = match (turn, events) {
            (Err(error), _) => {
                drop(sequencer);
                Err(error)
            }
            (Ok(()), true) => self.sequence_events(tenant, sequencer, &mut jobs).await,
            // On what is durable, so that no order is decided twice because of what others sent.
            (Ok(()), false) => match Settled::of(self, tenant, sequencer).await {
                Ok(sequencer) => self.sequence_settled(tenant, sequencer, &mut jobs).await,
                Err(error) => Err(error),
            },
        };
        let (voided, mut error) = match done {
            Ok(voided) => (voided, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        for job in jobs {
            let failed = error.as_mut().map(again).or(job.refused);
            let alone = job.work.answer(failed.map_or(Ok(()), Err));
            self.told(tenant, &alone);
        }
        voided
    }

    /// Decides on what is durable; nobody decides before this is.
    async fn sequence_settled(
        &self,
        tenant: &TenantLog,
        mut sequencer: Settled<'_>,
        mut jobs: &mut [Job],
    ) -> Result<Vec<JoinTokenId>, Error> {
        let is_event = |job: &Job| job.need == Need::Events;
        let mixed = jobs.iter().any(is_event) && !jobs.iter().all(is_event);
        let again = mixed || jobs.iter().any(|job| matches!(job.need, Need::Key | Need::Reserved));
        let mut left = TRIES;
        loop {
            let decided = self.decide_all(tenant, &sequencer, again, jobs).await?;
            match self.commit(tenant, &mut sequencer, decided).await {
                // Nothing was written. Now that it is known whose the key is, the one who wants it is refused, and the
                // others are decided without that.
                Err(Error::Store(StoreError::KeyTaken { key, agent }))
                    if self.bound.remember([Binding { key, agent }]) => {}
                // Nor was here: what somebody left behind who was dropped, or another process, came first.
                Err(Error::Store(StoreError::Conflict)) if again && left > 0 => {
                    left -= 1;
                    sequencer.settle(self).await?;
                }
                // Nor was here: orders need no key of a payload, and go on without the events.
                Err(Error::Store(error @ StoreError::Vault(_))) if mixed && jobs.iter().any(is_event) => {
                    jobs.sort_by_key(is_event);
                    let orders = jobs.partition_point(|job| !is_event(job));
                    let (others, events) = jobs.split_at_mut(orders);
                    events.iter_mut().for_each(|job| job.refused = Some(error.clone().into()));
                    jobs = others;
                }
                done => return done,
            }
        }
    }

    /// Decides events on what is being written, so that they are sealed when that is durable. If they change nothing but
    /// histories, the next are decided on them while they are written (ADR 27).
    async fn sequence_events(
        &self,
        tenant: &TenantLog,
        mut sequencer: MutexGuard<'_, Sequencer>,
        jobs: &mut [Job],
    ) -> Result<Vec<JoinTokenId>, Error> {
        let depends = tenant.writing.try_lock().is_none_or(|mut writing| !sequencer.learn(&mut writing));
        if sequencer.ledger.is_stale() {
            let settled = Settled::of(self, tenant, sequencer).await?;
            return self.sequence_settled(tenant, settled, jobs).await;
        }
        let mut decided = self.decide_all(tenant, &sequencer, depends, jobs).await?;
        if decided.records.is_empty() || !decided.only_adds() {
            let mut writing = tenant.writing.lock().await;
            if sequencer.learn(&mut writing) {
                return self.commit(tenant, &mut sequencer, decided).await;
            }
            // What it was decided on is not in the log.
            let settled = Settled::with(self, tenant, sequencer, writing).await?;
            return self.sequence_settled(tenant, settled, jobs).await;
        }
        let append = self.sealed(&sequencer.ledger, &decided.records, take(&mut decided.changes)).await?.0;
        match self.write_ahead(tenant, sequencer, (append, Arc::new(decided.agents)), depends).await {
            Ahead::Durable => Ok(Vec::new()),
            Ahead::Failed(error) => Err(error),
            Ahead::Void(settled, _) if depends => self.sequence_settled(tenant, settled, jobs).await,
            Ahead::Void(_, error) => Err(error.into()),
        }
    }

    /// Makes it durable; nobody decides meanwhile.
    async fn commit(
        &self,
        tenant: &TenantLog,
        sequencer: &mut Sequencer,
        mut decided: Decided,
    ) -> Result<Vec<JoinTokenId>, Error> {
        let voided = take(&mut decided.voided);
        let has_tasks = decided.changes.iter().any(|change| change.kind == Kind::Plan);
        // After it, so that whoever looks finds them; whatever comes of it, also if this is dropped, they may be there.
        let flag = has_tasks.then(|| Flag(&tenant.has_tasks));
        sequencer.commit(self, decided).await?;
        // Before anybody is woken who would take it for none and look again in a second.
        drop(flag);
        self.commits.grew(sequencer.ledger.log(), sequencer.ledger.size());
        Ok(voided)
    }

    /// Decides for all, one after the other, each on what those before it decided; `again` if that may have to be done once
    /// more.
    async fn decide_all(
        &self,
        tenant: &TenantLog,
        sequencer: &Sequencer,
        again: bool,
        jobs: &mut [Job],
    ) -> Result<Decided, Error> {
        let full = self.parts.sink.room().await.full;
        let committed = tenant.committed.read();
        let mut draft = sequencer.draft(self, tenant, &committed);
        draft.scarce = full;
        draft.again = again;
        // Where there is no room, nothing else gets into the draft.
        let reserved = full || jobs.iter().all(|job| job.need == Need::Reserved);
        let events = jobs.iter().all(|job| job.need == Need::Events);
        for job in jobs {
            if full && matches!(job.need, Need::Ordinary | Need::Key) {
                job.refused = Some(StoreError::Full.into());
                continue;
            }
            let before = draft.position();
            job.refused = match job.work.decide(&mut draft) {
                Err(error) if !matches!(error, Error::Store(_)) && draft.position() == before => Some(error),
                // What it recorded before it failed must not be written: nothing of this draft is.
                decided => decided.map(|()| None)?,
            };
        }
        let mut decided = draft.decided()?;
        decided.reserved = reserved || events && decided.is_small_and_takes();
        Ok(decided)
    }
}

/// Ends the turn at a tenant's log once it is dropped, unless somebody goes on in it.
struct YieldTurn<'t>(&'t TenantLog);

impl Drop for YieldTurn<'_> {
    fn drop(&mut self) {
        // Whoever has either goes on, and drops one of these, too.
        let Some(mut sequencer) = self.0.sequencer.try_lock() else { return };
        if self.0.queue.len() == 0 && self.0.writing.try_lock().is_some() {
            sequencer.turn.end();
        }
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
