//! What is believed of an agent, as it is shown.

use kakunin_core::policy::RiskState;
use kakunin_core::risk::{Day, Family, Score, Thresholds};
use kakunin_core::service::Risk;
use kakunin_core::time::{DAY, UnixTime};
use serde::Serialize;
use utoipa::ToSchema;

use super::band::{CoarseBand, number};
use super::risk_summary::{DayBody, Summary, trend};
use crate::http::schema::RiskStateWord;

/// What is believed of an agent.
#[derive(Serialize, ToSchema)]
pub(crate) struct RiskBody {
    agent_id: String,
    agent_name: String,
    agent_status: String,
    window_days: u32,
    window_start: String,
    /// 0 to 1; falls while nothing happens.
    risk_score: f64,
    /// `low`, `medium`, `warning` or `revoke`.
    band: String,
    /// The same in three: `low`, `medium` or `high`.
    risk_band: String,
    thresholds: ThresholdsBody,
    /// Where it stands between its score and people.
    #[schema(inline, value_type = RiskStateWord)]
    risk_state: RiskState,
    /// Whether the breaker holds its identity, until a person looks.
    held_by_breaker: bool,
    /// What each family of evidence contributed when the agent last did something, strongest first.
    factors: Vec<Factor>,
    /// Scored events in the window.
    total_events: u64,
    out_of_scope_events: u64,
    auth_failure_events: u64,
    /// As `total_events`.
    event_count: u64,
    /// Events outside the scope or with a failed authentication.
    high_risk_count: u64,
    /// Always 0: single events have no score of their own here.
    medium_risk_count: u64,
    /// As `risk_score`, which is over the whole window.
    avg_risk_score: f64,
    #[serde(flatten)]
    summary: Summary,
    computed_at: String,
    /// The days on which something happened, oldest first.
    trend: Vec<DayBody>,
    /// What it was refused since a person last approved what it may do; of many, those that came first and last
    /// of each effect.
    refused_actions: Vec<RefusalBody>,
    /// How many more actions it was refused.
    refused_more: u64,
}

/// An action that an agent was refused.
#[derive(Serialize, ToSchema)]
pub(crate) struct RefusalBody {
    action: String,
    count: u64,
    first_seen: String,
    last_seen: String,
}

/// Where bands begin.
#[derive(Serialize, ToSchema)]
pub(crate) struct ThresholdsBody {
    medium: f64,
    warning: f64,
    revoke: f64,
}

/// One family of evidence.
#[derive(Serialize, ToSchema)]
pub(crate) struct Factor {
    /// `frequency`, `scope_boundary`, `authentication` or `transaction`.
    family: String,
    /// By about how much the score would be lower without it.
    contribution: f64,
}

/// Over how many days.
const WINDOW_DAYS: u32 = 30;

impl From<&Thresholds> for ThresholdsBody {
    fn from(thresholds: &Thresholds) -> Self {
        let [medium, warning, revoke] =
            [thresholds.medium(), thresholds.warning(), thresholds.revoke()].map(number);
        Self { medium, warning, revoke }
    }
}

impl Factor {
    pub(crate) fn new((family, share): &(Family, Score)) -> Self {
        Self { family: family.as_str().to_owned(), contribution: number(*share) }
    }
}

impl RiskBody {
    pub(crate) fn new(risk: &Risk, now: UnixTime) -> Self {
        let sum = |of: fn(&Day) -> u32| risk.days.iter().map(|d| u64::from(of(d))).sum();
        let refused = risk.refused.actions.iter().map(|refusal| RefusalBody {
            action: refusal.action.as_str().to_owned(),
            count: refusal.count,
            first_seen: refusal.first.to_string(),
            last_seen: refusal.last.to_string(),
        });
        Self {
            agent_id: risk.agent.id.to_string(),
            agent_name: risk.agent.spec.name.as_str().to_owned(),
            agent_status: risk.agent.state.to_string(),
            window_days: WINDOW_DAYS,
            window_start: now.minus(30 * DAY).to_string(),
            risk_score: number(risk.score),
            band: risk.band.as_str().to_owned(),
            risk_band: CoarseBand::of(risk.score, &risk.thresholds).as_str().to_owned(),
            thresholds: (&risk.thresholds).into(),
            risk_state: risk.state,
            held_by_breaker: risk.held.is_some(),
            factors: risk.evidence.iter().map(Factor::new).collect(),
            total_events: sum(|d| d.events),
            out_of_scope_events: sum(|d| d.out_of_scope),
            auth_failure_events: sum(|d| d.auth_failures),
            event_count: sum(|d| d.events),
            high_risk_count: sum(|d| d.out_of_scope.saturating_add(d.auth_failures)),
            medium_risk_count: 0,
            avg_risk_score: number(risk.score),
            summary: Summary::of(risk),
            computed_at: now.to_string(),
            trend: trend(risk),
            refused_actions: refused.collect(),
            refused_more: risk.refused.more,
        }
    }
}
