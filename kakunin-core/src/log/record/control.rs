//! The kinds of records that are not events.

use super::parts::{CaRole, Evidence, KeyAction, KeyBinding, Recovery, Renewal, Stage};
use super::policy::{Approval, Braked, PolicyChange, Request, Resolved, Shadowed, Tripped, VerdictGiven};
use super::snapshot::StateSnapshot;
use crate::access::{ApiKeyFacts, ApiKeyId, JoinTokenFacts, JoinTokenId, KeyCommitment};
use crate::agent::{Agent, Document, NewAgent, Note};
use crate::feed::Visibility;
use crate::grant::Principal;
use crate::id::{HaltId, IssuerId, TenantId, TrustDomain};
use crate::issue::{Issued, Profile};
use crate::key::{KeyAlgorithm, KeyRef, PlannedKeyId};
use crate::month::Month;
use crate::revoke::{Halt, Receipt, Revocation, RevocationChange, Said};
use crate::risk::{Band, ModelId};
use crate::time::UnixTime;
use crate::webhook::{Disabled, WebhookFacts, WebhookId};

/// Records that are not events.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "always boxed in Body")]
pub enum Control {
    /// `deployment.created`
    DeploymentCreated {
        /// Trust domain of the SPIFFE IDs.
        trust_domain: TrustDomain,
        /// URL under which CRLs and CA certificates are served.
        public_url: String,
        /// Arc of the agent extensions.
        arc: String,
        /// The log key.
        log_key: KeyRef,
        /// Verifier key of the system log.
        log_verifier: String,
        /// The feed key, which cosigns revocation logs with a time.
        feed_key: KeyRef,
        /// Its verifier key.
        feed_verifier: String,
    },
    /// `ca.created`
    CaCreated {
        /// `root` or `issuing`.
        role: CaRole,
        /// Its key, unless that is kept elsewhere: an offline root.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<KeyRef>,
        /// Its certificate, PEM.
        certificate: String,
        /// The tenant that it issues for, if not for every tenant that has none of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tenant: Option<TenantId>,
    },
    /// `ca.ending`: an authority that a tenant's agents depend on ends soon, or has ended; once for each stage.
    CaEnding {
        /// Which.
        issuer: IssuerId,
        /// `root` or `issuing`.
        role: CaRole,
        /// Its last moment.
        not_after: UnixTime,
        /// How near that is.
        stage: Stage,
    },
    /// `tenant.created`
    TenantCreated {
        /// The tenant.
        tenant: TenantId,
        /// The model that judges until a policy of the tenant names one; older records lack it, and mean `weighted/1`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        model: Option<ModelId>,
    },
    /// `crl.published`
    CrlPublished {
        /// Whose CRL.
        issuer: IssuerId,
        /// Which shard; the full CRL if there is none.
        shard: Option<u16>,
        /// cRLNumber.
        number: u64,
        /// thisUpdate; records from before it was kept lack it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        this_update: Option<UnixTime>,
        /// How many entries.
        entries: u64,
        /// SHA-256 of the DER, hex.
        sha256: String,
    },
    /// `api_key.created`: who may call the API; its hash is in the vault.
    ApiKeyCreated(ApiKeyFacts),
    /// `api_key.revoked`
    ApiKeyRevoked {
        /// Which key.
        id: ApiKeyId,
    },
    /// `deployment.sealed`: from here on stored state is believed only under a seal.
    DeploymentSealed {
        /// SHA-256 that commits to the vault's secret, hex.
        secret: String,
    },
    /// `api_key.committed`: which hash a key has that was made before `api_key.created` said so.
    ApiKeyCommitted {
        /// Which key.
        id: ApiKeyId,
        /// What commits to its hash.
        commitment: KeyCommitment,
    },
    /// `revocations.visibility_changed`: who may read what a tenant's own issuing CAs revoked.
    VisibilityChanged {
        /// Whose CAs.
        tenant: TenantId,
        /// From now on.
        visibility: Visibility,
    },
    /// `agent.registered`
    AgentRegistered(Agent),
    /// `agent.updated`: takes effect with the next certificate.
    AgentUpdated(NewAgent),
    /// `agent.halted`: somebody pulled the switch; what it revoked follows in the same append.
    AgentHalted {
        /// The stop.
        halt: Halt,
        /// What whoever ordered it had to say.
        #[serde(flatten)]
        said: Said,
    },
    /// `agent.halt_receipt`: the CA signed the receipt of a stop.
    HaltReceipt {
        /// Which stop.
        halt: HaltId,
        /// Its receipt.
        receipt: Receipt,
    },
    /// `agent.reinstated`: somebody trusts a suspended agent again; it is pending until it has a certificate.
    AgentReinstated {
        /// Why.
        reason: Note,
    },
    /// `agent.self_renewal_refused`: it renews itself earlier or more often than it may; at most once a day and agent.
    SelfRenewalRefused,
    /// `agent.impersonation_suspected`: somebody presents its certificate or names its serial without
    /// showing possession; at most once a day and agent.
    PossessionMissing,
    /// `agent.retired`
    AgentRetired,
    /// `join_token.created`: with it the agent gets its certificate itself; its hash is in the vault.
    JoinTokenCreated(JoinTokenFacts),
    /// `join_token.redeemed`
    JoinTokenRedeemed {
        /// Which token.
        id: JoinTokenId,
    },
    /// `join_token.voided`: what took trust away, just before it in the log, took this with it.
    JoinTokenVoided {
        /// Which token.
        id: JoinTokenId,
    },
    /// `key.planned`
    KeyPlanned {
        /// Under which identifier.
        planned: PlannedKeyId,
        /// Of which algorithm.
        algorithm: KeyAlgorithm,
    },
    /// `key.bound`: the key exists, here or with the workload.
    KeyBound {
        /// Where it is; `None` when the workload keeps it.
        key: Option<KeyRef>,
        /// Its key identifier.
        key_id: IssuerId,
        /// The word of the key before it, at a renewal by request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        binding: Option<KeyBinding>,
    },
    /// `key.abandoned`: planned, and not bound before a crash.
    KeyAbandoned {
        /// Under which identifier.
        planned: PlannedKeyId,
    },
    /// `key.task_delayed`: the provider could not be told, and is told further.
    KeyTaskDelayed {
        /// Which key, or the identifier under which one was planned.
        key: KeyRef,
        /// What it is to be told.
        action: KeyAction,
    },
    /// `key.granted`: somebody else may sign with it, at its provider.
    KeyGranted {
        /// Which key.
        key: KeyRef,
        /// Who.
        principal: Principal,
    },
    /// `key.grants_voided`: what took trust away, just before it in the log or while the provider was granting, ends
    /// the provider's grants of the key.
    KeyGrantsVoided {
        /// Which key.
        key: KeyRef,
    },
    /// `certificate.planned`: this serial is about to be signed.
    CertificatePlanned {
        /// What the certificate will say.
        facts: Issued,
        /// Its profile.
        profile: Profile,
    },
    /// `certificate.issued`
    CertificateIssued {
        /// What it says.
        facts: Issued,
        /// The certificate, PEM.
        certificate: String,
        /// Whether it made a suspended agent active, and the old evidence count no longer: in older logs. Today
        /// that is `agent.reinstated`, and a certificate reinstates nobody.
        reinstates: bool,
        /// The document whose hash it pins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        constraints: Option<Document>,
        /// What was shown and seen, if it replaces another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renewal: Option<Renewal>,
    },
    /// `certificate.revoked`
    CertificateRevoked {
        /// The revocation.
        revocation: Revocation,
        /// Why, when behaviour was the cause.
        evidence: Option<Evidence>,
        /// What whoever ordered it had to say.
        #[serde(flatten)]
        said: Said,
    },
    /// `certificate.held`
    CertificateHeld {
        /// The hold.
        #[serde(flatten)]
        hold: Revocation,
        /// What whoever ordered it had to say.
        #[serde(flatten)]
        said: Said,
        /// Why, where the breaker holds what would have been taken away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        braked: Option<Braked>,
    },
    /// `certificate.released`
    CertificateReleased {
        /// Who issued it.
        issuer: IssuerId,
    },
    /// `certificate.expiring`: an agent's newest certificate ends soon; once for each certificate.
    CertificateExpiring {
        /// Its last moment.
        not_after: UnixTime,
    },
    /// `risk.band_changed`
    BandChanged {
        /// From which band.
        from: Band,
        /// To which band.
        to: Band,
        /// On what evidence.
        evidence: Evidence,
    },
    /// `revocation.changed`, in the issuer's revocation log.
    RevocationChanged(RevocationChange),
    /// `policy.changed`
    PolicyChanged(PolicyChange),
    /// `breaker.tripped`: identities that would be taken away automatically are held from here on.
    BreakerTripped(Tripped),
    /// `breaker.resolved`: what was held was released or confirmed, or nobody is held any more.
    BreakerResolved(Resolved),
    /// `agent.risk_verdict`: what a person says of an agent's score.
    RiskVerdict(VerdictGiven),
    /// `risk.shadowed`: what other rules would have done.
    RiskShadowed(Shadowed),
    /// `approval.requested`: an order waits for a second person.
    ApprovalRequested(Request),
    /// `approval.decided`
    ApprovalDecided(Approval),
    /// `webhook.created`: the endpoint is told what is on record from here on.
    WebhookCreated(WebhookFacts),
    /// `webhook.changed`: what it is from here on.
    WebhookChanged(WebhookFacts),
    /// `webhook.deleted`
    WebhookDeleted {
        /// Which.
        id: WebhookId,
    },
    /// `log.recovered`: the log goes on from an older copy; the first record under its origin.
    LogRecovered(Recovery),
    /// `payload.erased`: what the agent's events of these months hold beside their leaves, as far as they were recorded
    /// before this, is gone for good.
    PayloadErased {
        /// The first month.
        from: Month,
        /// The last month.
        to: Month,
        /// Why.
        reason: Note,
    },
    /// `webhook.disabled`: what came of deliveries ends them.
    WebhookDisabled {
        /// Which.
        id: WebhookId,
        /// Why.
        why: Disabled,
    },
    /// `state.snapshot`: what the records before it amount to.
    StateSnapshot(StateSnapshot),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revoke::Cause;

