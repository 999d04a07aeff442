//! Who learns that a log grew: whoever follows it, and for what must not wait, the caller that made it grow.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use event_listener::{Event, EventListener};

use super::tenant::TenantLog;
use crate::log::entry::LogId;

/// What a caller does for its own records before it is answered.
#[async_trait]
pub(crate) trait Urgent: Debug + Send + Sync {
    /// A caller's decision about this tenant is durable, and there may be something to tell the key provider.
    async fn committed(&self, tenant: &TenantLog);
}

/// How long each log is, as far as appends of this process and their projections are durable.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    sizes: Mutex<HashMap<LogId, Arc<AtomicU64>>>,
    grown: Event,
    urgent: OnceLock<Box<dyn Urgent>>,
}

impl Commits {
    /// The size of a log, as it grows.
    pub(crate) fn of(&self, log: &LogId) -> Arc<AtomicU64> {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        match sizes.get(log) {
            Some(size) => size.clone(),
            None => sizes.entry(log.clone()).or_default().clone(),
        }
    }

    /// How many records the log has, as far as this process knows.
    pub(crate) fn size(&self, log: &LogId) -> u64 {
        self.of(log).load(Ordering::Acquire)
    }

    /// The size of each log that is followed here.
    pub(crate) fn sizes(&self) -> Vec<(LogId, u64)> {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.iter().map(|(log, size)| (log.clone(), size.load(Ordering::Acquire))).collect()
    }

    /// The log has so many records, and what follows from them can be found.
    pub(crate) fn grew(&self, log: &LogId, size: u64) {
        if self.of(log).fetch_max(size, Ordering::AcqRel) < size {
            self.grown.notify(usize::MAX);
        }
    }

    /// Has whoever follows logs look again, although none grew.
    pub(crate) fn rouse(&self) {
        self.grown.notify(usize::MAX);
    }

    /// Rings when any log grows from now on.
    pub(crate) fn listen(&self) -> EventListener {
        self.grown.listen()
    }

    /// Who does what must not wait; the first stays.
    pub(crate) fn set_urgent(&self, urgent: Box<dyn Urgent>) {
        let _ = self.urgent.set(urgent);
    }

    /// Has it done, in the task of the caller whose decision asks for it.
    pub(crate) async fn hurry(&self, tenant: &TenantLog) {
        if tenant.has_tasks.load(Ordering::Acquire)
            && let Some(urgent) = self.urgent.get()
        {
            urgent.committed(tenant).await;
        }
    }
}
