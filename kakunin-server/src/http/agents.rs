//! Agents: registered, listed, changed, retired.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::agent::{Agent, AgentError, AgentState, Label};
use kakunin_core::id::AgentId;
use kakunin_core::service::Kakunin;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::auth::{Operator, Reader};
use super::compat::agent::{AgentBody, NewAgentBody};
use super::compat::certificate::CertificateBody;
use super::compat::change::{AgentChange, NewStatus};
use super::compat::client::Dialect;
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json, Nothing};
use super::page::{self, ListBody, Meta, Pagination, Params};
use super::schema::StateWord;
use super::waiting::WaitingBody;

/// Of how many certificates of an agent, the newest first, it is said what they allow.
const WITH_ACTIONS: usize = 64;

/// Identifier of an agent in a path; what is not one is an agent that does not exist.
pub(crate) fn agent_id(text: &str) -> Result<AgentId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("agent"))
}

/// Registers an agent. It is `pending` until it is given a certificate. While an agent of its name is suspended, this is
/// refused: a program that starts again finds its agent by `GET /api/v1/agents?name=`.
#[utoipa::path(
    operation_id = "registerAgent",
    post, path = "/api/v1/agents", tag = "agents", request_body = NewAgentBody,
    responses(
        (status = 201, description = "Registered.", body = Data<AgentBody>),
        (status = "4XX", description = "Refused; 409 while an agent of that name is suspended.", body = ErrorBody),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Operator(caller): Operator,
    dialect: Dialect,
    Json(body): Json<NewAgentBody>,
) -> Result<Response, ApiError> {
    let spec = body.into_spec()?;
    let agent = caller.kakunin(&app).tenant(caller.tenant()).register(spec).await?;
    Ok((StatusCode::CREATED, Data { data: AgentBody::new(&agent, None, dialect) }).into_response())
}

/// Which agents.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AgentQuery {
    /// Only those in this state.
    #[param(inline, value_type = Option<StateWord>)]
    status: Option<AgentState>,
    /// Only those of exactly this name.
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = r"^[^\x00-\x1f\x7f-\x9f\s](?:[^\x00-\x1f\x7f-\x9f]{0,62}[^\x00-\x1f\x7f-\x9f\s])?$"
    )]
    name: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// How many to pass over.
    #[param(minimum = 0, maximum = 1_000_000, default = 0)]
    offset: Option<u32>,
    /// `next_cursor` of the page before, instead of `offset`.
    #[param(pattern = "^[0-9]{1,6}$")]
    before: Option<String>,
}

