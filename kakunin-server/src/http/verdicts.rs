//! What people say of an agent's score.

use axum::extract::{Path, State};
use kakunin_core::agent::{AgentError, Note};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::policy::{RiskState, Verdict};
use kakunin_core::revoke::Cause;
use kakunin_core::risk::Band;
use kakunin_core::service::Error as ServiceError;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::agents::agent_id;
use super::app::App;
use super::auth::Operator;
use super::compat::band::number;
use super::error::{ApiError, ErrorBody};
use super::json::{Data, Json};
use super::schema::{ReasonText, RiskStateWord, VerdictWord};

/// For what an identity is taken away.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum CompromiseCause {
    /// Somebody else may have its key.
    KeyCompromise,
    /// It was the agent itself.
    RiskThresholdExceeded,
}

/// A verdict on an agent's score.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerdictBody {
    /// `dismiss` takes the evidence out of the score; `confirmSafe` too, and has what the agent did last learned as its work;
    /// `confirmCompromised` takes the identity away. The first two release what the breaker holds of the agent.
    #[schema(inline, value_type = VerdictWord)]
    verdict: Verdict,
    /// Why; it goes on record with who said so.
    #[schema(value_type = ReasonText)]
    reason: String,
    /// With `confirmCompromised`: for what the certificate is revoked; `key_compromise` if not given.
    #[schema(inline)]
    cause: Option<CompromiseCause>,
}

/// How an agent stands after a verdict.
#[derive(Serialize, ToSchema)]
pub(crate) struct JudgedBody {
    agent_id: String,
    /// As in agents.
    agent_status: String,
    #[schema(inline, value_type = RiskStateWord)]
    risk_state: RiskState,
    /// 0 to 1.
    risk_score: f64,
    /// `low`, `medium`, `warning` or `revoke`.
    #[schema(inline, value_type = String)]
    band: Band,
    /// Whether the breaker still holds its identity.
    held_by_breaker: bool,
}

/// A reason that says something.
pub(crate) fn reason(text: String) -> Result<Note, ApiError> {
    let note = if text.trim().is_empty() { Err(AgentError::Note) } else { Note::try_from(text) };
    note.map_err(|error| ApiError::from(error).about("reason"))
}

/// Says what is to be made of an agent's score, in the words of Entra ID Protection.
#[utoipa::path(
    operation_id = "judgeAgent",
    post, path = "/api/v1/agents/{id}/verdict", tag = "policy", request_body = VerdictBody,
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "It is so.", body = Data<JudgedBody>),
        (status = "4XX", description = "Refused; 409 if it is retired, or if that would release it and the policy wants a \
            second person for that.", body = ErrorBody),
    ),
)]
pub(crate) async fn judge(
    State(app): State<App>,
    Operator(caller): Operator,
    Path(id): Path<String>,
    Json(body): Json<VerdictBody>,
) -> Result<Data<JudgedBody>, ApiError> {
    let id = agent_id(&id)?;
    let VerdictBody { verdict, reason: why, cause } = body;
    if cause.is_some() && verdict != Verdict::ConfirmCompromised {
        let sentence = format!(
            "`cause` says for what an identity is taken away, and `{verdict}` takes none: leave it out"
        );
        return Err(ApiError::unprocessable("cause_unexpected", sentence).about("cause"));
    }
    let cause = match cause.unwrap_or(CompromiseCause::KeyCompromise) {
        CompromiseCause::KeyCompromise => Cause::KeyCompromise,
        CompromiseCause::RiskThresholdExceeded => Cause::RiskThresholdExceeded,
    };
    let tenant = caller.kakunin(&app).tenant(caller.tenant());
    tenant.judge(&id, verdict, cause, reason(why)?).await?;
    let risk = tenant.risk(&id).await?;
    Ok(Data {
        data: JudgedBody {
            agent_id: id.to_string(),
            agent_status: risk.agent.state.to_string(),
            risk_state: risk.state,
            risk_score: number(risk.score),
            band: risk.band,
            held_by_breaker: risk.held.is_some(),
        },
    })
}

/// The refusal of a certificate, with the score that stands in its way, and where to say what is to be made of that.
pub(crate) async fn explained(
    app: &App,
    tenant: &TenantId,
    agent: &AgentId,
    error: ServiceError,
) -> ApiError {
    if !matches!(error, ServiceError::VerdictNeeded(_)) {
        return error.into();
    }
    match app.kakunin.tenant(tenant).risk(agent).await {
        Ok(risk) => ApiError::from(error).because_of(json!({
            "risk_score": number(risk.score),
            "revoke_threshold": number(risk.thresholds.revoke()),
            "risk_state": risk.state,
            "verdict_url": format!("/api/v1/agents/{agent}/verdict"),
        })),
        Err(_) => error.into(),
    }
}
