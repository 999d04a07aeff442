//! Certificates as they are shown.

use kakunin_core::id::TenantId;
use kakunin_core::scope::ScopeSet;
use kakunin_core::service::CertificateEntry;
use kakunin_core::time::UnixTime;
use kakunin_core::x509::certificate::CertificateView;
use kakunin_core::x509::oid::Arc;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::standing::Standing;

/// A certificate.
#[derive(Serialize, ToSchema)]
pub(crate) struct CertificateBody {
    /// Its serial number: what a certificate is called here.
    pub(crate) id: String,
    pub(crate) agent_id: String,
    pub(crate) tenant_id: String,
    /// 32 upper-case hex digits.
    pub(crate) serial_number: String,
    /// Where the key is; null when the workload keeps it.
    pub(crate) kms_key_arn: Option<String>,
    /// The certificate; only where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) certificate_pem: Option<String>,
    /// The same, as others call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pem: Option<String>,
    /// The certificates above it, issuing CA first; only where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chain_pem: Option<String>,
    /// `active`, `suspended`, `revoked` or `expired`.
    pub(crate) status: String,
    pub(crate) profile: String,
    pub(crate) issued_at: String,
    pub(crate) expires_at: String,
    /// When two thirds of its life are over: the time to renew it.
    pub(crate) renew_after: String,
    pub(crate) revoked_at: Option<String>,
    pub(crate) revocation_reason: Option<String>,
    /// The reason as it was sent, and the note beside it; null where none was.
    pub(crate) revocation_reason_given: Option<String>,
    pub(crate) revocation_note: Option<String>,
    /// What it allows, as `read:accounts`; null where it is not said: in lists beyond the newest 64, and for what
    /// was given up before it was issued.
    pub(crate) permitted_actions: Option<Vec<String>>,
}

impl CertificateBody {
    pub(crate) fn listed(tenant: &TenantId, entry: &CertificateEntry, now: UnixTime) -> Self {
        let facts = &entry.facts;
        let reason = entry.revocation.map(|revocation| revocation.cause.reason());
        let standing = Standing::of(reason, now > facts.not_after);
        Self {
            id: facts.serial.to_string(),
            agent_id: facts.agent.to_string(),
            tenant_id: tenant.to_string(),
            serial_number: facts.serial.to_string(),
            kms_key_arn: entry.key.as_ref().map(|key| key.as_str().to_owned()),
            certificate_pem: None,
            pem: None,
            chain_pem: None,
            status: standing.as_str().to_owned(),
            profile: entry.profile.as_str().to_owned(),
            issued_at: facts.not_before.to_string(),
            expires_at: facts.not_after.to_string(),
            renew_after: facts.renew_after().to_string(),
            revoked_at: entry.revocation.map(|r| r.at.to_string()),
            revocation_reason: entry.revocation.map(|r| r.cause.as_str().to_owned()),
            revocation_reason_given: entry.said.reason.as_ref().map(|text| text.as_str().to_owned()),
            revocation_note: entry.said.note.as_ref().map(|text| text.as_str().to_owned()),
            permitted_actions: None,
        }
    }
}

impl CertificateBody {
    /// What a certificate allows, from its octets.
    pub(crate) fn actions(der: &[u8], arc: &Arc) -> Option<Vec<String>> {
        let view = CertificateView::parse(der, arc).ok()?;
        view.extensions.agent.to_owned().map(|claims| scope_texts(&claims.scope))
    }
}

pub(crate) fn scope_texts(scope: &ScopeSet) -> Vec<String> {
    scope.iter().map(|scope| scope.as_str().to_owned()).collect()
}
