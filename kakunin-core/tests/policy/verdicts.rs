//! What people say of a score: dismissed, confirmed, or safe; and the way back.

use kakunin_core::agent::AgentState;
use kakunin_core::log::record::Control;
use kakunin_core::policy::{Mode, RiskState, Verdict};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::risk::{Band, Score};
use kakunin_core::service::Error;
use kakunin_core::time::HOUR;
use pollster::block_on;

use crate::world::{NOW, World, note, refused, works, world};

fn judge(w: &World, agent: &kakunin_core::id::AgentId, verdict: Verdict) -> Result<(), Error> {
    let cause = Cause::KeyCompromise;
    block_on(w.tenant_of("key:ann").judge(agent, verdict, cause, note("looked at its trace")))
}

#[test]
fn what_is_dismissed_counts_no_more_and_what_happened_stays() {
    let w = world();
    w.set(|policy| policy.mode = Mode::Warn);
    let (id, serial) = w.agent("one");
    let (_, needed) = w.until(serial, |observed| observed.band == Band::Warning);
    let events = u64::try_from(needed).unwrap();
    assert_eq!(w.risk(&id).state, RiskState::AtRisk);
    judge(&w, &id, Verdict::Dismiss).unwrap();
    let check = |w: &World| {
        let risk = w.risk(&id);
        assert_eq!((risk.score, risk.band, risk.state), (Score::default(), Band::Low, RiskState::Dismissed));
        assert_eq!(risk.days.iter().map(|day| u64::from(day.events)).sum::<u64>(), events);
        assert_eq!(risk.adverse.unwrap().len(), needed.min(10));
    };
    check(&w);
    let w = w.restarted();
    check(&w);
    let w = w.rebuilt();
    check(&w);
    // It is no licence: the same again counts again, and is warned of again.
    w.until(serial, |observed| observed.band == Band::Warning);
    let risk = w.risk(&id);
    assert_eq!((risk.state, w.inbox().len()), (RiskState::AtRisk, 2));
    let given = w.of(|control| match control {
        Control::RiskVerdict(given) => Some((given.verdict, given.band, given.reason.clone())),
        _ => None,
    });
    let [(index, given)] = given.as_slice() else { panic!("{given:?}") };
    assert_eq!(*given, (Verdict::Dismiss, Band::Warning, note("looked at its trace")));
    let (_, record) = w.records().into_iter().find(|(at, _)| at == index).unwrap();
    assert_eq!(record.by, "key:ann".parse().ok());
}

/// Whoever is said to be safe is believed: the same act, which was dismissed only, raises more doubt the next day.
#[test]
fn what_is_confirmed_as_safe_is_learned() {
    let next_day = |verdict| {
        let w = world();
        w.set(|policy| policy.mode = Mode::Warn);
        let (id, serial) = w.agent("one");
        (0..4).for_each(|_| _ = w.observe(refused(serial)));
        judge(&w, &id, verdict).unwrap();
        let w = w.restarted();
        w.clock.set(NOW.plus(24 * HOUR));
        assert_eq!(w.risk(&id).score, score(0), "either takes the evidence out of the score");
        let after = w.observe(refused(serial)).score;
        let w = w.rebuilt();
        assert_eq!(w.risk(&id).score, after, "from the log alone");
        (w.risk(&id).state, after)
    };
    let (dismissed, doubt) = next_day(Verdict::Dismiss);
    let (safe, less) = next_day(Verdict::ConfirmSafe);
    assert_eq!((dismissed, safe), (RiskState::Dismissed, RiskState::ConfirmedSafe));
    assert!(less.millionths() * 3 < doubt.millionths() * 2, "{less:?} of {doubt:?}");
}

const fn score(millionths: u32) -> Score {
    Score::from_millionths(millionths)
}

#[test]
fn what_is_confirmed_as_compromised_is_revoked_and_comes_back_with_a_new_key_only() {
    let w = world();
    let (id, serial) = w.agent("one");
    w.observe(refused(serial));
    judge(&w, &id, Verdict::ConfirmCompromised).unwrap();
    assert_eq!(w.reason(&serial), Some(Reason::KeyCompromise));
    let risk = w.risk(&id);
    assert_eq!((risk.state, risk.agent.state), (RiskState::ConfirmedCompromised, AgentState::Suspended));
    // Said again it is on record again, and nothing else happens.
    let from = w.size();
    judge(&w, &id, Verdict::ConfirmCompromised).unwrap();
    assert_eq!(w.names(from), ["agent.risk_verdict"]);
    block_on(w.tenant().reinstate(&id, note("its host was made anew"))).unwrap();
    let renewed = w.certify(&id);
    assert_ne!(renewed, serial);
    let risk = w.risk(&id);
    assert_eq!((risk.state, risk.score), (RiskState::Remediated, score(0)));
    for _ in 0..200 {
        let observed = w.observe(works(renewed));
        assert!(!observed.revoked && !observed.held && observed.band == Band::Low);
    }
    assert_eq!(w.reason(&renewed), None);
}

#[test]
fn who_lost_its_identity_is_certified_after_a_word_and_survives_honest_work() {
    let w = world();
    let (id, serial) = w.agent("one");
    w.lost(serial);
    let refused_again = block_on(w.tenant().certify(&id, Default::default(), crate::world::P256));
    assert_eq!(refused_again.unwrap_err().code(), "agent_suspended");
    // A verdict alone gives nobody an identity: reinstating does.
    judge(&w, &id, Verdict::Dismiss).unwrap();
    assert_eq!(w.risk(&id).agent.state, AgentState::Suspended);
    block_on(w.tenant().reinstate(&id, note("it was the model's fault, which is mended"))).unwrap();
    let again = w.certify(&id);
    (0..100).for_each(|_| assert!(!w.observe(works(again)).revoked));
    assert_eq!((w.risk(&id).state, w.reason(&again)), (RiskState::Remediated, None));
}

#[test]
fn nobody_is_judged_who_is_not_there() {
    let w = world();
    let nobody = kakunin_core::id::AgentId::from_bytes([9; 16]);
    assert_eq!(judge(&w, &nobody, Verdict::Dismiss).unwrap_err().code(), "not_found");
    let (id, _) = w.agent("one");
    let beta = block_on(w.kakunin.create_tenant(&"beta".parse().unwrap())).unwrap();
    let foreign = block_on(beta.judge(&id, Verdict::ConfirmCompromised, Cause::KeyCompromise, note("x")));
    assert_eq!(foreign.unwrap_err().code(), "not_found");
    block_on(w.tenant().retire(&id)).unwrap();
    assert_eq!(judge(&w, &id, Verdict::ConfirmSafe).unwrap_err().code(), "agent_state");
}
