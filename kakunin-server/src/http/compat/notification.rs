//! Items of the inbox, as they are shown.

use kakunin_core::log::record::{CaRole, Evidence, Stage};
use kakunin_core::service::{EndingNotice, Notification, NotificationKind, Severity};
use serde::Serialize;
use utoipa::ToSchema;

use super::band::number;
use super::risk::Factor;
use crate::http::schema::{NotificationWord, SeverityWord};

/// Something people should know.
#[derive(Serialize, ToSchema)]
pub(crate) struct NotificationBody {
    id: String,
    /// What it tells, in the hosted vendor's words: `pre_revocation_warning`, `risk_threshold_crossed`,
    /// `certificate_revoked`, `agent_halted` or `system_alert`.
    notification_type: String,
    #[schema(inline, value_type = NotificationWord)]
    kind: NotificationKind,
    #[schema(inline, value_type = SeverityWord)]
    severity: Severity,
    title: String,
    message: String,
    /// `null` where it is about no agent: a certificate authority that ends.
    agent_id: Option<String>,
    certificate_serial: Option<String>,
    action_url: String,
    /// Whether the person whose API key asks has read it; absent in the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    read: Option<bool>,
    /// What the agent did, where that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<EvidenceBody>,
    /// What somebody can say about the agent, where what it did is why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<ActionBody>,
    created_at: String,
}

/// What an agent did.
#[derive(Serialize, ToSchema)]
pub(crate) struct EvidenceBody {
    /// The score that it came to, 0 to 1.
    risk_score: f64,
    /// At which it loses its identity.
    threshold: f64,
    /// The model that said so.
    model: String,
    /// What each family of evidence contributed, strongest first.
    factors: Vec<Factor>,
    /// The event with which it came to that, as `GET /api/v1/events` has it.
    events: Vec<EventLink>,
}

/// An event in the log.
#[derive(Serialize, ToSchema)]
pub(crate) struct EventLink {
    /// Its index.
    index: u64,
    /// Where it is shown.
    url: String,
}

/// Something that can be ordered.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActionBody {
    /// `dismiss`, `confirmSafe` or `confirmCompromised`.
    verdict: &'static str,
    method: &'static str,
    url: String,
}

const VERDICTS: [&str; 3] = ["dismiss", "confirmSafe", "confirmCompromised"];

impl NotificationBody {
    /// As the person who asks has `read` it, where that is said.
    pub(crate) fn new(index: u64, item: &Notification, read: Option<bool>) -> Self {
        let (notification_type, title, message) = told(item);
        let agent = item.of_agent().map(|agent| agent.to_string());
        let evidence = item.evidence.as_ref().zip(agent.as_deref());
        let verdict = |verdict, agent: &str| ActionBody {
            verdict,
            method: "POST",
            url: format!("/api/v1/agents/{agent}/verdict"),
        };
        Self {
            id: index.to_string(),
            notification_type: notification_type.to_owned(),
            kind: item.kind,
            severity: item.severity(),
            title: title.to_owned(),
            message,
            certificate_serial: item.serial.map(|serial| serial.to_string()),
            action_url: match &agent {
                Some(agent)
                    if item.evidence.is_none() && item.kind == NotificationKind::CertificateExpiring =>
                {
                    format!("/api/v1/agents/{agent}")
                }
                Some(agent) => format!("/api/v1/agents/{agent}/risk"),
                None if item.ending.is_some() => "/api/v1/ca".to_owned(),
                None if item.kind == NotificationKind::WebhookDisabled => "/api/v1/webhooks".to_owned(),
                None => "/api/v1/notifications".to_owned(),
            },
            read,
            evidence: evidence.map(|(evidence, agent)| EvidenceBody::new(evidence, agent)),
            actions: evidence
                .into_iter()
                .flat_map(|(_, agent)| VERDICTS.map(|word| verdict(word, agent)))
                .collect(),
            agent_id: agent,
            created_at: item.at.to_string(),
        }
    }
}

