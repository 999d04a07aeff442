//! A key provider that is down, slow to come back, or has lost a key: decisions take effect without it, and
//! it is told until it has done what was decided.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::{MODEL, NOW, P256, config, deployment, reopened};
use kakunin_core::agent::{AgentState, NewAgent};
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::grant::{KeyGrant, Principal};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::key::{HeldKey, KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError, Signer};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Kakunin, NotificationKind, Parts, Tended};
use kakunin_core::store::MemoryStore;
use kakunin_core::time::{DAY, ManualClock, SECOND};
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

/// Software keys whose administration can be cut off: for every key, or for some.
#[derive(Debug)]
struct Cut {
    keys: LocalKeys,
    all: Mutex<bool>,
    some: Mutex<BTreeSet<KeyRef>>,
    /// What this deployment has no right to, of any key.
    forbidden: Mutex<BTreeSet<&'static str>>,
    calls: Mutex<usize>,
}

impl Cut {
    fn off(&self, key: &KeyRef) -> Result<(), SignError> {
        *self.calls.lock().unwrap() += 1;
        if *self.all.lock().unwrap() || self.some.lock().unwrap().contains(key) {
            return Err(SignError::unavailable("disable", key, "timeout"));
        }
        Ok(())
    }

    fn may(&self, what: &'static str, key: &KeyRef) -> Result<(), SignError> {
        self.off(key)?;
        match self.forbidden.lock().unwrap().contains(what) {
            true => Err(SignError::unavailable(what, key, "AccessDeniedException")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl KeyProvider for Cut {
    fn is_near(&self) -> bool {
        true
    }

    async fn generate(&self, planned: &PlannedKeyId, algorithm: KeyAlgorithm) -> Result<KeyRef, SignError> {
        let made = self.keys.generate(planned, algorithm).await?;
        // The worst case: it was made, and its maker does not hear of it.
        self.off(&made)?;
        Ok(made)
    }

    async fn open(&self, key: &KeyRef) -> Result<Arc<dyn Signer>, SignError> {
        self.keys.open(key).await
    }

    async fn disable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.may("disable", key)?;
        self.keys.disable(key).await
    }

    async fn enable(&self, key: &KeyRef) -> Result<(), SignError> {
        self.may("enable", key)?;
        self.keys.enable(key).await
    }

    async fn retire(&self, key: &KeyRef) -> Result<(), SignError> {
        self.may("retire", key)?;
        self.keys.retire(key).await
    }

    fn grants(&self) -> bool {
        true
    }

    async fn grant(&self, _: &KeyRef, _: &Principal) -> Result<KeyGrant, SignError> {
        Ok(KeyGrant { id: "1".to_owned(), token: "t".to_owned() })
    }

    async fn ungrant(&self, key: &KeyRef) -> Result<(), SignError> {
        self.may("ungrant", key)
    }

    async fn list(&self) -> Result<Vec<HeldKey>, SignError> {
        self.off(&KeyRef::new(""))?;
        self.keys.list().await
    }
}

struct World {
    kakunin: Kakunin,
    parts: Parts,
    clock: Arc<ManualClock>,
    keys: Arc<Cut>,
    acme: TenantId,
}

fn world() -> World {
    let clock = Arc::new(ManualClock::at(NOW));
    let keys = Arc::new(Cut {
        keys: LocalKeys::ephemeral(),
        all: Mutex::default(),
        some: Mutex::default(),
        forbidden: Mutex::default(),
        calls: Mutex::default(),
    });
    let mut parts = Parts::new(MemoryStore::new(), keys.clone());
    parts.clock = clock.clone();
    let (kakunin, acme) = deployment(config(), &parts);
    World { kakunin, parts, clock, keys, acme }
}

impl World {
    fn agent(&self) -> (AgentId, Serial, KeyRef) {
        let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
        let agent = block_on(self.kakunin.tenant(&self.acme).register(spec)).unwrap().id;
        let issued =
            block_on(self.kakunin.tenant(&self.acme).certify(&agent, Profile::Standard, P256)).unwrap();
        let all = block_on(self.kakunin.tenant(&self.acme).certificates(&agent)).unwrap();
        (agent, issued.facts.serial, all.last().unwrap().key.clone().unwrap())
    }

    fn cut(&self, all: bool) {
        *self.keys.all.lock().unwrap() = all;
    }

    fn signs(&self, key: &KeyRef) -> bool {
        block_on(self.keys.keys.open(key)).is_ok_and(|signer| block_on(signer.sign(b"m")).is_ok())
    }

    /// What is left after a round, `after` milliseconds from the start.
    fn tend(&self, after: u64) -> (usize, usize) {
        self.clock.set(NOW.plus(after));
        let tended = block_on(self.kakunin.tend()).unwrap();
        assert_eq!(tended, self.kakunin.tended());
        (tended.left, tended.failing)
    }

    fn delays_told(&self) -> usize {
        let inbox = block_on(self.kakunin.tenant(&self.acme).notifications(None, 100)).unwrap();
        inbox.iter().filter(|(_, item)| item.kind == NotificationKind::KeyTaskDelayed).count()
    }

    fn reopened(self) -> Self {
        Self { kakunin: reopened(config(), &self.parts), ..self }
    }
}

#[test]
fn an_automatic_revocation_is_in_force_while_the_provider_is_down_and_reaches_it_later() {
    let w = world();
    let (agent, serial, key) = w.agent();
    w.cut(true);
    let denied = |n: u32| {
        let mut event = Event::new(serial, format!("delete:a{n}").parse().unwrap(), Outcome::Denied);
        event.attribution = Attribution::Signed;
        block_on(w.kakunin.tenant(&w.acme).observe(event)).unwrap().revoked
    };
    assert!((0..10_000).any(denied));
    let reason = w.kakunin.revocations().reason(&w.kakunin.issuer().id(), &serial).unwrap();
    assert_eq!(reason, Some(Reason::PrivilegeWithdrawn));
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).agent(&agent)).unwrap().state, AgentState::Suspended);
    assert!(w.signs(&key), "nobody could tell the provider");
    // Attempts wait longer and longer, and people are told once.
    let calls = || *w.keys.calls.lock().unwrap();
    let before = calls();
    assert_eq!((w.tend(10), calls()), ((1, 1), before), "not again at once");
    assert_eq!((w.tend(SECOND), w.delays_told(), calls()), ((1, 1), 0, before + 1));
    assert_eq!((w.tend(2 * SECOND), calls()), ((1, 1), before + 1), "two seconds' wait");
    assert_eq!((w.tend(3 * SECOND), w.delays_told(), calls()), ((1, 1), 1, before + 2));
    assert_eq!((w.tend(100 * SECOND), w.delays_told(), calls()), ((1, 1), 1, before + 3));
    // Across a restart.
    let w = w.reopened();
    assert_eq!((w.tend(200 * SECOND), w.delays_told()), ((1, 1), 1));
    w.cut(false);
    assert_eq!(w.tend(DAY), (0, 0));
    assert!(!w.signs(&key));
    assert_eq!(w.tend(DAY + 1), (0, 0));
}

