//! A policy in natural units: scores from 0 to 1 with six decimals at most, and times in seconds. What is read is exactly
//! what is shown.

use kakunin_core::issue::Profile;
use kakunin_core::policy::{
    BreakerPolicy, Ceilings, Minimum, Mode, Policy, PolicyError, SecondApprover, Shadow,
};
use kakunin_core::risk::{ModelId, Score, Thresholds};
use kakunin_core::time::SECOND;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;
use utoipa::ToSchema;

use super::compat::band::number;
use super::error::ApiError;
use super::json::{self, object, whole};
use super::schema::{ModeWord, ProfileWord};

/// What a tenant decides over the risk of its agents. All members are written, so that nothing changes that was not meant;
/// only `shadow` and `model` may be left out.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyBody {
    /// Where the bands of the score begin, in rising order; a threshold that is exactly reached is crossed.
    #[serde(deserialize_with = "object::required")]
    thresholds: PolicyThresholds,
    /// How far a score has to fall below the threshold of its band to leave that: at most 0.2, and less than the lowest
    /// threshold.
    #[schema(value_type = f64, minimum = 0, maximum = 0.2)]
    hysteresis: Unit,
    /// What follows from a score: nothing, a warning, or from the threshold of revocation on the loss of the identity.
    #[schema(inline, value_type = ModeWord)]
    mode: Mode,
    /// What there must be before an identity is taken away automatically.
    #[serde(deserialize_with = "object::required")]
    minimum: MinimumBody,
    /// The longest profile that an agent's certificates have in a band; none rises with the risk.
    #[serde(deserialize_with = "object::required")]
    ceilings: CeilingsBody,
    /// When further automatic revocations become holds, until a person looks; null: never.
    #[serde(deserialize_with = "object::optional")]
    #[schema(required)]
    breaker: Option<BreakerBody>,
    /// What is done once a second person approves it.
    #[serde(deserialize_with = "object::required")]
    second_approver: SecondApproverBody,
    /// Other rules, which run beside these and only report.
    #[serde(default, deserialize_with = "object::optional")]
    shadow: Option<ShadowBody>,
    /// The risk model that judges; null: the one that the tenant was made with. With another one all evidence begins anew.
    #[serde(default)]
    #[schema(max_length = 64, pattern = r"^[!-~]{1,64}$")]
    model: Option<String>,
}

/// Where bands begin.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PolicyThresholds {
    #[schema(value_type = f64, minimum = 0, maximum = 1)]
    medium: Unit,
    #[schema(value_type = f64, minimum = 0, maximum = 1)]
    warning: Unit,
    #[schema(value_type = f64, minimum = 0, maximum = 1)]
    revoke: Unit,
}

/// What there must be before an identity is taken away automatically.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MinimumBody {
    /// Suspicious events within 30 days, the last one among them.
    #[serde(deserialize_with = "whole::required")]
    #[schema(minimum = 1, maximum = 1000)]
    events: u64,
}

/// The longest profile by band.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CeilingsBody {
    #[schema(inline, value_type = ProfileWord)]
    low: Profile,
    #[schema(inline, value_type = ProfileWord)]
    medium: Profile,
    /// From the warning on.
    #[schema(inline, value_type = ProfileWord)]
    warning: Profile,
}

/// When automatic revocations are too many to be true.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BreakerBody {
    /// How far back it looks: 1 minute to 1 day.
    #[serde(deserialize_with = "whole::required")]
    #[schema(minimum = 60, maximum = 86_400)]
    window_seconds: u64,
    /// How many automatic revocations are let through in the window,
    #[serde(deserialize_with = "whole::required")]
    #[schema(maximum = 4_294_967_295_i64)]
    revocations: u64,
    /// or which share of the active agents, if that is more.
    #[schema(value_type = f64, minimum = 0, maximum = 1)]
    share: Unit,
    /// From how many agents on that failed at the same target within the window it is not the agents' fault.
    #[serde(deserialize_with = "whole::required")]
    #[schema(minimum = 2, maximum = 4_294_967_295_i64)]
    same_target: u64,
}

