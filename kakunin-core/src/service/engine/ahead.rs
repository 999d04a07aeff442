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
        if !sequencer.learn(&mut writing) || matches!(sent, Some(Err(_))) {
            let Err(error) = ended(sent, sending).await else {
                // It is there, whatever comes of this: whoever decides next tries again.
                let _ = Settled::with(self, tenant, sequencer, writing).await;
                self.written(&log, &head, recent);
                return Ahead::Durable;
            };
            if !matches!(error, StoreError::Conflict) && !error.wrote_nothing() {
                return Ahead::Failed(error.into());
            }
            // A conflict that nothing of ours explains is somebody else's append.
            if is_known && (depends || error.wrote_nothing()) {
                sequencer.ledger.settled();
            }
            return Ahead::void(Settled::with(self, tenant, sequencer, writing).await, error);
        }
        let before = sequencer.go_ahead(self, head.clone(), agents.clone());
        sequencer.ledger.settled();
        *writing = Writing::InDoubt;
        drop(sequencer);
        if let Err(error) = ended(sent, sending).await {
            *writing = Writing::failed(&error, before);
            drop(writing);
            return match error {
                // A store that took it before its turn has nothing of it.
                StoreError::Conflict => {
                    Ahead::void(Settled::of(self, tenant, tenant.sequencer.lock().await).await, error)
                }
                error => Ahead::Failed(error.into()),
            };
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
}

impl<'t> Ahead<'t> {
    /// Nothing was written, and memory is what the store has, unless that failed.
    fn void(settled: Result<Settled<'t>, Error>, why: StoreError) -> Self {
        settled.map_or_else(Self::Failed, |settled| Self::Void(settled, why))
    }
}

type Sent = Result<(), StoreError>;

/// Waits until the append before it is through, while this one goes on to the store; with how it ended, if it did by then.
async fn after<'t>(
    tenant: &'t TenantLog,
    sending: Pin<&mut impl Future<Output = Sent>>,
) -> (MutexGuard<'t, Writing>, Option<Sent>) {
    match select(sending, pin!(tenant.writing.lock())).await {
        Either::Left((sent, writing)) => (writing.await, Some(sent)),
        Either::Right((writing, _)) => (writing, None),
    }
}

/// How it ended, which may be known.
async fn ended(sent: Option<Sent>, sending: Pin<&mut impl Future<Output = Sent>>) -> Sent {
    match sent {
        Some(sent) => sent,
        None => sending.await,
    }
}
