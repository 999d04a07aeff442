//! Certificates that are about to end: their owner is told, once.

use async_trait::async_trait;

use super::follower::Follower;
use super::running::{Kakunin, Running};
use super::unit::{Pace, Turn};
use crate::id::{AgentId, TenantId};
use crate::log::entry::LogId;
use crate::service::command::alert::TellOfExpiry;
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::service::limits::EXPIRY_NOTICE;
use crate::time::{MINUTE, SECOND, UnixTime};

/// Certificates that are told of in one append.
const AT_ONCE: usize = 256;

/// Puts an item into the inbox for each newest certificate that is about to end.
pub(super) struct Expiring;

#[async_trait]
impl Follower for Expiring {
    fn name(&self) -> &'static str {
        "expiring"
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        running.tenant_logs()
    }

    fn pace(&self) -> Pace {
        Pace { rest: 10 * SECOND, again: MINUTE, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let Some(tenant) = running.loaded(log).await else { return Ok(()) };
        running.tell_of_expiry(&tenant).await?;
        let now = running.now();
        if let Some(next) = tenant.committed.read().expiries.next(now) {
            turn.pace.again = next.since(now).clamp(SECOND, MINUTE);
        }
        Ok(())
    }
}

impl Kakunin {
    /// Puts an item into the inbox of a tenant for each newest certificate of an agent that is about to end, once.
    /// [`Kakunin::run`] does this by itself; without it call this about once a minute.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn tell_of_expiry(&self, tenant: &TenantId) -> Result<(), Error> {
        let tenant = self.inner.tenant(tenant).await?;
        self.inner.tell_of_expiry(&tenant).await
    }
}

impl Running {
    async fn tell_of_expiry(&self, tenant: &TenantLog) -> Result<(), Error> {
        // One that has ended is not about to, and is passed over. Those that have not are due since this at the earliest.
        let mut place = (self.now().minus(EXPIRY_NOTICE + 1), AgentId::from_bytes([0; 16]));
        loop {
            let due: Vec<_> = {
                let (committed, now) = (self.committed(tenant).await?, self.now());
                let due = committed.expiries.after(place).take_while(|(at, _)| *at <= now);
                let stands = |(_, agent): &(UnixTime, AgentId)| {
                    let entry = committed.agents.get(agent);
                    entry.is_some_and(|entry| committed.certificates.standing(entry, now).is_some())
                };
                due.filter(stands).take(AT_ONCE).collect()
            };
            let Some(last) = due.last() else { return Ok(()) };
            place = *last;
            self.decide(tenant, None, TellOfExpiry(due.into_iter().map(|(_, agent)| agent).collect()))
                .await?;
        }
    }
}
