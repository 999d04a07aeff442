//! How surprising one event is in each family.

use super::Weights2;
use crate::event::{Effect, Facts, Outcome};
use crate::risk::fixed::{BIT, mul_div, surprise};
use crate::risk::habits::{KNOWN, pair_key, refusal_key};
use crate::risk::ledger::{Ledger, Usual};
use crate::risk::window::Window;
use crate::risk::{History, Prior};

/// One event in the light of what is known.
pub(super) struct Look<'a> {
    pub(super) weights: &'a Weights2,
    pub(super) history: &'a History,
    pub(super) window: &'a Window,
    pub(super) ledger: &'a Ledger,
    pub(super) prior: &'a Prior,
    pub(super) facts: &'a Facts,
}

impl Look<'_> {
    pub(super) fn families(&self) -> [u64; 4] {
        let usual = self.ledger.usual(self.facts.effect);
        let pace = self.frequency(&usual).saturating_add(self.rate(&usual)).saturating_add(self.pays(&usual));
        [pace, self.scope_boundary(), self.authentication(), self.transaction(&usual)]
    }

    // Each success beyond a multiple of the busiest hours adds a little, so that a multiple more of them adds `overload`.
    fn frequency(&self, usual: &Usual) -> u64 {
        if self.facts.outcome != Outcome::Ok {
            return 0;
        }
        let w = self.weights;
        let (taught, _) = self.ledger.taught(self.facts.effect);
        let busy = self.busy(usual).max(w.least_busy * 100).max(taught * 2_000 / w.busy_times.max(1));
        // A busy day comes in sessions; what is far beyond any of them comes as it likes.
        let most = (busy * w.slot_times / 1_000).max(1);
        let goes_on = self.ledger.spread(most) * 1_000 >= busy.saturating_mul(w.busy_times);
        if !goes_on && self.ledger.done() * 1_000 < busy.saturating_mul(w.burst_times) {
            return 0;
        }
        let more = mul_div(w.overload, 100, busy);
        let pace = u64::from(self.window.recent()[0]);
        // The whole family: what is new in great numbers has counted before.
        if usual.days < w.paced_days { more.min(w.unpaced_most.saturating_sub(pace)) } else { more }
    }

    // The geometric mean of the prior's busy hour and the agent's own: a fleet's prior may be far off.
    fn busy(&self, usual: &Usual) -> u64 {
        let prior = u64::from(self.prior.busy_hour).max(1) * 100;
        let own = usual.peak.max(self.weights.least_busy * 100);
        let (days, believed) = (usual.days, self.weights.busy_days);
        if own >= prior || days == 0 {
            return own.max(prior);
        }
        // Bits by which the prior is above the agent's own, as far as the prior is still believed.
        let bits = mul_div(surprise(own, prior), believed, days * days + believed);
        let whole = own << (bits / BIT).min(20);
        whole + mul_div(whole, bits % BIT, BIT)
    }

    fn scope_boundary(&self) -> u64 {
        let w = self.weights;
        match (self.facts.out_of_scope, self.facts.outcome) {
            (true, _) => {
                let past = self.window.before_today();
                let full = u64::from(w.out_of_scope.of(self.facts.effect));
                let own = surprise(
                    past.out_of_scope * BIT + u64::from(self.prior.out_of_scope) * w.prior_events,
                    (past.events + w.prior_events) * BIT,
                );
                let usual = surprise(self.prior.out_of_scope.into(), BIT);
                let damped = mul_div(full, own, usual).clamp(mul_div(full, w.habit_floor, 1_000), full);
                let known = self.history.habits().days(refusal_key(self.facts)) == Some(KNOWN);
                let again = self.ledger.refusals(self.facts) > 0;
                // A burst is no habit.
                let counted = match (self.ledger.out() >= w.burst, again) {
                    (true, true) => mul_div(full, w.burst_again, 1_000),
                    (true, false) => mul_div(full, w.burst_new, 1_000),
                    (false, true) => mul_div(damped, w.tried_today, 1_000),
                    (false, false) => damped,
                };
                match (known, again) {
                    // Whoever loops at a door that stays shut learns nothing by it.
                    (true, true) => w.denied,
                    (true, false) => mul_div(counted, w.refused_before, 1_000).max(w.denied),
                    (false, _) => counted.max(w.denied),
                }
            }
            (false, Outcome::Denied) => w.denied,
            (false, _) => 0,
        }
    }

    // One account that fails again and again may be down; many accounts are guesses, and so is a long burst.
    fn authentication(&self) -> u64 {
        if !self.facts.auth_failure {
            return 0;
        }
        let (w, past) = (self.weights, self.window.before_today());
        let many = w.login_many + (past.auth_failures / 5).min(w.login_habit);
        match (self.ledger.failures(self.facts), self.ledger.logins()) {
            (0, 0) => w.login_new,
            (0, _) => w.login_further,
            (n, _) if n < many => w.login_again,
            _ => w.login_long,
        }
    }

    fn transaction(&self, usual: &Usual) -> u64 {
        let fresh = self.history.is_fresh(self.facts);
        let met = if fresh { self.fresh(usual) } else { 0 };
        met.saturating_add(self.amount(fresh))
    }

    // An order that names no money is no payment.
    fn effect(&self) -> Effect {
        match (self.facts.effect, self.facts.amount) {
            (Effect::Pay, None) => Effect::Write,
            (effect, _) => effect,
        }
    }

    fn done(&self) -> bool {
        self.facts.outcome == Outcome::Ok
    }

    // How rare a day with something new of the kind is for this agent, in bits; the prior counts as some days.
    fn rarity(&self, usual: &Usual) -> u64 {
        let believed = self.weights.prior_days;
        let prior = u64::from(self.prior.fresh.of(self.facts.effect));
        surprise(usual.fresh_days * BIT + believed * prior, usual.days * BIT).min(self.weights.rare)
    }

    // A habit of a few days is hardly one: in thousandths, as the square of the days.
    fn settled(&self, usual: &Usual) -> u64 {
        let (days, full) = (usual.days.min(self.weights.settled_days), self.weights.settled_days.max(1));
        1_000 * days * days / (full * full)
    }

    // What is at stake with somebody new. An act about a counterparty that pays, tells and grants nothing does little.
    fn stake(&self) -> u64 {
        let w = self.weights;
        let effect = self.effect();
        let full = u64::from(w.fresh.of(effect));
        let mild = matches!(effect, Effect::Read | Effect::Write | Effect::Delete)
            && self.facts.counterparty.is_some();
        let full = if mild { mul_div(full, w.fresh_mild, 1_000) } else { full };
        if self.facts.outcome == Outcome::Ok { full } else { mul_div(full, w.fresh_failed, 1_000) }
    }

    fn fresh(&self, usual: &Usual) -> u64 {
        let w = self.weights;
        let full = mul_div(self.stake(), self.rarity(usual), BIT);
        let full = mul_div(full, self.settled(usual), 1_000);
        // The first of a day tells most: what follows belongs to the same piece of work.
        let others = usual.recent_fresh * w.other_days / 1_000;
        let full = mul_div(full, 100, 100 + others);
        mul_div(full, w.same_day, w.same_day + self.ledger.met_today(self.facts.effect))
    }

    // Many new targets within the hour, against those that this agent meets in a day.
    fn rate(&self, usual: &Usual) -> u64 {
        if !self.history.is_fresh(self.facts) {
            return 0;
        }
        let w = self.weights;
        let (_, taught) = self.ledger.taught(self.facts.effect);
        let many = (usual.met * w.many_times / 100).max(taught) + u64::from(w.many.of(self.facts.effect));
        let acts = usual.met_by_acts * w.many_times / 100 + w.many_acts;
        let more = self.facts.effect != Effect::Read && self.ledger.met_by_acts() >= acts.max(taught);
        if more || self.ledger.met(self.facts.effect) >= many {
            w.rate.of(self.facts.effect).into()
        } else {
            0
        }
    }

    fn pays(&self, usual: &Usual) -> u64 {
        let w = self.weights;
        let many = usual.pays * w.many_times / 100 + w.many_pays;
        let pay = self.facts.effect == Effect::Pay && self.done();
        if pay && self.ledger.pays() >= many { w.pay_rate } else { 0 }
    }

    fn amount(&self, fresh: bool) -> u64 {
        let w = self.weights;
        let Some(amount) = self.facts.amount else { return 0 };
        let own = self.history.habits().action(self.facts.action).map_or(0, |a| a.amount);
        let usual = if own == 0 { self.prior.amount } else { own };
        let known = !fresh && pair_key(self.facts).is_some();
        let usual = if known { usual.saturating_add(w.amount_known) } else { usual };
        u64::from(amount.saturating_sub(usual).min(w.amount_steps)).saturating_mul(w.amount)
    }
}
