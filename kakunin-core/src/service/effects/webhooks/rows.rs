//! What is stored of an endpoint beside its record: how far it is, what waits, and what became of deliveries.

use crate::error::StoreError;
use crate::id::{AgentId, WebhookId};
use crate::service::state::rows::set;
use crate::store::state::{Change, Kind};
use crate::time::UnixTime;
use crate::webhook::WebhookEvent;

/// Deliveries of an endpoint that are kept for who asks what became of them.
pub(crate) const MAX_KEPT: usize = 1_000;

/// What keys of waiting deliveries, and of those that are kept, have behind the endpoint.
const WAITING: u8 = b'q';
const KEPT: u8 = b'h';

/// How far an endpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Cursor {
    /// Every record below this is delivered, given up, or among the waiting ones.
    pub(super) next: u64,
    /// When something was delivered last.
    pub(super) delivered_at: Option<UnixTime>,
}

/// A delivery that waits, for its time or for one before it of the same agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Waiting {
    /// Attempts in vain.
    pub(super) attempts: u32,
    /// When the first was.
    pub(super) first: Option<UnixTime>,
    /// When the next is; at once if there is no time.
    pub(super) next: Option<UnixTime>,
    /// How long is waited for that, in milliseconds.
    pub(super) wait: u64,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Delivery {
    /// Index of the record that it tells.
    pub index: u64,
    /// What it tells.
    pub event: WebhookEvent,
    /// Of which agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// How it stands.
    pub state: DeliveryState,
    /// Attempts, oldest first; of more than ten the last ten.
    pub attempts: Vec<Attempt>,
    /// How many there were.
    pub count: u32,
    /// When the next is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<UnixTime>,
    /// The beginning of the last answer's body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer: String,
}

crate::words::words! {
    /// How a delivery stands.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
    pub enum DeliveryState {
        /// The receiver has it.
        Delivered = "delivered",
        /// It failed, and is tried again.
        Retrying = "retrying",
        /// It failed for the last time; it can be delivered anew by hand.
        Failed = "failed",
    }
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    /// When it began.
    pub at: UnixTime,
    /// How long it took, in milliseconds.
    pub took: u64,
    /// The HTTP status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// A code that stays, if there was none: see [`PostError::code`](crate::webhook::PostError::code).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The same as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Key of the row that says how far an endpoint is.
pub(super) fn cursor_key(webhook: &WebhookId) -> Vec<u8> {
    format!("webhook/{webhook}").into_bytes()
}

pub(super) fn cursor_row(webhook: &WebhookId, cursor: &Cursor) -> Result<Change, StoreError> {
    set(Kind::Cursor, cursor_key(webhook), cursor)
}

/// Whose a delivery is, and which: deliveries of one agent stand in their order.
pub(super) type Place = (AgentId, u64);

pub(super) fn waiting_key(webhook: &WebhookId, (agent, index): Place) -> Vec<u8> {
    [&waiting_prefix(webhook)[..], agent.as_bytes(), &index.to_be_bytes()].concat()
}

/// What every key of an endpoint's waiting deliveries begins with.
pub(super) fn waiting_prefix(webhook: &WebhookId) -> Vec<u8> {
    [&webhook.as_bytes()[..], &[WAITING]].concat()
}

/// Behind every delivery of this agent.
pub(super) fn behind(webhook: &WebhookId, agent: &AgentId) -> Vec<u8> {
    waiting_key(webhook, (*agent, u64::MAX))
}

pub(super) fn waiting_row(
    webhook: &WebhookId,
    place: Place,
    waiting: Option<&Waiting>,
) -> Result<Change, StoreError> {
    let key = waiting_key(webhook, place);
    match waiting {
        Some(waiting) => set(Kind::Delivery, key, waiting),
        None => Ok(Change { kind: Kind::Delivery, key, value: None }),
    }
}

/// The place that such a key says; `None` if it is another's.
pub(super) fn place_of(webhook: &WebhookId, key: &[u8]) -> Option<Place> {
    let rest = key.strip_prefix(waiting_prefix(webhook).as_slice())?;
    let (agent, index) = rest.split_first_chunk::<16>()?;
    Some((AgentId::from_bytes(*agent), u64::from_be_bytes(index.try_into().ok()?)))
}

pub(super) fn kept_prefix(webhook: &WebhookId) -> Vec<u8> {
    [&webhook.as_bytes()[..], &[KEPT]].concat()
}

/// Newest first, as they are read.
pub(super) fn kept_key(webhook: &WebhookId, index: u64) -> Vec<u8> {
    [&kept_prefix(webhook)[..], &(u64::MAX - index).to_be_bytes()].concat()
}

pub(super) fn kept_index(webhook: &WebhookId, key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(kept_prefix(webhook).as_slice())?;
    Some(u64::MAX - u64::from_be_bytes(rest.try_into().ok()?))
}

pub(super) fn decoded<T: serde::de::DeserializeOwned>(value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value)
        .map_err(|_| StoreError::Corrupt("a row of a webhook's deliveries does not decode".into()))
}
