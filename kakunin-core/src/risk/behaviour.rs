//! What the default model must and must not do, told as stories.

use super::history::MAX_HISTORY_LEN;
use super::*;
use crate::event::{Effect, EventKind, Outcome};
use crate::time::{DAY, HOUR, MINUTE, SECOND};

const START: u64 = 1_767_571_200_000;
const WARNING: u32 = 750_000;
const REVOKE: u32 = 850_000;

struct Agent {
    model: Weighted,
    prior: Prior,
    history: History,
    now: u64,
}

impl Agent {
    fn new() -> Self {
        Self { model: Weighted::default(), prior: Prior::default(), history: History::default(), now: START }
    }

    /// An agent that did 40 honest things in its first minutes.
    fn at_work() -> Self {
        let mut agent = Self::new();
        (0..40).for_each(|i| assert!(agent.act(15 * SECOND, honest(i)) < 300_000));
        agent
    }

    fn act(&mut self, after: u64, facts: Facts) -> u32 {
        self.assess(after, facts).score.millionths()
    }

    fn assess(&mut self, after: u64, facts: Facts) -> Assessment {
        self.now += after;
        let at = UnixTime::from_millis(self.now);
        let before = self.model.current(&self.history, at);
        let assessment = self.model.assess(&self.history, &self.prior, at, &facts);
        self.history.record(&self.model, at, &facts, &assessment);
        assert!(assessment.score >= before, "an event never lowers a score");
        assert_eq!(
            self.model.current(&self.history, at),
            assessment.score,
            "the score is what is remembered"
        );
        assessment
    }

    /// After how many acts the score reaches a threshold.
    fn until(&mut self, threshold: u32, most: u64, mut act: impl FnMut(u64) -> (u64, Facts)) -> Option<u64> {
        (0..most).find(|i| {
            let (after, facts) = act(*i);
            self.act(after, facts) >= threshold
        })
    }
}

fn fact(action: u64, effect: Effect, outcome: Outcome) -> Facts {
    Facts {
        kind: EventKind::ApiCall,
        effect,
        outcome,
        out_of_scope: false,
        auth_failure: false,
        amount: None,
        action,
        target: None,
        counterparty: None,
        session: None,
    }
}

fn honest(i: u64) -> Facts {
    Facts { target: Some(100 + i % 4), ..fact(i % 3, Effect::Read, Outcome::Ok) }
}

fn refused(action: u64) -> Facts {
    Facts { out_of_scope: true, ..fact(action, Effect::Read, Outcome::Denied) }
}

fn wrong_password() -> Facts {
    Facts { auth_failure: true, ..fact(77, Effect::Read, Outcome::Denied) }
}

fn payment(payee: u64, amount: u8) -> Facts {
    Facts { counterparty: Some(payee), amount: Some(amount), ..fact(55, Effect::Pay, Outcome::Ok) }
}

fn attack(i: u64) -> Facts {
    match i % 5 {
        3 => wrong_password(),
        4 => payment(9_000 + i, 24),
        _ => Facts { target: Some(7_000 + i), ..refused(500 + i % 3) },
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

/// A small deterministic generator: the tests need variety, not randomness.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn facts(&mut self) -> Facts {
        let effects =
            [Effect::Read, Effect::Write, Effect::Send, Effect::Pay, Effect::Delete, Effect::Rights];
        let outcomes = [Outcome::Ok, Outcome::Ok, Outcome::Ok, Outcome::Error, Outcome::Denied];
        let action = self.below(60);
        let mut facts = fact(action, effects[index(action % 6)], outcomes[index(self.below(5))]);
        facts.target = (self.below(2) == 0).then(|| self.below(400));
        facts.counterparty = (self.below(3) == 0).then(|| self.below(400));
        facts.amount = (self.below(3) == 0).then(|| u8::try_from(self.below(65)).unwrap());
        facts.out_of_scope = self.below(9) == 0;
        facts.auth_failure = self.below(9) == 0;
        facts
    }

    fn gap(&mut self) -> u64 {
        [0, SECOND, MINUTE, HOUR, DAY, 400 * DAY][[0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 5][index(self.below(11))]]
    }
}

#[test]
fn an_attack_of_a_minute_is_warned_of_and_then_revoked() {
    let acts = |threshold| Agent::at_work().until(threshold, 30, |i| (8 * SECOND, attack(i))).unwrap() + 1;
    assert!((5..acts(REVOKE)).contains(&acts(WARNING)));
    assert!((8..=15).contains(&acts(REVOKE)), "{}", acts(REVOKE));
}

#[test]
fn an_attack_that_is_all_refused_is_revoked_too() {
    let acts = Agent::at_work()
        .until(REVOKE, 30, |i| {
            (5 * SECOND, Facts { out_of_scope: true, outcome: Outcome::Denied, ..attack(i) })
        })
        .unwrap();
    assert!((7..15).contains(&acts), "{acts}");
}

