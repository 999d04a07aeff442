//! Why a score is what it is: by which events, and what it would be without them.

use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::AgentId;
use kakunin_core::policy::{Mode, Verdict};
use kakunin_core::revoke::Cause;
use kakunin_core::risk::{Band, Family, ModelId, Score};
use kakunin_core::service::{Explanation, Grounds};
use kakunin_core::time::{Clock as _, DAY, MINUTE};
use pollster::block_on;

use crate::world::{World, note, refused, works, world};

fn explain(w: &World, agent: &AgentId) -> Explanation {
    let explained = block_on(w.tenant().explain(agent)).unwrap().unwrap();
    let risk = w.risk(agent);
    assert_eq!((explained.score, &explained.families), (risk.score, &risk.evidence), "both say the same");
    explained
}

fn indices(explained: &Explanation) -> Vec<u64> {
    explained.events.iter().map(|event| event.index).collect()
}

#[test]
fn a_score_is_explained_by_its_events_and_by_what_it_would_be_without_them() {
    let w = world();
    w.set(|policy| policy.mode = Mode::Warn);
    let (one, serial) = w.agent("one");
    let calm = explain(&w, &one);
    assert_eq!(
        (calm.score, calm.without, calm.events.len(), calm.days.len()),
        (Score::default(), Score::default(), 0, 0)
    );
    let mut against = Vec::new();
    for n in 0..20 {
        w.observe(works(serial));
        if n % 3 == 0 {
            against.push(w.observe(refused(serial)).index.unwrap());
        }
        w.clock.set(w.clock.now().plus(MINUTE));
    }
    let explained = explain(&w, &one);
    assert_eq!(indices(&explained), against, "the ones that were refused, and no other");
    assert!(explained.score > Score::from_millionths(300_000));
    assert_eq!(explained.without, Score::default(), "nothing else speaks against it");
    assert_eq!((explained.model.0.as_str(), explained.policy.is_some()), ("weighted/2", true));
    let of = |event: &Grounds| (event.action.as_str().to_owned(), event.outcome, event.surprise[0].0);
    let door = ("delete:backups".to_owned(), Outcome::Denied, Family::ScopeBoundary);
    assert!(explained.events.iter().all(|event| of(event) == door), "{explained:?}");
    assert!(explained.events.windows(2).all(|two| two[0].score < two[1].score));
    let [(_, highest)] = explained.days.as_slice() else { panic!("{explained:?}") };
    assert!(*highest >= explained.score);
    // The same after a restart, and a month later nothing is left of it.
    let w = w.restarted();
    assert_eq!(explain(&w, &one), explained);
    w.clock.set(w.clock.now().plus(31 * DAY));
    let later = explain(&w, &one);
    assert_eq!((later.score, later.events.len(), later.days.len()), (Score::default(), 0, 0));
}

#[test]
fn of_many_events_the_strongest_of_each_family_are_named_and_the_rest_still_counts() {
    let w = world();
    w.set(|policy| policy.mode = Mode::Warn);
    let (one, serial) = w.agent("one");
    for n in 0..30 {
        let act = format!("delete:backups{n}").parse().unwrap();
        w.observe(Event::refused(serial, act));
        let mut fails = works(serial);
        (fails.outcome, fails.auth_failure) = (Outcome::Denied, true);
        fails.target = format!("account {n}").try_into().ok();
        w.observe(fails);
    }
    let explained = explain(&w, &one);
    let of = |family| {
        explained.events.iter().filter(|event| event.surprise.iter().any(|(f, _)| *f == family)).count()
    };
    assert!(of(Family::ScopeBoundary) >= 8 && of(Family::Authentication) >= 8, "{explained:?}");
    assert!(explained.events.len() <= 16 && explained.events.is_sorted_by_key(|event| event.index));
    assert!(Score::default() < explained.without && explained.without <= explained.score);
}

#[test]
fn what_a_person_dismissed_and_what_another_model_judged_is_no_ground_any_more() {
    let w = world();
    let (one, serial) = w.agent("one");
    w.until(serial, |observed| observed.band == Band::Warning);
    assert!(!explain(&w, &one).events.is_empty());
    block_on(w.tenant().judge(&one, Verdict::Dismiss, Cause::KeyCompromise, note("a drill"))).unwrap();
    assert_eq!(indices(&explain(&w, &one)), [0_u64; 0]);
    let last = w.observe(refused(serial)).index.unwrap();
    assert_eq!(indices(&explain(&w, &one)), [last]);
    w.set(|policy| policy.model = Some(ModelId("weighted/1".into())));
    let anew = explain(&w, &one);
    assert_eq!((anew.model.0.as_str(), anew.score, anew.families.len()), ("weighted/1", Score::default(), 0));
    let last = w.observe(refused(serial)).index.unwrap();
    assert_eq!(indices(&explain(&w, &one)), [last]);
}

#[test]
fn nobody_explains_the_agent_of_another_tenant() {
    let w = world();
    let (one, _) = w.agent("one");
    let beta = block_on(w.kakunin.create_tenant(&"beta".parse().unwrap())).unwrap();
    assert_eq!(block_on(beta.explain(&one)).unwrap_err().code(), "not_found");
}
