//! What a tenant decides over the scores of its agents.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use kakunin_core::agent::Note;
use kakunin_core::service::{Error as ServiceError, InForce, Replaces};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::reached;
use super::app::App;
use super::auth::{Operator, Reader};
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json, object};
use super::policy_body::PolicyBody;
use super::schema::NoteText;
use super::validator::{Matched, replaces, tag_of, validated};
use super::waiting::WaitingBody;

/// The policy that is in force.
#[derive(Serialize, ToSchema)]
pub(crate) struct PolicyState {
    policy: PolicyBody,
    /// Index of the record in the tenant's log that put it in force (`policy.changed`); null while the tenant has said nothing: then it
    /// is the deployment's.
    since: Option<String>,
    /// The risk model that judges: the one that the policy names, or else the one that the tenant was made with.
    model: String,
}

/// A policy that is to be in force.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPolicy {
    #[serde(deserialize_with = "object::required")]
    policy: PolicyBody,
    /// Why, for whoever reads the record.
    #[schema(value_type = Option<NoteText>)]
    reason: Option<String>,
}

impl From<&InForce> for PolicyState {
    fn from(InForce { since, policy, model }: &InForce) -> Self {
        let since = since.map(|index| index.to_string());
        Self { policy: (&**policy).into(), since, model: model.0.clone() }
    }
}

/// Of the record, too: a policy that is in force again is another one than before.
fn tag(in_force: &InForce) -> Result<String, ApiError> {
    let text = serde_json::to_vec(&(in_force.since, &*in_force.policy));
    text.map(|text| tag_of(&text)).map_err(|_| ApiError::internal())
}

fn shown(asked: &HeaderMap, in_force: &InForce) -> Result<Response, ApiError> {
    let body = || Ok(Data { data: PolicyState::from(in_force) }.into_response());
    validated(asked, &tag(in_force)?, None, body)
}

/// The policy of the caller's tenant; of any, for role `admin`. Its `ETag` is what `PUT` takes as `If-Match`.
#[utoipa::path(
    operation_id = "getPolicy",
    get, path = "/api/v1/tenants/{id}/policy", tag = "policy",
    params(("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")),
    responses(
        (status = 200, description = "It.", body = Data<PolicyState>, headers(("ETag", description = "Names it."))),
        (status = "4XX", description = "Refused; 404 for another tenant.", body = ErrorBody),
    ),
)]
pub(crate) async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    shown(&headers, &app.kakunin.tenant(&reached(&caller, &id)?).policy().await?)
}

/// Puts a policy in force, in place of the one whose `ETag` is sent as `If-Match`: from the next record on, scores are acted
/// upon by it. The one that is in force already changes nothing, leaves no record, and is
/// answered 200 whichever `ETag` is sent: the answer before may have been lost. Where the one in force wants a second
/// person for that, the change waits for one.
#[utoipa::path(
    operation_id = "putPolicy",
    put, path = "/api/v1/tenants/{id}/policy", tag = "policy", request_body = NewPolicy,
    params(
        ("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$"),
        ("If-Match" = String, Header, description = "`ETag` of the policy that is replaced; `*`: whichever is in force."),
    ),
    responses(
        (status = 200, description = "In force.", body = Data<PolicyState>, headers(("ETag", description = "Names it."))),
        (status = 202, description = "Waits for a second person.", body = Data<WaitingBody>),
        (status = "4XX", description = "Refused; 404 for another tenant, 412 if another policy is in force by now, 428 without \
            `If-Match`.", body = ErrorBody),
    ),
)]
pub(crate) async fn put(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<NewPolicy>,
) -> Result<Response, ApiError> {
    let tenant = caller.kakunin(&app).tenant(&reached(&caller, &id)?);
    let reason =
        body.reason.map(Note::try_from).transpose().map_err(|error| ApiError::from(error).about("reason"))?;
    let policy = body.policy.understood()?;
    let in_force = tenant.policy().await?;
    let which = match replaces(&headers, &tag(&in_force)?) {
        Some(Matched::Any) => Replaces::Any,
        // Whoever comes between is noticed by the core.
        Some(Matched::This) => Replaces::Since(in_force.since),
        // The answer was lost, and it is asked for again (RFC 9110, 13.1.1).
        Some(Matched::Another) if *in_force.policy == policy => return shown(&HeaderMap::new(), &in_force),
        Some(Matched::Another) => return Err(ServiceError::PolicyChanged.into()),
        None => return Err(unconditional()),
    };
    shown(&HeaderMap::new(), &tenant.set_policy(policy, which, reason).await?)
}

/// Two people who change it at once should notice (RFC 6585, 3).
fn unconditional() -> ApiError {
    let sentence = "say which policy this replaces: read it, and send its `ETag` as `If-Match`; `If-Match: *` replaces any";
    ApiError::new(StatusCode::PRECONDITION_REQUIRED, "precondition_required", sentence)
}
