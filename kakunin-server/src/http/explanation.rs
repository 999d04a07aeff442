//! Why an agent's score is what it is.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use kakunin_core::event::Outcome;
use kakunin_core::id::AgentId;
use kakunin_core::service::{Explanation, Grounds, MAX_EXPLAINED};
use serde::Serialize;
use utoipa::ToSchema;

use super::agents::agent_id;
use super::app::App;
use super::auth::Reader;
use super::compat::band::number;
use super::compat::risk::{Factor, ThresholdsBody};
use super::error::{ApiError, ErrorBody};
use super::json::Data;
use super::schema::OutcomeWord;

/// Why an agent's score is what it is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExplanationBody {
    agent_id: String,
    /// 0 to 1; falls while nothing happens.
    risk_score: f64,
    /// The score as it would be now had the agent never done what is in `evidence`.
    without_evidence: f64,
    /// The risk model that makes both.
    model: String,
    /// Index of the record in the tenant's log that put the policy in force; null while the tenant has said nothing.
    policy: Option<String>,
    thresholds: ThresholdsBody,
    /// What each family of evidence contributed when the agent last did something, strongest first.
    factors: Vec<Factor>,
    /// Of each family the eight strongest events of the last 30 days that nobody dismissed, in their order.
    evidence: Vec<GroundsBody>,
    /// The days of the last 30 on which something was scored, oldest first.
    trend: Vec<HighestBody>,
}

/// An event that speaks against its agent.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroundsBody {
    /// Its index in the tenant's log.
    id: String,
    /// When it was recorded.
    at: String,
    action: String,
    #[schema(inline, value_type = OutcomeWord)]
    outcome: Outcome,
    /// The score after it.
    risk_score: f64,
    /// How much it surprised the model, most first.
    surprise: Vec<SurpriseBody>,
}

/// Evidence of one event in one family.
#[derive(Serialize, ToSchema)]
pub(crate) struct SurpriseBody {
    /// `frequency`, `scope_boundary`, `authentication` or `transaction`.
    family: String,
    /// In bits, when it happened: one halves the trust that is left.
    bits: f64,
}

/// The highest score of a day.
#[derive(Serialize, ToSchema)]
pub(crate) struct HighestBody {
    date: String,
    highest_score: f64,
}

impl From<&Grounds> for GroundsBody {
    fn from(grounds: &Grounds) -> Self {
        let surprise = grounds.surprise.iter().map(|(family, bits)| SurpriseBody {
            family: family.as_str().to_owned(),
            bits: f64::from(*bits) / 1e6,
        });
        Self {
            id: grounds.index.to_string(),
            at: grounds.at.to_string(),
            action: grounds.action.as_str().to_owned(),
            outcome: grounds.outcome,
            risk_score: number(grounds.score),
            surprise: surprise.collect(),
        }
    }
}

impl From<Explanation> for ExplanationBody {
    fn from(explanation: Explanation) -> Self {
        let Explanation { agent, score, without, model, policy, thresholds, families, events, days } =
            explanation;
        let date = |day: &str| day.split('T').next().unwrap_or_default().to_owned();
        let day = |(day, highest): &(_, _)| HighestBody {
            date: date(&ToString::to_string(day)),
            highest_score: number(*highest),
        };
        Self {
            agent_id: agent.to_string(),
            risk_score: number(score),
            without_evidence: number(without),
            model: model.0,
            policy: policy.map(|index| index.to_string()),
            thresholds: (&thresholds).into(),
            factors: families.iter().map(Factor::new).collect(),
            evidence: events.iter().map(Into::into).collect(),
            trend: days.iter().map(day).collect(),
        }
    }
}

/// Why an agent's score is what it is: the events that make it up, by their places in the log, and what it would be without
/// them. It is made from the agent's records when it is asked for.
#[utoipa::path(
    operation_id = "explainRisk",
    get, path = "/api/v1/agents/{id}/risk/explanation", tag = "agents",
    params(("id" = String, Path, description = "The agent.", format = "uuid")),
    responses(
        (status = 200, description = "Why.", body = Data<ExplanationBody>),
        (status = "4XX", description = "Refused; 422 `too_many_records` of an agent with more than 50,000.", body = ErrorBody),
    ),
)]
pub(crate) async fn explain(
    State(app): State<App>,
    Reader(caller): Reader,
    Path(id): Path<String>,
) -> Result<Data<ExplanationBody>, ApiError> {
    let (agent, tenant) = (agent_id(&id)?, app.kakunin.tenant(caller.tenant()));
    // It reads as much as a long list does.
    let work = async move {
        let explained = tenant.explain(&agent).await?;
        Ok(Data { data: explained.ok_or_else(|| too_many(&agent))?.into() })
    };
    app.listing(caller.tenant(), work).await
}

fn too_many(agent: &AgentId) -> ApiError {
    let sentence = format!(
        "this agent has more than {MAX_EXPLAINED} records; read them at /api/v1/audit-log?agent_id={agent}, with the score after each"
    );
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_records", sentence)
}
