//! What is believed of an agent, and the inbox.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::service::Kakunin;
use serde::Deserialize;
use utoipa::IntoParams;

use super::agents::agent_id;
use super::app::App;
use super::auth::Reader;
use super::compat::notification::NotificationBody;
use super::compat::risk::RiskBody;
use super::error::{ApiError, ErrorBody};
use super::json::Data;
use super::page::{self, PageBody, Pagination, Params};

/// Which window others have.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RiskQuery {
    /// Taken, since the vendor's clients send it, and without effect: there is one window, and the answer says which.
    #[param(minimum = 1, maximum = 365, default = 30)]
    window_days: Option<u32>,
}

/// The rolling 30-day risk of an agent, and why.
#[utoipa::path(
    operation_id = "getRisk",
    get, path = "/api/v1/agents/{id}/risk", tag = "agents",
    params(("id" = String, Path, description = "The agent.", format = "uuid"), RiskQuery),
    responses(
        (status = 200, description = "What is believed of it.", body = Data<RiskBody>),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn risk(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(id): Path<String>,
    Params(query): Params<RiskQuery>,
) -> Result<Data<RiskBody>, ApiError> {
    if let Some(days) = query.window_days.filter(|days| !(1..=365).contains(days)) {
        let sentence = format!("`window_days` is {days}: write 1 to 365");
        return Err(ApiError::bad_request("window_invalid", sentence));
    }
    let risk = app.kakunin.tenant(caller.tenant()).risk(&agent_id(&id)?).await?;
    Ok(Data { data: RiskBody::new(&risk, app.now()) })
}

/// Which notifications.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NotificationQuery {
    /// Only those about this agent.
    #[param(format = "uuid")]
    agent_id: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u16>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-9]{1,19}$")]
    before: Option<String>,
}

/// The inbox, newest first.
#[utoipa::path(
    operation_id = "listNotifications",
    get, path = "/api/v1/notifications", tag = "events", params(NotificationQuery),
    responses(
        (status = 200, description = "Notifications.", body = PageBody<NotificationBody>),
        (status = 503, description = "The tenant has its share of lists under way.", body = ErrorBody),
        (status = "4XX", description = "Refused.", body = ErrorBody),
    ),
)]
pub(crate) async fn notifications(
    State(app): State<App>,
    Reader(caller): Reader,
    Params(query): Params<NotificationQuery>,
) -> Result<Response, ApiError> {
    let (limit, before) = (page::limit(query.limit)?, page::before(query.before.as_deref())?);
    let agent = page::agent("agent_id", "agent_id_malformed", query.agent_id.as_deref())?;
    let (tenant, kakunin) = (caller.tenant().clone(), app.kakunin.clone());
    let work = async move { inbox(&kakunin, &tenant, agent, (limit, before)).await };
    app.listing(caller.tenant(), work).await
}

async fn inbox(
    kakunin: &Kakunin,
    tenant: &TenantId,
    agent: Option<AgentId>,
    (limit, mut before): (usize, Option<u64>),
) -> Result<Response, ApiError> {
    let (mut data, mut next) = (Vec::new(), None);
    // One page of the store at a time; a filter that fits little ends with a cursor.
    for _ in 0..16 {
        let items = kakunin.tenant(tenant).notifications(before, limit + 1).await?;
        let more = items.len() > limit;
        for (index, item) in items.iter().take(limit) {
            before = Some(*index);
            if agent.is_none_or(|a| a == item.agent) {
                data.push(NotificationBody::new(*index, item));
            }
            if data.len() == limit {
                break;
            }
        }
        next = before.filter(|_| more || data.len() == limit && items.last().map(|(i, _)| *i) != before);
        if data.len() == limit || next.is_none() {
            break;
        }
    }
    Ok(axum::Json(PageBody { data, pagination: Pagination::new(limit, next) }).into_response())
}
