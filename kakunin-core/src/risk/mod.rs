//! Behavioural risk: a pure fold over the facts of an agent's events.
//!
//! A [`RiskModel`] looks at the [`History`] before an event, a frozen fleet [`Prior`] and the event's
//! [`Facts`], and gives an [`Assessment`]. The history then takes the event in. Everything is integer
//! arithmetic, so that one log gives one score on every platform, bit for bit.

#[cfg(test)]
mod behaviour;
#[cfg(test)]
mod behaviour2;
mod codec;
mod fixed;
mod habits;
pub mod history;
mod ledger;
#[cfg(feature = "service")]
mod models;
pub mod prior;
pub mod weighted;
pub mod weighted2;
mod window;

use core::fmt;

use crate::event::Facts;
use crate::time::UnixTime;
use crate::words::words;

use history::SUSPICIOUS;
pub use history::{History, MAX_KEPT_LEN};
#[cfg(feature = "service")]
pub(crate) use models::Models;
pub use prior::Prior;
pub use weighted::Weighted;
pub use weighted2::Weighted2;
pub use window::Day;

/// A risk score in millionths: 0 is calm, 1,000,000 is certain.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Score(u32);

impl Score {
    /// The highest score.
    pub const MAX: Self = Self(1_000_000);

    /// From millionths; anything above [`Score::MAX`] is that.
    #[must_use]
    pub const fn from_millionths(millionths: u32) -> Self {
        if millionths > Self::MAX.0 { Self::MAX } else { Self(millionths) }
    }

    /// Millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

/// Two decimals, cut and not rounded, so that 0.85 is never shown for a score below it.
impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 1_000_000, self.0 / 10_000 % 100)
    }
}

words! {
    /// What is believed of an agent.
    #[derive(
        Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
    )]
    pub enum Band {
        /// Below the medium threshold.
        #[default]
        Low = "low",
        /// Worth a look.
        Medium = "medium",
        /// A warning goes to the inbox.
        Warning = "warning",
        /// The identity is taken away.
        Revoke = "revoke",
    }
}

/// Where one band ends and the next begins, per tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Thresholds {
    medium: Score,
    warning: Score,
    revoke: Score,
}

/// Thresholds that do not rise, or are not above zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("thresholds must rise: 0 < medium < warning < revoke <= 1")]
pub struct ThresholdsError;

impl Thresholds {
    /// Thresholds in rising order.
    ///
    /// # Errors
    /// [`ThresholdsError`] unless `0 < medium < warning < revoke`.
    pub fn new(medium: Score, warning: Score, revoke: Score) -> Result<Self, ThresholdsError> {
        if Score::default() < medium && medium < warning && warning < revoke {
            Ok(Self { medium, warning, revoke })
        } else {
            Err(ThresholdsError)
        }
    }

    /// The band a score falls into.
    #[must_use]
    pub fn band(&self, score: Score) -> Band {
        match score {
            s if s >= self.revoke => Band::Revoke,
            s if s >= self.warning => Band::Warning,
            s if s >= self.medium => Band::Medium,
            _ => Band::Low,
        }
    }

    /// The score from which an agent is worth a look.
    #[must_use]
    pub const fn medium(&self) -> Score {
        self.medium
    }

    /// The score from which its owner is warned.
    #[must_use]
    pub const fn warning(&self) -> Score {
        self.warning
    }

    /// The score from which the identity is taken away.
    #[must_use]
    pub const fn revoke(&self) -> Score {
        self.revoke
    }
}

/// 0.3, 0.75, 0.85.
impl Default for Thresholds {
    fn default() -> Self {
        Self { medium: Score(300_000), warning: Score(750_000), revoke: Score(850_000) }
    }
}

words! {
    /// The four families of evidence, in the order of [`Assessment::evidence`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    pub enum Family {
        /// Acts much more often than it used to.
        Frequency = "frequency",
        /// Tests the boundary of its scope.
        ScopeBoundary = "scope_boundary",
        /// Fails to authenticate.
        Authentication = "authentication",
        /// Moves value, or reaches targets, unlike before.
        Transaction = "transaction",
    }
}

impl Family {
    /// Families that contribute to `evidence`, which is in the order of [`Family::ALL`]; strongest first.
    #[must_use]
    pub fn ranked(evidence: &[u32; 4]) -> Vec<(Self, Score)> {
        let each = Self::ALL.iter().copied().zip(*evidence).filter(|(_, m)| *m > 0);
        let mut list: Vec<_> = each.map(|(family, m)| (family, Score::from_millionths(m))).collect();
        list.sort_by_key(|(family, score)| (core::cmp::Reverse(*score), *family));
        list
    }
}

