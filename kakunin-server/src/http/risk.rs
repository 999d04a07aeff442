//! What is believed of an agent.

use axum::extract::{Path, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::agents::agent_id;
use super::app::App;
use super::auth::Reader;
use super::compat::risk::RiskBody;
use super::error::{ApiError, ErrorBody};
use super::json::Data;
use super::page::Params;

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
