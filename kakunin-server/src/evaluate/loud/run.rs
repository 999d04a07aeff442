//! Each kind on each agent that has a history.

use std::cell::LazyCell;

use kakunin_core::time::MINUTE;

use super::act::Act;
use super::base::{Base, is_settled};
use super::chance::Chance;
use super::kinds::{KINDS, Kind, Make};
use super::report::{KindReport, LoudReport, Moment, Reached};
use crate::evaluate::agents::Agent;
use crate::evaluate::engine::{Engine, REVOKE, WARN};
use crate::evaluate::figures::count;
use crate::evaluate::folder::Folder;
use crate::evaluate::options::Options;

/// What came of one kind on one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) warned: Option<Moment>,
    pub(super) revoked: Option<Moment>,
}

/// So often each kind is to be seen, with other days of the same agents where these are fewer.
const WANTED: usize = 300;
/// Days of one agent at most.
const ROUNDS: u64 = 5;

/// Agents of one round, and how many would be revoked already by their own acts.
struct Round<'a> {
    bases: Vec<Base<'a>>,
    lost: u64,
}

/// All kinds on all honest agents with a history; `None` if there are none. Who would be revoked already by its own acts is
/// left out, and counted.
pub(in crate::evaluate) fn run(folder: &Folder, options: &Options, seed: u64) -> Option<LoudReport> {
    let engine = Engine::new(&options.model);
    let settled: Vec<&Agent> = folder.agents.iter().filter(|agent| is_settled(agent)).collect();
    if settled.is_empty() {
        return None;
    }
    let begin = |number| {
        let bases = settled.iter().filter_map(|agent| Base::of(agent, &engine, (seed, number)));
        let (lost, bases): (Vec<_>, Vec<_>) = bases.partition(|base| base.is_lost);
        Round { bases, lost: count(lost.len()) }
    };
    let rounds: Vec<(u64, LazyCell<Round<'_>, _>)> = (0..ROUNDS)
        .map(|number| {
            (
                number,
                LazyCell::new({
                    let begin = &begin;
                    move || begin(number)
                }),
            )
        })
        .collect();
    let kinds = KINDS.iter().map(|kind| {
        let mut outcomes = Vec::new();
        for (number, round) in &rounds {
            if outcomes.len() >= WANTED {
                break;
            }
            outcomes.extend(round.bases.iter().filter_map(|base| {
                let mut chance = Chance::of(seed, &base.agent.name, &format!("{} {number}", kind.name));
                Some(live(base, &engine, make(kind, base, &settled, &mut chance)?))
            }));
        }
        summary(kind, &outcomes)
    });
    let kinds = kinds.collect();
    let (agents, left_out) =
        rounds.first().map(|(_, first)| (count(first.bases.len()), first.lost)).unwrap_or_default();
    let (model, scope) = (options.model.to_string(), options.scope.name());
    Some(LoudReport { model, scope, seed, agents, left_out, kinds })
}

fn summary(kind: &Kind, outcomes: &[Outcome]) -> KindReport {
    let of = count(outcomes.len());
    let reached = |at: fn(&Outcome) -> Option<Moment>| Reached::of(outcomes.iter().filter_map(at), of);
    let (revoked, warned) = (reached(|outcome| outcome.revoked), reached(|outcome| outcome.warned));
    let share = kind.goal.share(outcomes.iter().map(|outcome| outcome.revoked));
    KindReport { kind: kind.name, goal: kind.goal, met: kind.goal.is_met(share), share, revoked, warned }
}

fn make(kind: &Kind, base: &Base<'_>, others: &[&Agent], chance: &mut Chance) -> Option<Vec<Act>> {
    let acts = match kind.make {
        Make::Misuse(make, pace) => make(base, pace, chance),
        Make::Hard(make) => make(base, others, chance),
    };
    // In the order of their times; those of one moment as they were made.
    acts.map(|mut acts| {
        acts.sort_by_key(|act| act.call.at);
        acts
    })
}

/// Lives through these acts, until they are over or the agent is revoked.
fn live(base: &Base<'_>, engine: &Engine, acts: Vec<Act>) -> Outcome {
    let mut history = base.history.clone();
    let (mut outcome, mut events, mut began) = (Outcome::default(), 0, None);
    for Act { call, added } in acts {
        if added {
            events += 1;
            began.get_or_insert(call.at);
        }
        let score = engine.take(&mut history, &call);
        let moment = || Moment { events, minutes: began.map_or(0, |began| call.at.since(began) / MINUTE) };
        if score >= WARN {
            outcome.warned.get_or_insert_with(moment);
        }
        if score >= REVOKE {
            outcome.revoked = Some(moment());
            break;
        }
    }
    outcome
}
