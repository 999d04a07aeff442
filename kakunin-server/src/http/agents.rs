//! Agents: registered, listed, changed, retired.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kakunin_core::agent::{Agent, AgentError, AgentState, Label, NewAgent, Note};
use kakunin_core::id::AgentId;
use kakunin_core::service::Kakunin;
use kakunin_core::x509::extensions::ModelHash;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::app::App;
use super::auth::{Operator, Reader};
use super::compat::agent::{
    AgentBody, CertificateBody, FinancialScope, Metadata, NewAgentBody, label, of, scope_set,
};
use super::compat::client::Dialect;
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json, Nothing};
use super::page::{self, ListBody, Meta, Pagination, Params};
use super::schema::{LabelText, ModelHashText, NoteText, StateWord};

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
    let agent = caller.kakunin(&app).register(caller.tenant(), spec).await?;
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
            Some(name) => kakunin.agents_named(&tenant, &name, query.status, offset, limit).await?,
            None => kakunin.agents(&tenant, query.status, offset, limit).await?,
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
    let agent = app.kakunin.agent(caller.tenant(), &id).await?;
    let (kakunin, now) = (app.kakunin.clone(), app.now());
    let work = async move {
        let certificates = kakunin.certificates(&agent.tenant, &id).await?;
        let mut listed: Vec<_> =
            certificates.iter().map(|c| CertificateBody::listed(&agent.tenant, c, now)).collect();
        // What each allows stands in it alone, and is read anew.
        for (body, entry) in listed.iter_mut().zip(&certificates).rev().take(WITH_ACTIONS) {
            body.permitted_actions = match kakunin.certificate(&agent.tenant, &entry.facts.serial).await {
                Ok(der) => CertificateBody::actions(&der, &kakunin.place().arc),
                // Planned, and given up before it was issued.
                Err(_) => None,
            };
        }
        Ok(Data { data: AgentBody::new(&agent, Some(listed), dialect) })
    };
    app.listing(caller.tenant(), work).await
}

/// What is to change; members that are left out stay, `null` takes away what is optional.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentChange {
    #[schema(value_type = Option<LabelText>)]
    name: Option<String>,
    #[serde(alias = "modelHash")]
    #[schema(value_type = Option<ModelHashText>)]
    model_hash: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LabelText>)]
    model: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<LabelText>)]
    version: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<NoteText>)]
    description: Option<Option<String>>,
    /// What its next certificate allows.
    #[serde(alias = "permitted_actions")]
    #[schema(max_items = 64)]
    scope: Option<Vec<super::compat::agent::ScopeText>>,
    #[serde(alias = "financialScope", default, deserialize_with = "super::json::object::given")]
    #[schema(value_type = Option<FinancialScope>)]
    financial_scope: Option<Option<FinancialScope>>,
    metadata: Option<Metadata>,
    /// `suspended` holds its certificate, `active` releases it, `retired` retires the agent.
    #[schema(inline)]
    status: Option<NewStatus>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum NewStatus {
    Active,
    Suspended,
    Retired,
}

async fn set_status(kakunin: &Kakunin, agent: &Agent, status: NewStatus) -> Result<Agent, ApiError> {
    let none =
        || AgentError::State { state: agent.state, step: "be suspended or released without a certificate" };
    match status {
        NewStatus::Suspended => _ = kakunin.hold(&agent.tenant, &agent.certificate.ok_or_else(none)?).await?,
        NewStatus::Active => kakunin.release(&agent.tenant, &agent.certificate.ok_or_else(none)?).await?,
        NewStatus::Retired => kakunin.retire(&agent.tenant, &agent.id).await?,
    }
    Ok(kakunin.agent(&agent.tenant, &agent.id).await?)
}

// Tells a member that is null from one that is not there.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

/// Changes what an agent is registered as; it takes effect with its next certificate.
#[utoipa::path(
    operation_id = "updateAgent",
    patch, path = "/api/v1/agents/{id}", tag = "agents", request_body = AgentChange,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "As it is registered now.", body = Data<AgentBody>),
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
    let mut change = change;
    let status = change.status.take();
    let metadata = change.metadata.take();
    // What a person calls metadata holds members of the registration too; ours win.
    let (organization, permitted, metadata) = match metadata {
        Some(metadata) => metadata.apart()?,
        None => (None, None, None),
    };
    let constraints = match change.financial_scope {
        Some(Some(scope)) => Some(Some(scope.document()?)),
        Some(None) => Some(None),
        None => None,
    };
    let scope = change.scope.or(permitted).map(scope_set).transpose().map_err(of("scope"))?;
    let of_label = |field, text: Option<String>| text.map(|text| label(field, text)).transpose();
    let or_none = |field, text: Option<Option<String>>| text.map(|text| of_label(field, text)).transpose();
    let (name, organization) = (of_label("name", change.name)?, of_label("organization", organization)?);
    let (model, version) = (or_none("model", change.model)?, or_none("version", change.version)?);
    let hash = change.model_hash.map(|hash| hash.parse().map_err(AgentError::from)).transpose();
    let hash: Option<ModelHash> = hash.map_err(of("model_hash"))?;
    let description = change.description.map(|text| text.map(Note::try_from).transpose()).transpose();
    let description = description.map_err(of("description"))?;
    let kakunin = caller.kakunin(&app);
    let changed = kakunin.update(caller.tenant(), &id, move |spec: &mut NewAgent| {
        name.into_iter().for_each(|name| spec.name = name);
        hash.into_iter().for_each(|hash| spec.model_hash = hash);
        model.into_iter().for_each(|model| spec.model = model);
        version.into_iter().for_each(|version| spec.version = version);
        description.into_iter().for_each(|description| spec.description = description);
        scope.into_iter().for_each(|scope| spec.scope = scope);
        constraints.into_iter().for_each(|constraints| spec.constraints = constraints);
        organization.into_iter().for_each(|organization| spec.organization = Some(organization));
        if metadata.is_some() {
            spec.metadata = metadata;
        }
        Ok(())
    });
    let changed = changed.await?;
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
    caller.kakunin(&app).retire(caller.tenant(), &id).await?;
    Ok(Data { data: Retired { id: id.to_string(), status: AgentState::Retired.to_string() } })
}