#[test]
fn refusals_alone_revoke() {
    for (mut agent, gap) in
        [(Agent::new(), SECOND), (Agent::at_work(), 10 * SECOND), (Agent::at_work(), 20 * SECOND)]
    {
        let acts = agent.until(REVOKE, 60, |_| (gap, refused(5))).unwrap() + 1;
        assert!((12..=20).contains(&acts), "{acts}");
    }
}

#[test]
fn guessing_passwords_revokes() {
    let acts = Agent::at_work().until(REVOKE, 60, |_| (5 * SECOND, wrong_password())).unwrap() + 1;
    assert!((12..=25).contains(&acts), "{acts}");
}

#[test]
fn a_slow_burner_is_revoked_within_weeks() {
    // Every sixth act, one each 40 minutes, tests another door.
    let act = |i| match i % 6 {
        5 => (40 * MINUTE, Facts { target: Some(10_000 + i), ..refused(500 + i % 4) }),
        _ => (40 * MINUTE, honest(i)),
    };
    let days = Agent::new().until(REVOKE, 30 * 36, act).unwrap() / 36;
    assert!((7..25).contains(&days), "{days}");
    // And the same door every hour, which never becomes ordinary either.
    assert!(Agent::new().until(REVOKE, 30 * 24, |_| (HOUR, refused(5))).is_some());
}

#[test]
fn honest_mistakes_stay_below_the_warning() {
    let act = |i| match i % 40 {
        7 | 27 => (72 * MINUTE, Facts { target: Some(50_000 + i), ..refused(6) }),
        13 => (72 * MINUTE, wrong_password()),
        14 => (MINUTE, wrong_password()),
        _ => (72 * MINUTE, honest(i)),
    };
    assert_eq!(Agent::new().until(WARNING, 90 * 20, act), None);
    // A clumsy quarter of an hour.
    let mut agent = Agent::at_work();
    for i in 0..5 {
        assert!(agent.act(MINUTE, refused(6)) < WARNING);
        assert!(agent.act(MINUTE, if i < 3 { wrong_password() } else { honest(i) }) < WARNING);
    }
    // Ordinary work at ten times the pace shows, and does not revoke.
    let mut agent = Agent::at_work();
    let top = (0..3_000).map(|i| agent.act(SECOND, honest(i))).max().unwrap();
    assert!((300_000..WARNING).contains(&top), "{top}");
}

#[test]
fn a_new_payee_is_surprising_only_after_many_known_ones() {
    let pays = |days: u64, each: u64| {
        let mut agent = Agent::new();
        (0..days * each).for_each(|i| assert!(agent.act(DAY / each, payment(1 + i % 2, 14)) < 300_000));
        agent.assess(HOUR, payment(99, 14))
    };
    assert!(pays(1, 40).score.millionths() < 50_000, "a habit of a day is hardly one");
    assert!(pays(10, 1).score.millionths() < WARNING);
    let sure = pays(20, 3);
    assert!(sure.score.millionths() >= REVOKE);
    assert_eq!(sure.strongest()[0].0, Family::Transaction);
    // Somebody who meets new payees all the time may go on.
    let mut agent = Agent::new();
    assert_eq!(agent.until(300_000, 300, |i| (4 * HOUR, payment(i, 14))), None);
}

#[test]
fn the_suspicious_does_not_become_ordinary() {
    let mut agent = Agent::at_work();
    let first = agent.assess(HOUR, refused(9)).surprise;
    for _ in 0..40 {
        agent.act(SECOND, refused(9));
    }
    assert_eq!(agent.assess(SECOND, refused(9)).surprise, first, "a burst is not its own excuse");
    for _ in 0..200 {
        agent.act(6 * HOUR, refused(9));
    }
    let later = agent.assess(HOUR, refused(9)).surprise;
    assert!(later[1] * 10 >= first[1], "there is a floor: {later:?}");
}

#[test]
fn a_score_only_falls_between_events_and_is_gone_after_the_window() {
    let mut lcg = Lcg(1);
    for _ in 0..30 {
        let mut agent = Agent::new();
        for _ in 0..lcg.below(80) {
            let gap = lcg.below(20 * MINUTE);
            agent.act(gap, lcg.facts());
        }
        let mut before = Score::MAX;
        let steps = [0, 1, SECOND, MINUTE, 7 * MINUTE, 59 * MINUTE, HOUR, 5 * HOUR, DAY, 3 * DAY];
        for step in steps.into_iter().chain([7 * MINUTE; 300]).chain([HOUR; 100]) {
            agent.now += step;
            let score = agent.model.current(&agent.history, UnixTime::from_millis(agent.now));
            assert!(score <= before);
            before = score;
        }
        assert_eq!(
            agent.model.current(&agent.history, UnixTime::from_millis(agent.now + 31 * DAY)),
            Score::default()
        );
    }
}