/// What is done once a second person approves it.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SecondApproverBody {
    /// To revoke a certificate. A halt and a hold take effect at once.
    revoke: bool,
    /// To release a hold, to reinstate an agent, or to release what the breaker holds.
    release: bool,
    /// To change the policy.
    policy: bool,
}

/// Rules that only report what they would have done.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ShadowBody {
    #[serde(deserialize_with = "object::required")]
    thresholds: PolicyThresholds,
    #[serde(deserialize_with = "object::required")]
    minimum: MinimumBody,
}

/// A score or a share, as a number from 0 to 1.
struct Unit(Score);

impl Serialize for Unit {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_f64(number(self.0))
    }
}

impl<'de> Deserialize<'de> for Unit {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let given = Number::deserialize(d)?;
        let refused =
            || D::Error::custom(format!("`{given}` is not a number from 0 to 1 with at most six decimals"));
        given.as_f64().and_then(exactly).map(Self).ok_or_else(refused)
    }
}

/// The score whose number this is, and none that is merely near: a quotient is rounded as a decimal is read, so that each
/// number of six decimals is found again, and no other.
fn exactly(given: f64) -> Option<Score> {
    let nearest = (0.0..=1.0).contains(&given).then(|| format!("{:.0}", given * 1e6))?;
    let score = Score::from_millionths(nearest.parse().ok()?);
    (number(score).to_bits() == given.to_bits()).then_some(score)
}

impl PolicyBody {
    /// The policy that is meant, and can be.
    pub(crate) fn understood(self) -> Result<Policy, ApiError> {
        let refused =
            |error: PolicyError| ApiError::unprocessable(error.code(), error.to_string()).about("policy");
        let SecondApproverBody { revoke, release, policy } = self.second_approver;
        let CeilingsBody { low, medium, warning } = self.ceilings;
        let policy = Policy {
            thresholds: self.thresholds.understood()?,
            hysteresis: self.hysteresis.0,
            mode: self.mode,
            minimum: self.minimum.understood().map_err(refused)?,
            ceilings: Ceilings { low, medium, warning },
            breaker: self.breaker.map(BreakerBody::understood).transpose().map_err(refused)?,
            second_approver: SecondApprover { revoke, release, policy },
            shadow: match self.shadow {
                Some(ShadowBody { thresholds, minimum }) => Some(Shadow {
                    thresholds: thresholds.understood()?,
                    minimum: minimum.understood().map_err(refused)?,
                }),
                None => None,
            },
            model: self.model.map(ModelId),
        };
        policy.check().map(|()| policy).map_err(refused)
    }
}

impl PolicyThresholds {
    fn understood(self) -> Result<Thresholds, ApiError> {
        let Self { medium: Unit(medium), warning: Unit(warning), revoke: Unit(revoke) } = self;
        Thresholds::new(medium, warning, revoke)
            .map_err(|error| ApiError::unprocessable("policy_thresholds", error.to_string()).about("policy"))
    }
}

impl MinimumBody {
    fn understood(self) -> Result<Minimum, PolicyError> {
        u32::try_from(self.events).map(|events| Minimum { events }).map_err(|_| PolicyError::Minimum)
    }
}

impl BreakerBody {
    fn understood(self) -> Result<BreakerPolicy, PolicyError> {
        let count = |number: u64| u32::try_from(number).map_err(|_| PolicyError::Breaker);
        Ok(BreakerPolicy {
            window: self.window_seconds.checked_mul(SECOND).ok_or(PolicyError::Breaker)?,
            revocations: count(self.revocations)?,
            share: self.share.0,
            same_target: count(self.same_target)?,
        })
    }
}

