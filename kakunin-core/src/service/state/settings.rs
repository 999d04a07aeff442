//! What holds for the whole deployment beside its logs.

use std::sync::Arc;

use crate::policy::Policy;
use crate::risk::Prior;
use crate::time::UnixTime;

/// What holds for the whole deployment beside its logs.
#[derive(Debug)]
pub(crate) struct Settings {
    /// What decides over agents' scores where their tenant has said nothing.
    pub(crate) policy: Arc<Policy>,
    pub(crate) prior: Prior,
    /// How long a renewed certificate stands beside the one that replaces it.
    pub(crate) renewal_grace: u64,
    /// How long a certificate is known after it expired.
    pub(crate) certificate_retention: u64,
}

impl Settings {
    /// Whether a grace that is to last until then is over by the clock: also if it is further away than a grace put
    /// there by this clock, set back by no more than a grace. So none is more than twice as long (ADR 20).
    pub(crate) fn grace_is_over(&self, until: UnixTime, now: UnixTime) -> bool {
        until <= now || until.since(now) > self.renewal_grace.saturating_mul(2)
    }
}
