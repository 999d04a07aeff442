//! Agents that renew themselves, and how often they may.

use kakunin_core::id::{AgentId, Serial};
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Config, Error, Kakunin, KeySource, NotificationKind, SELF_RENEWALS};
use kakunin_core::time::{DAY, HOUR, MINUTE};
use pollster::block_on;

use crate::common::{MODEL, NOW, config};
use crate::world::{World, code, world};

#[test]
fn an_agent_renews_by_itself_with_its_current_key_alone() {
    let w = world();
    let agent = w.agent();
    let first = w.enrol(&w.join(&agent), 0).unwrap().facts;
    let renew = |serial: &Serial, by: u8, with: u8, model: &str| {
        let request = w.request(with);
        let binding = w.binding(by, serial, &request);
        let model = model.parse().unwrap();
        let renewed = w.kakunin.renew_own(serial, &model, &request, &binding);
        block_on(renewed).map(|(_, certificate)| certificate.facts)
    };
    assert_eq!(code(renew(&first.serial, 2, 4, MODEL)), "key_not_bound");
    assert_eq!(code(renew(&first.serial, 0, 4, &MODEL.replace('e', "f"))), "attestation_mismatch");
    w.clock.set(NOW.plus(3 * DAY));
    let second = renew(&first.serial, 0, 4, MODEL).unwrap();
    assert_eq!(second.not_after.since(second.not_before) / DAY, 30, "the profile stays");
    assert_eq!((w.last_renewal().approved, w.last_renewal().replaces), (None, first.serial));
    let reason = || w.kakunin.revocations().reason(&w.kakunin.issuer().id(), &first.serial).unwrap();
    assert_eq!(reason(), None, "the answer may be lost");
    w.clock.set(NOW.plus(3 * DAY + Config::RENEWAL_GRACE));
    block_on(w.kakunin.tend()).unwrap();
    assert_eq!(reason(), Some(Reason::Superseded));
    // A certificate that was replaced, held, revoked or has expired renews nothing.
    assert_eq!(code(renew(&first.serial, 0, 6, MODEL)), "agent_state");
    block_on(w.kakunin.tenant(&w.acme).hold(&second.serial)).unwrap();
    assert_eq!(code(renew(&second.serial, 4, 6, MODEL)), "agent_state");
    block_on(w.kakunin.tenant(&w.acme).release(&second.serial)).unwrap();
    w.clock.set(second.not_after.plus(1));
    assert_eq!(code(renew(&second.serial, 4, 6, MODEL)), "agent_state");
    w.clock.set(NOW.plus(4 * DAY));
    block_on(w.kakunin.tenant(&w.acme).revoke(&second.serial, Cause::KeyCompromise)).unwrap();
    assert_eq!(code(renew(&second.serial, 4, 6, MODEL)), "agent_state");
}

/// What an agent with a profile needs to renew itself: its newest certificate, and which key that has.
struct Own<'w> {
    w: &'w World,
    agent: AgentId,
    serial: Serial,
    key: u8,
}

impl<'w> Own<'w> {
    fn joined(w: &'w World, profile: Profile) -> Self {
        let agent = w.agent();
        let made = block_on(w.kakunin.tenant(&w.acme).create_join_token(&agent, profile, MINUTE)).unwrap();
        let serial = w.enrol(made.1.reveal(), 0).unwrap().facts.serial;
        Self { w, agent, serial, key: 0 }
    }

    fn renew(&mut self, kakunin: &Kakunin) -> Result<(), Error> {
        let request = self.w.request(self.key + 2);
        let binding = self.w.binding(self.key, &self.serial, &request);
        let model = MODEL.parse().unwrap();
        let renewed = kakunin.renew_own(&self.serial, &model, &request, &binding);
        self.serial = block_on(renewed)?.1.facts.serial;
        self.key += 2;
        Ok(())
    }

    fn told(&self) -> usize {
        let inbox = block_on(self.w.kakunin.tenant(&self.w.acme).notifications(None, 100)).unwrap();
        inbox.iter().filter(|(_, item)| item.kind == NotificationKind::SelfRenewalRefused).count()
    }
}

#[test]
fn an_agent_renews_itself_a_few_times_an_hour_and_an_operator_at_will() {
    let w = world();
    let mut own = Own::joined(&w, Profile::Ephemeral);
    let limited = |own: &mut Own<'_>, kakunin: &Kakunin| match own.renew(kakunin) {
        Err(error @ Error::SelfRenewal { wait }) => {
            assert_eq!(error.code(), "self_renewal_limited");
            wait
        }
        other => panic!("{other:?}"),
    };
    // A tenth of an hour from its issuance on, whatever its notBefore says.
    w.clock.set(NOW.plus(6 * MINUTE - 1));
    let size = block_on(w.kakunin.tenant(&w.acme).entries(0, 1_000)).unwrap().len();
    assert_eq!(limited(&mut own, &w.kakunin), 1);
    assert_eq!(own.told(), 1);
    for _ in 0..50 {
        limited(&mut own, &w.kakunin);
    }
    let after = block_on(w.kakunin.tenant(&w.acme).entries(0, 1_000)).unwrap().len();
    assert_eq!((own.told(), after), (1, size + 1), "once a day, and nothing else is written");
    for n in 1..=SELF_RENEWALS {
        w.clock.set(NOW.plus(u64::try_from(n).unwrap() * 6 * MINUTE));
        own.renew(&w.kakunin).unwrap();
    }
    w.clock.set(NOW.plus(59 * MINUTE));
    assert_eq!(limited(&mut own, &w.kakunin), 7 * MINUTE);
    // Neither a restart nor a clock that is set back unlocks it, and none locks it for ever.
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    block_on(again.load()).unwrap();
    assert_eq!(limited(&mut own, &again), 7 * MINUTE);
    w.clock.set(NOW);
    assert!(limited(&mut own, &again) <= HOUR);
    w.clock.set(NOW.plus(66 * MINUTE));
    own.renew(&again).unwrap();
    w.clock.set(NOW.plus(67 * MINUTE));
    limited(&mut own, &again);
    // An operator's renewal is not counted, and begins the count anew.
    let model = MODEL.parse().unwrap();
    for n in 0..9 {
        let source = KeySource::Provider(KeyAlgorithm::P256);
        let tenant = again.tenant(&w.acme);
        let renewed = tenant.renew(&own.agent, &model, Profile::Ephemeral, source);
        block_on(renewed).unwrap_or_else(|error| panic!("{n}: {error}"));
    }
    assert_eq!(own.told(), 1);
}

#[test]
fn a_long_life_is_renewed_by_its_agent_after_a_tenth_of_it() {
    let w = world();
    let mut own = Own::joined(&w, Profile::Standard);
    w.clock.set(NOW.plus(36 * DAY));
    assert!(matches!(own.renew(&w.kakunin), Err(Error::SelfRenewal { wait }) if wait <= DAY));
    w.clock.set(NOW.plus(37 * DAY));
    own.renew(&w.kakunin).unwrap();
    // Whoever has not its key neither learns of the limit nor tells its owner.
    let request = w.request(9);
    let model = MODEL.parse().unwrap();
    let refused = w.kakunin.renew_own(&own.serial, &model, &request, b"");
    assert_eq!((code(block_on(refused)), own.told()), ("key_not_bound", 1));
}
