//! Items of the inbox, as they are shown.

use kakunin_core::log::record::{CaRole, Stage};
use kakunin_core::service::{EndingNotice, Notification, NotificationKind};
use serde::Serialize;
use utoipa::ToSchema;

/// Something people should know.
#[derive(Serialize, ToSchema)]
pub(crate) struct NotificationBody {
    id: String,
    /// `pre_revocation_warning`, `risk_threshold_crossed`, `certificate_revoked`, `agent_halted` or
    /// `system_alert`.
    notification_type: String,
    /// `warning` or `critical`.
    severity: String,
    title: String,
    message: String,
    /// `null` where it is about no agent: a certificate authority that ends.
    agent_id: Option<String>,
    certificate_serial: Option<String>,
    action_url: String,
    created_at: String,
}

/// An item about an authority that ends.
fn of_ending(ending: Option<&EndingNotice>) -> (&'static str, &'static str, &'static str, String) {
    let stage = ending.map_or(Stage::Near, |ending| ending.stage);
    let (severity, title) = match stage {
        Stage::Ended => ("critical", "Certificate authority has ended"),
        Stage::Urgent => ("critical", "Certificate authority ends soon"),
        Stage::Near | Stage::Far => ("warning", "Certificate authority ends soon"),
    };
    let which = ending.map(|ending| {
        let role = if ending.role == CaRole::Root { "Root" } else { "Issuing CA" };
        format!("{role} {} is valid until {}. ", ending.issuer, ending.not_after)
    });
    let message = which.unwrap_or_default()
        + "After its end no agent is given a certificate. Its operator replaces it: kakunin ca rotate, or request and install.";
    ("system_alert", severity, title, message)
}

impl NotificationBody {
    pub(crate) fn new(index: u64, item: &Notification) -> Self {
        let evidence = item.evidence.as_ref();
        let because = evidence.map_or_else(String::new, |e| {
            let families: Vec<_> = e.families.iter().map(|(family, _)| family.as_str()).collect();
            format!(
                " Score {} against {}, mostly {}.",
                e.score,
                e.threshold,
                families.join(", ").replace('_', " ")
            )
        });
        let cause = item.cause.map(|cause| cause.as_str().replace('_', " ")).unwrap_or_default();
        let (kind, severity, title, message) = match item.kind {
            NotificationKind::PreRevocationWarning => {
                let message = format!("The agent is close to losing its identity.{because}");
                ("pre_revocation_warning", "warning", "Agent is close to revocation", message)
            }
            NotificationKind::AgentRevoked if evidence.is_some() => {
                let message = format!("Its behaviour took the agent's identity away.{because}");
                ("risk_threshold_crossed", "critical", "Agent lost its identity", message)
            }
            NotificationKind::AgentHalted => (
                "agent_halted",
                "critical",
                "Agent was halted",
                format!("Somebody stopped the agent: {cause}."),
            ),
            NotificationKind::KeyTaskDelayed => (
                "system_alert",
                "warning",
                "Key provider cannot be reached",
                "A key is yet to be disabled, enabled or deleted, and is tried further. The certificate's standing is in force all the same.".to_owned(),
            ),
            NotificationKind::AuthorityEnding => of_ending(item.ending.as_ref()),
            NotificationKind::SelfRenewalRefused => {
                let message = "The agent renews its own certificate earlier or more often than it may, and is refused. An operator can renew it.";
                ("system_alert", "warning", "Agent renews itself too often", message.to_owned())
            }
            NotificationKind::ImpersonationSuspected => {
                let message =
                    "Somebody uses its certificate or serial number without its key. Its score is unchanged.";
                ("system_alert", "warning", "Possible impersonation of an agent", message.to_owned())
            }
            _ => ("certificate_revoked", "warning", "Certificate was revoked", format!("Cause: {cause}.")),
        };
        Self {
            id: index.to_string(),
            notification_type: kind.to_owned(),
            severity: severity.to_owned(),
            title: title.to_owned(),
            message,
            agent_id: item.ending.is_none().then(|| item.agent.to_string()),
            certificate_serial: item.serial.map(|serial| serial.to_string()),
            action_url: match item.ending {
                Some(_) => "/api/v1/ca".to_owned(),
                None => format!("/api/v1/agents/{}/risk", item.agent),
            },
            created_at: item.at.to_string(),
        }
    }
}
