//! Agents that get and renew their certificates themselves, with no API key.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::agent::AgentError;
use kakunin_core::grant::Principal;
use kakunin_core::issue::Profile;
use kakunin_core::time::SECOND;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::agents::agent_id;
use super::anonymous::Enrolment;
use super::app::App;
use super::auth::Operator;
use super::certificates::issued;
use super::certify::binding;
use super::compat::certificate::CertificateBody;
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json, Optional};
use super::schema::{ModelHashText, ProfileWord};

/// A join token to be made; without a body by the defaults.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenBody {
    /// After how many seconds it is refused; 600 if not given.
    #[serde(default, deserialize_with = "super::json::whole::optional")]
    #[schema(minimum = 1, maximum = 600)]
    expires_in: Option<u64>,
    /// How long the certificate lives.
    #[schema(inline, value_type = Option<ProfileWord>)]
    profile: Option<Profile>,
}

/// A join token.
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenBody {
    id: String,
    agent_id: String,
    profile: String,
    expires_at: String,
    /// The token itself, once: it is kept nowhere.
    token: String,
}

/// Makes a token with which the agent's process gets the agent's certificate, once. An older one is void.
#[utoipa::path(
    operation_id = "createJoinToken",
    post, path = "/api/v1/agents/{id}/join-tokens", tag = "enrolment", request_body = Option<NewTokenBody>,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 201, description = "Made.", body = Data<TokenBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn create_token(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Optional(body): Optional<NewTokenBody>,
) -> Result<Response, ApiError> {
    let id = agent_id(&id)?;
    let life = body.expires_in.unwrap_or(600).saturating_mul(SECOND);
    let profile = body.profile.unwrap_or_default();
    let (facts, token) =
        caller.kakunin(&app).tenant(caller.tenant()).create_join_token(&id, profile, life).await?;
    let data = TokenBody {
        id: facts.id.to_string(),
        agent_id: id.to_string(),
        profile: facts.profile.as_str().to_owned(),
        expires_at: facts.expires_at.to_string(),
        token: token.reveal().to_owned(),
    };
    Ok((StatusCode::CREATED, Data { data }).into_response())
}

/// Who is to sign with an agent's key at the key provider.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewGrantBody {
    /// ARN of the role or user as which the agent's process runs.
    #[schema(
        max_length = 256,
        pattern = r"^arn:[!#-)+-9;->@-\[\]-~]*:(iam|sts):[!#-)+-9;->@-\[\]-~]*:[!#-)+-9;->@-\[\]-~]*:(role|user|assumed-role|federated-user)/[!#-)+->@-\[\]-~]+$"
    )]
    principal: String,
}

/// A grant.
#[derive(Serialize, ToSchema)]
pub(crate) struct GrantBody {
    agent_id: String,
    principal: String,
    kms_key_arn: String,
    grant_id: String,
    /// What the principal presents while the grant is not known everywhere yet.
    grant_token: String,
}

/// Lets the agent's process sign with the agent's key in the KMS, as the principal it is there: it needs no
/// credential of this server. The grant ends with the key, which a revocation disables and a renewal
/// replaces, and with a hold.
#[utoipa::path(
    operation_id = "grantAgentKey",
    post, path = "/api/v1/agents/{id}/grants", tag = "enrolment", request_body = NewGrantBody,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 201, description = "Granted.", body = Data<GrantBody>),
        (status = "4XX", description = "Refused; 409 if the key is not in a KMS.", body = ErrorBody),
    ),
)]
pub(crate) async fn grant(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Json(body): Json<NewGrantBody>,
) -> Result<Response, ApiError> {
    let id = agent_id(&id)?;
    let principal = Principal::try_from(body.principal);
    let principal = principal.map_err(|e| ApiError::unprocessable("principal_invalid", e.to_string()))?;
    let (key, grant) = caller.kakunin(&app).tenant(caller.tenant()).grant_key(&id, &principal).await?;
    let data = GrantBody {
        agent_id: id.to_string(),
        principal: principal.into(),
        kms_key_arn: key.to_string(),
        grant_id: grant.id,
        grant_token: grant.token,
    };
    Ok((StatusCode::CREATED, Data { data }).into_response())
}

/// An agent's process that joins.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolBody {
    #[schema(max_length = 128)]
    join_token: String,
    /// PKCS#10 request: PEM, or base64 of the DER. Nothing but the key is read from it.
    #[schema(max_length = 16384)]
    csr: String,
}

/// Gives an agent its certificate for a join token and a request, without an API key. Of several calls with one token
/// those with one key succeed, and get one certificate: for ten minutes the same request gets the same answer.
#[utoipa::path(
    operation_id = "enrollAgent",
    post, path = "/api/v1/enroll", tag = "enrolment", request_body = EnrolBody, security(()),
    responses(
        (status = 201, description = "Issued.", body = Data<CertificateBody>),
        (status = "4XX", description = "Refused; 401 for a token that opens nothing.", body = ErrorBody),
    ),
)]
pub(crate) async fn enrol(
    State(app): State<App>,
    _: Enrolment,
    Json(body): Json<EnrolBody>,
) -> Result<Response, ApiError> {
    let (tenant, certificate) = app.kakunin.enrol(&body.join_token, body.csr.as_bytes()).await?;
    issued(&app, &tenant, &certificate)
}

/// An agent's process that renews.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewOwnBody {
    /// The certificate that is renewed.
    #[schema(pattern = "^[0-9A-F]{32}$")]
    serial_number: String,
    /// The model that the agent runs now: attested, and compared with what is registered.
    #[schema(value_type = ModelHashText)]
    model_hash: String,
    /// PKCS#10 request of a fresh key: PEM, or base64 of the DER.
    #[schema(max_length = 16384)]
    csr: String,
    /// Base64 of a signature with the key of the certificate that is renewed, over
    /// `kakunin-key-binding:<serial number>:<SHA-256 of the request's DER, lower-case hex>`.
    #[schema(max_length = 1024)]
    key_binding: String,
}

/// Renews a certificate at the word of its own key, without an API key. The profile stays, or becomes
/// shorter with the agent's risk band; the scope is the registered one. Not before a tenth of the certificate's life, and
/// at most four times an hour, unless an operator renews it meanwhile. The old certificate is superseded when the new one
/// is first used, or after five minutes; for ten minutes the same request gets the same answer.
#[utoipa::path(
    operation_id = "renewOwnCertificate",
    post, path = "/api/v1/enroll/renew", tag = "enrolment", request_body = RenewOwnBody, security(()),
    responses(
        (status = 201, description = "Issued.", body = Data<CertificateBody>),
        (status = "4XX", description = "Refused; 429 if it is too early, or too often.", body = ErrorBody),
    ),
)]
pub(crate) async fn renew(
    State(app): State<App>,
    _: Enrolment,
    Json(body): Json<RenewOwnBody>,
) -> Result<Response, ApiError> {
    let serial = body.serial_number.parse().map_err(|_| ApiError::not_found("certificate"))?;
    let attested = body.model_hash.parse().map_err(AgentError::from)?;
    let binding = binding(&body.key_binding)?;
    let request = body.csr.as_bytes();
    let (tenant, certificate) = app.kakunin.renew_own(&serial, &attested, request, &binding).await?;
    issued(&app, &tenant, &certificate)
}
