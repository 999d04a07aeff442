//! What the endpoints of a deployment share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::tail::Tail;
use crate::id::{AgentId, TenantId, WebhookId};

/// What the endpoints of a deployment share.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    tenants: Mutex<HashMap<TenantId, Arc<OfTenant>>>,
    /// Agents whose deliveries somebody had a hand in, until they are looked at.
    asked: Mutex<HashMap<WebhookId, Vec<AgentId>>>,
    pub(super) counts: Counts,
}

/// What those of one tenant share.
#[derive(Debug, Default)]
pub(crate) struct OfTenant {
    pub(super) tail: async_lock::Mutex<Tail>,
    /// Held by each ping that is under way.
    pub(super) pings: Pings,
    /// Held while secrets and records of endpoints change.
    orders: Arc<async_lock::Mutex<()>>,
}

/// Most pings of a tenant at once: they go to whom it names.
const PINGS: usize = 4;

/// Pings of a tenant that may begin.
#[derive(Debug)]
pub(super) struct Pings(async_lock::Semaphore);

impl Default for Pings {
    fn default() -> Self {
        Self(async_lock::Semaphore::new(PINGS))
    }
}

impl Pings {
    /// One of them, for as long as this is held.
    pub(super) fn begin(&self) -> Option<async_lock::SemaphoreGuard<'_>> {
        self.0.try_acquire()
    }
}

/// Attempts since this process began.
#[derive(Debug, Default)]
pub(super) struct Counts {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    pub(super) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Hooks {
    pub(super) fn of(&self, tenant: &TenantId) -> Arc<OfTenant> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        match tenants.get(tenant) {
            Some(known) => known.clone(),
            None => tenants.entry(tenant.clone()).or_default().clone(),
        }
    }

    /// Waits until nobody else changes secrets of this tenant's endpoints: what is not on record yet is not taken for what is
    /// not on record any more.
    pub(crate) async fn order(&self, tenant: &TenantId) -> async_lock::MutexGuardArc<()> {
        let orders = self.of(tenant).orders.clone();
        orders.lock_arc().await
    }

    /// What is stored of this agent's deliveries changed.
    pub(super) fn ask(&self, webhook: WebhookId, agent: AgentId) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(webhook).or_default().push(agent);
    }

    pub(super) fn asked(&self, webhook: &WebhookId) -> Vec<AgentId> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).remove(webhook).unwrap_or_default()
    }

    /// Attempts that were delivered, and that were not, since this process began.
    pub(crate) fn attempts(&self) -> (u64, u64) {
        (self.counts.delivered.load(Ordering::Relaxed), self.counts.failed.load(Ordering::Relaxed))
    }
}
