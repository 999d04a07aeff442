//! The default model: bits of evidence in four families, added up, and turned into a score.

use super::fixed::{BIT, doubt, mul_div, surprise, to_u32};
use super::habits::{KNOWN, pair_key, refusal_key};
use super::window::Window;
use super::{Assessment, History, ModelId, Prior, RiskModel, Score};
use crate::event::{Effect, Facts, Outcome};
use crate::time::UnixTime;

/// The numbers of the model. Evidence is in millionths of a bit, shares in thousandths.
///
/// One bit halves the trust that is left: 2 bits are a score of 0.75, 2.8 bits are 0.85.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// How many events the prior's rates of refusals and failures count as against an agent's own.
    pub prior_events: u32,
    /// How many hours the prior's busy hour counts as.
    pub prior_hours: u32,

    /// Evidence of an act out of scope, by an agent for whom that is as rare as the prior says.
    pub out_of_scope: u64,
    /// Share of it for an action and target that was refused on earlier days already.
    pub refused_before: u64,
    /// Evidence of a refusal although the scope covers the act.
    pub denied: u64,
    /// Evidence of a failed authentication, by an agent for whom that is as rare as the prior says.
    pub auth_failure: u64,
    /// Share of refusals and failures that stays evidence however often they happen.
    pub habit_floor: u64,

    /// Share of the surprise of a new target or counterparty which is evidence, by what the act does.
    pub fresh: [(Effect, u64); 6],
    /// Evidence of each doubling of an amount above the largest that is usual.
    pub amount: u64,
    /// Doublings that count at most.
    pub amount_steps: u8,
    /// Evidence of an action never used before, where the share above is whole.
    pub first_action: u64,
    /// Days of work in a row, without anything new, at which habits count in full.
    pub settled_days: u64,

    /// An hour may hold so many times the events of a busy one.
    pub busy_times: u64,
    /// Evidence of each further multiple of a busy hour.
    pub overload: u64,

    /// Share of the surprise of the last minutes, by family.
    pub recent: [u64; 4],
    /// Share of the surprise of two days, by family.
    pub hourly: [u64; 4],
    /// Share of the surprise of 30 days, by family.
    pub daily: [u64; 4],
    /// Surprise of one day and family that counts over the 30 days at most.
    pub daily_cap: u32,
    /// Evidence of a family at most.
    pub family_cap: [u64; 4],
}

impl Weights {
    /// The weights of `weighted/1`, chosen as docs/RISK.md tells.
    pub const V1: Self = Self {
        prior_events: 64,
        prior_hours: 8,
        out_of_scope: 1_000_000,
        refused_before: 300,
        denied: 50_000,
        auth_failure: 1_000_000,
        habit_floor: 400,
        fresh: [
            (Effect::Read, 0),
            (Effect::Write, 50),
            (Effect::Send, 300),
            (Effect::Pay, 2_500),
            (Effect::Delete, 200),
            (Effect::Rights, 200),
        ],
        amount: 60_000,
        amount_steps: 5,
        first_action: 300_000,
        settled_days: 8,
        busy_times: 4,
        overload: 1_000_000,
        recent: [1_000, 170, 150, 400],
        hourly: [0, 10, 10, 580],
        daily: [0, 70, 10, 20],
        daily_cap: 4_000_000,
        family_cap: [1_900_000, 20_000_000, 20_000_000, 20_000_000],
    };

    fn fresh(&self, effect: Effect) -> u64 {
        self.fresh.iter().find(|(e, _)| *e == effect).map_or(0, |(_, share)| *share)
    }
}

/// The model `weighted/1`: the only one that there was once, and so the one of tenants whose record names none.
#[derive(Clone, Debug)]
pub struct Weighted {
    id: ModelId,
    weights: Weights,
}

impl Default for Weighted {
    fn default() -> Self {
        Self { id: ModelId("weighted/1".into()), weights: Weights::V1 }
    }
}

impl Weighted {
    /// The same model with other weights, which therefore needs another name.
    #[must_use]
    pub const fn with_weights(id: ModelId, weights: Weights) -> Self {
        Self { id, weights }
    }
}

impl RiskModel for Weighted {
    fn id(&self) -> ModelId {
        self.id.clone()
    }

