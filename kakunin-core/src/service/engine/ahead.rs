//! Writing events that change nothing but histories, while others decide on them (ADR 27).

use std::pin::{Pin, pin};
use std::sync::Arc;

use async_lock::MutexGuard;
use futures_util::future::{Either, select};

use super::inner::Inner;
use super::recent::Appended;
use super::settled::Settled;
use super::tenant::{Sequencer, TenantLog};
use super::writing::{Agents, Writing};
use crate::error::StoreError;
use crate::log::entry::LogId;
use crate::service::error::Error;
use crate::store::audit::{Append, Head};

/// How an append ended that was decided on one under way.
pub(super) enum Ahead<'t> {
    Durable,
    /// Nothing of it was written, and this is why: as a rule what it was decided on is not in the log.
    Void(Settled<'t>, StoreError),
    Failed(Error),
}

impl Inner {
    /// Writes it. The store has it before the one that it was decided on is durable, and takes it only after that one, since
    /// it names the head that it goes on from: `depends` says whether there may be such a one. Nobody reads it before it is
    /// durable.
    pub(super) async fn write_ahead<'t>(
        &self,
        tenant: &'t TenantLog,
        mut sequencer: MutexGuard<'t, Sequencer>,
        (append, agents): (Append, Agents),
        depends: bool,
    ) -> Ahead<'t> {
        let (log, head, changes) = (append.log.clone(), append.next.clone(), append.changes.clone());
        let recent = Appended::of_tenant(&append);
        let append = match self.payloads.closed(append).await {
            Ok(append) => append,
            Err(error) => return Ahead::Failed(error.into()),
        };
        // If this is dropped while it waits, whoever decides next looks what the store has.
        sequencer.ledger.unsettled();
        let mut sending = pin!(self.payloads.append_closed(append));
        let (mut writing, sent) = after(tenant, sending.as_mut()).await;
        let is_known = !matches!(*writing, Writing::InDoubt);
        // A conflict that nothing of ours explains is somebody else's append.
        let explains = |error: &StoreError| is_known && (depends || error.wrote_nothing());
        if !sequencer.learn(&mut writing) || matches!(sent, Some(Err(_))) {
            let sent = match sent {
                Some(sent) => sent,
                None => sending.await,
            };
            if sent.as_ref().is_err_and(explains) {
                sequencer.ledger.settled();
            }
            let ended = self.found_out(sequencer, writing, sent).await;
            if matches!(ended, Ahead::Durable) {
                self.written(&log, &head, recent);
            }
            return ended;
        }
        let before = sequencer.go_ahead(self, head.clone(), agents.clone());
        sequencer.ledger.settled();
        *writing = Writing::InDoubt;
        drop(sequencer);
        let sent = match sent {
            Some(sent) => sent,
            None => sending.await,
        };
        if let Err(error) = sent {
            *writing = Writing::failed(&error, before);
            drop(writing);
            return self.failed(tenant, error).await;
        }
        let level = self.parts.state.apply(&log, head.frontier.size(), &changes).await.is_ok();
        tenant.committed.write().add(&agents);
        self.written(&log, &head, recent);
        if level {
            *writing = Writing::Done;
        }
        Ahead::Durable
    }

    fn written(&self, log: &LogId, head: &Head, recent: Option<Arc<Appended>>) {
        recent.into_iter().for_each(|appended| self.recent.keep(appended));
        self.lead.recorded(head.time, &*self.parts.clock);
        self.commits.grew(log, head.frontier.size());
    }

    /// What it was decided on failed, or it did itself before that was durable: memory is made what the store has.
    async fn found_out<'t>(
        &self,
        sequencer: MutexGuard<'t, Sequencer>,
        writing: MutexGuard<'t, Writing>,
        sent: Result<(), StoreError>,
    ) -> Ahead<'t> {
        let error = match sent {
            Ok(()) => {
                // It is there, whatever comes of this: whoever decides next tries again.
                let _ = Settled::with(self, sequencer, writing).await;
                return Ahead::Durable;
            }
            Err(error) => error,
        };
        if !matches!(error, StoreError::Conflict) && !error.wrote_nothing() {
            return Ahead::Failed(error.into());
        }
        match Settled::with(self, sequencer, writing).await {
            Ok(settled) => Ahead::Void(settled, error),
            Err(error) => Ahead::Failed(error),
        }
    }

    /// It failed once others decided on it. A store that took it before its turn has nothing of it.
    async fn failed<'t>(&self, tenant: &'t TenantLog, error: StoreError) -> Ahead<'t> {
        if !matches!(error, StoreError::Conflict) {
            return Ahead::Failed(error.into());
        }
        match Settled::of(self, tenant, tenant.sequencer.lock().await).await {
            Ok(settled) => Ahead::Void(settled, error),
            Err(error) => Ahead::Failed(error),
        }
    }
}

/// Waits until the append before it is through, while this one goes on to the store; with how it ended, if it did by then.
async fn after<'t>(
    tenant: &'t TenantLog,
    sending: Pin<&mut impl Future<Output = Result<(), StoreError>>>,
) -> (MutexGuard<'t, Writing>, Option<Result<(), StoreError>>) {
    match select(sending, pin!(tenant.writing.lock())).await {
        Either::Left((sent, writing)) => (writing.await, Some(sent)),
        Either::Right((writing, _)) => (writing, None),
    }
}
