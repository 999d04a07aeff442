//! Certificates as they are shown.

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Certificate;
use kakunin_core::revoke::Said;
use kakunin_core::service::{CertificateEntry, Error as ServiceError};
use kakunin_core::x509::pem;

use super::app::App;
use super::auth::Caller;
use super::compat::certificate::CertificateBody;
use super::error::{ApiError, ErrorBody};
use super::gateway::check::agent_itself;
use super::json::Data;

/// What whoever asked for a certificate gets.
pub(crate) fn issued(app: &App, tenant: &TenantId, certificate: &Certificate) -> Result<Response, ApiError> {
    Ok((StatusCode::CREATED, Data { data: given(app, tenant, certificate)? }).into_response())
}

/// A certificate that was issued just now, with those above it.
pub(crate) fn given(
    app: &App,
    tenant: &TenantId,
    certificate: &Certificate,
) -> Result<CertificateBody, ApiError> {
    let Certificate { facts, der, profile, key } = certificate;
    let entry = CertificateEntry {
        facts: *facts,
        profile: *profile,
        key: key.clone(),
        revocation: None,
        said: Said::default(),
    };
    whole(app, tenant, &entry, der)
}

/// A certificate with those above it.
fn whole(
    app: &App,
    tenant: &TenantId,
    entry: &CertificateEntry,
    der: &[u8],
) -> Result<CertificateBody, ApiError> {
    let ca = app.kakunin.authorities().into_iter().find(|ca| ca.issuer.id() == entry.facts.issuer);
    let ca = ca.ok_or(ServiceError::NotFound("issuing CA"))?;
    let chain = [&ca.issuer, &ca.root].map(|ca| pem::encode(pem::CERTIFICATE, ca.as_der()));
    let text = pem::encode(pem::CERTIFICATE, der);
    Ok(CertificateBody {
        certificate_pem: Some(text.clone()),
        pem: Some(text),
        chain_pem: Some(chain.concat()),
        permitted_actions: CertificateBody::actions(der, &app.kakunin.place().arc),
        ..CertificateBody::listed(tenant, entry, app.now())
    })
}

/// A certificate in PEM, with those above it: for a key of its tenant, of any role; or for its agent, which shows
/// itself as to `gateway/check`, with this or another of its certificates that stands.
#[utoipa::path(
    operation_id = "getCertificate",
    get, path = "/api/v1/certificates/{id}", tag = "certificates", security((), ("api_key" = [])),
    params(("id" = String, Path, description = "Serial number.", pattern = "^[0-9A-F]{32}$")),
    responses(
        (status = 200, description = "It, and how it stands.", body = Data<CertificateBody>),
        (status = "4XX", description = "Refused; 404 for a certificate of another tenant, or of another agent.", body = ErrorBody),
    ),
)]
pub(crate) async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Data<CertificateBody>, ApiError> {
    let (parts, _) = request.into_parts();
    let (tenant, agent) = match Caller::presented(&parts, &app)? {
        Some(caller) => (caller.tenant().clone(), None),
        None => {
            let agent = agent_itself(&app, &parts).await?;
            (agent.tenant().clone(), Some(*agent.agent()))
        }
    };
    let (entry, der) = app.kakunin.tenant(&tenant).certificate_entry(&serial_of(&id)?).await?;
    if agent.is_some_and(|agent| agent != entry.facts.agent) {
        return Err(ApiError::no_certificate());
    }
    Ok(Data { data: whole(&app, &tenant, &entry, &der)? })
}

pub(crate) fn serial_of(text: &str) -> Result<Serial, ApiError> {
    text.parse().map_err(|_| ApiError::no_certificate())
}
