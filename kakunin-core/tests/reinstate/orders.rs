//! Orders by name: what they say, what they begin anew, and what the log comes to.

use kakunin_core::agent::{AgentChange, AgentState};
use kakunin_core::event::Event;
use kakunin_core::grant::Principal;
use kakunin_core::id::{Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::Cause;
use kakunin_core::risk::Band;
use kakunin_core::service::{EventStatus, KeySource};
use kakunin_core::store::state::Kind;
use kakunin_core::time::{HOUR, MINUTE};
use pollster::block_on;

use crate::common::{MODEL, NOW, P256};
use crate::world::{TAKINGS, Taking, World, code, note, spec, world};

#[test]
fn nothing_but_an_order_by_name_lets_a_suspended_agent_work_again() {
    for taking in TAKINGS.into_iter().filter(|taking| *taking != Taking::Retire) {
        let w = world();
        let (agent, certificate) = w.agent("one");
        let serial = certificate.facts.serial;
        w.take(taking, &agent, &serial);
        let (request, model) = (w.request(1), MODEL.parse().unwrap());
        let role = Principal::try_from("arn:aws:iam::111122223333:role/desk-7".to_owned()).unwrap();
        let certify = |source| block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, source));
        let renew =
            |source| block_on(w.kakunin.tenant(&w.acme).renew(&agent, &model, Profile::Standard, source));
        assert_eq!(code(certify(P256)), "agent_suspended", "{taking:?}");
        assert_eq!(code(certify(KeySource::Request(&request))), "agent_suspended", "{taking:?}");
        assert_eq!(code(certify(KeySource::Bound(&request, b"word"))), "agent_suspended", "{taking:?}");
        assert_eq!(code(renew(P256)), "agent_state", "{taking:?}");
        assert_eq!(code(renew(KeySource::Request(&request))), "agent_state", "{taking:?}");
        assert_eq!(code(w.join(&agent)), "agent_suspended", "{taking:?}");
        let tenant = w.kakunin.tenant(&w.acme);
        let granted = tenant.grant_key(&agent, &role);
        assert_eq!(code(block_on(granted)), "agent_state", "{taking:?}");
        assert_eq!(code(block_on(w.kakunin.tenant(&w.acme).sign(&agent, b"m"))), "agent_state", "{taking:?}");
        if taking != Taking::Hold {
            assert_eq!(code(block_on(w.kakunin.tenant(&w.acme).release(&serial))), "exists", "{taking:?}");
        }
        let change = AgentChange { description: Some(Some(note("harmless"))), ..AgentChange::default() };
        let tenant = w.kakunin.tenant(&w.acme);
        let changed = tenant.update(&agent, change);
        assert_eq!(block_on(changed).unwrap().state, AgentState::Suspended, "{taking:?}");
        assert_eq!(w.state(&agent), AgentState::Suspended, "{taking:?}");
    }
}

#[test]
fn a_reinstatement_says_why_and_who_and_forgets_the_evidence() {
    let w = world();
    let (agent, certificate) = w.agent("one");
    let serial = certificate.facts.serial;
    assert_eq!(code(w.reinstate(&agent)), "agent_state", "it works");
    w.take(Taking::Behaviour, &agent, &serial);
    let by = w.kakunin.acting_as("key:ops".parse().unwrap());
    for blank in [" ", "\n\t"] {
        assert_eq!(code(block_on(by.tenant(&w.acme).reinstate(&agent, note(blank)))), "note_malformed");
    }
    let other: TenantId = "other".parse().unwrap();
    block_on(w.kakunin.create_tenant(&other)).unwrap();
    assert_eq!(code(block_on(by.tenant(&other).reinstate(&agent, note("mine")))), "not_found");
    let reinstated = block_on(by.tenant(&w.acme).reinstate(&agent, note("its prompt was mended"))).unwrap();
    assert_eq!((reinstated.state, reinstated.id), (AgentState::Pending, agent));
    let Record { body: Body::Control(control), by: who, time, .. } =
        block_on(w.kakunin.tenant(&w.acme).records(None, 1, |_| true)).unwrap().items.pop().unwrap().record
    else {
        panic!("an event")
    };
    assert_eq!(*control, Control::AgentReinstated { reason: note("its prompt was mended") });
    assert_eq!((who.unwrap().as_str(), time), ("key:ops", NOW));
    assert_eq!(code(w.reinstate(&agent)), "agent_state", "once is enough");
    let risk = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap();
    assert_eq!((risk.score.millionths(), risk.band), (0, Band::Low));
    w.certify(&agent).unwrap();
    assert_eq!(w.state(&agent), AgentState::Active);
    let w = w.rebuilt();
    let risk = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap();
    assert_eq!((w.state(&agent), risk.score.millionths()), (AgentState::Active, 0));
    // It can be stopped again, and the first stop is not the answer.
    block_on(w.kakunin.tenant(&w.acme).halt(&agent, Cause::KillSwitchActivated, None)).unwrap();
    assert_eq!(w.state(&agent), AgentState::Suspended);
}