/// The verdict after one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// The score after the event.
    pub score: Score,
    /// What each family contributes, in the order of [`Family::ALL`], in millionths of the score:
    /// removing a family's evidence would lower the score by about that much.
    pub evidence: [u32; 4],
    /// How suspicious this one event is in each family, in millionths of a bit; 0 for an ordinary act.
    /// The history keeps the sums, and does not learn habits from suspicious events.
    pub surprise: [u32; 4],
}

impl Assessment {
    /// How suspicious the event is in all families, in millionths of a bit.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.surprise.iter().copied().map(u64::from).sum()
    }

    /// The families that contribute, strongest first.
    #[must_use]
    pub fn strongest(&self) -> Vec<(Family, Score)> {
        Family::ranked(&self.evidence)
    }
}

/// Name and version of a model, written to the log with what it decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ModelId(pub String);

/// Judges one event in the light of what an agent did before.
///
/// * Atomicity: one event, one assessment; the model itself has no state.
/// * Durability: none; name and version go into the log with each decision.
/// * Concurrency: any number of calls at once.
/// * Idempotence: the same history, prior, time and facts give the same assessment, bit for bit, on
///   every platform: no floats, no clock, no randomness, no iteration over hashed maps.
///
/// Between two events a score never rises: [`RiskModel::current`] at a later time is not above it.
///
/// ```
/// use kakunin_core::event::{Event, TokenKey};
/// use kakunin_core::id::Serial;
/// use kakunin_core::risk::{History, Prior, RiskModel, Weighted2};
/// use kakunin_core::time::{HOUR, UnixTime};
///
/// let (model, prior, tokens) = (Weighted2::default(), Prior::default(), TokenKey::new([7; 32]));
/// let (mut history, mut at) = (History::default(), UnixTime::from_secs(1_795_420_800));
/// let serial = Serial::from_bytes([1; 16]).unwrap();
/// let facts = tokens.facts(&Event::refused(serial, "delete:vault".parse().unwrap()));
/// let mut last = model.current(&history, at);
/// for _ in 0..3 {
///     let assessment = model.assess(&history, &prior, at, &facts);
///     assert!(assessment.score > last, "each refusal adds");
///     history.record(&model, at, &facts, &assessment);
///     (last, at) = (assessment.score, at.plus(HOUR));
/// }
/// assert!(model.current(&history, at.plus(7 * 24 * HOUR)) < last, "and time heals");
/// ```
pub trait RiskModel: fmt::Debug + Send + Sync {
    /// Name and version.
    fn id(&self) -> ModelId;

    /// The score and its reasons after an event at `at` with these facts. `history` does not hold the
    /// event yet; its caller folds it in with [`History::record`].
    fn assess(&self, history: &History, prior: &Prior, at: UnixTime, facts: &Facts) -> Assessment;

    /// What this model keeps of the agent beside the history, now that it assessed this event: octets of its own making,
    /// at most [`MAX_KEPT_LEN`], or none; of more, what was kept before stays. It finds them in [`History::kept`] with
    /// the next event, also after a restart. Those of another model, or of another version of it, are there as well: so
    /// they say at their beginning whose they are.
    fn keep(&self, history: &History, at: UnixTime, facts: &Facts, assessment: &Assessment) -> Vec<u8>;

    /// The score at `at` if nothing more happened.
    fn current(&self, history: &History, at: UnixTime) -> Score;

    /// Whether an event that is so assessed, of an agent whose score was `before`, is a ground for doubt: an identity is taken
    /// away with one alone, and after as many as the policy wants. By itself as far as the history would not trust it either;
    /// of a model that says nothing of single events, if the score rose.
    fn is_ground(&self, before: Score, assessment: &Assessment) -> bool {
        let surprise = assessment.bits();
        surprise >= SUSPICIOUS || surprise == 0 && assessment.score > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_begin_at_their_thresholds() {
        let t = Thresholds::default();
        let bands = [0, 299_999, 300_000, 749_999, 750_000, 849_999, 850_000, 1_000_000]
            .map(|m| t.band(Score::from_millionths(m)));
        use Band::{Low, Medium, Revoke, Warning};
        assert_eq!(bands, [Low, Low, Medium, Medium, Warning, Warning, Revoke, Revoke]);
        assert!(Thresholds::new(Score(1), Score(1), Score(2)).is_err());
        assert!(Thresholds::new(Score(0), Score(1), Score(2)).is_err());
    }

    #[test]
    fn a_score_below_a_threshold_is_not_shown_as_the_threshold() {
        assert_eq!(Score::from_millionths(849_999).to_string(), "0.84");
        assert_eq!(Score::from_millionths(2_000_000).to_string(), "1.00");
    }
}
