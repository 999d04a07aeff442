//! A record that is told.

use super::event::WebhookEvent;
use crate::id::TenantId;
use crate::log::record::Record;
use crate::risk::Score;

/// A record that is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'r> {
    pub(crate) tenant: &'r TenantId,
    /// Where the deployment can be asked.
    pub(crate) public_url: &'r str,
    pub(crate) index: u64,
    pub(crate) record: &'r Record,
    pub(crate) event: WebhookEvent,
}

/// As a number from 0 to 1.
pub(super) fn number(score: Score) -> f64 {
    f64::from(score.millionths()) / 1e6
}
