//! How a tenant's breaker stands, and what a person makes of what it holds.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::log::record::{Body, InCommon, Tripped};
use kakunin_core::service::{BreakerStatus, Kakunin, Recorded};
use kakunin_core::time::SECOND;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::access::reached;
use super::app::App;
use super::auth::{Operator, Reader};
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json};
use super::schema::ReasonText;
use super::verdicts::reason;
use super::waiting::WaitingBody;

/// Of how many agents that are held it is said who they are.
const MOST_HELD: usize = 100;

/// How a breaker stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct BreakerState {
    /// How many identities were lost automatically within the policy's window.
    recent_revocations: u64,
    /// Why automatic revocations are holds now; null if they are not.
    #[schema(required)]
    tripped: Option<TrippedBody>,
    /// How many agents it holds,
    held_total: usize,
    /// and the first hundred of them.
    #[schema(max_items = 100)]
    held: Vec<HeldBody>,
}

/// Why a breaker tripped.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrippedBody {
    /// Index of the record in the tenant's log (`breaker.tripped`).
    record: String,
    /// Since when.
    #[schema(format = DateTime)]
    since: Option<String>,
    in_common: InCommonBody,
    /// How far back it looked.
    window_seconds: u64,
}

/// What the agents have in common.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum InCommonBody {
    /// Too many lost their identities automatically.
    Revocations {
        /// How many,
        count: u64,
        /// and how many are let through.
        allowed: u64,
    },
    /// They fail at one target.
    Target {
        /// Its name; null once it was erased.
        target: Option<String>,
        /// How many agents failed there.
        agents: u64,
        /// One of the events in which one did, by its index.
        event_id: String,
    },
}

/// An agent whose identity is held.
#[derive(Serialize, ToSchema)]
pub(crate) struct HeldBody {
    agent_id: String,
    name: String,
    certificate_serial: Option<String>,
}

/// How the breaker of the caller's tenant stands; of any, for role `admin`.
#[utoipa::path(
    operation_id = "getBreaker",
    get, path = "/api/v1/tenants/{id}/breaker", tag = "policy",
    params(("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")),
    responses(
        (status = 200, description = "How it stands.", body = Data<BreakerState>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused; 404 for another tenant.", body = ErrorBody),
    ),
)]
pub(crate) async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let (tenant, kakunin) = (reached(&caller, &id)?, app.kakunin.clone());
    let work = async move { Ok(Data { data: state(&kakunin, &tenant).await? }.into_response()) };
    app.listing(caller.tenant(), work).await
}

async fn state(kakunin: &Kakunin, tenant: &TenantId) -> Result<BreakerState, ApiError> {
    let BreakerStatus { recent, tripped, held } = kakunin.tenant(tenant).breaker().await?;
    let tripped = match tripped {
        Some((index, tripped)) => Some(why(kakunin, tenant, index, tripped).await?),
        None => None,
    };
    let mut shown = Vec::new();
    for agent in held.iter().take(MOST_HELD) {
        shown.push(of_agent(kakunin, tenant, agent).await?);
    }
    Ok(BreakerState { recent_revocations: recent, tripped, held_total: held.len(), held: shown })
}

async fn of_agent(kakunin: &Kakunin, tenant: &TenantId, id: &AgentId) -> Result<HeldBody, ApiError> {
    let agent = kakunin.tenant(tenant).agent(id).await?;
    let (name, certificate) = (agent.spec.name.as_str().to_owned(), agent.certificate);
    Ok(HeldBody {
        agent_id: id.to_string(),
        name,
        certificate_serial: certificate.map(|serial| serial.to_string()),
    })
}

async fn why(
    kakunin: &Kakunin,
    tenant: &TenantId,
    index: u64,
    tripped: Tripped,
) -> Result<TrippedBody, ApiError> {
    let since = record(kakunin, tenant, index).await?.map(|item| item.record.time.to_string());
    let in_common = match tripped.in_common {
        InCommon::Revocations { count, allowed } => InCommonBody::Revocations { count, allowed },
        InCommon::Target { target, agents, event, .. } => {
            let target = match target {
                Some(name) => Some(name.as_str().to_owned()),
                // The event that tripped it does not name it: an earlier one does.
                None => record(kakunin, tenant, event).await?.as_ref().and_then(target_of),
            };
            InCommonBody::Target { target, agents, event_id: event.to_string() }
        }
    };
    Ok(TrippedBody { record: index.to_string(), since, in_common, window_seconds: tripped.window / SECOND })
}

async fn record(kakunin: &Kakunin, tenant: &TenantId, index: u64) -> Result<Option<Recorded>, ApiError> {
    let page = kakunin.tenant(tenant).records(index.checked_add(1), 1, |_| true).await?;
    Ok(page.items.into_iter().find(|item| item.index == index))
}

fn target_of(item: &Recorded) -> Option<String> {
    let Body::Event(_, Some(event)) = &item.record.body else { return None };
    event.target.as_ref().or(event.counterparty.as_ref()).map(|name| name.as_str().to_owned())
}

/// Why it is so resolved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResolveBody {
    /// Why; it goes on record with who said so.
    #[schema(value_type = ReasonText)]
    reason: String,
}

/// What became of the agents that were held.
#[derive(Serialize, ToSchema)]
pub(crate) struct ResolvedBody {
    /// `released` or `confirmed`.
    status: &'static str,
    /// How many agents that were.
    agents: usize,
}

/// Releases all that the breaker holds, with the evidence dismissed, and closes it.
#[utoipa::path(
    operation_id = "releaseHeld",
    post, path = "/api/v1/tenants/{id}/breaker/release", tag = "policy", request_body = ResolveBody,
    params(("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")),
    responses(
        (status = 200, description = "They have their identities again.", body = Data<ResolvedBody>),
        (status = 202, description = "Waits for a second person.", body = Data<WaitingBody>),
        (status = "4XX", description = "Refused; 404 for another tenant, 409 if it has not tripped.", body = ErrorBody),
    ),
)]
pub(crate) async fn release(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Json(body): Json<ResolveBody>,
) -> Result<Data<ResolvedBody>, ApiError> {
    let tenant = caller.kakunin(&app).tenant(&reached(&caller, &id)?);
    let agents = tenant.release_held(reason(body.reason)?).await?;
    Ok(Data { data: ResolvedBody { status: "released", agents } })
}

/// Takes all away for good that the breaker holds, and closes it. That needs no second person: agents are stopped already.
#[utoipa::path(
    operation_id = "confirmHeld",
    post, path = "/api/v1/tenants/{id}/breaker/confirm", tag = "policy", request_body = ResolveBody,
    params(("id" = String, Path, description = "The tenant.", pattern = "^[a-z0-9][a-z0-9_-]{0,62}$")),
    responses(
        (status = 200, description = "They are revoked.", body = Data<ResolvedBody>),
        (status = "4XX", description = "Refused; 404 for another tenant, 409 if it has not tripped.", body = ErrorBody),
    ),
)]
pub(crate) async fn confirm(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Json(body): Json<ResolveBody>,
) -> Result<Data<ResolvedBody>, ApiError> {
    let tenant = caller.kakunin(&app).tenant(&reached(&caller, &id)?);
    let agents = tenant.confirm_held(reason(body.reason)?).await?;
    Ok(Data { data: ResolvedBody { status: "confirmed", agents } })
}