#[test]
fn one_key_that_is_stuck_holds_up_no_other_and_its_own_tasks_keep_their_order() {
    let w = world();
    let ((_, stuck, stuck_key), (_, other, other_key)) = (w.agent(), w.agent());
    w.keys.some.lock().unwrap().insert(stuck_key.clone());
    block_on(w.kakunin.tenant(&w.acme).hold(&stuck)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).revoke(&other, Cause::OperatorInitiated)).unwrap();
    w.tend(SECOND);
    assert!(!w.signs(&other_key) && w.signs(&stuck_key));
    block_on(w.kakunin.tenant(&w.acme).release(&stuck)).unwrap();
    assert_eq!(w.tend(60 * SECOND).0, 2, "disable, and then enable");
    w.keys.some.lock().unwrap().clear();
    assert_eq!(w.tend(600 * SECOND), (0, 0));
    assert!(w.signs(&stuck_key), "enabled last");
}

#[test]
fn a_key_that_was_deleted_behind_our_back_is_no_task_for_ever() {
    let w = world();
    let (agent, serial, key) = w.agent();
    block_on(w.keys.keys.retire(&key)).unwrap();
    let refused = block_on(w.kakunin.tenant(&w.acme).sign(&agent, b"m")).unwrap_err();
    assert_eq!(refused.code(), "key_refused");
    block_on(w.kakunin.tenant(&w.acme).hold(&serial)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).release(&serial)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).revoke(&serial, Cause::KeyCompromise)).unwrap();
    assert_eq!(w.tend(SECOND), (0, 0));
    assert_eq!(w.kakunin.tended(), Tended::default());
}

#[test]
fn a_key_that_may_have_been_made_is_looked_for_until_the_provider_answers() {
    let w = world();
    let spec = NewAgent::new("one", MODEL, ["read:accounts"]).unwrap();
    let agent = block_on(w.kakunin.tenant(&w.acme).register(spec)).unwrap().id;
    let before = block_on(w.keys.keys.list()).unwrap().len();
    w.cut(true);
    let failed = block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, P256)).unwrap_err();
    assert_eq!(failed.code(), "key_unavailable");
    assert_eq!(block_on(w.keys.keys.list()).unwrap().len(), before + 1, "made, and nobody heard of it");
    let w = w.reopened();
    assert_eq!(w.tend(5 * SECOND), (1, 1));
    w.cut(false);
    assert_eq!(w.tend(90 * SECOND), (0, 0));
    assert_eq!(block_on(w.keys.keys.list()).unwrap().len(), before, "swept");
    block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, P256)).unwrap();
}

