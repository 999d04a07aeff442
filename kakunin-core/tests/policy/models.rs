//! Models: which one judges, from which record on, and what it makes of what another one judged.

use std::sync::Arc;

use kakunin_core::log::record::Control;
use kakunin_core::policy::{Mode, Policy};
use kakunin_core::risk::weighted::{Weighted, Weights};
use kakunin_core::risk::{Band, ModelId, RiskModel, Score, Thresholds, Weighted2};
use kakunin_core::service::{Crossings, Parts, Rebuild, Replaces, WhatIf, rebuild, rescore, simulate};
use kakunin_core::time::{Clock as _, MINUTE};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{config, deployment, parts, reopened};
use crate::world::{World, refused, works, world};

fn named(name: &str) -> Option<ModelId> {
    Some(ModelId(name.to_owned()))
}

fn model(w: &World) -> String {
    block_on(w.tenant().policy()).unwrap().model.0.clone()
}

fn evidence(w: &World) -> Vec<(Band, String)> {
    let told = w.of(|control| match control {
        Control::BandChanged { to, evidence, .. } => Some((*to, evidence.model.0.clone())),
        _ => None,
    });
    told.into_iter().map(|(_, told)| told).collect()
}

fn every_score_comes_out(w: &World) {
    let all = block_on(rescore(config(), w.parts.clone(), None, None)).unwrap();
    let of: Vec<_> = all.iter().map(|log| (log.compared > 0, log.differing)).collect();
    assert_eq!(of, [(true, 0)], "{all:?}");
    let rebuilt = block_on(rebuild(config(), w.parts.clone(), Rebuild::Compare, None)).unwrap();
    assert!(rebuilt.is_equal(), "{:?}", rebuilt.tables);
}

#[test]
fn another_model_judges_from_its_record_on_and_all_evidence_begins_anew() {
    for snapshot in [true, false] {
        let mut w = world();
        assert_eq!(model(&w), "weighted/2");
        let ((one, serial), (idle, other)) = (w.agent("one"), w.agent("idle"));
        for serial in [serial, other] {
            w.until(serial, |observed| observed.band == Band::Warning);
        }
        let before = w.risk(&one);
        assert!(before.score >= Score::from_millionths(750_000) && !before.evidence.is_empty());
        assert_eq!(w.set(|policy| policy.model = named("weighted/1")).model.0, "weighted/1");
        // Nobody loses anything by what another model thought.
        for agent in [one, idle] {
            let risk = w.risk(&agent);
            assert_eq!((risk.score, risk.evidence.len(), risk.band), (Score::default(), 0, Band::Low));
        }
        if snapshot {
            block_on(w.kakunin.snapshot()).unwrap();
        }
        every_score_comes_out(&w);
        w = w.restarted();
        assert_eq!(w.risk(&idle).score, Score::default(), "snapshot: {snapshot}");
        let seen = w.observe(refused(serial));
        assert!(!seen.revoked && seen.score > Score::default(), "{seen:?}");
        let (last, count) = w.until(serial, |observed| observed.revoked);
        assert!(count > 1 && last.band == Band::Revoke, "{count}");
        let told = evidence(&w);
        let by = |name: &str| told.iter().filter(|(_, model)| model == name).count();
        assert!(by("weighted/2") >= 2 && by("weighted/1") >= 1, "{told:?}");
        every_score_comes_out(&w);
        let standing = [one, idle].map(|agent| (w.risk(&agent).score, w.risk(&agent).evidence));
        w = w.restarted();
        assert_eq!([one, idle].map(|agent| (w.risk(&agent).score, w.risk(&agent).evidence)), standing);
        w = w.rebuilt();
        assert_eq!([one, idle].map(|agent| (w.risk(&agent).score, w.risk(&agent).evidence)), standing);
        // Back again is another change; the one that it was made with needs no name.
        w.set(|policy| policy.model = None);
        assert_eq!(model(&w), "weighted/2");
        assert_eq!(w.risk(&one).score, Score::default());
    }
}

#[test]
fn a_policy_that_changes_anything_else_or_names_the_same_model_leaves_the_evidence() {
    let w = world();
    let (one, serial) = w.agent("one");
    w.until(serial, |observed| observed.band == Band::Warning);
    let score = w.risk(&one).score;
    w.set(|policy| policy.mode = Mode::Warn);
    w.set(|policy| policy.model = named("weighted/2"));
    assert_eq!((w.risk(&one).score, model(&w).as_str()), (score, "weighted/2"));
    assert!(w.observe(refused(serial)).score > score);
    every_score_comes_out(&w);
}

#[test]
fn a_model_that_nobody_has_is_refused_and_leaves_no_record() {
    let w = world();
    let size = w.size();
    for name in ["weighted/0", "", "Weighted/1", "weighted/1 ", "..%2e", "\u{202e}1/dethgiew"] {
        let policy = Policy { model: named(name), ..Policy::default() };
        let refused = block_on(w.tenant().set_policy(policy, Replaces::Any, None)).unwrap_err();
        assert_eq!(refused.code(), "policy_model", "{name:?}");
    }
    assert_eq!(w.size(), size);
}

