//! What events hold beside their records is erased.

use axum::extract::{Path, State};
use kakunin_core::id::AgentId;
use kakunin_core::month::Month;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::agents::agent_id;
use super::app::App;
use super::auth::Admin;
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json};
use super::schema::ReasonText;
use super::text::shown;
use super::verdicts::reason;

/// What is to be erased.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseBody {
    /// The first month, in UTC, such as `2026-11`.
    #[schema(pattern = "^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])$")]
    from: String,
    /// The last month; this one at the latest. The first one if not given.
    #[schema(pattern = "^(19[7-9][0-9]|[2-9][0-9]{3})-(0[1-9]|1[0-2])$")]
    to: Option<String>,
    /// Why, such as the legal basis; it goes on record with who said so.
    #[schema(value_type = ReasonText)]
    reason: String,
}

/// What was erased.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErasedBody {
    agent_id: String,
    /// The first month.
    from: String,
    /// The last month.
    to: String,
    /// Index of the record that says so, in the tenant's log.
    record: String,
    /// Whether the keys are destroyed by now. If not, the vault did not answer: nobody is shown what they open all the
    /// same, and it is tried again.
    keys_destroyed: bool,
}

/// Erases what an agent's events of some months hold beside their records, as far as they are on record by now: `details`,
/// `target`, `counterparty`, `session_id` and whatever else was reported. First a record says so, then the keys are destroyed
/// that it is encrypted with. The log, its proofs and the score stay as they are. The same again changes nothing, unless
/// something came to these months since.
#[utoipa::path(
    operation_id = "eraseAgentPayloads",
    post, path = "/api/v1/agents/{id}/erase", tag = "agents", request_body = EraseBody,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "Erased.", body = Data<ErasedBody>),
        (status = "4XX", description = "Refused; 422 with `erasure_months` if the months are not in order, or the last is yet to come.",
            body = ErrorBody),
    ),
)]
pub(crate) async fn erase(
    State(app): State<App>,
    Admin(caller): Admin,
    Path(id): Path<String>,
    Json(body): Json<EraseBody>,
) -> Result<Data<ErasedBody>, ApiError> {
    let id: AgentId = agent_id(&id)?;
    let EraseBody { from, to, reason: why } = body;
    let (first, last) = (month("from", &from)?, month("to", to.as_deref().unwrap_or(&from))?);
    let tenant = caller.kakunin(&app).tenant(caller.tenant());
    let erased = tenant.erase(&id, first, last, reason(why)?).await?;
    Ok(Data {
        data: ErasedBody {
            agent_id: id.to_string(),
            from: erased.from.to_string(),
            to: erased.to.to_string(),
            record: erased.record.to_string(),
            keys_destroyed: erased.destroyed,
        },
    })
}

fn month(member: &'static str, text: &str) -> Result<Month, ApiError> {
    text.parse().map_err(|error| {
        let sentence = format!("`{member}` is `{}`: {error}", shown(text));
        ApiError::unprocessable("month_malformed", sentence).about(member)
    })
}
