//! What people ask of an endpoint: which there are, a ping, what became of deliveries, and one of them once more.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};

use super::attempt::{Outcome, To, send};
use super::follower::Webhooks;
use super::rows::{
    Attempt, Delivery, Waiting, cursor_key, decoded, kept_index, kept_key, kept_prefix, waiting_row,
};
use crate::id::{AgentId, WebhookId, hex_encode};
use crate::log::entry::LogId;
use crate::log::record::Record;
use crate::service::effects::follower::Follower;
use crate::service::effects::running::{Kakunin, Running};
use crate::service::effects::tenant::Tenant;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::service::state::own::webhooks::Endpoint;
use crate::store::state::{Change, Kind};
use crate::webhook::message::{event_of, index_of, message_id, ping};
use crate::webhook::{PostError, WebhookError, WebhookEvent, WebhookFacts};

/// Rows taken away at once.
const STEP: usize = 1_024;

/// What came of a ping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinged {
    /// Identifier of the message.
    pub id: String,
    /// The attempt.
    pub attempt: Attempt,
    /// Whether the receiver took it: a status of 200 to 299.
    pub delivered: bool,
    /// The beginning of the answer's body.
    pub answer: String,
}

/// Attempts at webhooks since this process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WebhookFigures {
    /// Those that were taken.
    pub delivered: u64,
    /// Those that were not.
    pub failed: u64,
}

impl Kakunin {
    /// Attempts at webhooks since this process began.
    #[must_use]
    pub fn webhook_figures(&self) -> WebhookFigures {
        let (delivered, failed) = self.inner.webhooks.attempts();
        WebhookFigures { delivered, failed }
    }
}

