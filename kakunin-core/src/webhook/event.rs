//! What can be told.

use crate::words::words;

words! {
    /// What an endpoint can be told.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    #[non_exhaustive]
    pub enum WebhookEvent {
        /// An agent has its first certificate, or one after it lost the one before.
        CertificateIssued = "certificate.issued",
        /// An agent's certificate was replaced by another.
        CertificateRenewed = "certificate.renewed",
        /// A certificate was taken away, for good.
        CertificateRevoked = "certificate.revoked",
        /// A certificate is about to end, and nothing has replaced it.
        CertificateExpiring = "certificate.expiring",
        /// The score reached the threshold of warnings.
        RiskWarning = "risk.warning",
        /// The score reached the threshold of revocation.
        RiskAlert = "risk.alert",
        /// A certificate was suspended.
        AgentHeld = "agent.held",
        /// A suspended certificate is accepted again.
        AgentReleased = "agent.released",
        /// Somebody stopped the agent.
        AgentHalted = "agent.halted",
        /// The agent is not used any more.
        AgentRetired = "agent.retired",
        /// Another policy over scores is in force.
        PolicyChanged = "policy.changed",
        /// So much is taken away, or for one cause, that it is held until a person looks.
        BreakerTripped = "breaker.tripped",
        /// Somebody tries the endpoint; nothing happened.
        Ping = "ping",
    }
}

impl WebhookEvent {
    /// Whether an endpoint can ask for it; it is pinged in any case.
    #[must_use]
    pub const fn can_be_chosen(self) -> bool {
        !matches!(self, Self::Ping)
    }
}