impl EvidenceBody {
    fn new(evidence: &Evidence, agent: &str) -> Self {
        let (index, before) = (evidence.event, evidence.event.saturating_add(1));
        let url = format!("/api/v1/events?agent_id={agent}&before={before}&limit=1");
        Self {
            risk_score: number(evidence.score),
            threshold: number(evidence.threshold),
            model: evidence.model.0.clone(),
            factors: evidence.families.iter().map(Factor::new).collect(),
            events: vec![EventLink { index, url }],
        }
    }
}

/// The vendor's word, a title and a sentence.
fn told(item: &Notification) -> (&'static str, &'static str, String) {
    let because = item.evidence.as_ref().map(because).unwrap_or_default();
    let cause = item.cause.map(|cause| cause.as_str().replace('_', " ")).unwrap_or_default();
    match item.kind {
        NotificationKind::PreRevocationWarning => (
            "pre_revocation_warning",
            "Agent is close to revocation",
            format!("The agent is close to losing its identity.{because}"),
        ),
        NotificationKind::AgentRevoked if item.evidence.is_some() => (
            "risk_threshold_crossed",
            "Agent lost its identity",
            format!("Its behaviour took the agent's identity away.{because}"),
        ),
        NotificationKind::AgentHalted => {
            ("agent_halted", "Agent was halted", format!("Somebody stopped the agent: {cause}."))
        }
        NotificationKind::AgentHeld => (
            "system_alert",
            "Agent is held",
            "The agent's certificate is suspended, and refused until somebody releases it.".to_owned(),
        ),
        NotificationKind::BreakerTripped => {
            let what = item.said.as_deref().unwrap_or_default();
            let message = "Further agents that would lose their identity are held instead, until somebody decides.";
            ("system_alert", "Automatic revocation is stopped", format!("{message} {what}").trim_end().to_owned())
        }
        NotificationKind::WebhookDisabled => {
            let what = item.said.as_deref().unwrap_or_default();
            let message = "Nothing is sent there until somebody switches it on again; then it goes on where it stopped.";
            ("system_alert", "Webhook is disabled", format!("{what} {message}").trim_start().to_owned())
        }
        NotificationKind::KeyTaskDelayed => (
            "system_alert",
            "Key provider cannot be reached",
            "A key is yet to be disabled, enabled or deleted, and is tried further. The certificate's standing is in force all the same.".to_owned(),
        ),
        NotificationKind::CertificateExpiring => {
            let until = item.not_after.map(|end| format!(" It is valid until {end}.")).unwrap_or_default();
            let message = format!("The agent's certificate is about to end, and nothing has replaced it.{until} The agent renews it, or an operator does.");
            ("system_alert", "Certificate ends soon", message)
        }
        NotificationKind::AuthorityEnding => of_ending(item.ending.as_ref()),
        NotificationKind::SelfRenewalRefused => (
            "system_alert",
            "Agent renews itself too often",
            "The agent renews its own certificate earlier or more often than it may, and is refused. An operator can renew it.".to_owned(),
        ),
        NotificationKind::ImpersonationSuspected => (
            "system_alert",
            "Possible impersonation of an agent",
            "Somebody uses its certificate or serial number without its key. Its score is unchanged.".to_owned(),
        ),
        _ => ("certificate_revoked", "Certificate was revoked", format!("Cause: {cause}.")),
    }
}

fn because(evidence: &Evidence) -> String {
    let families: Vec<_> = evidence.families.iter().map(|(family, _)| family.as_str()).collect();
    let families = families.join(", ").replace('_', " ");
    format!(" Score {} against {}, mostly {families}.", evidence.score, evidence.threshold)
}

/// An item about an authority that ends.
fn of_ending(ending: Option<&EndingNotice>) -> (&'static str, &'static str, String) {
    let title = match ending.map(|ending| ending.stage) {
        Some(Stage::Ended) => "Certificate authority has ended",
        _ => "Certificate authority ends soon",
    };
    let which = ending.map(|ending| {
        let role = if ending.role == CaRole::Root { "Root" } else { "Issuing CA" };
        format!("{role} {} is valid until {}. ", ending.issuer, ending.not_after)
    });
    let message = which.unwrap_or_default()
        + "After its end no agent is given a certificate. Its operator replaces it: kakunin ca rotate, or request and install.";
    ("system_alert", title, message)
}