impl Tenant {
    /// The endpoints of a tenant, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such tenant.
    pub async fn webhooks(&self) -> Result<Vec<Arc<WebhookFacts>>, Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let committed = self.inner.committed(&tenant).await?;
        Ok(committed.own.webhooks.all().map(|endpoint| endpoint.facts.clone()).collect())
    }

    /// One endpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn webhook(&self, id: &WebhookId) -> Result<Arc<WebhookFacts>, Error> {
        Ok(self.endpoint(id).await?.1.facts.clone())
    }

    async fn endpoint(&self, id: &WebhookId) -> Result<(Arc<TenantLog>, Arc<Endpoint>), Error> {
        let tenant = self.inner.tenant(&self.id).await?;
        let endpoint = self.inner.committed(&tenant).await?.own.webhooks.get(id).cloned();
        Ok((tenant, endpoint.ok_or(Error::NotFound("webhook"))?))
    }

    /// Sends a `ping` to an endpoint, and waits for the answer until `patience` ends: `tokio::time::sleep`, for example, or
    /// `std::future::pending` for as long as the transport waits. It is tried once, and is no
    /// delivery of anything.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Webhook`] if this deployment sends nothing, or four pings of this tenant are under way.
    pub async fn ping_webhook(
        &self,
        id: &WebhookId,
        patience: impl Future<Output = ()> + Send,
    ) -> Result<Pinged, Error> {
        let inner = &self.inner;
        let (_, endpoint) = self.endpoint(id).await?;
        let transport = inner.parts.webhooks.as_ref().ok_or(WebhookError::NoneHere)?;
        let shared = inner.webhooks.of(&self.id);
        let _ping = shared.pings.begin().ok_or(WebhookError::Pinging)?;
        let facts = endpoint.facts.clone();
        let (at, mut nonce) = (inner.now(), [0; 8]);
        inner.parts.entropy.fill(&mut nonce)?;
        let secret = inner.webhook_secret(&self.id, &facts, &facts.secret).await?;
        let former = match facts.former_at(at) {
            Some(name) => Some(Arc::new(inner.webhook_secret(&self.id, &facts, name).await?)),
            None => None,
        };
        let message = format!("msg_{}_ping{}", hex_encode(id.as_bytes()), hex_encode(&nonce));
        let body = ping(facts.scheme, &message, (&self.id, id), at);
        let to = To { facts, secret: Arc::new(secret), former };
        let sent = send(&**transport, &to, (&message, WebhookEvent::Ping, at), body);
        let outcome = match select(pin!(sent), pin!(patience)).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => Outcome::Failed(PostError::TooSlow),
        };
        let delivered = matches!(&outcome, Outcome::Answered(answer) if matches!(answer.status, 200..=299));
        let (attempt, answer) = outcome.told(at, inner.now().since(at));
        Ok(Pinged { id: message, attempt, delivered, answer })
    }

    /// What became of deliveries to an endpoint, newest first: up to `limit` below index `before`. The last 1,000 of the
    /// last 30 days are kept; what was not tried yet is not among them.
    ///
    /// # Errors
    /// [`Error::NotFound`], and what the store says.
    pub async fn deliveries(
        &self,
        id: &WebhookId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(String, Delivery)>, Error> {
        let (tenant, _) = self.endpoint(id).await?;
        let (log, now) = (LogId::Tenant(tenant.id.clone()), self.inner.now());
        let after = before.map_or_else(|| kept_prefix(id), |before| kept_key(id, before));
        let rows = self.inner.parts.state.scan(&log, Kind::Delivery, Some(&after), limit).await?;
        let own = rows.into_iter().take_while(|(key, _)| kept_index(id, key).is_some()).collect();
        let mut all = Vec::new();
        for (_, value) in self.inner.opened(&log, Kind::Delivery, own).await? {
            let delivery: Delivery = decoded(&value)?;
            if delivery.is_kept(now) {
                all.push((message_id(id, delivery.index), delivery));
            }
        }
        Ok(all)
    }

    /// Delivers a message once more, by its identifier: at once, under the same identifier, and again by the table if it
    /// fails. Of one that waits for another attempt that is made now. Earlier ones of the same agent that wait go first.
    ///
    /// # Errors
    /// [`Error::NotFound`] if no record of this tenant since the endpoint was made is that message; [`Error::Exists`] if the
    /// endpoint is disabled.
    pub async fn redeliver(&self, id: &WebhookId, message: &str) -> Result<(), Error> {
        let inner = &self.inner;
        let (tenant, endpoint) = self.endpoint(id).await?;
        let unknown = Error::NotFound("delivery");
        let index = index_of(id, message).filter(|index| *index >= endpoint.since);
        let Some(index) = index else { return Err(unknown) };
        if !endpoint.facts.is_active() {
            return Err(Error::Exists("the webhook is disabled; switch it on, and redeliver then"));
        }
        let log = LogId::Tenant(tenant.id.clone());
        let record =
            inner.parts.sink.read_leaves(&log, index, 1).await?.first().map(Record::open).transpose()?;
        let Some(record) = record.filter(|record| event_of(record).is_some()) else { return Err(unknown) };
        let agent = record.agent.unwrap_or(AgentId::from_bytes([0; 16]));
        let row = waiting_row(id, (agent, index), Some(&Waiting::default()))?;
        inner.parts.state.put(&log, &[inner.seal_key.tagged(&log, row)]).await?;
        inner.webhooks.ask(*id, agent);
        inner.units.of_part(Webhooks.name(), (&log, Some(*id)), &inner.commits).hurry();
        inner.commits.rouse();
        Ok(())
    }
}

impl Running {
    /// Forgets what is stored of an endpoint that is gone.
    pub(crate) async fn forget_deliveries(&self, log: &LogId, id: &WebhookId) -> Result<(), Error> {
        // Whoever is at it sees that it is gone, and stores nothing more.
        self.rounds.notify(usize::MAX);
        let unit = self.units.of_part(Webhooks.name(), (log, Some(*id)), &self.commits);
        let mut memory = unit.turn.lock().await;
        memory.kept = None;
        let state = &self.parts.state;
        loop {
            let rows = state.scan(log, Kind::Delivery, Some(id.as_bytes()), STEP).await?;
            let own = rows.into_iter().map(|(key, _)| key).take_while(|key| key.starts_with(id.as_bytes()));
            let gone: Vec<_> = own.map(|key| Change { kind: Kind::Delivery, key, value: None }).collect();
            if gone.is_empty() {
                break;
            }
            state.put(log, &gone).await?;
        }
        let cursor = Change { kind: Kind::Cursor, key: cursor_key(id), value: None };
        Ok(state.put(log, &[cursor]).await?)
    }
}
