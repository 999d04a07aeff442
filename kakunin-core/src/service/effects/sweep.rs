//! Tenants are loaded when they are first asked for, and what a crash cut off is ended then.

use std::sync::Arc;

use async_trait::async_trait;

use super::follower::Follower;
use super::key_tasks::KEY_TASKS;
use super::receipts::RECEIPTS;
use super::running::{Kakunin, Running};
use super::unit::{Pace, Turn};
use crate::error::StoreError;
use crate::id::{AgentId, TenantId};
use crate::log::entry::LogId;
use crate::log::record::KeyAction;
use crate::service::command::abandon::Abandon;
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::engine::boxed::Boxed;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::time::{MINUTE, SECOND};

impl Kakunin {
    /// Loads every tenant, so that the first question about one does not wait for it.
    ///
    /// # Errors
    /// What the store says.
    pub async fn load(&self) -> Result<(), Error> {
        for id in self.inner.tenant_ids() {
            self.inner.tenant(&id).await?;
        }
        Ok(())
    }
}

/// Loads tenants that nobody has asked for, so that theirs are followed too.
pub(super) struct Tenants;

#[async_trait]
impl Follower for Tenants {
    fn name(&self) -> &'static str {
        "tenants"
    }

    fn logs(&self, _: &Running) -> Option<Vec<LogId>> {
        Some(vec![LogId::System])
    }

    fn on_duty(&self) -> bool {
        // Each loads its own.
        false
    }

    fn pace(&self) -> Pace {
        // One that cannot be loaded costs as much each time.
        Pace { rest: SECOND, again: MINUTE, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, _: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let absent: Vec<_> = {
            let loaded = running.loaded.read().await;
            running.tenant_ids().into_iter().filter(|id| !loaded.contains_key(id)).collect()
        };
        turn.left = absent.len();
        let mut done = Ok(());
        for id in absent {
            match running.tenant(&id).await {
                Ok(_) => turn.left -= 1,
                // The others are loaded all the same.
                Err(error) => done = done.and(Err(error)),
            }
        }
        done
    }
}

impl Running {
    /// A tenant, loaded when it is first asked for.
    pub(crate) async fn tenant(&self, id: &TenantId) -> Result<Arc<TenantLog>, Error> {
        if let Some(tenant) = self.loaded.read().await.get(id) {
            return Ok(tenant.clone());
        }
        self.load_tenant(id).await
    }

    fn load_tenant<'a>(&'a self, id: &'a TenantId) -> Boxed<'a, Result<Arc<TenantLog>, Error>> {
        Box::pin(self.load_once(id))
    }

    async fn load_once(&self, id: &TenantId) -> Result<Arc<TenantLog>, Error> {
        if !self.known.has_tenant(id) {
            return Err(Error::NotFound("tenant"));
        }
        let mut loaded = self.loaded.write().await;
        if let Some(tenant) = loaded.get(id) {
            return Ok(tenant.clone());
        }
        let tenant = Arc::new(TenantLog::load(self, id.clone()).await?);
        self.sweep(&tenant).await?;
        loaded.insert(id.clone(), tenant.clone());
        Ok(tenant)
    }

    /// Ends what a crash cut off: issuances under way, and keys that were to be disabled.
    async fn sweep(&self, tenant: &TenantLog) -> Result<(), Error> {
        // Whoever planned may be at it elsewhere.
        let cut_off: Vec<_> = if self.is_shared() {
            Vec::new()
        } else {
            let committed = tenant.committed.read();
            let planned = committed.agents.iter().filter(|(_, e)| e.row.plan.is_some());
            planned.map(|(id, _)| *id).collect()
        };
        for agent in cut_off {
            match self.abandon(tenant, agent).await {
                // The next start, or whoever certifies the agent, does it: nobody else has to wait for room.
                Err(Error::Store(StoreError::Full)) => break,
                abandoned => abandoned?,
            };
        }
        // Neither a store that is full nor a provider that is down must keep the tenant from being served: both are
        // tried again, by the followers.
        let _ = self.end_due_graces(tenant).await;
        self.run_key_tasks(tenant).await;
        // Nobody should take it for none until the followers have looked.
        let log = LogId::Tenant(tenant.id.clone());
        let (tasks, _) = self.tasks(&log, usize::MAX).await?;
        let receipts = tasks.iter().filter(|(_, task)| task.task == KeyAction::Receipt).count();
        self.units.of(KEY_TASKS, &log, &self.commits).found(tasks.len() - receipts);
        self.units.of(RECEIPTS, &log, &self.commits).found(receipts);
        Ok(())
    }

    /// Gives up what was planned for an agent: the key is retired, the serial refused for ever.
    /// Says whether there was anything.
    pub(crate) async fn abandon(&self, tenant: &TenantLog, agent: AgentId) -> Result<bool, Error> {
        self.decide(tenant, None, Abandon { agent }).await
    }
}
