//! Certificates that are given and renewed.

use axum::extract::{Path, State};
use axum::response::Response;
use base64ct::{Base64, Encoding};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::service::{CertificateEntry, Error as ServiceError, KeySource};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::agents::agent_id;
use super::app::App;
use super::auth::Operator;
use super::certificates::{issued, serial_of};
use super::compat::certificate::CertificateBody;
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json, Optional};
use super::schema::{ModelHashText, ProfileWord};
use super::verdicts::explained;

/// Algorithm of a key that the server makes.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
enum Algorithm {
    #[default]
    #[serde(rename = "rsa-2048")]
    Rsa2048,
    #[serde(rename = "p256")]
    P256,
    #[serde(rename = "ed25519")]
    Ed25519,
}

/// A certificate to be issued. Everything may be left out: RSA-2048 in the server's provider, 365 days.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertifyBody {
    #[schema(inline, value_type = Option<ProfileWord>)]
    profile: Option<Profile>,
    /// Not together with `csr`.
    #[schema(inline)]
    key_algorithm: Option<Algorithm>,
    /// PKCS#10 request of an agent that keeps its own key: PEM, or base64 of the DER. Nothing but the key is read
    /// from it. Signed with SHA-256, SHA-384 or SHA-512.
    #[schema(max_length = 16384)]
    csr: Option<String>,
}

/// A renewal.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewBody {
    /// The model that the agent runs now: attested, and compared with what is registered.
    #[schema(value_type = ModelHashText)]
    model_hash: String,
    #[schema(inline, value_type = Option<ProfileWord>)]
    profile: Option<Profile>,
    /// Not together with `csr`.
    #[schema(inline)]
    key_algorithm: Option<Algorithm>,
    /// PKCS#10 request of an agent that keeps its own key: PEM, or base64 of the DER. A fresh key for each
    /// certificate.
    #[schema(max_length = 16384)]
    csr: Option<String>,
    /// The certificate that is renewed; the agent's newest if not given. With it, the same request gets the same
    /// certificate for ten minutes also where the server makes the key.
    #[schema(pattern = "^[0-9A-F]{32}$")]
    serial_number: Option<String>,
    /// With `csr`: base64 of a signature with the key of the certificate that is renewed, over
    /// `kakunin-key-binding:<its serial number>:<SHA-256 of the request's DER, lower-case hex>`.
    #[schema(max_length = 1024)]
    key_binding: Option<String>,
}

impl CertifyBody {
    pub(crate) fn understood(&self) -> Result<(Profile, KeySource<'_>), ApiError> {
        Ok((self.profile.unwrap_or_default(), source(self.csr.as_deref(), self.key_algorithm)?))
    }
}

fn source(csr: Option<&str>, algorithm: Option<Algorithm>) -> Result<KeySource<'_>, ApiError> {
    match (csr, algorithm) {
        (Some(csr), None) => Ok(KeySource::Request(csr.as_bytes())),
        (Some(_), Some(_)) => {
            Err(ApiError::unprocessable("key_ambiguous", "send either `csr` or `key_algorithm`, not both"))
        }
        (None, algorithm) => Ok(KeySource::Provider(match algorithm.unwrap_or_default() {
            Algorithm::Rsa2048 => KeyAlgorithm::Rsa2048,
            Algorithm::P256 => KeyAlgorithm::P256,
            Algorithm::Ed25519 => KeyAlgorithm::Ed25519,
        })),
    }
}