    fn assess(&self, history: &History, prior: &Prior, at: UnixTime, facts: &Facts) -> Assessment {
        let mut window = history.window_at(at);
        let event = Look { weights: &self.weights, history, window: &window, prior, facts };
        let surprise = event.families().map(to_u32);
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
}

impl Weights {
    // Trust halves with each bit, so families combine as a noisy-or. What a family contributes is what
    // the score would be lower by without it.
    fn combine(&self, window: &Window) -> (Score, [u32; 4]) {
        let mut bits = [0; 4];
        let shares = self.recent.iter().zip(&self.hourly).zip(&self.daily).zip(&self.family_cap);
        let sums = window.recent().into_iter().zip(window.hourly()).zip(window.daily(self.daily_cap));
        for ((total, (((recent, hourly), daily), cap)), ((r, h), d)) in bits.iter_mut().zip(shares).zip(sums)
        {
            *total = mul_div(r.into(), *recent, 1_000)
                .saturating_add(mul_div(h, *hourly, 1_000))
                .saturating_add(mul_div(d, *daily, 1_000))
                .min(*cap);
        }
        let all = bits.iter().fold(0_u64, |sum, family| sum.saturating_add(*family));
        let score = doubt(all);
        (Score::from_millionths(score), bits.map(|family| score - doubt(all - family)))
    }
}

/// One event in the light of what is known.
struct Look<'a> {
    weights: &'a Weights,
    history: &'a History,
    window: &'a Window,
    prior: &'a Prior,
    facts: &'a Facts,
}

impl Look<'_> {
    fn families(&self) -> [u64; 4] {
        [self.frequency(), self.scope_boundary(), self.authentication(), self.transaction()]
    }

    // Each event beyond the busiest hours adds a little, so that a multiple of them adds `overload`.
    fn frequency(&self) -> u64 {
        let (busy, hours) = self.history.habits().busy();
        let believed = u64::from(self.weights.prior_hours);
        let sum = u64::from(busy) * u64::from(hours) + u64::from(self.prior.busy_hour) * believed;
        let usual = (sum / (u64::from(hours) + believed).max(1)).max(1);
        let over = u64::from(self.window.this_hour()) >= usual.saturating_mul(self.weights.busy_times);
        if over { self.weights.overload / usual } else { 0 }
    }

    fn scope_boundary(&self) -> u64 {
        let w = self.weights;
        match (self.facts.out_of_scope, self.facts.outcome) {
            (true, _) => {
                let past = self.window.before_today();
                let full = self.unless_habit(
                    w.out_of_scope,
                    past.out_of_scope,
                    past.events,
                    self.prior.out_of_scope,
                );
                let known = self.history.habits().days(refusal_key(self.facts)) == Some(KNOWN);
                let full = if known { mul_div(full, w.refused_before, 1_000) } else { full };
                full.max(w.denied)
            }
            (false, Outcome::Denied) => w.denied,
            (false, _) => 0,
        }
    }

    fn authentication(&self) -> u64 {
        if !self.facts.auth_failure {
            return 0;
        }
        let past = self.window.before_today();
        self.unless_habit(
            self.weights.auth_failure,
            past.auth_failures,
            past.events,
            self.prior.auth_failures,
        )
    }

    // Today does not count, so that a burst is not its own excuse; and there is a floor, so that a
    // boundary tested for weeks never becomes ordinary.
    fn unless_habit(&self, full: u64, times: u64, events: u64, prior: u32) -> u64 {
        let believed = u64::from(self.weights.prior_events);
        let own = surprise(times * BIT + u64::from(prior) * believed, (events + believed) * BIT);
        let usual = surprise(prior.into(), BIT);
        mul_div(full, own, usual).clamp(mul_div(full, self.weights.habit_floor, 1_000), full)
    }

    // Reaching for much money is evidence; meeting somebody new only if it came to that.
    fn transaction(&self) -> u64 {
        let met =
            if self.facts.outcome == Outcome::Ok { self.fresh().saturating_add(self.first()) } else { 0 };
        met.saturating_add(self.amount())
    }

    // A new pair is the more surprising the longer the run of known ones before it.
    fn fresh(&self) -> u64 {
        let habits = self.history.habits();
        if pair_key(self.facts).is_none_or(|key| habits.days(key).is_some()) {
            return 0;
        }
        let run = habits.action(self.facts.action).map_or(0, |a| a.run);
        let rare = mul_div(u64::from(run) + 1, self.prior.fresh.of(self.facts.effect).into(), 1);
        self.settled(mul_div(surprise(BIT, rare), self.stake(), 1_000))
    }

    // An order that names no money is no payment.
    fn stake(&self) -> u64 {
        match (self.facts.effect, self.facts.amount) {
            (Effect::Pay, None) => self.weights.fresh(Effect::Write),
            (effect, _) => self.weights.fresh(effect),
        }
    }

    // A habit of a day is none yet.
    fn settled(&self, full: u64) -> u64 {
        let days = u64::from(self.history.habits().quiet_days(to_u32(self.window.day())));
        mul_div(full, days.min(self.weights.settled_days), self.weights.settled_days)
    }

    fn amount(&self) -> u64 {
        let Some(amount) = self.facts.amount else { return 0 };
        let own = self.history.habits().action(self.facts.action).map_or(0, |a| a.amount);
        let usual = if own == 0 { self.prior.amount } else { own };
        u64::from(amount.saturating_sub(usual).min(self.weights.amount_steps))
            .saturating_mul(self.weights.amount)
    }

    fn first(&self) -> u64 {
        if self.history.habits().action(self.facts.action).is_some() {
            return 0;
        }
        self.settled(mul_div(self.weights.first_action, self.stake(), 1_000))
    }
}
