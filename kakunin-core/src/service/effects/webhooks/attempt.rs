//! One attempt at one delivery.

use std::sync::Arc;

use super::outbox::Item;
use super::rows::Attempt;
use crate::error::StoreError;
use crate::id::AgentId;
use crate::log::entry::LogId;
use crate::log::record::Record;
use crate::service::effects::running::Running;
use crate::service::engine::tenant::TenantLog;
use crate::service::error::Error;
use crate::time::UnixTime;
use crate::webhook::message;
use crate::webhook::told::Told;
use crate::webhook::{
    Answer, Delivered, PostError, WebhookEvent, WebhookFacts, WebhookSecret, WebhookTransport, sign,
};

/// Whom it goes to, and how it is signed.
#[derive(Clone, Debug)]
pub(super) struct To {
    pub(super) facts: Arc<WebhookFacts>,
    pub(super) secret: Arc<WebhookSecret>,
    /// The one before, while it still signs.
    pub(super) former: Option<Arc<WebhookSecret>>,
}

/// An attempt that ended.
#[derive(Debug)]
pub(super) struct Landed {
    /// The endpoint as it was when it began.
    pub(super) facts: Arc<WebhookFacts>,
    pub(super) agent: AgentId,
    pub(super) item: Item,
    pub(super) at: UnixTime,
    pub(super) took: u64,
    pub(super) event: WebhookEvent,
    pub(super) outcome: Outcome,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Answered(Answer),
    Failed(PostError),
    /// There is nothing to send: the record is not what was written.
    Damaged,
}

impl Running {
    /// Sends what a record tells. Its body is made from the record each time: nothing else of it is kept.
    pub(super) async fn attempt(
        &self,
        transport: &dyn WebhookTransport,
        tenant: &TenantLog,
        to: To,
        (agent, item): (AgentId, Item),
    ) -> Result<Landed, Error> {
        let (log, index, at) = (LogId::Tenant(tenant.id.clone()), item.index, self.now());
        let facts = to.facts.clone();
        let landed = |event, outcome| {
            let took = self.now().since(at);
            Landed { facts, agent, item, at, took, event, outcome }
        };
        let record = match self.parts.sink.read_leaves(&log, index, 1).await {
            Ok(entries) => entries.first().map(Record::open).and_then(Result::ok),
            Err(StoreError::Corrupt(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let told = record.as_ref().and_then(|record| Some((record, message::event_of(record)?)));
        let Some((record, event)) = told else { return Ok(landed(WebhookEvent::Ping, Outcome::Damaged)) };
        let told = Told { tenant: &tenant.id, public_url: &self.place.public_url, index, record, event };
        let id = message::message_id(&to.facts.id, index);
        let body = message::body(to.facts.scheme, &id, &told);
        Ok(landed(event, send(transport, &to, (&id, event, at), body).await))
    }
}

/// Signs and sends.
pub(super) async fn send(
    transport: &dyn WebhookTransport,
    to: &To,
    (id, event, at): (&str, WebhookEvent, UnixTime),
    body: Vec<u8>,
) -> Outcome {
    let delivered = Delivered { id, event: event.as_str(), at, body: &body };
    let fields = sign(to.facts.scheme, &to.secret, to.former.as_deref(), &delivered);
    match transport.post(&to.facts.url, fields, body).await {
        Ok(answer) => Outcome::Answered(answer),
        Err(error) => Outcome::Failed(error),
    }
}

impl Outcome {
    /// The attempt as it is kept, and the beginning of the answer.
    pub(super) fn told(&self, at: UnixTime, took: u64) -> (Attempt, String) {
        let attempt = Attempt { at, took, status: None, code: None, error: None };
        match self {
            Self::Answered(Answer { status, body, .. }) => {
                (Attempt { status: Some(*status), ..attempt }, String::from_utf8_lossy(body).into_owned())
            }
            Self::Failed(error) => {
                let (code, error) = (Some(error.code().to_owned()), Some(error.to_string()));
                (Attempt { code, error, ..attempt }, String::new())
            }
            Self::Damaged => {
                let (code, error) = ("record_damaged", "the record that it tells is not what was written");
                (
                    Attempt { code: Some(code.to_owned()), error: Some(error.to_owned()), ..attempt },
                    String::new(),
                )
            }
        }
    }
}