/// Gives an agent a certificate; without a body by the defaults. The same request with `csr` gets the same certificate for
/// ten minutes; where the server makes the key, 409 says which certificate there is (`data.certificate_id`). A suspended agent is
/// given none before it is reinstated.
#[utoipa::path(
    operation_id = "certifyAgent",
    post, path = "/api/v1/agents/{id}/certify", tag = "certificates", request_body = Option<CertifyBody>,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 201, description = "Issued.", body = Data<CertificateBody>),
        (status = "4XX", description = "Refused; 409 if it has a certificate that stands, is suspended, or \
            its score is high enough to revoke (`verdict_required`: give a verdict first).", body = ErrorBody),
    ),
)]
pub(crate) async fn certify(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Optional(body): Optional<CertifyBody>,
) -> Result<Response, ApiError> {
    let id = agent_id(&id)?;
    let (profile, source) = body.understood()?;
    match caller.kakunin(&app).tenant(caller.tenant()).certify(&id, profile, source).await {
        Ok(certificate) => issued(&app, caller.tenant(), &certificate),
        Err(error @ ServiceError::Exists(_)) => Err(existing(&app, caller.tenant(), &id, error).await),
        Err(error) => Err(explained(&app, caller.tenant(), &id, error).await),
    }
}

/// The refusal of a second certificate, with which one there is: the answer that gave it may have been lost.
async fn existing(app: &App, tenant: &TenantId, id: &AgentId, error: ServiceError) -> ApiError {
    let newest = app.kakunin.tenant(tenant).agent(id).await.ok().and_then(|agent| agent.certificate);
    let entry = match newest {
        Some(serial) => app.kakunin.tenant(tenant).certificate_entry(&serial).await.ok(),
        None => None,
    };
    // Not one from before, while another is being issued.
    let stands = |entry: &CertificateEntry| entry.revocation.is_none() && app.now() <= entry.facts.not_after;
    match newest.filter(|_| entry.is_some_and(|(entry, _)| stands(&entry))) {
        Some(serial) => ApiError::from(error).because_of(json!({ "certificate_id": serial.to_string() })),
        None => error.into(),
    }
}

/// A signature as it is sent.
pub(crate) fn binding(text: &str) -> Result<Vec<u8>, ApiError> {
    Base64::decode_vec(text)
        .map_err(|_| ApiError::unprocessable("key_not_bound", "`key_binding` is a signature in base64"))
}

/// Replaces the certificate of an active agent: the old one is superseded when the new one is first used, or after
/// five minutes. The same request with `csr` or `serial_number` gets the same certificate for ten minutes. In the medium band the profile is at most `elevated`, above it `high-risk`. Whoever asks attests the model and
/// approves the registered scope.
#[utoipa::path(
    operation_id = "renewCertificate",
    post, path = "/api/v1/agents/{id}/renew", tag = "certificates", request_body = RenewBody,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 201, description = "Issued.", body = Data<CertificateBody>),
        (status = "4XX", description = "Refused; 409 also if its score is high enough to revoke (`verdict_required`: give a \
            verdict first).", body = ErrorBody),
    ),
)]
pub(crate) async fn renew(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Json(body): Json<RenewBody>,
) -> Result<Response, ApiError> {
    let id = agent_id(&id)?;
    let attested = body.model_hash.parse().map_err(kakunin_core::agent::AgentError::from)?;
    let source = source(body.csr.as_deref(), body.key_algorithm)?;
    let binding = body.key_binding.as_deref().map(binding).transpose()?;
    let source = match (source, &binding) {
        (KeySource::Request(request), Some(binding)) => KeySource::Bound(request, binding),
        (_, Some(_)) => {
            return Err(ApiError::unprocessable("key_ambiguous", "send `key_binding` only with `csr`"));
        }
        (source, None) => source,
    };
    let profile = body.profile.unwrap_or_default();
    let (kakunin, tenant) = (caller.kakunin(&app), caller.tenant());
    let renewed = match body.serial_number.as_deref().map(serial_of).transpose()? {
        None => kakunin.tenant(tenant).renew(&id, &attested, profile, source).await,
        Some(serial) => {
            // Of this agent, or there is none.
            let (entry, _) = kakunin.tenant(tenant).certificate_entry(&serial).await?;
            if entry.facts.agent != id {
                return Err(ApiError::not_found("certificate"));
            }
            kakunin.tenant(tenant).renew_certificate(&serial, &attested, profile, source).await
        }
    };
    match renewed {
        Ok(renewed) => issued(&app, tenant, &renewed),
        Err(error) => Err(explained(&app, tenant, &id, error).await),
    }
}
