//! A certificate as anybody is shown it.

use kakunin_core::service::CertificateStatus;
use kakunin_core::x509::extensions::AgentClaims;
use kakunin_core::x509::name::NameParts;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::agent::document;
use super::certificate::scope_texts;
use super::halt_receipt::HaltReceipt;

/// A certificate, and whether it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct VerifyBody {
    pub(crate) serial_number: String,
    /// The same, as others call it.
    pub(crate) serial: String,
    /// `active`, `suspended`, `revoked` or `expired`.
    pub(crate) status: String,
    /// The same, as others call it.
    pub(crate) certificate_status: String,
    pub(crate) valid: bool,
    pub(crate) issued_at: String,
    pub(crate) expires_at: String,
    pub(crate) valid_from: String,
    pub(crate) valid_until: String,
    /// Key identifier of the issuing CA.
    pub(crate) issuer: String,
    pub(crate) spiffe_id: Option<String>,
    pub(crate) agent_id: String,
    pub(crate) agent_name: String,
    pub(crate) operator_org: Option<String>,
    pub(crate) permitted_actions: Vec<String>,
    pub(crate) model_hash: String,
    /// The document whose SHA-256 the certificate pins.
    #[schema(value_type = Option<Object>)]
    pub(crate) financial_scope: Option<Box<RawValue>>,
    pub(crate) revoked_at: Option<String>,
    /// `issuer_revoked` if its issuing CA is on its root's CRL.
    pub(crate) revocation_reason: Option<String>,
    pub(crate) halt_receipt: Option<HaltReceipt>,
    pub(crate) agent: VerifiedAgentBody,
}

/// The agent, as its certificate says.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct VerifiedAgentBody {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Not in certificates: always null.
    pub(crate) model: Option<String>,
    pub(crate) model_hash: String,
    /// Not in certificates: always null.
    pub(crate) version: Option<String>,
    pub(crate) tenant: String,
    pub(crate) environment: String,
    pub(crate) fleet: Option<String>,
    pub(crate) operator_org: Option<String>,
    pub(crate) permitted_actions: Vec<String>,
    /// The document whose SHA-256 the certificate pins.
    #[schema(value_type = Option<Object>)]
    pub(crate) financial_scope: Option<Box<RawValue>>,
}

pub(crate) fn agent_body(
    claims: &AgentClaims,
    subject: &NameParts<'_>,
    status: &CertificateStatus,
) -> VerifiedAgentBody {
    VerifiedAgentBody {
        id: claims.agent.to_string(),
        name: subject.common_name.unwrap_or_default().to_owned(),
        model: None,
        model_hash: claims.model_hash.to_string(),
        version: None,
        tenant: claims.tenant.to_string(),
        environment: claims.environment.to_string(),
        fleet: subject.unit.map(str::to_owned),
        operator_org: subject.organization.map(str::to_owned),
        permitted_actions: scope_texts(&claims.scope),
        financial_scope: document(status.constraints.as_ref()),
    }
}
