//! Name and number of each kind of record that is not an event.

use super::seal::EVENT_NAME;
use super::{Control, EVENT, Record};

/// One line a kind: its variant, its name, and the code that leaves carry. Both stay.
macro_rules! kinds {
    ($($variant:ident = $name:literal, $code:literal;)+) => {
        impl Record {
            /// Name and kind code of every kind of record.
            pub const KINDS: &'static [(&'static str, u16)] = &[$(($name, $code),)+ (EVENT_NAME, EVENT)];
        }

        impl Control {
            /// Name of this kind of record.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant { .. } => $name,)+
                }
            }

            /// Kind code, as leaves carry it.
            #[must_use]
            pub const fn kind(&self) -> u16 {
                match self {
                    $(Self::$variant { .. } => $code,)+
                }
            }

            /// Whether this is the code of a kind that is not an event, and known here.
            pub(crate) const fn is_known(code: u16) -> bool {
                matches!(code, $($code)|+)
            }
        }
    };
}

kinds! {
    DeploymentCreated = "deployment.created", 1;
    CaCreated = "ca.created", 2;
    TenantCreated = "tenant.created", 3;
    CrlPublished = "crl.published", 4;
    ApiKeyCreated = "api_key.created", 5;
    ApiKeyRevoked = "api_key.revoked", 6;
    VisibilityChanged = "revocations.visibility_changed", 7;
    DeploymentSealed = "deployment.sealed", 8;
    ApiKeyCommitted = "api_key.committed", 9;
    AgentRegistered = "agent.registered", 16;
    AgentRetired = "agent.retired", 17;
    KeyPlanned = "key.planned", 18;
    KeyBound = "key.bound", 19;
    KeyAbandoned = "key.abandoned", 20;
    CertificatePlanned = "certificate.planned", 21;
    CertificateIssued = "certificate.issued", 22;
    CertificateRevoked = "certificate.revoked", 23;
    CertificateHeld = "certificate.held", 24;
    CertificateReleased = "certificate.released", 25;
    AgentUpdated = "agent.updated", 26;
    AgentHalted = "agent.halted", 27;
    JoinTokenCreated = "join_token.created", 28;
    JoinTokenRedeemed = "join_token.redeemed", 29;
    KeyTaskDelayed = "key.task_delayed", 30;
    KeyGranted = "key.granted", 31;
    BandChanged = "risk.band_changed", 33;
    PossessionMissing = "agent.impersonation_suspected", 34;
    AgentReinstated = "agent.reinstated", 35;
    HaltReceipt = "agent.halt_receipt", 36;
    JoinTokenVoided = "join_token.voided", 37;
    KeyGrantsVoided = "key.grants_voided", 38;
    SelfRenewalRefused = "agent.self_renewal_refused", 39;
    CaEnding = "ca.ending", 47;
    RevocationChanged = "revocation.changed", 48;
    PolicyChanged = "policy.changed", 49;
    BreakerTripped = "breaker.tripped", 50;
    BreakerResolved = "breaker.resolved", 51;
    RiskVerdict = "agent.risk_verdict", 52;
    RiskShadowed = "risk.shadowed", 53;
    ApprovalRequested = "approval.requested", 54;
    ApprovalDecided = "approval.decided", 55;
    WebhookCreated = "webhook.created", 56;
    WebhookChanged = "webhook.changed", 57;
    WebhookDeleted = "webhook.deleted", 58;
    WebhookDisabled = "webhook.disabled", 59;
    CertificateExpiring = "certificate.expiring", 64;
    PayloadErased = "payload.erased", 66;
    StateSnapshot = "state.snapshot", 67;
    LogRecovered = "log.recovered", 68;
}
