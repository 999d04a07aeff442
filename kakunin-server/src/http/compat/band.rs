//! Scores as others know them: a number, and three bands.

use kakunin_core::risk::{Band, Score, Thresholds};
use serde::Deserialize;
use utoipa::ToSchema;

/// Bands that others know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CoarseBand {
    Low,
    Medium,
    High,
}

impl CoarseBand {
    pub(crate) const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    pub(crate) fn of(score: Score, thresholds: &Thresholds) -> Self {
        match thresholds.band(score) {
            Band::Revoke => Self::High,
            Band::Warning | Band::Medium => Self::Medium,
            Band::Low => Self::Low,
        }
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A score as a number.
pub(crate) fn number(score: Score) -> f64 {
    f64::from(score.millionths()) / 1_000_000.0
}
