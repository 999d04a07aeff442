//! The policy itself.

use super::BreakerPolicy;
use crate::issue::Profile;
use crate::risk::{Band, ModelId, Score, Thresholds};
use crate::words::words;

/// The widest hysteresis, in millionths.
const MAX_HYSTERESIS: u32 = 200_000;
/// Most suspicious events that may have to come together.
const MAX_MINIMUM: u32 = 1_000;

words! {
    /// What follows from a score.
    #[derive(
        Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
    )]
    pub enum Mode {
        /// Nothing: it is computed and shown.
        Observe = "observe",
        /// People are warned.
        Warn = "warn",
        /// And from the threshold of revocation on the identity is taken away.
        #[default]
        Enforce = "enforce",
    }
}

/// What a tenant decides over the risk of its agents. Each decision is made under exactly one, which its record names.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Where the bands of the score begin; a threshold that is exactly reached is crossed.
    pub thresholds: Thresholds,
    /// How far a score has to fall below the threshold of its band to leave that: 0.05 unless said otherwise, at most 0.2.
    pub hysteresis: Score,
    /// What follows from a score.
    pub mode: Mode,
    /// What there must be before an identity is taken away automatically.
    pub minimum: Minimum,
    /// How long certificates may live, by band.
    pub ceilings: Ceilings,
    /// When automatic revocations become holds; `None`: never.
    pub breaker: Option<BreakerPolicy>,
    /// What needs the word of a second person.
    pub second_approver: SecondApprover,
    /// Other rules, which only report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
    /// Which model judges; `None`: the one that the tenant was made with. With another one all evidence begins anew, since
    /// one counts otherwise than the other; what agents do as usual stays known. In the policy of a deployment it says
    /// nothing: that is on no record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelId>,
}

/// What there must be before an identity is taken away automatically.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Minimum {
    /// Suspicious events within 30 days, the last one among them: 3 unless said otherwise.
    pub events: u32,
}

/// The longest profile that an agent's certificates have in a band. From the threshold of revocation on it is given none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Ceilings {
    /// In the low band.
    pub low: Profile,
    /// In the medium band.
    pub medium: Profile,
    /// From the warning on.
    pub warning: Profile,
}

/// What is done once a second person approves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SecondApprover {
    /// To revoke a certificate. A halt, a hold and a verdict that an agent is compromised need nobody else: they stop
    /// somebody, and take effect at once.
    pub revoke: bool,
    /// To release a hold, to reinstate an agent, or to release what the breaker holds.
    pub release: bool,
    /// To change the policy.
    pub policy: bool,
}

/// Rules that run beside those of the policy, over the same scores, or over those of a second model
/// ([`Parts::shadow`](crate::service::Parts)): what they would have done is on record, and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Shadow {
    /// Where the bands would begin.
    pub thresholds: Thresholds,
    /// What would have to be there.
    pub minimum: Minimum,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            thresholds: Thresholds::default(),
            hysteresis: Score::from_millionths(50_000),
            mode: Mode::default(),
            minimum: Minimum::default(),
            ceilings: Ceilings::default(),
            breaker: Some(BreakerPolicy::default()),
            second_approver: SecondApprover::default(),
            shadow: None,
            model: None,
        }
    }
}

impl Default for Minimum {
    fn default() -> Self {
        Self { events: 3 }
    }
}

impl Default for Ceilings {
    fn default() -> Self {
        Self { low: Profile::Standard, medium: Profile::Elevated, warning: Profile::HighRisk }
    }
}

/// A policy that nobody can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// A band that is hardly left again.
    #[error("the hysteresis is at most 0.2, and less than the lowest threshold")]
    Hysteresis,
    /// Nothing would ever be taken away, or everything at once.
    #[error("the minimum is 1 to {MAX_MINIMUM} suspicious events")]
    Minimum,
    /// More risk would give a longer life.
    #[error("ceilings do not rise with the risk: low >= medium >= warning")]
    Ceilings,
    /// Nobody could judge.
    #[error(
        "the deployment has no risk model of this name; take one that it has, or none for the one that the tenant was made with"
    )]
    Model,
    /// A window or a number of agents that says nothing.
    #[error("the breaker looks back 1 min to 1 day, and counts 2 agents or more at one target")]
    Breaker,
}

impl PolicyError {
    /// Stable code of this error.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Hysteresis => "policy_hysteresis",
            Self::Minimum => "policy_minimum",
            Self::Ceilings => "policy_ceilings",
            Self::Model => "policy_model",
            Self::Breaker => "policy_breaker",
        }
    }
}

impl Policy {
    /// These thresholds, and the defaults beside them.
    #[must_use]
    pub fn with(thresholds: Thresholds) -> Self {
        // Of thresholds that are closer together than the default it keeps them apart.
        let hysteresis =
            Self::default().hysteresis.min(Score::from_millionths(thresholds.medium().millionths() / 2));
        Self { thresholds, hysteresis, ..Self::default() }
    }

