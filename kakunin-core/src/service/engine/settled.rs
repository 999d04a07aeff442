//! A tenant's sequencer while nothing is written: what it has in memory is what the store has.

use std::ops::{Deref, DerefMut};

use async_lock::MutexGuard;

use super::inner::Inner;
use super::tenant::{Sequencer, TenantLog};
use super::writing::Writing;
use crate::service::error::Error;

/// Both locks of a tenant, in the order in which everybody takes them.
#[derive(Debug)]
pub(crate) struct Settled<'t> {
    sequencer: MutexGuard<'t, Sequencer>,
    _writing: MutexGuard<'t, Writing>,
    tenant: &'t TenantLog,
}

// Also if whoever had it goes away: nothing is being written, and if nobody waits to decide nobody goes on in this turn.
impl Drop for Settled<'_> {
    fn drop(&mut self) {
        if self.tenant.queue.len() == 0 {
            self.sequencer.turn.end();
        }
    }
}

impl<'t> Settled<'t> {
    /// Waits for what is being written, and finds out how it ended.
    pub(super) async fn of(
        inner: &Inner,
        tenant: &'t TenantLog,
        sequencer: MutexGuard<'t, Sequencer>,
    ) -> Result<Self, Error> {
        let writing = tenant.writing.lock().await;
        Self::with(inner, tenant, sequencer, writing).await
    }

    /// The same, if nobody decides or writes.
    pub(super) async fn at_once(inner: &Inner, tenant: &'t TenantLog) -> Result<Option<Self>, Error> {
        match (tenant.sequencer.try_lock(), tenant.writing.try_lock()) {
            (Some(sequencer), Some(writing)) => Self::with(inner, tenant, sequencer, writing).await.map(Some),
            _ => Ok(None),
        }
    }

    /// As they were taken by whoever decides.
    pub(super) async fn with(
        inner: &Inner,
        tenant: &'t TenantLog,
        mut sequencer: MutexGuard<'t, Sequencer>,
        mut writing: MutexGuard<'t, Writing>,
    ) -> Result<Self, Error> {
        // Nothing was decided on it, or it is decided anew.
        sequencer.learn(&mut writing);
        sequencer.settle(inner).await?;
        Ok(Self { sequencer, _writing: writing, tenant })
    }
}

impl Deref for Settled<'_> {
    type Target = Sequencer;

    fn deref(&self) -> &Sequencer {
        &self.sequencer
    }
}

impl DerefMut for Settled<'_> {
    fn deref_mut(&mut self) -> &mut Sequencer {
        &mut self.sequencer
    }
}
