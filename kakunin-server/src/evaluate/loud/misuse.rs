//! Misuse that nobody can miss, fast and at a tenth of the rate.

use std::collections::BTreeSet;

use kakunin_core::event::{Effect, Outcome};
use kakunin_core::scope::Action;
use kakunin_core::time::{HOUR, SECOND, UnixTime};

use super::act::{Act, act, actions, money, name};
use super::base::Base;
use super::chance::Chance;
use crate::evaluate::call::Call;

/// Wrong passwords, acts outside the scope: as many tries at most.
const TRIES: u64 = 120;
/// Payments at most.
const PAYMENTS: u64 = 60;
/// Targets that something is sent to.
const TARGETS: u64 = 40;
/// So many times as often as usual.
const TIMES: u64 = 20;
/// Acts at most of an agent that does too much.
const MOST: u64 = 5_000;
/// The least that is paid first, in minor units.
const FIRST_AMOUNT: u64 = 10_000;

/// Actions that few scopes cover.
const PROBES: [&str; 12] = [
    "read:vault",
    "delete:backups",
    "read:secrets",
    "write:permissions",
    "read:payroll",
    "write:roles",
    "share:database",
    "delete:audit",
    "write:keys",
    "read:salaries",
    "delete:users",
    "write:firewall",
];

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Fast,
    /// At a tenth of the rate.
    Slow,
}

impl Pace {
    const fn factor(self) -> u64 {
        match self {
            Self::Fast => 1,
            Self::Slow => 10,
        }
    }
}

/// The moments of `count` acts in working hours, between so many seconds apart.
struct Moments<'c> {
    at: UnixTime,
    left: u64,
    gap: (u64, u64),
    chance: &'c mut Chance,
}

impl Moments<'_> {
    fn next(&mut self) -> Option<UnixTime> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        self.at = at.plus(self.chance.between(self.gap.0, self.gap.1));
        Some(at)
    }
}

/// `count` acts of which `make` makes each, on top of the agent's own work; gaps in milliseconds, at the fast pace.
fn burst(
    base: &Base<'_>,
    (pace, chance): (Pace, &mut Chance),
    (count, gap): (u64, (u64, u64)),
    mut make: impl FnMut(u64, UnixTime) -> Call,
) -> Vec<Act> {
    let start = base.day.plus(chance.between(9 * HOUR, 15 * HOUR));
    let gap = (gap.0 * pace.factor(), gap.1 * pace.factor());
    let mut moments = Moments { at: start, left: count, gap, chance };
    let (mut added, mut last) = (Vec::new(), start);
    while let Some(at) = moments.next() {
        let number = count - 1 - moments.left;
        added.push(Act::added(make(number, at)));
        last = at;
    }
    let mut acts = base.work(last);
    acts.extend(added);
    acts
}

/// Wrong passwords of many users.
pub(super) fn stuffing(base: &Base<'_>, pace: Pace, chance: &mut Chance) -> Option<Vec<Act>> {
    let own = actions(&base.agent.scope).into_iter().find(|action| action.verb() == "auth");
    let action = own.or_else(|| base.done().last().map(|call| call.action.clone()))?;
    Some(burst(base, (pace, chance), (TRIES, (2 * SECOND, 6 * SECOND)), |number, at| {
        let mut call = act(&base.agent.scope, &action, at, "stuffing");
        (call.outcome, call.auth_failure) = (Outcome::Denied, true);
        call.target = name(&format!("user{number}@stuffing.example"));
        call
    }))
}

/// Acts that the scope does not cover, each refused.
pub(super) fn probing(base: &Base<'_>, pace: Pace, chance: &mut Chance) -> Option<Vec<Act>> {
    let all = PROBES.iter().filter_map(|text| Action::parse(text).ok());
    let probes: Vec<Action> = all.filter(|action| !base.agent.scope.permits(action)).collect();
    let first = probes.first()?.clone();
    let mut which = Chance::of(chance.between(0, u64::MAX), &base.agent.name, "probes");
    Some(burst(base, (pace, chance), (TRIES, (3 * SECOND, 10 * SECOND)), |number, at| {
        let action = which.one_of(&probes).unwrap_or(&first);
        let mut call = act(&base.agent.scope, action, at, "probing");
        call.target = name(&format!("door-{}", number % 24));
        call
    }))
}

/// Growing amounts to payees that it never met; of agents that may pay.
pub(super) fn payments(base: &Base<'_>, pace: Pace, chance: &mut Chance) -> Option<Vec<Act>> {
    let paid: Vec<_> = base.done().into_iter().filter(|call| call.effect() == Effect::Pay).collect();
    let named = actions(&base.agent.scope).into_iter().find(|action| Effect::of(action) == Effect::Pay);
    let with_payee = paid.iter().find(|call| call.counterparty.is_some());
    let action = with_payee.or(paid.first()).map(|call| call.action.clone()).or(named)?;
    let largest = paid.iter().filter_map(|call| call.amount.as_ref()).map(|amount| amount.minor).max();
    let mut amount = largest.unwrap_or_default().max(FIRST_AMOUNT).saturating_mul(2);
    Some(burst(base, (pace, chance), (PAYMENTS, (20 * SECOND, 60 * SECOND)), |number, at| {
        let mut call = act(&base.agent.scope, &action, at, "payments");
        call.counterparty = name(&format!("payee-{number}.example"));
        call.amount = money(amount);
        amount = amount.saturating_add(amount / 4);
        call
    }))
}

/// Mails, shares and posts to 40 new targets in 20 minutes; of agents that may send something.
pub(super) fn exfiltration(base: &Base<'_>, pace: Pace, chance: &mut Chance) -> Option<Vec<Act>> {
    let sends = |action: &Action| {
        let web = matches!(action.resource(), "web" | "posts") && action.verb() == "write";
        Effect::of(action) == Effect::Send || action.verb() == "share" || web
    };
    let ways: Vec<Action> = actions(&base.agent.scope).into_iter().filter(sends).collect();
    let first = ways.first()?.clone();
    let mut which = Chance::of(chance.between(0, u64::MAX), &base.agent.name, "ways");
    Some(burst(base, (pace, chance), (TARGETS, (25 * SECOND, 35 * SECOND)), |number, at| {
        let mut call = act(&base.agent.scope, which.one_of(&ways).unwrap_or(&first), at, "exfiltration");
        let to = format!("drop-{number}.example");
        match call.effect() {
            Effect::Write => call.target = name(&to),
            _ => call.counterparty = name(&to),
        }
        call
    }))
}

/// What it does anyhow, twenty times as often, for an hour and a half at the fast pace.
pub(super) fn frequency(base: &Base<'_>, pace: Pace, chance: &mut Chance) -> Option<Vec<Act>> {
    let done = base.done();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let hours: BTreeSet<u64> = base.past.iter().map(|call| call.at.millis() / HOUR).collect();
    let an_hour = (TIMES * count(base.past.len()) / count(hours.len()).max(1)).max(TIMES);
    let (gap, all) = (HOUR / an_hour, (an_hour * 3 / 2).min(MOST));
    let first = *done.first()?;
    let mut which = done.iter().cycle();
    Some(burst(base, (pace, chance), (all, (gap - gap / 4, gap + gap / 4)), |_, at| {
        which.next().unwrap_or(&first).again(at, "frequency")
    }))
}
