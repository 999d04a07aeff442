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

    /// The least and the greatest score of this band.
    pub(crate) fn scores(self, thresholds: &Thresholds) -> (Score, Score) {
        let below = |score: Score| Score::from_millionths(score.millionths().saturating_sub(1));
        let (medium, revoke) = (thresholds.medium(), thresholds.revoke());
        match self {
            Self::Low => (Score::default(), below(medium)),
            Self::Medium => (medium, below(revoke)),
            Self::High => (revoke, Score::from_millionths(1_000_000)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_score_is_in_the_band_that_says_so() {
        let score = Score::from_millionths;
        for [medium, warning, revoke] in
            [[300_000, 750_000, 850_000], [1, 2, 3], [999_998, 999_999, 1_000_000]]
        {
            let thresholds = Thresholds::new(score(medium), score(warning), score(revoke)).unwrap();
            let near = [0, medium - 1, medium, warning, revoke - 1, revoke, 1_000_000].map(score);
            for one in near {
                let of = CoarseBand::of(one, &thresholds);
                for band in CoarseBand::ALL {
                    let (least, most) = band.scores(&thresholds);
                    assert_eq!((least..=most).contains(&one), band == of, "{one:?} {thresholds:?}");
                }
            }
        }
    }
}
