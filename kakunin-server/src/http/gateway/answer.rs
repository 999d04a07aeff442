//! The check's yes.

use kakunin_core::event::Attribution;
use kakunin_verify::VerifiedAgent;
use serde::Serialize;
use utoipa::ToSchema;

use super::dry_run::WouldDeny;
use crate::http::app::App;

/// A permission; or what a dry run lets through, which nothing permits.
#[derive(Serialize, ToSchema)]
pub(crate) struct CheckAnswer {
    /// `allow`
    decision: &'static str,
    /// Who it is. In a dry run this, and what else is said of the agent, is left out unless it was shown by a certificate
    /// that stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_id: Option<String>,
    action: String,
    /// `possession`, or `asserted` when it was recorded without moving the agent's score.
    #[serde(skip_serializing_if = "Option::is_none")]
    attribution: Option<String>,
    /// Index of the decision in the tenant's log.
    event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// True if a dry run lets it through.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
    /// What it would be without.
    #[serde(skip_serializing_if = "Option::is_none")]
    would: Option<Would>,
}

/// The refusal that a dry run lets through.
#[derive(Serialize, ToSchema)]
pub(crate) struct Would {
    /// `deny`
    decision: &'static str,
    /// The status that it would have.
    status: u16,
    code: String,
    message: String,
}

impl CheckAnswer {
    /// A yes of nobody's to this action, recorded there.
    pub(super) fn new(action: &str, index: Option<u64>) -> Self {
        Self {
            decision: "allow",
            agent_id: None,
            tenant_id: None,
            certificate_serial: None,
            spiffe_id: None,
            action: action.to_owned(),
            attribution: None,
            event_id: index.map(|index| index.to_string()),
            expires_at: None,
            dry_run: None,
            would: None,
        }
    }

    /// The same to this agent.
    pub(super) fn of(self, agent: &VerifiedAgent) -> Self {
        Self {
            agent_id: Some(agent.agent().to_string()),
            tenant_id: Some(agent.tenant().to_string()),
            certificate_serial: Some(agent.serial().to_string()),
            spiffe_id: Some(agent.spiffe_id().to_owned()),
            expires_at: Some(agent.not_after().to_string()),
            ..self
        }
    }

    pub(super) fn by(self, attribution: Attribution) -> Self {
        Self { attribution: Some(attribution.as_str().to_owned()), ..self }
    }

    /// The same in a dry run.
    pub(super) fn in_dry_run(self, app: &App, would: &WouldDeny) -> Self {
        let known = match would.agent(app) {
            Some(agent) => self.of(agent),
            None => self,
        };
        let error = &would.error;
        let (status, code) = (error.status().as_u16(), error.code().to_owned());
        let would = Would { decision: "deny", status, code, message: error.sentence().to_owned() };
        Self { dry_run: Some(true), would: Some(would), ..known }
    }
}
