//! Orders that wait for a second person, and that person's word.

use axum::extract::{Path, State};
use kakunin_core::agent::Note;
use kakunin_core::id::ApprovalId;
use kakunin_core::log::record::Requested;
use kakunin_core::service::Waiting;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::reached;
use super::app::App;
use super::auth::{Operator, Reader};
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Optional};
use super::policy_body::PolicyBody;
use super::schema::NoteText;

/// An order that waits.
#[derive(Serialize, ToSchema)]
pub(crate) struct ApprovalBody {
    approval_id: String,
    #[serde(flatten)]
    order: OrderBody,
    /// Who ordered it, and cannot be its second person: `key:` and the identifier of an API key.
    requested_by: String,
    requested_at: String,
    /// When it is void if nobody approved it.
    expires_at: String,
}

/// What was ordered.
#[derive(Serialize, ToSchema)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum OrderBody {
    /// To put a policy in force.
    Policy {
        policy: Box<PolicyBody>,
        /// In place of the one of this record; null: of the deployment's.
        replaces: Option<String>,
        reason: Option<String>,
    },
    /// To revoke a certificate.
    Revoke {
        certificate_serial: String,
        cause: String,
        /// What was said with the order.
        reason: Option<String>,
    },
    /// To release a certificate that is held.
    Release { certificate_serial: String },
    /// To trust a suspended agent again.
    Reinstate { agent_id: String, reason: String },
    /// To release all that the breaker holds.
    ReleaseHeld { reason: String },
}

impl From<&Requested> for OrderBody {
    fn from(order: &Requested) -> Self {
        let text = |note: &Note| note.as_str().to_owned();
        match order {
            Requested::Policy { policy, replaces, reason } => Self::Policy {
                policy: Box::new((&**policy).into()),
                replaces: replaces.map(|index| index.to_string()),
                reason: reason.as_ref().map(text),
            },
            Requested::Revoke { serial, cause, said } => Self::Revoke {
                certificate_serial: serial.to_string(),
                cause: cause.as_str().to_owned(),
                reason: said.note.as_ref().map(text),
            },
            Requested::Release { serial, .. } => Self::Release { certificate_serial: serial.to_string() },
            Requested::Reinstate { agent, reason, .. } => {
                Self::Reinstate { agent_id: agent.to_string(), reason: text(reason) }
            }
            Requested::ReleaseHeld { reason, .. } => Self::ReleaseHeld { reason: text(reason) },
        }
    }
}

impl From<&Waiting> for ApprovalBody {
    fn from(Waiting { request, by, at }: &Waiting) -> Self {
        Self {
            approval_id: request.id.to_string(),
            order: (&request.order).into(),
            requested_by: by.as_str().to_owned(),
            requested_at: at.to_string(),
            expires_at: request.expires.to_string(),
        }
    }
}

/// What waits for a second person in the caller's tenant, oldest first; in any, for role `admin`.
#[utoipa::path(
    operation_id = "listApprovals",
    get, path = "/api/v1/tenants/{id}/approvals", tag = "policy",
    params(("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")),
    responses(
        (status = 200, description = "Orders, at most 100.", body = Data<Vec<ApprovalBody>>),
        (status = "4XX", description = "Refused; 404 for another tenant.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(id): Path<String>,
) -> Result<Data<Vec<ApprovalBody>>, ApiError> {
    let waiting = app.kakunin.tenant(&reached(&caller, &id)?).waiting().await?;
    Ok(Data { data: waiting.iter().map(ApprovalBody::from).collect() })
}

/// The word of a second person.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionBody {
    /// Why.
    #[schema(value_type = Option<NoteText>)]
    reason: Option<String>,
}

/// What became of an order.
#[derive(Serialize, ToSchema)]
pub(crate) struct DecidedBody {
    approval_id: String,
    /// `approved`: it is done; or `rejected`: it is void.
    status: &'static str,
    /// What was done.
    #[serde(flatten)]
    done: Option<OrderBody>,
}

/// Approves an order of somebody else, which is done with this. If it cannot be done any more it waits further, and the answer says why.
#[utoipa::path(
    operation_id = "approveOrder",
    post, path = "/api/v1/tenants/{id}/approvals/{approval_id}/approve", tag = "policy",
    request_body = Option<DecisionBody>,
    params(
        ("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"),
        ("approval_id" = String, Path, description = "The order.", format = "uuid"),
    ),
    responses(
        (status = 200, description = "Done.", body = Data<DecidedBody>),
        (status = "4XX", description = "Refused; 409 for whoever ordered it, 412 if it was to replace a policy that is not in \
            force any more.", body = ErrorBody),
    ),
)]
pub(crate) async fn approve(
    State(app): State<App>,
    Operator(caller): Operator,
    Path((id, approval)): Path<(String, String)>,
    Optional(body): Optional<DecisionBody>,
) -> Result<Data<DecidedBody>, ApiError> {
    let tenant = caller.kakunin(&app).tenant(&reached(&caller, &id)?);
    let id = approval_id(&approval)?;
    let order = tenant.approve(&id, body.note()?).await?;
    Ok(Data { data: DecidedBody::new(&id, "approved", Some((&order).into())) })
}

/// Has an order not be done; whoever gave it may take it back so.
#[utoipa::path(
    operation_id = "rejectOrder",
    post, path = "/api/v1/tenants/{id}/approvals/{approval_id}/reject", tag = "policy",
    request_body = Option<DecisionBody>,
    params(
        ("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"),
        ("approval_id" = String, Path, description = "The order.", format = "uuid"),
    ),
    responses(
        (status = 200, description = "Void.", body = Data<DecidedBody>),
        (status = "4XX", description = "Refused; 404 if no such order waits.", body = ErrorBody),
    ),
)]
pub(crate) async fn reject(
    State(app): State<App>,
    Operator(caller): Operator,
    Path((id, approval)): Path<(String, String)>,
    Optional(body): Optional<DecisionBody>,
) -> Result<Data<DecidedBody>, ApiError> {
    let tenant = caller.kakunin(&app).tenant(&reached(&caller, &id)?);
    let id = approval_id(&approval)?;
    tenant.reject(&id, body.note()?).await?;
    Ok(Data { data: DecidedBody::new(&id, "rejected", None) })
}

fn approval_id(text: &str) -> Result<ApprovalId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("order that waits for a second person"))
}

impl DecisionBody {
    fn note(self) -> Result<Option<Note>, ApiError> {
        self.reason.map(Note::try_from).transpose().map_err(|error| ApiError::from(error).about("reason"))
    }
}

impl DecidedBody {
    fn new(id: &ApprovalId, status: &'static str, done: Option<OrderBody>) -> Self {
        Self { approval_id: id.to_string(), status, done }
    }
}
