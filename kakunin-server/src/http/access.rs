//! Tenants, and the keys that may call the API in their name.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::access::{ApiKeyFacts, Role};
use kakunin_core::agent::AgentError;
use kakunin_core::feed::Visibility;
use kakunin_core::id::TenantId;
use kakunin_core::time::{DAY, SECOND};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::app::App;
use super::auth::{Admin, Caller, Operator, Reader};
use super::compat::agent::label;
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json, Nothing};
use super::schema::{LabelText, RoleWord, VisibilityWord};

/// A tenant.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantBody {
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    id: String,
}

/// Makes a tenant, if it is not there yet: its agents, its log, and nothing of another tenant's.
#[utoipa::path(
    operation_id = "createTenant",
    post, path = "/api/v1/tenants", tag = "access", request_body = TenantBody,
    responses(
        (status = 201, description = "It is there.", body = Data<TenantBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn create_tenant(
    State(app): State<App>,
    Admin(caller): Admin,
    Json(body): Json<TenantBody>,
) -> Result<Response, ApiError> {
    let tenant: TenantId = body.id.parse().map_err(AgentError::from)?;
    caller.kakunin(&app).create_tenant(&tenant).await?;
    Ok((StatusCode::CREATED, Data { data: body }).into_response())
}

/// A tenant, as it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantState {
    id: String,
    /// Who may read feed, snapshot and CRLs of its own issuing CAs.
    #[schema(inline, value_type = VisibilityWord)]
    revocations: Visibility,
}

/// What is to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantPatch {
    /// Who may read feed, snapshot and CRLs of its own issuing CAs.
    #[schema(inline, value_type = VisibilityWord)]
    revocations: Visibility,
}

/// The caller's tenant; any, for role `admin`.
#[utoipa::path(
    operation_id = "getTenant",
    get, path = "/api/v1/tenants/{id}", tag = "access",
    params(("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")),
    responses(
        (status = 200, description = "It.", body = Data<TenantState>),
        (status = "4XX", description = "Refused; 404 for another tenant.", body = ErrorBody),
    ),
)]
pub(crate) async fn get_tenant(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(id): Path<String>,
) -> Result<Data<TenantState>, ApiError> {
    let revocations = app.kakunin.tenant(&reached(&caller, &id)?).visibility().await?;
    Ok(Data { data: TenantState { id, revocations } })
}

/// Says who may read what the caller's tenant revoked, or any tenant for role `admin`. Private takes an issuing CA of its own: what one revoked that
/// it shares with others stays public. Streams that may not be read any more end within 5 s.
#[utoipa::path(
    operation_id = "updateTenant",
    patch, path = "/api/v1/tenants/{id}", tag = "access", request_body = TenantPatch,
    params(("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")),
    responses(
        (status = 200, description = "It is so.", body = Data<TenantState>),
        (status = "4XX", description = "Refused; 404 for another tenant, 409 without an issuing CA of its own.",
            body = ErrorBody),
    ),
)]
pub(crate) async fn patch_tenant(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Json(patch): Json<TenantPatch>,
) -> Result<Data<TenantState>, ApiError> {
    caller.kakunin(&app).tenant(&reached(&caller, &id)?).set_visibility(patch.revocations).await?;
    Ok(Data { data: TenantState { id, revocations: patch.revocations } })
}

/// The tenant of a path. Foreign tenants do not exist, but for who makes them.
pub(crate) fn reached(caller: &Caller, id: &str) -> Result<TenantId, ApiError> {
    let tenant = id.parse().ok().filter(|id| caller.tenant() == id || caller.may_make_tenants());
    tenant.ok_or_else(|| ApiError::not_found("tenant"))
}

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKeyBody {
    /// Whose key; the caller's tenant if not given.
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")]
    tenant: Option<String>,
    #[schema(inline, value_type = RoleWord)]
    role: Role,
    /// What it is for.
    #[schema(value_type = LabelText)]
    label: String,
    /// After how many seconds it is refused; never if not given.
    #[serde(default, deserialize_with = "super::json::whole::optional")]
    #[schema(minimum = 1, maximum = 315_360_000)]
    expires_in: Option<u64>,
}