/// Lists agents in the order of their registration.
#[utoipa::path(
    operation_id = "listAgents",
    get, path = "/api/v1/agents", tag = "agents", params(AgentQuery),
    responses(
        (status = 200, description = "Agents.", body = ListBody<AgentBody>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(app): State<App>,
    Reader(caller): Reader,
    dialect: Dialect,
    Params(query): Params<AgentQuery>,
) -> Result<Response, ApiError> {
    let limit = page::limit(query.limit)?;
    let offset = match (query.offset, page::before(query.before.as_deref())?) {
        (offset, None) => offset.unwrap_or(0),
        (_, Some(before)) => u32::try_from(before).unwrap_or(u32::MAX),
    };
    if offset > 1_000_000 {
        return Err(ApiError::bad_request(
            "offset_invalid",
            format!("`offset` or `before` is {offset}: write 0 to 1000000"),
        ));
    }
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let name: Option<Label> = query.name.as_deref().map(Label::recorded).transpose()?;
    let (tenant, kakunin) = (caller.tenant().clone(), app.kakunin.clone());
    let work = async move {
        let (agents, total) = match name {
            Some(name) => kakunin.tenant(&tenant).agents_named(&name, query.status, offset, limit).await?,
            None => kakunin.tenant(&tenant).agents(query.status, offset, limit).await?,
        };
        let data = agents.iter().map(|agent| AgentBody::new(agent, None, dialect)).collect();
        let next = offset.checked_add(limit).filter(|next| *next < total).and_then(|n| u64::try_from(n).ok());
        let (meta, pagination) = (Meta { total, limit, offset }, Pagination::new(limit, next));
        Ok(axum::Json(ListBody::<AgentBody> { data, meta, pagination }).into_response())
    };
    app.listing(caller.tenant(), work).await
}

/// One agent with its certificates, the newest 1,000 of them.
#[utoipa::path(
    operation_id = "getAgent",
    get, path = "/api/v1/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "The agent.", body = Data<AgentBody>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn get(
    State(app): State<App>,
    Reader(caller): Reader,
    dialect: Dialect,
    Path(id): Path<String>,
) -> Result<Data<AgentBody>, ApiError> {
    let id = agent_id(&id)?;
    let agent = app.kakunin.tenant(caller.tenant()).agent(&id).await?;
    let (kakunin, now) = (app.kakunin.clone(), app.now());
    let work = async move {
        let certificates = kakunin.tenant(&agent.tenant).certificates(&id).await?;
        let mut listed: Vec<_> =
            certificates.iter().map(|c| CertificateBody::listed(&agent.tenant, c, now)).collect();
        // What each allows stands in it alone, and is read anew.
        for (body, entry) in listed.iter_mut().zip(&certificates).rev().take(WITH_ACTIONS) {
            body.permitted_actions =
                match kakunin.tenant(&agent.tenant).certificate(&entry.facts.serial).await {
                    Ok(der) => CertificateBody::actions(&der, &kakunin.place().arc),
                    // Planned, and given up before it was issued.
                    Err(_) => None,
                };
        }
        Ok(Data { data: AgentBody::new(&agent, Some(listed), dialect) })
    };
    app.listing(caller.tenant(), work).await
}

async fn set_status(kakunin: &Kakunin, agent: &Agent, status: NewStatus) -> Result<Agent, ApiError> {
    let none =
        || AgentError::State { state: agent.state, step: "be suspended or released without a certificate" };
    match status {
        NewStatus::Suspended => {
            _ = kakunin.tenant(&agent.tenant).hold(&agent.certificate.ok_or_else(none)?).await?
        }
        NewStatus::Active => {
            kakunin.tenant(&agent.tenant).release(&agent.certificate.ok_or_else(none)?).await?
        }
        NewStatus::Retired => kakunin.tenant(&agent.tenant).retire(&agent.id).await?,
    }
    Ok(kakunin.tenant(&agent.tenant).agent(&agent.id).await?)
}

/// Changes what an agent is registered as; it takes effect with its next certificate.
#[utoipa::path(
    operation_id = "updateAgent",
    patch, path = "/api/v1/agents/{id}", tag = "agents", request_body = AgentChange,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "As it is registered now.", body = Data<AgentBody>),
        (status = 202, description = "Changed, and what `status` orders waits for a second person.", body = Data<WaitingBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn patch(
    State(app): State<App>,
    Operator(caller): Operator,
    dialect: Dialect,
    Path(id): Path<String>,
    Json(change): Json<AgentChange>,
) -> Result<Data<AgentBody>, ApiError> {
    let id = agent_id(&id)?;
    let (status, kakunin) = (change.status, caller.kakunin(&app));
    let changed = kakunin.tenant(caller.tenant()).update(&id, change.understood()?).await?;
    let changed = match status {
        Some(status) => set_status(&kakunin, &changed, status).await?,
        None => changed,
    };
    Ok(Data { data: AgentBody::new(&changed, None, dialect) })
}

/// An agent that is gone for good.
#[derive(Serialize, ToSchema)]
pub(crate) struct Retired {
    id: String,
    /// `retired`
    status: String,
}

/// Retires an agent for good; its certificate is revoked with it. The agent stays on record.
#[utoipa::path(
    operation_id = "retireAgent",
    delete, path = "/api/v1/agents/{id}", tag = "agents",
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "Retired.", body = Data<Retired>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn retire(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    _: Nothing,
) -> Result<Data<Retired>, ApiError> {
    let id = agent_id(&id)?;
    caller.kakunin(&app).tenant(caller.tenant()).retire(&id).await?;
    Ok(Data { data: Retired { id: id.to_string(), status: AgentState::Retired.to_string() } })
}