impl From<&Policy> for PolicyBody {
    fn from(policy: &Policy) -> Self {
        let SecondApprover { revoke, release, policy: change } = policy.second_approver;
        let Ceilings { low, medium, warning } = policy.ceilings;
        Self {
            thresholds: (&policy.thresholds).into(),
            hysteresis: Unit(policy.hysteresis),
            mode: policy.mode,
            minimum: policy.minimum.into(),
            ceilings: CeilingsBody { low, medium, warning },
            breaker: policy.breaker.map(|breaker| BreakerBody {
                window_seconds: breaker.window / SECOND,
                revocations: breaker.revocations.into(),
                share: Unit(breaker.share),
                same_target: breaker.same_target.into(),
            }),
            second_approver: SecondApproverBody { revoke, release, policy: change },
            shadow: policy.shadow.map(|Shadow { thresholds, minimum }| ShadowBody {
                thresholds: (&thresholds).into(),
                minimum: minimum.into(),
            }),
            model: policy.model.as_ref().map(|model| model.0.clone()),
        }
    }
}

impl From<&Thresholds> for PolicyThresholds {
    fn from(thresholds: &Thresholds) -> Self {
        let [medium, warning, revoke] =
            [thresholds.medium(), thresholds.warning(), thresholds.revoke()].map(Unit);
        Self { medium, warning, revoke }
    }
}

impl From<Minimum> for MinimumBody {
    fn from(minimum: Minimum) -> Self {
        Self { events: minimum.events.into() }
    }
}

/// A policy as the API has it: for whoever keeps one in a file.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn policy_from_json(text: &[u8]) -> Result<Policy, String> {
    let policy = json::parse::<PolicyBody>(text).and_then(PolicyBody::understood);
    policy.map_err(|error| error.sentence().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each score is shown as a number that is read as this score.
    #[test]
    fn every_score_is_read_as_it_is_shown() {
        for millionths in 0..=1_000_000 {
            let score = Score::from_millionths(millionths);
            let shown = serde_json::to_string(&Unit(score)).unwrap();
            assert_eq!(serde_json::from_str::<Unit>(&shown).unwrap().0, score, "{shown}");
            // And as people write it.
            let written = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
            assert_eq!(serde_json::from_str::<Unit>(&written).unwrap().0, score, "{written}");
        }
    }

    #[test]
    fn what_is_merely_near_to_a_score_is_refused() {
        for near in [
            "0.8500001",
            "0.85000001",
            "-0",
            "-0.0",
            "-0.1",
            "1.000001",
            "2",
            "850000",
            "1e-7",
            "5e-324",
            "0.1234565",
        ] {
            assert!(serde_json::from_str::<Unit>(near).is_err(), "{near}");
        }
        for other in ["\"0.85\"", "null", "true", "[]", "{}", "NaN", "1e400", "Infinity"] {
            assert!(serde_json::from_str::<Unit>(other).is_err(), "{other}");
        }
        for (same, millionths) in
            [("0", 0), ("1", 1_000_000), ("1.0", 1_000_000), ("85e-2", 850_000), ("1e-6", 1)]
        {
            assert_eq!(serde_json::from_str::<Unit>(same).unwrap().0.millionths(), millionths, "{same}");
        }
    }

    #[test]
    fn a_policy_is_read_as_it_is_shown() {
        let breaker = BreakerPolicy {
            window: 90 * SECOND,
            share: Score::from_millionths(1),
            ..BreakerPolicy::default()
        };
        for policy in [
            Policy::default(),
            Policy {
                breaker: None,
                mode: Mode::Observe,
                shadow: Some(Shadow::default()),
                ..Policy::default()
            },
            Policy { breaker: Some(breaker), ..Policy::default() },
            Policy { model: Some(ModelId("weighted/1".into())), ..Policy::default() },
        ] {
            let text = serde_json::to_vec(&PolicyBody::from(&policy)).unwrap();
            assert_eq!(policy_from_json(&text).unwrap(), policy);
        }
    }
}