    /// Records as versions before the reasons were kept wrote them, with a name that is not given any more.
    #[test]
    fn records_from_before_are_read() {
        let revocation = r#"{"issuer":"0102030405060708090a0b0c0d0e0f1011121314","serial":"4A1B2C3D4E5F60718293A4B5C6D7E8F9",
            "agent":"0190d3a4-7c1e-7000-8000-000000000001","at":1795420800000,"cause":"hold","expires":1795507200000,"shard":7}"#;
        let read = |json: String| serde_json::from_str::<Control>(&json).unwrap();
        let held = read(format!(r#"{{"certificate_held":{revocation}}}"#));
        let Control::CertificateHeld { hold, said, .. } = &held else { panic!("{held:?}") };
        assert_eq!((hold.cause, hold.shard, said), (Cause::Hold, 7, &Said::default()));
        let revoked =
            read(format!(r#"{{"certificate_revoked":{{"revocation":{revocation},"evidence":null}}}}"#));
        let Control::CertificateRevoked { revocation, said, .. } = &revoked else { panic!("{revoked:?}") };
        assert_eq!((revocation.serial, said), (hold.serial, &Said::default()));
        let halt = r#"{"id":"0190d3a4-7c1e-7000-8000-000000000002","cause":"operator_initiated","serial":null,"at":1795420800000}"#;
        let halted = read(format!(r#"{{"agent_halted":{{"halt":{halt},"note":"enough\u202e"}}}}"#));
        let Control::AgentHalted { said, .. } = &halted else { panic!("{halted:?}") };
        assert_eq!(said.note.as_ref().map(Note::as_str), Some("enough\u{202e}"));
        // What is written now is read as it was.
        for control in [held.clone(), revoked, halted] {
            assert_eq!(read(serde_json::to_string(&control).unwrap()), control);
        }
        let name: crate::agent::Label = serde_json::from_str(r#""desk\u202e7""#).unwrap();
        assert_eq!(name.as_str(), "desk\u{202e}7");
        assert_eq!(name.checked().unwrap_err().code(), "name_malformed");
    }
}
