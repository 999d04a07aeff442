//! [`RiskModel`].

use crate::event::{Effect, EventKind, Facts, Outcome};
use crate::risk::{History, Prior, RiskModel, Score};
use crate::time::{DAY, HOUR, UnixTime};

/// Every property, over a mixed month of an agent's life.
pub fn all(model: &dyn RiskModel) {
    the_same_life_gives_the_same_scores(model);
    a_score_never_rises_between_events(model);
    an_encoded_history_judges_the_same(model);
    an_act_outside_the_scope_never_lowers_the_score(model);
}

const BEGIN: UnixTime = UnixTime::from_secs(1_767_571_200);

/// A month of acts, honest and not, from a fixed sequence of numbers.
fn life() -> Vec<(UnixTime, Facts)> {
    let (mut state, mut at) = (7_u64, BEGIN);
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let one = |_| {
        at = at.plus(next(2 * HOUR));
        let effect =
            [Effect::Read, Effect::Write, Effect::Send, Effect::Pay][usize::try_from(next(4)).unwrap()];
        let refused = next(12) == 0;
        let facts = Facts {
            kind: EventKind::ApiCall,
            effect,
            outcome: if refused { Outcome::Denied } else { Outcome::Ok },
            out_of_scope: refused,
            auth_failure: next(40) == 0,
            amount: (effect == Effect::Pay).then(|| u8::try_from(next(24)).unwrap()),
            action: next(6),
            target: Some(next(30)),
            counterparty: (next(3) == 0).then(|| next(9)),
            session: None,
        };
        (at, facts)
    };
    (0..700).map(one).collect()
}

fn live(model: &dyn RiskModel, mut each: impl FnMut(&History, UnixTime, &Facts, Score)) {
    let (mut history, prior) = (History::default(), Prior::default());
    for (at, facts) in life() {
        let assessment = model.assess(&history, &prior, at, &facts);
        history.record(model, at, &facts, &assessment);
        each(&history, at, &facts, assessment.score);
    }
}

/// No clock, no randomness, no order of a hashed map: two runs agree.
pub fn the_same_life_gives_the_same_scores(model: &dyn RiskModel) {
    let run = || {
        let mut scores = Vec::new();
        live(model, |_, _, _, score| scores.push(score));
        scores
    };
    let first = run();
    assert_eq!(first, run());
    assert!(first.iter().any(|s| *s > Score::default()), "a life with refusals in it leaves no trace");
}

/// While nothing happens a score falls or stays, and right after an event it is what the event gave.
pub fn a_score_never_rises_between_events(model: &dyn RiskModel) {
    live(model, |history, at, _, score| {
        let mut last = score;
        for wait in [0, 1, 60_000, HOUR, 5 * HOUR, DAY, 3 * DAY, 31 * DAY, 400 * DAY] {
            let now = model.current(history, at.plus(wait));
            assert!(now <= last, "{now} after {wait} ms, {last} before");
            last = now;
        }
    });
}

/// What is stored and read back judges the next event alike.
pub fn an_encoded_history_judges_the_same(model: &dyn RiskModel) {
    live(model, |history, at, facts, _| {
        let stored = History::decode(&history.encode()).unwrap();
        let judge = |history| model.assess(history, &Prior::default(), at.plus(1), facts);
        assert_eq!(judge(&stored), judge(history));
    });
}

/// The same act outside the scope is never judged milder than inside it.
pub fn an_act_outside_the_scope_never_lowers_the_score(model: &dyn RiskModel) {
    live(model, |history, at, facts, _| {
        let inside = Facts { out_of_scope: false, outcome: Outcome::Denied, ..*facts };
        let outside = Facts { out_of_scope: true, ..inside };
        let judge = |facts| model.assess(history, &Prior::default(), at.plus(1), facts).score;
        assert!(judge(&outside) >= judge(&inside));
    });
}
