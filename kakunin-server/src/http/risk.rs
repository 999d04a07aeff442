//! What is believed of an agent, and the inbox.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::log::record::{CaRole, Stage};
use kakunin_core::risk::Family;
use kakunin_core::service::{EndingNotice, Kakunin, Notification, NotificationKind};
use kakunin_core::time::DAY;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::agents::agent_id;
use super::app::App;
use super::auth::Reader;
use super::compat::client::CoarseBand;
use super::compat::risk_summary::{DayBody, Summary, trend};
use super::error::{ApiError, ErrorBody};
use super::events::number;
use super::json::Data;
use super::page::{self, PageBody, Pagination, Params};

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
    let risk = app.kakunin.risk(caller.tenant(), &agent_id(&id)?).await?;
    let sum = |of: fn(&kakunin_core::risk::Day) -> u32| risk.days.iter().map(|d| u64::from(of(d))).sum();
    let factor = |(family, share): &(Family, _)| Factor {
        family: family.as_str().to_owned(),
        contribution: number(*share),
    };
    let refused = risk.refused.actions.iter().map(|refusal| RefusalBody {
        action: refusal.action.as_str().to_owned(),
        count: refusal.count,
        first_seen: refusal.first.to_string(),
        last_seen: refusal.last.to_string(),
    });
    Ok(Data {
        data: RiskBody {
            agent_id: risk.agent.id.to_string(),
            agent_name: risk.agent.spec.name.as_str().to_owned(),
            agent_status: risk.agent.state.to_string(),
            window_days: WINDOW_DAYS,
            window_start: app.now().minus(30 * DAY).to_string(),
            risk_score: number(risk.score),
            band: risk.band.as_str().to_owned(),
            risk_band: CoarseBand::of(risk.score, &risk.thresholds).as_str().to_owned(),
            thresholds: ThresholdsBody {
                medium: number(risk.thresholds.medium()),
                warning: number(risk.thresholds.warning()),
                revoke: number(risk.thresholds.revoke()),
            },
            factors: risk.evidence.iter().map(factor).collect(),
            total_events: sum(|d| d.events),
            out_of_scope_events: sum(|d| d.out_of_scope),
            auth_failure_events: sum(|d| d.auth_failures),
            event_count: sum(|d| d.events),
            high_risk_count: sum(|d| d.out_of_scope.saturating_add(d.auth_failures)),
            medium_risk_count: 0,
            avg_risk_score: number(risk.score),
            summary: Summary::of(&risk),
            computed_at: app.now().to_string(),
            trend: trend(&risk),
            refused_actions: refused.collect(),
            refused_more: risk.refused.more,
        },
    })
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

/// Something people should know.
#[derive(Serialize, ToSchema)]
pub(crate) struct NotificationBody {
    id: String,
    /// `pre_revocation_warning`, `risk_threshold_crossed`, `certificate_revoked`, `agent_halted` or
    /// `system_alert`.
    notification_type: String,
    /// `warning` or `critical`.
    severity: String,
    title: String,
    message: String,
    /// `null` where it is about no agent: a certificate authority that ends.
    agent_id: Option<String>,
    certificate_serial: Option<String>,
    action_url: String,
    created_at: String,
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
        let items = kakunin.notifications(tenant, before, limit + 1).await?;
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

/// An item about an authority that ends.
fn of_ending(ending: Option<&EndingNotice>) -> (&'static str, &'static str, &'static str, String) {
    let stage = ending.map_or(Stage::Near, |ending| ending.stage);
    let (severity, title) = match stage {
        Stage::Ended => ("critical", "Certificate authority has ended"),
        Stage::Urgent => ("critical", "Certificate authority ends soon"),
        Stage::Near | Stage::Far => ("warning", "Certificate authority ends soon"),
    };
    let which = ending.map(|ending| {
        let role = if ending.role == CaRole::Root { "Root" } else { "Issuing CA" };
        format!("{role} {} is valid until {}. ", ending.issuer, ending.not_after)
    });
    let message = which.unwrap_or_default()
        + "After its end no agent is given a certificate. Its operator replaces it: kakunin ca rotate, or request and install.";
    ("system_alert", severity, title, message)
}

impl NotificationBody {
    fn new(index: u64, item: &Notification) -> Self {
        let evidence = item.evidence.as_ref();
        let because = evidence.map_or_else(String::new, |e| {
            let families: Vec<_> = e.families.iter().map(|(family, _)| family.as_str()).collect();
            format!(
                " Score {} against {}, mostly {}.",
                e.score,
                e.threshold,
                families.join(", ").replace('_', " ")
            )
        });
        let cause = item.cause.map(|cause| cause.as_str().replace('_', " ")).unwrap_or_default();
        let (kind, severity, title, message) = match item.kind {
            NotificationKind::PreRevocationWarning => {
                let message = format!("The agent is close to losing its identity.{because}");
                ("pre_revocation_warning", "warning", "Agent is close to revocation", message)
            }
            NotificationKind::AgentRevoked if evidence.is_some() => {
                let message = format!("Its behaviour took the agent's identity away.{because}");
                ("risk_threshold_crossed", "critical", "Agent lost its identity", message)
            }
            NotificationKind::AgentHalted => (
                "agent_halted",
                "critical",
                "Agent was halted",
                format!("Somebody stopped the agent: {cause}."),
            ),
            NotificationKind::KeyTaskDelayed => (
                "system_alert",
                "warning",
                "Key provider cannot be reached",
                "A key is yet to be disabled, enabled or deleted, and is tried further. The certificate's standing is in force all the same.".to_owned(),
            ),
            NotificationKind::AuthorityEnding => of_ending(item.ending.as_ref()),
            NotificationKind::SelfRenewalRefused => {
                let message = "The agent renews its own certificate earlier or more often than it may, and is refused. An operator can renew it.";
                ("system_alert", "warning", "Agent renews itself too often", message.to_owned())
            }
            NotificationKind::ImpersonationSuspected => {
                let message =
                    "Somebody uses its certificate or serial number without its key. Its score is unchanged.";
                ("system_alert", "warning", "Possible impersonation of an agent", message.to_owned())
            }
            _ => ("certificate_revoked", "warning", "Certificate was revoked", format!("Cause: {cause}.")),
        };
        Self {
            id: index.to_string(),
            notification_type: kind.to_owned(),
            severity: severity.to_owned(),
            title: title.to_owned(),
            message,
            agent_id: item.ending.is_none().then(|| item.agent.to_string()),
            certificate_serial: item.serial.map(|serial| serial.to_string()),
            action_url: match item.ending {
                Some(_) => "/api/v1/ca".to_owned(),
                None => format!("/api/v1/agents/{}/risk", item.agent),
            },
            created_at: item.at.to_string(),
        }
    }
}
