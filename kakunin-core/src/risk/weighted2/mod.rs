//! The model `weighted/2`: bits of evidence in four families, of acts that are weighed by what they can do, added up, and
//! turned into a score.

mod look;
mod weights;

pub use weights::{PerFamily, Weights2};

use super::fixed::{doubt, mul_div, to_u32};
use super::history::UNTRUSTED;
use super::window::Window;
use super::{Assessment, History, ModelId, Prior, RiskModel, Score};
use crate::event::Facts;
use crate::time::UnixTime;
use look::Look;

/// Surprise, in millionths of a bit, of an act that is a ground for doubt whoever does it: as that of most acts outside the scope.
const GROUND: u64 = 100_000;

/// The model `weighted/2`.
#[derive(Clone, Debug)]
pub struct Weighted2 {
    id: ModelId,
    weights: Weights2,
}

impl Default for Weighted2 {
    fn default() -> Self {
        Self { id: ModelId("weighted/2".into()), weights: Weights2::V2 }
    }
}

impl Weighted2 {
    /// The same model with other weights, which therefore needs another name.
    #[must_use]
    pub const fn with_weights(id: ModelId, weights: Weights2) -> Self {
        Self { id, weights }
    }
}

impl RiskModel for Weighted2 {
    fn id(&self) -> ModelId {
        self.id.clone()
    }

    fn assess(&self, history: &History, prior: &Prior, at: UnixTime, facts: &Facts) -> Assessment {
        let mut window = history.window_at(at);
        let ledger = history.ledger_at(at);
        let look = Look { weights: &self.weights, history, window: &window, ledger: &ledger, prior, facts };
        let surprise = self.weights.bounded(look.families()).map(to_u32);
        window.add(facts, &surprise);
        let (score, evidence) = self.weights.combine(&window);
        Assessment { score, evidence, surprise }
    }

    fn keep(&self, _: &History, _: UnixTime, _: &Facts, _: &Assessment) -> Vec<u8> {
        Vec::new()
    }

    fn current(&self, history: &History, at: UnixTime) -> Score {
        self.weights.combine(&history.window_at(at)).0
    }

    // Of pace and bursts each act says little: those of an agent that is not trusted any more say enough.
    fn is_ground(&self, _: Score, assessment: &Assessment) -> bool {
        let bits = assessment.bits();
        bits >= GROUND || bits > 0 && assessment.score.millionths() >= UNTRUSTED
    }
}

impl Weights2 {
    // Somebody new, or a large amount, adds no more than `event_cap`, together with what else the event is.
    fn bounded(&self, surprise: [u64; 4]) -> [u64; 4] {
        let [pace, scope, logins, novelty] = surprise;
        let others = pace.saturating_add(scope).saturating_add(logins);
        [pace, scope, logins, novelty.min(self.event_cap.saturating_sub(others))]
    }

    // Trust halves with each bit, so families combine as a noisy-or. What a family contributes is what
    // the score would be lower by without it.
    fn combine(&self, window: &Window) -> (Score, [u32; 4]) {
        let mut bits = [0; 4];
        let shares = self.recent.0.iter().zip(&self.hourly.0).zip(&self.daily.0);
        let sums = window.recent().into_iter().zip(window.hourly()).zip(window.daily(u32::MAX));
        for ((total, ((recent, hourly), daily)), ((r, h), d)) in bits.iter_mut().zip(shares).zip(sums) {
            *total = mul_div(r.into(), *recent, 1_000)
                .saturating_add(mul_div(h, *hourly, 1_000))
                .saturating_add(mul_div(d, *daily, 1_000));
        }
        // What is new counts in full as far as all families together warn, and beyond that a little.
        let [pace, scope, logins, novelty] = bits;
        let room = self.knee.saturating_sub(pace.saturating_add(scope).saturating_add(logins));
        let beyond = mul_div(novelty.saturating_sub(room), self.beyond, 1_000).min(self.beyond_most);
        let bits = [pace, scope, logins, novelty.min(room) + beyond];
        let all = bits.iter().fold(0_u64, |sum, family| sum.saturating_add(*family));
        let score = doubt(all);
        (Score::from_millionths(score), bits.map(|family| score - doubt(all - family)))
    }
}
