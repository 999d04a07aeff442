//! A risk model of an embedder's own, which keeps something of its own of each agent.

use std::sync::Arc;

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Event, Facts, Outcome};
use kakunin_core::risk::{Assessment, History, ModelId, Prior, RiskModel, Score};
use kakunin_core::service::{Damage, Kakunin};
use kakunin_core::time::UnixTime;
use pollster::block_on;

use crate::world::{acme, agent, config, parts};

/// How many refusals came one after the other, and nothing else.
#[derive(Debug)]
struct Streak;

const NAME: u8 = b's';

fn streak(history: &History) -> u32 {
    match history.kept() {
        [NAME, streak] => u32::from(*streak),
        _ => 0,
    }
}

fn score(streak: u32) -> Score {
    Score::from_millionths((streak * 300_000).min(1_000_000))
}

fn next(history: &History, facts: &Facts) -> u32 {
    if facts.outcome == Outcome::Denied { (streak(history) + 1).min(9) } else { 0 }
}

impl RiskModel for Streak {
    fn id(&self) -> ModelId {
        ModelId("streak/1".into())
    }

    fn assess(&self, history: &History, _: &Prior, _: UnixTime, facts: &Facts) -> Assessment {
        let score = score(next(history, facts));
        Assessment { score, evidence: [score.millionths(), 0, 0, 0], surprise: [0; 4] }
    }

    fn keep(&self, history: &History, _: UnixTime, facts: &Facts, _: &Assessment) -> Vec<u8> {
        match next(history, facts) {
            0 => Vec::new(),
            streak => vec![NAME, u8::try_from(streak).unwrap()],
        }
    }

    fn current(&self, history: &History, _: UnixTime) -> Score {
        score(streak(history))
    }
}

#[cfg(feature = "conformance")]
#[test]
fn it_is_a_risk_model() {
    use kakunin_core::conformance::risk_model;

    risk_model::the_same_life_gives_the_same_scores(&Streak);
    risk_model::a_score_never_rises_between_events(&Streak);
    risk_model::an_encoded_history_judges_the_same(&Streak);
    risk_model::an_act_outside_the_scope_never_lowers_the_score(&Streak);
}

#[test]
fn a_model_finds_what_it_kept_after_a_restart_by_snapshot_and_by_replay() {
    for snapshot in [true, false] {
        let (mut parts, _) = parts();
        parts.model = Arc::new(Streak);
        let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
        block_on(kakunin.create_tenant(&acme())).unwrap();
        let (id, serial) = agent(&kakunin, "one");
        let act = |kakunin: &Kakunin, outcome| {
            let mut event = Event::new(serial, "read:a".parse().unwrap(), outcome);
            event.attribution = kakunin_core::event::Attribution::Possession;
            block_on(kakunin.tenant(&acme()).observe(event)).unwrap().score
        };
        for outcome in [Outcome::Denied, Outcome::Ok, Outcome::Denied, Outcome::Denied] {
            act(&kakunin, outcome);
        }
        if snapshot {
            block_on(kakunin.snapshot()).unwrap();
        }
        drop(kakunin);
        let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
        let risk = block_on(kakunin.tenant(&acme()).risk(&id)).unwrap();
        assert_eq!((risk.score, kakunin.damage()), (score(2), Damage::default()), "snapshot: {snapshot}");
        assert_eq!(act(&kakunin, Outcome::Denied), score(3));
        assert_eq!(block_on(kakunin.tenant(&acme()).agent(&id)).unwrap().state, AgentState::Suspended);
    }
}