#[test]
fn whoever_revokes_one_does_not_wait_for_the_keys_of_all_others() {
    let w = world();
    let agents: Vec<_> = (0..41).map(|_| w.agent()).collect();
    let (last, others) = agents.split_last().unwrap();
    let revoke = |serial| block_on(w.kakunin.tenant(&w.acme).revoke(serial, Cause::KeyCompromise)).unwrap();
    *w.keys.all.lock().unwrap() = true;
    for (_, serial, _) in others {
        revoke(serial);
    }
    *w.keys.all.lock().unwrap() = false;
    w.clock.set(NOW.plus(DAY));
    *w.keys.calls.lock().unwrap() = 0;
    revoke(&last.1);
    let calls = *w.keys.calls.lock().unwrap();
    assert!((1..=2 * 16).contains(&calls), "each key is disabled and retired: {calls}");
    assert_eq!(block_on(w.kakunin.tend()).unwrap(), Tended::default(), "all others are told in their turn");
    let signs =
        |key| block_on(w.parts.keys.open(key)).is_ok_and(|signer| block_on(signer.sign(b"m")).is_ok());
    assert!(!agents.iter().any(|(_, _, key)| signs(key)));
}

/// A key that is to be used no more does not wait until something else that was decided of it can be done.
#[test]
fn a_halt_takes_the_key_whatever_else_the_provider_refuses() {
    for forbidden in ["ungrant", "disable", "enable"] {
        let w = world();
        let (agent, serial, key) = w.agent();
        let role = Principal::try_from("arn:aws:iam::111122223333:role/desk-7".to_owned()).unwrap();
        block_on(w.kakunin.tenant(&w.acme).grant_key(&agent, &role)).unwrap();
        if forbidden == "enable" {
            block_on(w.kakunin.tenant(&w.acme).hold(&serial)).unwrap();
        }
        w.keys.forbidden.lock().unwrap().insert(forbidden);
        if forbidden == "enable" {
            block_on(w.kakunin.tenant(&w.acme).release(&serial)).unwrap();
            assert_eq!(w.tend(SECOND), (1, 1));
        }
        block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
        for after in [2, 5, 20, 90, 200] {
            w.tend(after * SECOND);
        }
        let held = block_on(w.keys.keys.list()).unwrap();
        assert!(!w.signs(&key) && held.iter().all(|held| held.key != key), "{forbidden}");
        // Of a key that is gone nothing else is left to do.
        assert_eq!(w.tend(DAY), (0, 0), "{forbidden}");
    }
}

#[test]
fn what_is_held_again_is_not_enabled_by_the_release_before() {
    let w = world();
    let (agent, serial, key) = w.agent();
    block_on(w.kakunin.tenant(&w.acme).hold(&serial)).unwrap();
    w.keys.forbidden.lock().unwrap().insert("enable");
    block_on(w.kakunin.tenant(&w.acme).release(&serial)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).hold(&serial)).unwrap();
    w.tend(SECOND);
    w.keys.forbidden.lock().unwrap().clear();
    assert_eq!(w.tend(DAY), (0, 0));
    assert!(!w.signs(&key));
    // Nor is it enabled while somebody whose grant was to end could use it.
    block_on(w.kakunin.tenant(&w.acme).release(&serial)).unwrap();
    assert!(w.signs(&key));
    let role = Principal::try_from("arn:aws:iam::111122223333:role/desk-7".to_owned()).unwrap();
    block_on(w.kakunin.tenant(&w.acme).grant_key(&agent, &role)).unwrap();
    w.keys.forbidden.lock().unwrap().insert("ungrant");
    block_on(w.kakunin.tenant(&w.acme).hold(&serial)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).release(&serial)).unwrap();
    assert_eq!(w.tend(2 * DAY).0, 2, "the grant, and then the key");
    assert!(!w.signs(&key));
}

#[test]
fn a_key_that_is_stuck_does_not_put_off_those_of_other_agents() {
    let w = world();
    let ((_, stuck, stuck_key), (_, other, other_key)) = (w.agent(), w.agent());
    w.keys.some.lock().unwrap().insert(stuck_key);
    block_on(w.kakunin.tenant(&w.acme).revoke(&stuck, Cause::OperatorInitiated)).unwrap();
    // By now a minute lies between two attempts.
    for minute in 1..20 {
        assert_eq!(w.tend(minute * 60 * SECOND), (1, 1));
    }
    block_on(w.kakunin.tenant(&w.acme).revoke(&other, Cause::KillSwitchActivated)).unwrap();
    w.tend(19 * 60 * SECOND + 1);
    assert!(!w.signs(&other_key));
}