#[test]
fn what_events_amount_to_is_begun_anew_and_the_same_when_it_is_read_back() {
    let w = world();
    let (agent, first) = w.agent("one");
    let amounts = |w: &World| {
        let risk = block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap();
        (risk.tally.unwrap(), risk.adverse.unwrap())
    };
    w.take(Taking::Behaviour, &agent, &first.facts.serial);
    assert!(!amounts(&w).0.is_empty() && !amounts(&w).1.is_empty());
    w.reinstate(&agent).unwrap();
    assert_eq!(amounts(&w), (Vec::new(), Vec::new()));
    // Also what is told of a certificate that was replaced.
    w.clock.set(NOW.plus(MINUTE));
    let old = w.certify(&agent).unwrap().facts.serial;
    let model = MODEL.parse().unwrap();
    block_on(w.kakunin.tenant(&w.acme).renew(&agent, &model, Profile::Standard, P256)).unwrap();
    let late = Event::refused(old, "delete:backups".parse().unwrap());
    let observed = block_on(w.kakunin.tenant(&w.acme).observe(late)).unwrap();
    assert_eq!(observed.status, EventStatus::Scored);
    let lived = amounts(&w);
    assert_eq!((lived.0.len(), lived.1.first().map(|event| event.index)), (1, observed.index));
    assert_eq!(amounts(&w.rebuilt()), lived);
}

#[test]
fn a_release_ends_a_hold_and_nothing_else() {
    let w = world();
    let short = |name| {
        let agent = block_on(w.kakunin.tenant(&w.acme).register(spec(name))).unwrap().id;
        let issued = block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Ephemeral, P256)).unwrap();
        block_on(w.kakunin.tenant(&w.acme).hold(&issued.facts.serial)).unwrap();
        (agent, issued.facts.serial)
    };
    let (halted, retired, reinstated) = (short("halted"), short("retired"), short("reinstated"));
    let (gone, expired) = w.agent("gone");
    w.clock.set(NOW.plus(400 * 24 * HOUR));
    // What is held has expired, so that nothing revokes it.
    for (agent, _) in [&halted, &reinstated] {
        block_on(w.kakunin.tenant(&w.acme).halt(agent, Cause::KillSwitchActivated, None)).unwrap();
    }
    block_on(w.kakunin.tenant(&w.acme).retire(&retired.0)).unwrap();
    w.reinstate(&reinstated.0).unwrap();
    let release = |serial: &Serial| block_on(w.kakunin.tenant(&w.acme).release(serial));
    assert_eq!(code(release(&halted.1)), "agent_suspended");
    assert_eq!(code(release(&retired.1)), "agent_state");
    assert_eq!(code(release(&reinstated.1)), "agent_state");
    block_on(w.kakunin.tenant(&w.acme).retire(&gone)).unwrap();
    assert_eq!(code(block_on(w.kakunin.tenant(&w.acme).hold(&expired.facts.serial))), "agent_state");
    let states = [halted.0, retired.0, reinstated.0, gone].map(|agent| w.state(&agent));
    assert_eq!(
        states,
        [AgentState::Suspended, AgentState::Retired, AgentState::Pending, AgentState::Retired]
    );
}

#[test]
fn the_log_alone_comes_to_the_same_rows() {
    let w = world();
    let role = Principal::try_from("arn:aws:iam::111122223333:role/desk-7".to_owned()).unwrap();
    let model = MODEL.parse().unwrap();
    for (n, taking) in TAKINGS.into_iter().enumerate() {
        let (agent, certificate) = w.agent(&format!("agent {n}"));
        w.join(&agent).unwrap();
        block_on(w.kakunin.tenant(&w.acme).grant_key(&agent, &role)).unwrap();
        let tenant = w.kakunin.tenant(&w.acme);
        let renewed = tenant.renew(&agent, &model, Profile::Standard, P256);
        let serial = block_on(renewed).unwrap().facts.serial;
        block_on(w.kakunin.tenant(&w.acme).grant_key(&agent, &role)).unwrap();
        w.clock.set(NOW.plus(MINUTE));
        w.take(taking, &agent, &serial);
        block_on(w.kakunin.tend()).unwrap();
        if w.reinstate(&agent).is_ok() {
            w.certify(&agent).unwrap();
        }
        let _ = block_on(w.kakunin.tenant(&w.acme).revoke(&certificate.facts.serial, Cause::KeyCompromise))
            .unwrap();
    }
    let rows = |w: &World| {
        let log = LogId::Tenant(w.acme.clone());
        let of = |kind| block_on(w.parts.state.scan(&log, kind, None, 1_000)).unwrap();
        [Kind::Agent, Kind::Standing, Kind::Certificate, Kind::Inbox].map(of)
    };
    let lived = rows(&w);
    assert!(lived.iter().all(|rows| rows.len() > 5) && lived[0].len() == TAKINGS.len());
    let w = w.rebuilt();
    assert_eq!(rows(&w), lived);
}
