//! What an operator orders of an agent: to stop at once, to be trusted again, or to sign a message.

use std::time::Duration;

use axum::extract::{Path, State};
use base64ct::{Base64, Encoding};
use kakunin_core::agent::Note;
use kakunin_core::id::hex_encode;
use kakunin_core::service::{Error as ServiceError, KeySource};
use kakunin_core::x509::csr::Proven;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::agents::agent_id;
use super::app::App;
use super::auth::Operator;
use super::certificates::given;
use super::certify::CertifyBody;
use super::compat::agent::AgentBody;
use super::compat::certificate::CertificateBody;
use super::compat::client::Dialect;
use super::compat::halt::{HaltAnswer, HaltBody, algorithm_name};
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Free, Json, Optional, object};
use super::schema::ReasonText;
use super::waiting::WaitingBody;

/// How long a stop waits for its receipt.
const RECEIPT_WAIT: Duration = Duration::from_secs(2);

/// Stops an agent at once, and gives a signed receipt. Stopping it again gives the first receipt. Its certificate, join
/// tokens, grants and what is being issued end with it; only `reinstate` lets it work again.
#[utoipa::path(
    operation_id = "haltAgent",
    post, path = "/api/v1/agents/{id}/halt", tag = "agents", request_body = Option<HaltBody>,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "Stopped.", body = Data<HaltAnswer>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn halt(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Optional(body): Optional<HaltBody>,
) -> Result<Data<HaltAnswer>, ApiError> {
    let id = agent_id(&id)?;
    let (cause, said) = body.ordered()?;
    let halted = caller.kakunin(&app).saying(said).tenant(caller.tenant()).halt(&id, cause, None).await?;
    // It is stopped. A CA that is down keeps nobody waiting: the receipt follows when it can sign.
    let tenant = app.kakunin.tenant(caller.tenant());
    let signing = tenant.halt_receipt(&id, &halted);
    let signed = tokio::time::timeout(RECEIPT_WAIT, signing).await.ok().and_then(Result::ok);
    Ok(Data { data: HaltAnswer::new(&id, &halted, signed.as_ref()) })
}

/// Trust in an agent that was taken away, given back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReinstateBody {
    /// Why it is trusted again; it goes on record with who said so.
    #[schema(value_type = ReasonText)]
    reason: String,
    /// Give it a new certificate at once, with a fresh key: the body of `certify`. An order that waits for a second person
    /// leaves that for afterwards.
    #[serde(default, deserialize_with = "object::optional")]
    certify: Option<CertifyBody>,
}

/// An agent that is trusted again.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReinstatedBody {
    #[serde(flatten)]
    agent: AgentBody,
    /// Its new certificate, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<CertificateBody>,
}

/// Trusts a suspended agent again: it is `pending`, what it did is forgotten, and it can be given a new certificate, at once
/// with `certify`. Its old ones stay revoked. If that certificate is refused the agent is trusted all the same, which `data.reinstated`
/// says: `certify` it. A hold is released instead.
#[utoipa::path(
    operation_id = "reinstateAgent",
    post, path = "/api/v1/agents/{id}/reinstate", tag = "agents", request_body = ReinstateBody,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "Trusted again.", body = Data<ReinstatedBody>),
        (status = 202, description = "Waits for a second person.", body = Data<WaitingBody>),
        (status = "4XX", description = "Refused; 409 if it is not suspended, or held.", body = ErrorBody),
    ),
)]
pub(crate) async fn reinstate(
    State(app): State<App>,
    Operator(caller): Operator,
    dialect: Dialect,
    Path(id): Path<String>,
    Json(body): Json<ReinstateBody>,
) -> Result<Data<ReinstatedBody>, ApiError> {
    let id = agent_id(&id)?;
    let (reason, tenant) = (Note::try_from(body.reason)?, caller.kakunin(&app).tenant(caller.tenant()));
    // What cannot be meant is refused before anything is done.
    let wanted = body.certify.as_ref().map(CertifyBody::understood).transpose()?;
    if let Some((_, KeySource::Request(request))) = &wanted {
        Proven::read(request).map_err(ServiceError::from)?;
    }
    let agent = tenant.reinstate(&id, reason).await?;
    let Some((profile, source)) = wanted else {
        return Ok(Data {
            data: ReinstatedBody { agent: AgentBody::new(&agent, None, dialect), certificate: None },
        });
    };
    let trusted = |error: ApiError| error.because_of(json!({ "reinstated": true }));
    let issued = tenant.certify(&id, profile, source).await.map_err(|error| trusted(error.into()))?;
    let agent = AgentBody::new(&tenant.agent(&id).await?, None, dialect);
    Ok(Data { data: ReinstatedBody { agent, certificate: Some(given(&app, tenant.id(), &issued)?) } })
}

/// A message to be signed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignBody {
    /// An object of I-JSON (RFC 7493); its canonical form (RFC 8785) is signed. Numbers that a double does not hold to the
    /// digit are refused: send them as strings.
    #[schema(value_type = Object)]
    payload: Free,
}

/// A signed message.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignAnswer {
    /// Base64.
    signature: String,
    /// `RSASSA_PKCS1_V1_5_SHA_256`, `ECDSA_SHA_256` or `ED25519`.
    algorithm: String,
    certificate_serial: String,
    /// SHA-256 of the canonical payload, hex.
    payload_hash: String,
    signed_at: String,
}

/// Signs a payload with the agent's key, where the server's provider keeps it.
#[utoipa::path(
    operation_id = "signAsAgent",
    post, path = "/api/v1/agents/{id}/sign", tag = "agents", request_body = SignBody,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "Signed.", body = Data<SignAnswer>),
        (status = "4XX", description = "Refused; 409 if the workload keeps the key.", body = ErrorBody),
    ),
)]
pub(crate) async fn sign(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Json(body): Json<SignBody>,
) -> Result<Data<SignAnswer>, ApiError> {
    let id = agent_id(&id)?;
    if !body.payload.0.is_object() {
        return Err(ApiError::unprocessable(
            "payload_invalid",
            "`payload` is no object: write one, such as `{\"order\": 1}`",
        ));
    }
    let message = body.payload.canonical()?;
    let signed = caller.kakunin(&app).tenant(caller.tenant()).sign(&id, message.as_bytes()).await?;
    Ok(Data {
        data: SignAnswer {
            signature: Base64::encode_string(signed.signature.as_bytes()),
            algorithm: algorithm_name(signed.algorithm).to_owned(),
            certificate_serial: signed.serial.to_string(),
            payload_hash: hex_encode(&signed.sha256),
            signed_at: signed.at.to_string(),
        },
    })
}
