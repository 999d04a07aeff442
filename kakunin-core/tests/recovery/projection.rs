//! A projection that falls behind the log.

use kakunin_core::agent::AgentState;
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::TenantId;
use kakunin_core::revoke::Reason;
use kakunin_core::service::Kakunin;
use pollster::block_on;

use crate::common::sink::Does;
use crate::common::state::State;
use crate::world::{NOW, acme, agent, config, parts};

#[test]
fn a_projection_that_falls_behind_is_brought_level() {
    let (mut parts, clock) = parts();
    let late = State::well();
    parts.state = late.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let (id, serial) = agent(&kakunin, "one");
    clock.set(NOW.plus(1_000));
    late.applies(Does::Gone);
    let acknowledged =
        block_on(kakunin.tenant(&acme()).observe(Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok)));
    assert!(acknowledged.is_ok(), "the record is durable, so it is acknowledged");
    late.applies(Does::Well);
    block_on(kakunin.tenant(&acme()).hold(&serial)).unwrap();
    drop(kakunin);
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    assert_eq!(block_on(kakunin.tenant(&acme()).agent(&id)).unwrap().state, AgentState::Suspended);
    assert_eq!(
        kakunin.revocations().reason(&kakunin.issuer().id(), &serial),
        Ok(Some(Reason::CertificateHold))
    );
}

#[test]
fn the_system_log_is_not_gone_on_with_before_its_state_is_level() {
    let (mut parts, _) = parts();
    let late = State::well();
    parts.state = late.clone();
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    let tenants = ["a", "b"].map(|name| name.parse::<TenantId>().unwrap());
    late.applies(Does::Gone);
    block_on(kakunin.create_tenant(&tenants[0])).unwrap();
    assert!(block_on(kakunin.create_tenant(&tenants[1])).is_err(), "the state cannot be brought level");
    late.applies(Does::Well);
    block_on(kakunin.create_tenant(&tenants[1])).unwrap();
    drop(kakunin);
    let reopened = block_on(Kakunin::open(config(), parts)).unwrap();
    assert_eq!(block_on(reopened.tenants()), tenants, "what was acknowledged is there");
}
