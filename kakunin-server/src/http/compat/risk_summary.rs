//! What an agent's events of 30 days amount to, in the members that clients of the vendor's read. What is not known
//! here is null.

use std::collections::BTreeMap;

use kakunin_core::risk::{Score, Thresholds};
use kakunin_core::service::{Adverse, DayTally, Risk};
use serde::Serialize;
use utoipa::ToSchema;

use super::band::{CoarseBand, number};

const NO_DRIFT: &str = "drift of an agent's habits is part of its score, and is not computed apart";

/// Scored events of the window. Null throughout for up to 30 days after an upgrade from a version that did not
/// count them, where an agent has events from before it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Summary {
    /// Mean of the scores after each event; 0 without events.
    avg_score: Option<f64>,
    /// `low`, `medium` or `high`: in which the score was after most events, the higher of two; `low` without events.
    dominant_band: Option<String>,
    /// Events outside the scope or with a failed authentication.
    high_risk_event_count: Option<u64>,
    /// By kind of event.
    event_counts_by_type: Option<BTreeMap<String, TypeBody>>,
    /// The newest ten of those that `high_risk_event_count` counts, newest first.
    recent_high_risk_events: Option<Vec<AdverseBody>>,
    drift: DriftBody,
}

/// Events of one kind.
#[derive(Serialize, ToSchema)]
pub(crate) struct TypeBody {
    count: u64,
    /// Sum of the scores after each.
    total_score: f64,
    avg_score: f64,
}

/// An event outside the scope, or with a failed authentication.
#[derive(Serialize, ToSchema)]
pub(crate) struct AdverseBody {
    /// Its index in the tenant's log.
    id: String,
    action_type: String,
    /// The score after it.
    risk_score: f64,
    /// When it was recorded.
    occurred_at: String,
    /// Addresses are not kept: always null.
    source_ip: Option<String>,
}

/// Drift is not computed apart from the score: every member but the note is null.
#[derive(Serialize, ToSchema)]
pub(crate) struct DriftBody {
    drift_score: Option<f64>,
    drift_band: Option<String>,
    contributing_factors: Option<Vec<String>>,
    computed_at: Option<String>,
    drift_trend: Option<String>,
    baseline_established_at: Option<String>,
    baseline_events_analyzed: Option<u64>,
    note: String,
}

/// One day.
#[derive(Serialize, ToSchema)]
pub(crate) struct DayBody {
    date: String,
    event_count: u32,
    out_of_scope: u32,
    auth_failures: u32,
    /// Mean of the scores after its events; null if that is not known.
    avg_score: Option<f64>,
    /// As above, of this day.
    dominant_band: Option<String>,
}

impl Summary {
    pub(crate) fn of(risk: &Risk) -> Self {
        let tally = risk.tally.as_deref();
        Self {
            avg_score: tally.map(mean),
            dominant_band: tally.map(|days| band(days, risk.score, &risk.thresholds)),
            high_risk_event_count: tally.map(|days| days.iter().map(|d| u64::from(d.adverse())).sum()),
            event_counts_by_type: tally.map(by_type),
            recent_high_risk_events: risk
                .adverse
                .as_ref()
                .map(|all| all.iter().map(AdverseBody::new).collect()),
            drift: DriftBody {
                drift_score: None,
                drift_band: None,
                contributing_factors: None,
                computed_at: None,
                drift_trend: None,
                baseline_established_at: None,
                baseline_events_analyzed: None,
                note: NO_DRIFT.to_owned(),
            },
        }
    }
}

impl AdverseBody {
    fn new(event: &Adverse) -> Self {
        Self {
            id: event.index.to_string(),
            action_type: event.kind.as_str().to_owned(),
            risk_score: number(event.score),
            occurred_at: event.at.to_string(),
            source_ip: None,
        }
    }
}

/// The days on which something happened, oldest first.
pub(crate) fn trend(risk: &Risk) -> Vec<DayBody> {
    let of_day =
        |begin| risk.tally.as_ref()?.iter().find(|day| day.begin() == begin).map(std::slice::from_ref);
    let day = |day: &kakunin_core::risk::Day| DayBody {
        date: day.begin.to_string().chars().take(10).collect(),
        event_count: day.events,
        out_of_scope: day.out_of_scope,
        auth_failures: day.auth_failures,
        avg_score: of_day(day.begin).map(mean),
        dominant_band: of_day(day.begin).map(|days| band(days, risk.score, &risk.thresholds)),
    };
    risk.days.iter().map(day).collect()
}

fn mean(days: &[DayTally]) -> f64 {
    quotient(days.iter().map(DayTally::total).sum(), days.iter().map(DayTally::events).sum())
}

/// A mean in millionths, rounded down, as a score.
fn quotient(total: u64, count: u64) -> f64 {
    let millionths = total.checked_div(count).and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
    number(Score::from_millionths(millionths))
}

fn band(days: &[DayTally], now: Score, thresholds: &Thresholds) -> String {
    let mut counts = [0_u64; 3];
    for day in days {
        counts.iter_mut().zip(day.bands()).for_each(|(all, of_day)| *all += u64::from(of_day));
    }
    let most =
        counts.iter().zip(CoarseBand::ALL).max_by_key(|(count, _)| **count).filter(|(count, _)| **count > 0);
    most.map_or_else(|| CoarseBand::of(now, thresholds), |(_, band)| band).as_str().to_owned()
}

fn by_type(days: &[DayTally]) -> BTreeMap<String, TypeBody> {
    let mut sums: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (kind, count, total) in days.iter().flat_map(DayTally::kinds) {
        let sum = sums.entry(kind.as_str().to_owned()).or_default();
        *sum = (sum.0 + count, sum.1 + total);
    }
    let body = |(kind, (count, total)): (String, (u64, u64))| {
        let total_score = quotient(total, count) * f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        (kind, TypeBody { count, total_score, avg_score: quotient(total, count) })
    };
    sums.into_iter().map(body).collect()
}
