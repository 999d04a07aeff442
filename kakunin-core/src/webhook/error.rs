//! Why an endpoint is not made or changed.

use super::guard::GuardError;

/// Why an endpoint is not made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// This deployment sends nothing.
    #[error("this deployment sends no webhooks; give it a transport")]
    NoneHere,
    /// A tenant has as many as it can.
    #[error("a tenant has at most {max} webhooks; take one away, or let one URL be told more", max = super::MAX_WEBHOOKS)]
    TooMany,
    /// Nothing to tell, or what nobody can ask for.
    #[error(
        "name what the webhook is told: at least one event, and not `ping`, which is sent when somebody asks for it"
    )]
    Events,
    /// Enough pings are under way.
    #[error("pings of this tenant wait for answers; send the next one when they have come")]
    Pinging,
    /// Nothing is sent there.
    #[error(transparent)]
    Guard(#[from] GuardError),
}

impl WebhookError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoneHere => "webhooks_unavailable",
            Self::TooMany => "too_many_webhooks",
            Self::Pinging => "webhook_pings_busy",
            Self::Events => "webhook_events_invalid",
            Self::Guard(error) => error.code(),
        }
    }
}
