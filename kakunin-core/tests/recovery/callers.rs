//! Calls that end before they are answered, and writers that do.

use kakunin_core::access::Role;
use kakunin_core::agent::AgentState;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Control, Record};
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{EventStatus, Kakunin};
use pollster::block_on;

use crate::common::sink::{Does, Sink};
use crate::common::state::State;
use crate::world::{acme, agent, config, parts};

/// A caller that goes away between append and projection, as when its connection breaks.
#[test]
fn a_call_that_is_dropped_after_its_append_leaves_nothing_behind_the_log() {
    let (mut parts, _) = parts();
    let late = State::well();
    parts.state = late.clone();
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (id, serial) = agent(&kakunin, "one");
    late.applies(Does::Silent);
    {
        let acme = acme();
        let tenant = kakunin.tenant(&acme);
        let mut revoke = std::pin::pin!(tenant.revoke(&serial, Cause::KeyCompromise));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(revoke.as_mut().poll(&mut context).is_pending());
    }
    late.applies(Does::Well);
    assert_eq!(
        kakunin.revocations().reason(&kakunin.issuer().id(), &serial),
        Ok(Some(Reason::KeyCompromise))
    );
    assert_eq!(block_on(kakunin.tenant(&acme()).agent(&id)).unwrap().state, AgentState::Suspended);
    let again = block_on(kakunin.tenant(&acme()).revoke(&serial, Cause::Superseded)).unwrap();
    assert_eq!(again.cause, Cause::KeyCompromise, "what is in the log is known");
}

/// A caller that goes away while its revocation is being written: verifiers of this process refuse the
/// certificate from the moment it was decided, and what follows agrees with the log.
#[test]
fn a_revocation_whose_caller_went_away_is_in_force() {
    let (mut parts, _) = parts();
    let sink = Sink::beneath(&mut parts);
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let ((id, serial), (_, other)) = (agent(&kakunin, "one"), agent(&kakunin, "two"));
    let reason = |serial| kakunin.revocations().reason(&kakunin.issuer().id(), serial).unwrap();
    sink.does(Does::Silent);
    {
        let acme = acme();
        let tenant = kakunin.tenant(&acme);
        let mut revoke = std::pin::pin!(tenant.revoke(&serial, Cause::KeyCompromise));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(revoke.as_mut().poll(&mut context).is_pending());
    }
    sink.does(Does::Well);
    assert_eq!(reason(&serial), Some(Reason::KeyCompromise));
    block_on(kakunin.tenant(&acme()).revoke(&other, Cause::Retired)).unwrap();
    assert_eq!(
        (reason(&serial), reason(&other)),
        (Some(Reason::KeyCompromise), Some(Reason::CessationOfOperation))
    );
    assert_eq!(block_on(kakunin.tenant(&acme()).agent(&id)).unwrap().state, AgentState::Suspended);
    let again = block_on(kakunin.tenant(&acme()).revoke(&serial, Cause::Superseded)).unwrap();
    assert_eq!(again.cause, Cause::KeyCompromise);
}

/// The caller that writes for all goes away: those who waited are told, and nobody waits for ever.
#[test]
fn callers_whose_writer_went_away_are_answered() {
    let (mut parts, _) = parts();
    let late = State::well();
    parts.state = late.clone();
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (_, serial) = agent(&kakunin, "one");
    let acme = acme();
    let event = || Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let tenant = kakunin.tenant(&acme);
    let mut waiting = Box::pin(tenant.observe(event()));
    {
        // The first takes the sequencer and hangs; the second queues behind it.
        late.applies(Does::Silent);
        let tenant = kakunin.tenant(&acme);
        let mut writer = Box::pin(tenant.observe(event()));
        assert!(writer.as_mut().poll(&mut context).is_pending());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
    }
    late.applies(Does::Well);
    assert!(block_on(waiting).is_ok());
    assert_eq!(block_on(kakunin.tenant(&acme).observe(event())).unwrap().status, EventStatus::Scored);
}

/// A key whose revocation could not be recorded is refused, and stays so once it was asked for again.
#[test]
fn a_revocation_of_a_key_that_was_not_recorded_is_recorded_when_it_is_asked_for_again() {
    let (mut parts, _) = parts();
    let sink = Sink::beneath(&mut parts);
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (acme, label) = (acme(), "desk".parse().unwrap());
    let (facts, key) = block_on(kakunin.tenant(&acme).create_api_key(Role::Operator, label, None)).unwrap();
    let works = |kakunin: &Kakunin| kakunin.authenticate(key.reveal()).is_some();
    let revoke = || block_on(kakunin.revoke_api_key(&facts.id));
    sink.does(Does::Full);
    assert_eq!((revoke().unwrap_err().code(), works(&kakunin)), ("storage_full", false));
    assert_eq!((revoke().unwrap_err().code(), works(&kakunin)), ("storage_full", false));
    sink.does(Does::Well);
    revoke().unwrap();
    assert_eq!(revoke().unwrap_err().code(), "not_found");
    let again = block_on(Kakunin::open(config(), parts)).unwrap();
    assert!(!works(&again), "a restart brings it not back");
}

/// What was decided by a caller that went away is on a CRL that nobody asks for, too.
#[test]
fn a_revocation_whose_caller_went_away_is_published() {
    let (mut parts, _) = parts();
    let sink = Sink::beneath(&mut parts);
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (_, serial) = agent(&kakunin, "one");
    block_on(kakunin.publish_due());
    let published = || {
        let system = block_on(kakunin.read_log(&LogId::System, 0, 1_000)).unwrap();
        let records = system.iter().map(|entry| Record::open(entry).unwrap().body);
        let entries = |body| match body {
            Body::Control(control) => match *control {
                Control::CrlPublished { entries, .. } => entries,
                _ => 0,
            },
            Body::Event(..) => 0,
        };
        records.map(entries).sum::<u64>()
    };
    assert_eq!(published(), 0);
    sink.does(Does::Silent);
    {
        let acme = acme();
        let tenant = kakunin.tenant(&acme);
        let mut revoke = std::pin::pin!(tenant.revoke(&serial, Cause::KeyCompromise));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(revoke.as_mut().poll(&mut context).is_pending());
    }
    sink.does(Does::Well);
    let left = block_on(kakunin.publish_due());
    assert_eq!((published(), left.left), (1, 0), "{left:?}");
}

/// How the last event was written is in doubt, and there is no room for a seal: what takes trust away goes through.
#[test]
fn in_doubt_on_a_full_disk_an_agent_is_halted() {
    let (mut parts, _) = parts();
    let state = State::well();
    let sink = Sink::over(state.store.clone());
    (parts.sink, parts.state, parts.revocations) = (sink.clone(), state.clone(), state.store.clone());
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (id, serial) = agent(&kakunin, "one");
    let tenant = kakunin.tenant(&acme());
    let observe = || block_on(tenant.observe(Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok)));
    (0..3).for_each(|_| _ = observe().unwrap());
    sink.does(Does::Lost);
    assert_eq!(observe().unwrap_err().code(), "storage_unavailable");
    sink.does(Does::Well);
    state.puts(0, Does::Full);
    block_on(tenant.halt(&id, Cause::KillSwitchActivated, None)).unwrap();
    let known = block_on(tenant.risk(&id)).unwrap();
    state.puts(0, Does::Well);
    let again = block_on(Kakunin::open(config(), parts)).unwrap();
    assert_eq!(block_on(again.tenant(&acme()).risk(&id)).unwrap(), known);
    assert_eq!(again.damage().named, Vec::<String>::new());
}
