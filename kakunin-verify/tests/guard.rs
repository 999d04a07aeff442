//! The guard: what it permits is recorded first, and looked at again.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::future::ready;
use std::sync::{Arc, Mutex};

use common::*;
use kakunin_core::event::{Attribution, Event, Outcome};
use kakunin_core::id::Serial;
use kakunin_core::revoke::{LiveRevocations, Reason, RevokedSet};
use kakunin_core::scope::Action;
use kakunin_core::time::{DAY, ManualClock};
use kakunin_verify::denied::{Context, Party};
use kakunin_verify::report::Decision;
use kakunin_verify::{Code, Guard, Refused, VerifiedAgent, Verifier};
use pollster::block_on;

fn leaf_serial() -> Serial {
    Serial::from_der_integer(&serial(0x42)).unwrap()
}

struct Scene {
    world: World,
    live: Arc<LiveRevocations>,
    clock: Arc<ManualClock>,
    agent: VerifiedAgent,
}

impl Scene {
    fn new() -> Self {
        let (world, live) = (World::p256(), Arc::new(LiveRevocations::default()));
        live.replace(world.issuing.key.id(), &RevokedSet::default());
        let verifier = Verifier::builder(live.clone()).anchor(world.anchor());
        let verifier = verifier.issuer(world.issuing_der.clone()).build(NOW).unwrap();
        let agent = verifier.verify(&[world.leaf_der()], NOW).unwrap();
        Self { world, live, clock: Arc::new(ManualClock::at(NOW)), agent }
    }

    fn guard(&self) -> Guard {
        Guard::new(self.clock.clone())
    }

    fn revoke(&self) {
        let revoked = RevokedSet::from_entries([(leaf_serial(), Reason::PrivilegeWithdrawn)]);
        self.live.replace(self.world.issuing.key.id(), &revoked);
    }
}

#[test]
fn what_is_allowed_and_what_is_refused_is_on_record_before_the_answer() {
    let scene = Scene::new();
    let (guard, seen) = (scene.guard(), Mutex::new(Vec::new()));
    let record = |event: Event| {
        let mut seen = seen.lock().unwrap();
        seen.push(event);
        ready(Ok::<_, &str>(seen.len()))
    };
    let action: Action = ACTION.parse().unwrap();
    let (permission, place) = block_on(guard.authorize_on_record(&scene.agent, &action, record)).unwrap();
    assert_eq!((permission.action(), place), (&action, 1));
    let refused = block_on(guard.authorize_on_record(&scene.agent, "delete:vault", record)).unwrap_err();
    let denied = refused.into_denied().unwrap();
    assert_eq!((denied.kind(), denied.party()), (Code::ScopeViolation, Party::Issuer));
    assert_eq!(*denied.context(), Context::Action("delete:vault".parse().unwrap()));
    assert!(denied.to_string().ends_with("(`delete:vault`)"), "{denied}");
    // What is no action is refused, and on no record unless something stands in for it.
    let none = block_on(guard.authorize_on_record(&scene.agent, "Delete Vault", record)).unwrap_err();
    assert_eq!(none.into_denied().unwrap().kind(), Code::ActionMalformed);
    let decided = guard.decide(&scene.agent, "Delete Vault").recorded_as("call:malformed".parse().unwrap());
    let none = block_on(decided.attributed(Attribution::Asserted).record(record)).unwrap_err();
    assert_eq!(none.into_denied().unwrap().kind(), Code::ActionMalformed);
    let facts = |e: &Event| (e.action.to_string(), e.outcome, e.out_of_scope, e.attribution, e.occurred_at);
    assert_eq!(
        seen.lock().unwrap().iter().map(facts).collect::<Vec<_>>(),
        [
            (ACTION.to_owned(), Outcome::Ok, false, Attribution::Possession, None),
            ("delete:vault".to_owned(), Outcome::Denied, true, Attribution::Possession, None),
            ("call:malformed".to_owned(), Outcome::Denied, true, Attribution::Asserted, None),
        ]
    );
}

#[test]
fn what_cannot_be_recorded_is_not_permitted() {
    let scene = Scene::new();
    let guard = scene.guard();
    for action in [ACTION, "delete:vault"] {
        let full = |_: Event| ready(Err::<(), _>("no room"));
        let refused = block_on(guard.authorize_on_record(&scene.agent, action, full)).unwrap_err();
        assert_eq!(refused, Refused::NotRecorded("no room"));
    }
}

#[test]
fn a_revocation_that_comes_while_it_is_recorded_is_seen() {
    let scene = Scene::new();
    let record = |event: Event| {
        assert_eq!(event.outcome, Outcome::Ok);
        scene.revoke();
        ready(Ok::<_, &str>(()))
    };
    let refused = block_on(scene.guard().authorize_on_record(&scene.agent, ACTION, record)).unwrap_err();
    assert_eq!(refused.into_denied().unwrap().kind(), Code::AgentRevoked);
    // And what is refused because it is gone carries its time, so that it is told from what came before the end.
    let event = scene.guard().decide(&scene.agent, ACTION).event().unwrap();
    assert_eq!((event.outcome, event.out_of_scope, event.occurred_at), (Outcome::Denied, false, Some(NOW)));

    let scene = Arc::new(Scene::new());
    let meanwhile = scene.clone();
    let guard = scene.guard().report_to(move |_: Decision| meanwhile.revoke());
    assert_eq!(guard.authorize(&scene.agent, ACTION).unwrap_err().kind(), Code::AgentRevoked);
    // So is the end of its validity.
    let scene = Arc::new(Scene::new());
    let meanwhile = scene.clone();
    let guard = scene.guard().report_to(move |_: Decision| meanwhile.clock.set(NOW.plus(9 * DAY)));
    assert_eq!(guard.authorize(&scene.agent, ACTION).unwrap_err().kind(), Code::AgentExpired);
}

#[test]
fn one_more_reason_refuses_and_none_permits_what_the_certificate_does_not() {
    let scene = Scene::new();
    let guard = scene.guard();
    let ambiguous = || Err(Code::TargetAmbiguous.into());
    let refused = guard.decide(&scene.agent, ACTION).and(ambiguous());
    assert_eq!(refused.event().unwrap().outcome, Outcome::Denied);
    assert!(!refused.event().unwrap().out_of_scope, "the action itself is within it");
    assert_eq!(refused.report().unwrap_err().kind(), Code::TargetAmbiguous);
    assert_eq!(
        guard.decide(&scene.agent, "a:b").and(ambiguous()).report().unwrap_err().kind(),
        Code::ScopeViolation
    );
    assert_eq!(
        guard.decide(&scene.agent, "a:b").and(Ok(())).report().unwrap_err().kind(),
        Code::ScopeViolation
    );
    assert!(guard.decide(&scene.agent, ACTION).and(Ok(())).report().is_ok());
}
