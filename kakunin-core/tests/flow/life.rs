//! Agents and certificates: revoked, held, certified anew, retired, and of another tenant.

use kakunin_core::agent::AgentState;
use kakunin_core::event::Outcome;
use kakunin_core::id::TenantId;
use kakunin_core::issue::Profile;
use kakunin_core::key::KeyProvider;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::risk::Band;
use kakunin_core::service::{Error, EventStatus};
use pollster::block_on;

use crate::world::{P256, world};

#[test]
fn revoking_is_idempotent_and_the_first_cause_stands() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let first = block_on(w.kakunin.tenant(&w.acme).revoke(&serial, Cause::KeyCompromise)).unwrap();
    let size = w.records().len();
    let again = block_on(w.kakunin.tenant(&w.acme).revoke(&serial, Cause::Superseded)).unwrap();
    assert_eq!((first, w.records().len()), (again, size));
    assert_eq!(w.reason(&serial), Some(Reason::KeyCompromise));
    assert!(matches!(block_on(w.kakunin.tenant(&w.acme).hold(&serial)), Err(Error::Exists(_))));
    assert!(matches!(block_on(w.kakunin.tenant(&w.acme).release(&serial)), Err(Error::Exists(_))));
    assert_eq!(w.state(&agent), AgentState::Suspended);
}

#[test]
fn a_hold_suspends_and_a_release_restores() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let before = block_on(w.keys.list()).unwrap().len();
    block_on(w.kakunin.tenant(&w.acme).hold(&serial)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).hold(&serial)).unwrap();
    assert_eq!((w.state(&agent), w.reason(&serial)), (AgentState::Suspended, Some(Reason::CertificateHold)));
    block_on(w.kakunin.tenant(&w.acme).release(&serial)).unwrap();
    assert_eq!((w.state(&agent), w.reason(&serial)), (AgentState::Active, None));
    assert_eq!(block_on(w.keys.list()).unwrap().len(), before, "a held key is disabled, not deleted");
}

#[test]
fn a_revoked_agent_gets_a_new_identity_with_a_clean_record() {
    let w = world();
    let (agent, serial) = w.agent("one");
    assert!(matches!(
        block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, P256)),
        Err(Error::Exists(_))
    ));
    w.refuse_until_revoked(serial);
    assert!(matches!(
        block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::HighRisk, P256)),
        Err(Error::Suspended(id)) if id == agent
    ));
    let reason = "its prompt was mended".to_owned().try_into().unwrap();
    block_on(w.kakunin.tenant(&w.acme).reinstate(&agent, reason)).unwrap();
    let again = block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::HighRisk, P256)).unwrap();
    assert_ne!(again.facts.serial, serial);
    assert_eq!(w.state(&agent), AgentState::Active);
    assert_eq!(block_on(w.kakunin.tenant(&w.acme).risk(&agent)).unwrap().band, Band::Low);
    let seen = block_on(w.kakunin.tenant(&w.acme).observe(w.event(
        again.facts.serial,
        "read:accounts",
        Outcome::Ok,
    )))
    .unwrap();
    assert_eq!((seen.status, seen.band), (EventStatus::Scored, Band::Low));
    assert_eq!(w.reason(&serial), Some(Reason::PrivilegeWithdrawn), "the old one stays revoked");
}

#[test]
fn a_retired_agent_is_gone_for_good() {
    let w = world();
    let (agent, serial) = w.agent("one");
    block_on(w.kakunin.tenant(&w.acme).retire(&agent)).unwrap();
    block_on(w.kakunin.tenant(&w.acme).retire(&agent)).unwrap();
    assert_eq!(
        (w.state(&agent), w.reason(&serial)),
        (AgentState::Retired, Some(Reason::CessationOfOperation))
    );
    assert!(matches!(
        block_on(w.kakunin.tenant(&w.acme).certify(&agent, Profile::Standard, P256)),
        Err(Error::Agent(_))
    ));
}

#[test]
fn another_tenants_objects_do_not_exist() {
    let w = world();
    let (agent, serial) = w.agent("one");
    let other: TenantId = "other".parse().unwrap();
    block_on(w.kakunin.create_tenant(&other)).unwrap();
    assert!(matches!(block_on(w.kakunin.tenant(&other).agent(&agent)), Err(Error::NotFound(_))));
    assert!(matches!(block_on(w.kakunin.tenant(&other).certificate(&serial)), Err(Error::NotFound(_))));
    assert!(matches!(
        block_on(w.kakunin.tenant(&other).revoke(&serial, Cause::OperatorInitiated)),
        Err(Error::NotFound(_))
    ));
    assert!(matches!(block_on(w.kakunin.tenant(&other).hold(&serial)), Err(Error::NotFound(_))));
    let event = w.event(serial, "read:accounts", Outcome::Ok);
    assert!(matches!(block_on(w.kakunin.tenant(&other).observe(event)), Err(Error::NotFound(_))));
    let nobody = "nobody".parse().unwrap();
    assert!(matches!(block_on(w.kakunin.tenant(&nobody).agent(&agent)), Err(Error::NotFound(_))));
}