/// A deployment that is opened with another model goes on with the one on record; tenants that are made then have the new one.
#[test]
fn a_start_with_another_model_changes_no_decision() {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    parts.model = Arc::new(Weighted::default());
    let (kakunin, acme) = deployment(config(), &parts);
    let w = World { kakunin, parts, clock, acme };
    let (one, serial) = w.agent("one");
    w.until(serial, |observed| observed.band == Band::Warning);
    let score = w.risk(&one).score;
    let World { kakunin, parts, clock, acme } = w;
    drop(kakunin);
    let own = Arc::new(Weighted::with_weights(ModelId("own/1".into()), Weights::V1));
    let parts = Parts { model: own, ..parts };
    let w = World { kakunin: reopened(config(), &parts), parts, clock, acme };
    assert_eq!((w.risk(&one).score, model(&w).as_str()), (score, "weighted/1"));
    assert!(w.observe(refused(serial)).score > score);
    every_score_comes_out(&w);
    let made = block_on(w.kakunin.create_tenant(&"beta".parse().unwrap())).unwrap();
    assert_eq!(block_on(made.policy()).unwrap().model.0, "own/1");
    w.set(|policy| policy.model = named("own/1"));
    w.clock.set(w.clock.now().plus(MINUTE));
    w.observe(works(serial));
    let w = w.restarted();
    assert_eq!(model(&w), "own/1");
}

/// A program that lacks the model goes by its own, and what is on record then differs from what it makes of the log.
#[test]
fn a_model_that_is_gone_is_found_out_by_the_scores_on_record() {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    let weights = Weights { out_of_scope: 100_000, ..Weights::V1 };
    parts.model = Arc::new(Weighted::with_weights(ModelId("mild/1".into()), weights));
    let (kakunin, acme) = deployment(config(), &parts);
    let mut w = World { kakunin, parts, clock, acme };
    let (_, serial) = w.agent("one");
    (0..3).for_each(|_| _ = w.observe(refused(serial)));
    every_score_comes_out(&w);
    w.parts.model = Arc::new(Weighted::default());
    let all = block_on(rescore(config(), w.parts.clone(), None, None)).unwrap();
    assert_eq!((all[0].compared, all[0].differing), (3, 3));
    // By a model of one's choice they are what that makes of them.
    let chosen: Arc<dyn RiskModel> = Arc::new(Weighted::default());
    assert_eq!(block_on(rescore(config(), w.parts.clone(), Some(chosen), None)).unwrap(), all);
}

/// What another model or policy would have made of the same log, and when: nothing is written, and nobody is told.
#[test]
fn a_simulation_says_who_would_have_been_warned_and_revoked_by_which_event() {
    let w = world();
    let ((loud, serial), (calm, other)) = (w.agent("loud"), w.agent("calm"));
    (0..3).for_each(|_| _ = w.observe(works(other)));
    let (last, count) = w.until(serial, |observed| observed.revoked);
    let (size, lost) = (w.size(), last.index.unwrap());
    let ask = |what_if: WhatIf| {
        let all = block_on(simulate(config(), w.parts.clone(), what_if, None)).unwrap();
        let [log] = <[_; 1]>::try_from(all).unwrap();
        assert_eq!((log.agents, log.scored), (2, 3 + u64::try_from(count).unwrap()));
        log.told
    };
    // As it was: what comes out is what is on record.
    let told = ask(WhatIf::default());
    let [agent] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((agent.agent, agent.name.as_str()), (loud, "loud"));
    assert_eq!(agent.simulated, agent.recorded);
    assert_eq!(agent.simulated.revoked.as_ref().map(|crossing| crossing.index), Some(lost));
    let warned = agent.recorded.warned.as_ref().map(|crossing| crossing.index).unwrap();
    assert!(warned < lost);
    // By a stricter policy it would have come earlier, by a patient one never.
    let thresholds = Thresholds::new(
        Score::from_millionths(50_000),
        Score::from_millionths(100_000),
        Score::from_millionths(200_000),
    )
    .unwrap();
    let strict = ask(WhatIf { policy: Some(Policy::with(thresholds)), ..WhatIf::default() });
    let earlier = strict[0].simulated.revoked.clone().unwrap();
    assert!(earlier.index < lost && earlier.index < warned && strict[0].recorded == agent.recorded);
    let watch = Policy { mode: Mode::Observe, ..Policy::default() };
    let watched = ask(WhatIf { policy: Some(watch), ..WhatIf::default() });
    assert_eq!((&watched[0].simulated, &watched[0].recorded), (&Crossings::default(), &agent.recorded));
    let warns = Policy { mode: Mode::Warn, model: named("weighted/1"), ..Policy::default() };
    let warned = ask(WhatIf { policy: Some(warns), ..WhatIf::default() });
    assert!(warned[0].simulated.revoked.is_none());
    // A model says what it makes of it, whatever judged then: the one of the policy, or the one that is asked for.
    for model in [Weighted::default().id(), Weighted2::default().id()] {
        let what_if =
            WhatIf { policy: Some(Policy { model: Some(model.clone()), ..Policy::default() }), model: None };
        let told = ask(what_if);
        let by = told[0].simulated.warned.as_ref().map(|crossing| crossing.model.clone());
        assert_eq!(by, Some(model));
    }
    let stern = Weights { out_of_scope: 3_000_000, ..Weights::V1 };
    let stern = Arc::new(Weighted::with_weights(ModelId("stern/1".into()), stern));
    let told = ask(WhatIf { model: Some(stern), policy: None });
    let first = told[0].simulated.revoked.clone().unwrap();
    assert!(first.index < lost && first.model.0 == "stern/1" && !first.families.is_empty(), "{first:?}");
    assert!(told.iter().all(|agent| agent.agent != calm));
    let gone =
        WhatIf { policy: Some(Policy { model: named("weighted/0"), ..Policy::default() }), model: None };
    let refused = block_on(simulate(config(), w.parts.clone(), gone, None)).unwrap_err();
    assert_eq!((refused.code(), w.size()), ("policy_model", size));
}
