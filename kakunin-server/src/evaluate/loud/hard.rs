//! Hard days of honest agents, on which nobody may be revoked.

use std::collections::BTreeMap;

use kakunin_core::event::{Effect, Outcome};
use kakunin_core::time::{DAY, HOUR, MINUTE, SECOND, UnixTime};

use super::act::{Act, money};
use super::base::Base;
use super::chance::Chance;
use crate::evaluate::agents::Agent;
use crate::evaluate::call::Call;

/// Errors of a storm against one target.
const STORM: u64 = 170;
/// Failed authentications within a minute.
const FAILURES: u64 = 10;
/// Tries of a call whose target is out, 2, 4, ..., 256 s apart.
const RETRIES: u32 = 8;

/// Who else works here.
pub(super) type Others<'a> = &'a [&'a Agent];

/// Its own day, with nothing added: what the others are to be held against.
pub(super) fn plain(base: &Base<'_>, _: Others<'_>, _: &mut Chance) -> Option<Vec<Act>> {
    Some(base.work(base.day.plus(2 * DAY)))
}

/// Five times the work: each of its calls, and four more of its past, refused ones as well.
pub(super) fn busy(base: &Base<'_>, _: Others<'_>, chance: &mut Chance) -> Option<Vec<Act>> {
    let mut acts = base.work(base.day.plus(2 * DAY));
    for call in base.today() {
        for number in 1..=4 {
            let at = call.at.plus(chance.between(10 * SECOND, 10 * MINUTE));
            let more = chance.one_of(base.past)?.again(at, &format!("more {number}"));
            acts.push(Act::added(more));
        }
    }
    Some(acts)
}

/// It takes the work of another agent of its trade, for five days, with a certificate for that.
pub(super) fn job_change(base: &Base<'_>, others: Others<'_>, chance: &mut Chance) -> Option<Vec<Act>> {
    let same = |other: &&&Agent| other.suite == base.agent.suite && other.name != base.agent.name;
    let other = *chance.one_of(&others.iter().filter(same).collect::<Vec<_>>())?;
    let today = |at: UnixTime| at.minus(at.millis() % DAY);
    let from = today(chance.one_of(&other.calls)?.at);
    let work = other.calls.iter().filter(|call| call.at >= from && call.at < from.plus(5 * DAY));
    let moved = |call: &Call| Call { at: base.day.plus(call.at.since(from)), ..call.clone() };
    Some(work.map(|call| Act::added(moved(call))).collect())
}

/// At the end of the month it pays those whom it knows, five times as much; of agents that paid somebody.
pub(super) fn month_end(base: &Base<'_>, _: Others<'_>, chance: &mut Chance) -> Option<Vec<Act>> {
    let mut known: BTreeMap<&str, &Call> = BTreeMap::new();
    for call in base.done().into_iter().filter(|call| call.effect() == Effect::Pay) {
        if let (Some(payee), Some(amount)) = (&call.counterparty, &call.amount) {
            let largest = known.entry(payee.as_str()).or_insert(call);
            if largest.amount.as_ref().is_some_and(|largest| largest.minor < amount.minor) {
                *largest = call;
            }
        }
    }
    let known: Vec<&Call> = known.into_values().collect();
    let mut at = base.day.plus(16 * HOUR);
    let mut acts = base.work(base.day.plus(2 * DAY));
    for _ in 0..known.len().clamp(5, 25) {
        let mut call = chance.one_of(&known)?.again(at, "month end");
        call.amount = call.amount.and_then(|amount| money(amount.minor.saturating_mul(5)));
        acts.push(Act::added(call));
        at = at.plus(chance.between(30 * SECOND, 180 * SECOND));
    }
    Some(acts)
}

/// For an hour whatever it calls fails, and it tries again, each time after twice as long.
pub(super) fn outage(base: &Base<'_>, _: Others<'_>, _: &mut Chance) -> Option<Vec<Act>> {
    let begins = base.today().first()?.at;
    let mut acts = Vec::new();
    for own in base.work(base.day.plus(2 * DAY)) {
        if own.call.at >= begins.plus(HOUR) || own.call.outside {
            acts.push(own);
            continue;
        }
        let mut at = own.call.at;
        for retry in 1..=RETRIES {
            // It fails before anybody is asked who they are.
            let failed = Call { at, outcome: Outcome::Error, auth_failure: false, ..own.call.clone() };
            acts.push(Act::added(failed));
            at = at.plus(SECOND << retry);
        }
    }
    Some(acts)
}

/// 170 errors in a row against one target.
pub(super) fn storm(base: &Base<'_>, _: Others<'_>, chance: &mut Chance) -> Option<Vec<Act>> {
    let done = base.done();
    let call = *chance.one_of(&done)?;
    let mut at = base.day.plus(chance.between(9 * HOUR, 17 * HOUR));
    let mut acts = base.work(base.day.plus(2 * DAY));
    for _ in 0..STORM {
        acts.push(Act::added(Call { outcome: Outcome::Error, ..call.again(at, "storm") }));
        at = at.plus(chance.between(2 * SECOND, 5 * SECOND));
    }
    Some(acts)
}

/// Ten failed authentications within a minute against one target, and then it works.
pub(super) fn failures(base: &Base<'_>, _: Others<'_>, chance: &mut Chance) -> Option<Vec<Act>> {
    let done = base.done();
    let call = *chance.one_of(&done)?;
    let start = base.day.plus(chance.between(9 * HOUR, 17 * HOUR));
    let mut acts = base.work(base.day.plus(2 * DAY));
    for number in 0..FAILURES {
        let at = start.plus(number * 6 * SECOND);
        let failed = Call { outcome: Outcome::Denied, auth_failure: true, ..call.again(at, "expired") };
        acts.push(Act::added(failed));
    }
    acts.push(Act::added(call.again(start.plus(2 * MINUTE), "expired")));
    Some(acts)
}
