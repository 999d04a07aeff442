//! Rules, and models, that run beside those that decide: they report, and do nothing.

use std::sync::Arc;

use kakunin_core::event::{Facts, Outcome};
use kakunin_core::log::record::{Control, Shadowed};
use kakunin_core::policy::{Minimum, Shadow, Verdict};
use kakunin_core::revoke::Cause;
use kakunin_core::risk::{Assessment, Band, History, ModelId, Prior, RiskModel, Score, Thresholds};
use kakunin_core::time::UnixTime;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{config, deployment, parts, reopened};
use crate::world::{World, note, refused, works, world};

const fn score(millionths: u32) -> Score {
    Score::from_millionths(millionths)
}

fn told(w: &World) -> Vec<Shadowed> {
    let told = w.of(|control| match control {
        Control::RiskShadowed(shadowed) => Some(shadowed.clone()),
        _ => None,
    });
    told.into_iter().map(|(_, told)| told).collect()
}

#[test]
fn other_rules_report_and_do_nothing() {
    let w = world();
    let strict = Shadow {
        thresholds: Thresholds::new(score(50_000), score(100_000), score(200_000)).unwrap(),
        minimum: Minimum { events: 2 },
    };
    w.set(|policy| policy.shadow = Some(strict));
    let (_, serial) = w.agent("one");
    w.until(serial, |observed| observed.score >= score(350_000));
    let told = told(&w);
    let last = told.last().map(|told| (told.to, told.revokes, told.evidence.threshold));
    assert_eq!(last, Some((Band::Revoke, true, score(200_000))), "{told:?}");
    assert_eq!((w.reason(&serial), w.inbox().len()), (None, 0));
}

/// A quarter for each refusal, for ever.
#[derive(Debug)]
struct Counts(&'static str);

impl Counts {
    fn count(history: &History) -> u32 {
        history.kept().first().copied().map_or(0, u32::from)
    }
}

impl RiskModel for Counts {
    fn id(&self) -> ModelId {
        ModelId(self.0.into())
    }

    fn assess(&self, history: &History, _: &Prior, _: UnixTime, facts: &Facts) -> Assessment {
        let count = Self::count(history) + u32::from(facts.outcome == Outcome::Denied);
        let score = score((count * 250_000).min(1_000_000));
        Assessment { score, evidence: [score.millionths(), 0, 0, 0], surprise: [0; 4] }
    }

    fn keep(&self, history: &History, _: UnixTime, facts: &Facts, _: &Assessment) -> Vec<u8> {
        let count = Self::count(history) + u32::from(facts.outcome == Outcome::Denied);
        vec![u8::try_from(count.min(200)).unwrap()]
    }

    fn current(&self, history: &History, _: UnixTime) -> Score {
        score((Self::count(history) * 250_000).min(1_000_000))
    }
}

#[test]
fn another_model_reports_by_the_same_rules_and_remembers_over_restarts() {
    for snapshot in [true, false] {
        let (mut parts, clock) = parts(LocalKeys::ephemeral());
        parts.shadow = Some(Arc::new(Counts("counts/1")));
        let (kakunin, acme) = deployment(config(), &parts);
        let w = World { kakunin, parts, clock, acme };
        let (_, serial) = w.agent("one");
        (0..2).for_each(|_| _ = w.observe(refused(serial)));
        w.observe(works(serial));
        assert_eq!(told(&w), [], "medium is worth no report");
        if snapshot {
            block_on(w.kakunin.snapshot()).unwrap();
        }
        let w = w.restarted();
        w.observe(refused(serial));
        let seen = w.observe(refused(serial));
        let all: Vec<_> = told(&w).iter().map(|told| (told.from, told.to, told.revokes)).collect();
        let both = [(Band::Low, Band::Warning, false), (Band::Warning, Band::Revoke, true)];
        // From low: what was below the warning is not on record.
        assert_eq!(all, both, "snapshot: {snapshot}");
        let last = told(&w).pop().unwrap().evidence;
        assert_eq!((last.model, last.score), (ModelId("counts/1".into()), score(1_000_000)));
        assert!(!seen.revoked && seen.score < score(850_000), "the one that decides thinks otherwise");
        assert_eq!(w.reason(&serial), None);
        // Another model begins with what is folded since: it takes over nothing of this one's.
        let World { kakunin, mut parts, clock, acme } = w;
        drop(kakunin);
        parts.shadow = Some(Arc::new(Counts("counts/2")));
        let kakunin = reopened(config(), &parts);
        let w = World { kakunin, parts, clock, acme };
        w.observe(refused(serial));
        let last = told(&w).pop().unwrap();
        let (model, to) = (last.evidence.model.0, last.to);
        // Without a snapshot all five refusals are folded anew, and it thinks the same.
        let expected = if snapshot { ("counts/2", Band::Warning) } else { ("counts/1", Band::Revoke) };
        assert_eq!((model.as_str(), to), expected);
    }
}

/// What a second model made of an agent leaves with the trust that was lost, also from the store.
#[test]
fn what_a_second_model_forgets_is_no_damage() {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    parts.shadow = Some(Arc::new(Counts("counts/1")));
    let (kakunin, acme) = deployment(config(), &parts);
    let w = World { kakunin, parts, clock, acme };
    let (id, serial) = w.agent("one");
    w.lost(serial);
    block_on(w.kakunin.snapshot()).unwrap();
    block_on(w.tenant().reinstate(&id, note("mended"))).unwrap();
    block_on(w.kakunin.snapshot()).unwrap();
    let w = w.restarted();
    assert_eq!(w.risk(&id).score, score(0));
}

/// A model that runs no more reports no more.
#[test]
fn a_second_model_that_is_taken_away_is_silent() {
    let (mut parts, clock) = parts(LocalKeys::ephemeral());
    parts.shadow = Some(Arc::new(Counts("counts/1")));
    let (kakunin, acme) = deployment(config(), &parts);
    let w = World { kakunin, parts, clock, acme };
    let (id, serial) = w.agent("one");
    (0..3).for_each(|_| _ = w.observe(refused(serial)));
    block_on(w.tenant().judge(&id, Verdict::Dismiss, Cause::KeyCompromise, note("nothing"))).unwrap();
    (0..3).for_each(|_| _ = w.observe(refused(serial)));
    let before = told(&w).len();
    block_on(w.kakunin.snapshot()).unwrap();
    let World { kakunin, mut parts, clock, acme } = w;
    drop(kakunin);
    parts.shadow = None;
    let kakunin = reopened(config(), &parts);
    let w = World { kakunin, parts, clock, acme };
    // Its band of before would be left or entered anew by whatever is looked at.
    w.set(|policy| {
        policy.thresholds = Thresholds::new(score(900_000), score(950_000), score(1_000_000)).unwrap()
    });
    (0..2).for_each(|_| _ = w.observe(works(serial)));
    w.set(|policy| policy.thresholds = Thresholds::default());
    w.observe(works(serial));
    assert_eq!(told(&w).len(), before);
}
