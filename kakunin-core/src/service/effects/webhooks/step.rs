//! A turn at one endpoint: it lasts while there is something to send.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use event_listener::EventListener;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::attempt::Landed;
use super::desk::Desk;
use super::follower::Webhooks;
use crate::error::StoreError;
use crate::id::WebhookId;
use crate::log::entry::LogId;
use crate::service::command::webhook::DisableWebhook;
use crate::service::effects::running::Running;
use crate::service::effects::unit::Turn;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::service::state::own::webhooks::Endpoint;
use crate::time::SECOND;
use crate::webhook::WebhookTransport;

/// Deliveries of one endpoint that are under way at once.
const AT_ONCE: usize = 16;
/// How often the log is read before it is looked again at what flies.
const READS: usize = 4;

type Flying<'r> = FuturesUnordered<Pin<Box<dyn Future<Output = Result<Landed, Error>> + Send + 'r>>>;

impl Running {
    /// Sends what is to be sent to an endpoint, until nothing is or what is left rests.
    pub(super) async fn serve(&self, log: &LogId, id: WebhookId, turn: &mut Turn<'_>) -> Result<(), Error> {
        let (Some(tenant), Some(transport)) = (self.loaded(log).await, &self.parts.webhooks) else {
            return Ok(());
        };
        let Some(endpoint) = endpoint(&tenant, id) else { return Ok(()) };
        let desk = turn.memory.kept.take().and_then(|kept| kept.downcast::<Desk>().ok());
        let mut desk = match desk {
            Some(desk) => desk,
            None if !endpoint.facts.is_active() => return Ok(()),
            None => Box::new(Desk::open(self, log, id, endpoint.since).await?),
        };
        let full = self.work(&tenant, &**transport, &mut desk, turn).await?;
        turn.left = 0;
        if self::endpoint(&tenant, id).is_none() {
            return Ok(());
        }
        if let Some(next) = desk.outbox.next_at() {
            turn.pace.again = next.since(self.now()).clamp(SECOND, turn.pace.again);
        }
        turn.failed = full;
        turn.memory.kept = Some(desk);
        Ok(())
    }

    /// Gives the error if there is no room to store what was done: it is in memory, and stored later.
    async fn work(
        &self,
        tenant: &TenantLog,
        transport: &dyn WebhookTransport,
        desk: &mut Desk,
        turn: &mut Turn<'_>,
    ) -> Result<Option<Error>, Error> {
        let (mut flying, mut full) = (Flying::new(), None);
        loop {
            // Before the look, so that what comes in between wakes it.
            let round = self.rounds.listen();
            // With one that is gone goes all that waits for it; of one that is switched off, what flies lands first.
            let Some(endpoint) = endpoint(tenant, desk.id()) else { return Ok(None) };
            if !self.is_due_here(&Webhooks) {
                return Ok(None);
            }
            if desk.goes_on(endpoint.facts.is_active()) && full.is_none() {
                let asked = self.webhooks.asked(&desk.id());
                if !asked.is_empty() {
                    desk.look_again(self, asked).await?;
                }
                self.take_in(tenant, desk, &endpoint).await?;
                desk.feed_hungry(self).await?;
                while flying.len() < AT_ONCE
                    && let Some(next) = desk.outbox.launch(self.now())
                {
                    let to = desk.to(self, &endpoint.facts).await?;
                    flying.push(Box::pin(self.attempt(transport, tenant, to, next)));
                }
            }
            turn.goes_on(self.now(), desk.outbox.next);
            if flying.is_empty() {
                let written = stored(desk.write(self).await)?;
                return Ok(full.or(written));
            }
            if desk.is_due(self.now()) {
                full = stored(desk.write(self).await)?.filter(|_| !desk.has_room()).or(full);
            }
            for landed in some(&mut flying, round).await {
                let landed = landed?;
                let url = landed.facts.url.clone();
                if let Some(why) = desk.landed(self, landed).await? {
                    self.disable(tenant, DisableWebhook { id: desk.id(), url, why }).await;
                }
            }
        }
    }

    /// Takes in what the log tells since, as far as there is room.
    async fn take_in(&self, tenant: &TenantLog, desk: &mut Desk, endpoint: &Endpoint) -> Result<(), Error> {
        let log = LogId::Tenant(tenant.id.clone());
        let size = self.commits.of(&log).load(Ordering::Acquire);
        let shared = self.webhooks.of(&tenant.id);
        // What flies is looked after in between.
        for _ in 0..READS {
            if desk.outbox.next >= size || !desk.has_room() {
                break;
            }
            let (tells, upto) =
                shared.tail.lock().await.after(&*self.parts.sink, &log, (desk.outbox.next, size)).await?;
            for (index, agent, event) in tells {
                if endpoint.facts.events.contains(&event) {
                    desk.outbox.take((agent, index));
                }
            }
            desk.outbox.next = upto;
        }
        Ok(())
    }

    /// If that cannot be decided now, the next failure asks again.
    async fn disable(&self, tenant: &TenantLog, disable: DisableWebhook) {
        let _ = self.decide(tenant, None, disable).await;
    }
}

fn endpoint(tenant: &TenantLog, id: WebhookId) -> Option<Arc<Endpoint>> {
    tenant.committed.read().own.webhooks.get(&id).cloned()
}

/// A store that has no room is no reason to forget what was delivered.
fn stored(written: Result<(), Error>) -> Result<Option<Error>, Error> {
    match written {
        Ok(()) => Ok(None),
        Err(full @ Error::Store(StoreError::Full)) => Ok(Some(full)),
        Err(error) => Err(error),
    }
}

/// Waits until some attempts have ended, or there may be more to do; gives those.
async fn some(flying: &mut Flying<'_>, round: EventListener) -> Vec<Result<Landed, Error>> {
    let mut round = pin!(round);
    poll_fn(|context| {
        let mut landed = Vec::new();
        while let Poll::Ready(Some(one)) = flying.poll_next_unpin(context) {
            landed.push(one);
        }
        let goes_round = round.as_mut().poll(context).is_ready();
        if landed.is_empty() && !goes_round { Poll::Pending } else { Poll::Ready(landed) }
    })
    .await
}