    /// Whether it can be meant.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn check(&self) -> Result<(), PolicyError> {
        let sound = |minimum: &Minimum| (1..=MAX_MINIMUM).contains(&minimum.events);
        let (Ceilings { low, medium, warning }, hysteresis) = (self.ceilings, self.hysteresis);
        if hysteresis.millionths() > MAX_HYSTERESIS || hysteresis >= self.thresholds.medium() {
            return Err(PolicyError::Hysteresis);
        }
        if !sound(&self.minimum) || self.shadow.as_ref().is_some_and(|shadow| !sound(&shadow.minimum)) {
            return Err(PolicyError::Minimum);
        }
        if low < medium || medium < warning {
            return Err(PolicyError::Ceilings);
        }
        if self.breaker.as_ref().is_some_and(|breaker| !breaker.is_sound()) {
            return Err(PolicyError::Breaker);
        }
        Ok(())
    }

    /// The band of an agent that was in `from`, with this score now: a threshold that is reached is crossed upwards, and
    /// downwards only once the score is below it by the hysteresis.
    #[must_use]
    pub fn band(&self, score: Score, from: Band) -> Band {
        banded(&self.thresholds, self.hysteresis, score, from)
    }

    /// The longest profile in a band.
    #[must_use]
    pub const fn ceiling(&self, band: Band) -> Profile {
        match band {
            Band::Low => self.ceilings.low,
            Band::Medium => self.ceilings.medium,
            Band::Warning | Band::Revoke => self.ceilings.warning,
        }
    }

    /// The band that these rules would put it into.
    #[must_use]
    pub fn shadowed(&self, rules: &Shadow, score: Score, from: Band) -> Band {
        banded(&rules.thresholds, self.hysteresis, score, from)
    }
}

fn banded(thresholds: &Thresholds, hysteresis: Score, score: Score, from: Band) -> Band {
    let plain = thresholds.band(score);
    if plain >= from {
        return plain;
    }
    let lenient = score.millionths().saturating_add(hysteresis.millionths());
    // No score above the highest, and a band that rests on one is left like the others.
    thresholds.band(Score::from_millionths(lenient)).min(from).max(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn score(millionths: u32) -> Score {
        Score::from_millionths(millionths)
    }

    #[test]
    fn a_threshold_that_is_reached_is_crossed_and_left_only_with_some_distance() {
        let policy = Policy::default();
        use Band::{Low, Medium, Revoke, Warning};
        for (score_, from, to) in [
            (299_999, Low, Low),
            (300_000, Low, Medium),
            (750_000, Low, Warning),
            (849_999, Warning, Warning),
            (850_000, Low, Revoke),
            (849_999, Revoke, Revoke),
            (800_000, Revoke, Revoke),
            (799_999, Revoke, Warning),
            (700_000, Warning, Warning),
            (699_999, Warning, Medium),
            (250_000, Revoke, Medium),
            (249_999, Revoke, Low),
        ] {
            assert_eq!(policy.band(score(score_), from), to, "{score_} from {from}");
        }
    }

    #[test]
    fn what_nobody_can_mean_is_refused() {
        let whole = Policy::default();
        whole.check().unwrap();
        let breaker = BreakerPolicy::default();
        let wrong = [
            Policy { hysteresis: score(200_001), ..whole.clone() },
            Policy { hysteresis: score(300_000), ..whole.clone() },
            Policy { minimum: Minimum { events: 0 }, ..whole.clone() },
            Policy { minimum: Minimum { events: 1_001 }, ..whole.clone() },
            Policy {
                shadow: Some(Shadow { minimum: Minimum { events: 0 }, ..Shadow::default() }),
                ..whole.clone()
            },
            Policy {
                ceilings: Ceilings { warning: Profile::Standard, ..Ceilings::default() },
                ..whole.clone()
            },
            Policy { breaker: Some(BreakerPolicy { same_target: 1, ..breaker }), ..whole.clone() },
            Policy { breaker: Some(BreakerPolicy { window: 0, ..breaker }), ..whole.clone() },
        ];
        let codes: Vec<_> = wrong.iter().map(|policy| policy.check().unwrap_err().code()).collect();
        let (h, m, c, b) = ("policy_hysteresis", "policy_minimum", "policy_ceilings", "policy_breaker");
        assert_eq!(codes, [h, h, m, m, m, c, b, b]);
        Policy::with(Thresholds::new(score(1), score(2), score(3)).unwrap()).check().unwrap();
    }

    /// What an earlier or later version wrote is read: what it lacks is as it is by default.
    #[test]
    fn a_policy_is_read_as_it_was_written() {
        let shadow = Some(Shadow::default());
        let policy = Policy { mode: Mode::Warn, breaker: None, shadow, ..Policy::default() };
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
        let sparse: Policy = serde_json::from_str(r#"{"mode":"observe","later":1}"#).unwrap();
        assert_eq!(sparse, Policy { mode: Mode::Observe, ..Policy::default() });
    }
}
