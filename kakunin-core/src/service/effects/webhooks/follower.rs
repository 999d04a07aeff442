//! Tells endpoints what the logs of their tenants say.

use async_trait::async_trait;

use crate::log::entry::LogId;
use crate::service::effects::follower::Follower;
use crate::service::effects::running::{Kakunin, Running};
use crate::service::effects::unit::{Pace, Part, Turn};
use crate::service::engine::backoff::MAX_WAIT;
use crate::service::error::Error;
use crate::time::SECOND;

/// Sends deliveries, each endpoint's in turns of its own.
pub(in crate::service::effects) struct Webhooks;

/// Endpoints that are served at once: where many hang, others are told all the same.
const AT_ONCE: usize = 256;

#[async_trait]
impl Follower for Webhooks {
    fn name(&self) -> &'static str {
        "webhooks"
    }

    fn logs(&self, running: &Running) -> Option<Vec<LogId>> {
        running.parts.webhooks.as_ref().map_or(Some(Vec::new()), |_| running.tenant_logs())
    }

    fn parts(&self, running: &Running, log: &LogId) -> Option<Vec<Part>> {
        let tenant = running.loaded_now(log)?;
        Some(tenant.committed.read().own.webhooks.ids().map(Some).collect())
    }

    fn at_once(&self) -> usize {
        AT_ONCE
    }

    fn pace(&self) -> Pace {
        Pace { rest: 0, again: 10 * SECOND, longest: MAX_WAIT }
    }

    async fn step(&self, running: &Running, log: &LogId, turn: &mut Turn<'_>) -> Result<(), Error> {
        match turn.part() {
            Some(webhook) => running.serve(log, webhook, turn).await,
            None => Ok(()),
        }
    }
}

impl Kakunin {
    /// One turn at each endpoint of every tenant that is loaded: sends what is due, and waits for the answers.
    /// [`Kakunin::run`] does this by itself; without it call this about once a second.
    ///
    /// # Errors
    /// What the store says. A receiver that fails is no error.
    pub async fn deliver_due(&self) -> Result<(), Error> {
        self.inner.turns_of(&Webhooks).await
    }
}
