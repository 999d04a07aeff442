//! Each kind on each agent that has a history.

use kakunin_core::time::MINUTE;

use super::act::Act;
use super::base::{Base, is_settled};
use super::chance::Chance;
use super::kinds::{KINDS, Kind, Make};
use super::report::{KindReport, LoudReport, Reached};
use crate::evaluate::agents::Agent;
use crate::evaluate::engine::Engine;
use crate::evaluate::figures::count;
use crate::evaluate::folder::Folder;
use crate::evaluate::report::{REVOKE, WARN};
use crate::evaluate::run::Options;

/// How far it was when a threshold was reached: acts that were added, and minutes since the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) events: u64,
    pub(super) minutes: u64,
}

/// What came of one kind on one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) warned: Option<Moment>,
    pub(super) revoked: Option<Moment>,
}

/// All kinds on all honest agents with a history; `None` if there are none. Who would be revoked already by its own acts is
/// left out, and counted.
pub(in crate::evaluate) fn run(folder: &Folder, options: &Options, seed: u64) -> Option<LoudReport> {
    let engine = Engine::new(&options.model);
    let settled: Vec<&Agent> = folder.agents.iter().filter(|agent| is_settled(agent)).collect();
    let bases: Vec<Base<'_>> = settled.iter().filter_map(|agent| Base::of(agent, &engine, seed)).collect();
    if bases.is_empty() {
        return None;
    }
    let (lost, bases): (Vec<_>, Vec<_>) = bases.into_iter().partition(|base| base.is_lost);
    let kinds = KINDS.iter().map(|kind| {
        let outcomes = bases.iter().filter_map(|base| {
            let mut chance = Chance::of(seed, &base.agent.name, kind.name);
            Some(live(base, &engine, make(kind, base, &settled, &mut chance)?))
        });
        let outcomes: Vec<Outcome> = outcomes.collect();
        let of = count(outcomes.len());
        let reached = |at: fn(&Outcome) -> Option<Moment>| Reached::of(outcomes.iter().filter_map(at), of);
        let (revoked, warned) = (reached(|outcome| outcome.revoked), reached(|outcome| outcome.warned));
        let share = kind.goal.share(outcomes.iter().map(|outcome| outcome.revoked));
        KindReport { kind: kind.name, goal: kind.goal, met: kind.goal.is_met(share), share, revoked, warned }
    });
    Some(LoudReport {
        model: options.model.to_string(),
        scope: options.scope.name(),
        seed,
        agents: count(bases.len()),
        left_out: count(lost.len()),
        kinds: kinds.collect(),
    })
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
