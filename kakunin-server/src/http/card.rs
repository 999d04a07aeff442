//! What is said of a certificate: the answer, and answers that were made before.

use std::sync::Arc;

use axum::body::Bytes;
use kakunin_core::id::{IssuerId, Serial};
use kakunin_core::revoke::Reason;
use kakunin_core::time::UnixTime;
use quick_cache::sync::Cache;

use super::compat::card::VerifyBody;

/// Answers that are kept rendered.
const CARDS: usize = 16_384;

/// An answer as it is sent, and as long as what it says of the status holds.
#[derive(Debug)]
pub(crate) struct Card {
    pub(super) body: VerifyBody,
    pub(super) json: Bytes,
    /// Entity tags of the JSON and of the page.
    pub(super) tags: (String, String),
    pub(super) issuer: IssuerId,
    pub(super) reason: Option<Reason>,
    pub(super) until: UnixTime,
}

impl Card {
    pub(crate) const fn body(&self) -> &VerifyBody {
        &self.body
    }
}

/// Answers that were made before.
#[derive(Debug)]
pub(crate) struct Cards(pub(super) Cache<Serial, Arc<Card>>);

impl Default for Cards {
    fn default() -> Self {
        Self(Cache::new(CARDS))
    }
}