#[test]
fn more_evidence_never_scores_less() {
    let mut lcg = Lcg(2);
    let mut agent = Agent::new();
    for _ in 0..3_000 {
        let facts = lcg.facts();
        let at = UnixTime::from_millis(agent.now);
        let score = |facts: Facts| agent.model.assess(&agent.history, &agent.prior, at, &facts).score;
        let calm = Facts { out_of_scope: false, auth_failure: false, ..facts };
        for worse in [
            Facts { out_of_scope: true, ..calm },
            Facts { auth_failure: true, ..calm },
            Facts { out_of_scope: true, auth_failure: true, ..calm },
        ] {
            assert!(score(worse) >= score(calm));
        }
        let gap = lcg.gap();
        agent.act(gap, facts);
    }
}

#[test]
fn evidence_names_what_was_seen() {
    let mut agent = Agent::at_work();
    for (facts, family) in [(refused(5), Family::ScopeBoundary), (wrong_password(), Family::Authentication)] {
        let before = agent.history.clone();
        let a = agent.assess(SECOND, facts);
        assert_eq!(a.strongest()[0].0, family);
        agent.history = before;
    }
    for i in 0..12 {
        let a = agent.assess(SECOND, attack(i));
        assert!(a.evidence.iter().all(|part| *part <= a.score.millionths()));
        let calm = a.surprise.iter().all(|s| *s == 0);
        assert!(calm || a.evidence.iter().any(|part| *part > 0));
    }
}

#[test]
fn histories_stay_small_and_round_trip() {
    let mut lcg = Lcg(3);
    for round in 0..6 {
        let mut agent = Agent::new();
        for i in 0..2_500_u64 {
            let gap = if round < 3 { lcg.gap() } else { lcg.below(40 * MINUTE) };
            let mut facts = lcg.facts();
            facts.action = facts.action.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            facts.target = Some(i.wrapping_mul(0xD134_2543_DE82_EF95));
            agent.act(gap, facts);
            if i % 50 == 0 {
                let bytes = agent.history.encode();
                assert!(bytes.len() <= MAX_HISTORY_LEN, "{}", bytes.len());
                assert_eq!(History::decode(&bytes).as_ref(), Some(&agent.history));
            }
        }
    }
}

#[test]
fn one_log_one_score_bit_for_bit() {
    let mut lcg = Lcg(4);
    let mut agent = Agent::new();
    let mut scores = Vec::new();
    let mut sum = 0_u64;
    for i in 0..400 {
        let gap = lcg.below(3 * HOUR);
        let mut facts = lcg.facts();
        facts.out_of_scope &= i % 2 == 0;
        facts.auth_failure &= i % 3 == 0;
        let a = agent.assess(gap, facts);
        sum = sum.wrapping_mul(31).wrapping_add(a.score.millionths().into());
        sum = a
            .evidence
            .iter()
            .chain(&a.surprise)
            .fold(sum, |s, m| s.wrapping_mul(31).wrapping_add((*m).into()));
        if i % 40 == 39 {
            scores.push(a.score.millionths());
        }
    }
    sum = agent.history.encode_old().iter().fold(sum, |s, b| s.wrapping_mul(31).wrapping_add((*b).into()));
    assert_eq!(scores, GOLDEN, "the model changed: it needs a new version");
    assert_eq!(sum, GOLDEN_SUM);
}

const GOLDEN: [u32; 10] =
    [457_082, 589_671, 645_791, 809_237, 692_489, 792_153, 727_660, 847_085, 748_073, 763_869];
const GOLDEN_SUM: u64 = 1_511_063_362_018_450_772;

#[test]
fn others_do_not_matter() {
    // Two agents through one model, their events interleaved, score as each alone.
    let (mut together, mut alone) = ([Agent::new(), Agent::new()], [Agent::new(), Agent::new()]);
    let mut lcg = Lcg(5);
    let acts: Vec<_> = (0..200).map(|i| (i % 2, lcg.below(HOUR), lcg.facts())).collect();
    let mixed: Vec<_> = acts.iter().map(|(who, gap, facts)| together[*who].act(*gap, *facts)).collect();
    for (who, agent) in alone.iter_mut().enumerate() {
        let own: Vec<_> =
            acts.iter().filter(|a| a.0 == who).map(|(_, gap, facts)| agent.act(*gap, *facts)).collect();
        assert_eq!(own, mixed.iter().skip(who).step_by(2).copied().collect::<Vec<_>>());
    }
}
