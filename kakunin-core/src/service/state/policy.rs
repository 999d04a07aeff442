//! What decides over scores and renewals.

use crate::risk::{Prior, Thresholds};

/// What decides over scores and renewals.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) thresholds: Thresholds,
    pub(crate) prior: Prior,
    /// How long a renewed certificate stands beside the one that replaces it.
    pub(crate) renewal_grace: u64,
}