/// A key.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyBody {
    id: String,
    tenant: String,
    role: String,
    label: String,
    created_at: String,
    expires_at: Option<String>,
    /// The key itself, once: it is kept nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl KeyBody {
    fn new(facts: &ApiKeyFacts, key: Option<String>) -> Self {
        Self {
            id: facts.id.to_string(),
            tenant: facts.tenant.to_string(),
            role: facts.role.as_str().to_owned(),
            label: facts.label.as_str().to_owned(),
            created_at: facts.created_at.to_string(),
            expires_at: facts.expires_at.map(|at| at.to_string()),
            key,
        }
    }
}

/// Makes a key, of any tenant and role. It is in the answer, and nowhere else.
#[utoipa::path(
    operation_id = "createApiKey",
    post, path = "/api/v1/api-keys", tag = "access", request_body = NewKeyBody,
    responses(
        (status = 201, description = "Made.", body = Data<KeyBody>),
        (status = "4XX", description = "Refused; 404 if there is no such tenant.", body = ErrorBody),
    ),
)]
pub(crate) async fn create_key(
    State(app): State<App>,
    Admin(caller): Admin,
    Json(body): Json<NewKeyBody>,
) -> Result<Response, ApiError> {
    let tenant = tenant_of(&caller, body.tenant.as_deref())?;
    let label = label("label", body.label)?;
    let bounds = |seconds: &u64| (1..=10 * 365 * DAY / SECOND).contains(seconds);
    if let Some(seconds) = body.expires_in.filter(|seconds| !bounds(seconds)) {
        let sentence = format!(
            "`expires_in` is {seconds}: write 1 to {} seconds, which is 10 years",
            10 * 365 * DAY / SECOND
        );
        return Err(ApiError::unprocessable("expires_in_invalid", sentence).about("expires_in"));
    }
    let expires = body.expires_in.map(|seconds| app.now().plus(seconds * SECOND));
    let (facts, key) = caller.kakunin(&app).tenant(&tenant).create_api_key(body.role, label, expires).await?;
    let body = KeyBody::new(&facts, Some(key.reveal().to_owned()));
    Ok((StatusCode::CREATED, Data { data: body }).into_response())
}

fn tenant_of(caller: &Caller, named: Option<&str>) -> Result<TenantId, ApiError> {
    match named {
        None => Ok(caller.tenant().clone()),
        Some(text) => Ok(text.parse().map_err(AgentError::from)?),
    }
}

/// Lists the keys of every tenant, without their secrets.
#[utoipa::path(
    operation_id = "listApiKeys",
    get, path = "/api/v1/api-keys", tag = "access",
    responses(
        (status = 200, description = "Keys.", body = Data<Vec<KeyBody>>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn list_keys(State(app): State<App>, Admin(caller): Admin) -> Result<Response, ApiError> {
    let kakunin = app.kakunin.clone();
    let work = async move {
        let keys = kakunin.api_keys(None);
        let data = keys.iter().map(|facts| KeyBody::new(facts, None)).collect::<Vec<_>>();
        Ok(Data { data }.into_response())
    };
    app.listing(caller.tenant(), work).await
}

/// A key that was taken away.
#[derive(Serialize, ToSchema)]
pub(crate) struct RevokedKey {
    id: String,
    /// `revoked`
    status: String,
}

/// Takes a key away, of whatever tenant; it is refused from now on. After the last admin key is gone, no start makes
/// another: `kakunin admin-key` does, where the deployment is.
#[utoipa::path(
    operation_id = "revokeApiKey",
    delete, path = "/api/v1/api-keys/{id}", tag = "access",
    params(("id" = String, Path, description = "The key's identifier.", format = "uuid")),
    responses(
        (status = 200, description = "Taken away.", body = Data<RevokedKey>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn revoke_key(
    State(app): State<App>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Data<RevokedKey>, ApiError> {
    let key = id.parse().map_err(|_| ApiError::not_found("API key"))?;
    caller.kakunin(&app).revoke_api_key(&key).await?;
    Ok(Data { data: RevokedKey { id, status: "revoked".to_owned() } })
}
