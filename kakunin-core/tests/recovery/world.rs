//! A deployment, a life in it, what can be seen of both, and a store that is behind.

use std::sync::Arc;

use kakunin_core::agent::{Agent, NewAgent};
use kakunin_core::event::{Event, Outcome, StreamSeq};
use kakunin_core::id::{AgentId, Serial, TenantId};
use kakunin_core::issue::Profile;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{EventStatus, Kakunin, Notification, Parts, Risk};
use kakunin_core::time::ManualClock;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

pub(crate) use crate::common::{MODEL, NOW, P256, config};

pub(crate) fn parts() -> (Parts, Arc<ManualClock>) {
    crate::common::parts(LocalKeys::ephemeral())
}

pub(crate) fn acme() -> TenantId {
    "acme".parse().unwrap()
}

pub(crate) fn agent(kakunin: &Kakunin, name: &str) -> (AgentId, Serial) {
    let agent =
        block_on(kakunin.tenant(&acme()).register(NewAgent::new(name, MODEL, ["read:a"]).unwrap())).unwrap();
    let certificate = block_on(kakunin.tenant(&acme()).certify(&agent.id, Profile::Standard, P256)).unwrap();
    (agent.id, certificate.facts.serial)
}

/// Some life: one agent works, one wanders, one is revoked, one is held.
pub(crate) fn live(kakunin: &Kakunin, clock: &ManualClock) -> Vec<(AgentId, Serial)> {
    block_on(kakunin.create_tenant(&acme())).unwrap();
    let agents: Vec<_> = ["works", "wanders", "revoked", "held"].map(|name| agent(kakunin, name)).into();
    for n in 0..120_u64 {
        clock.set(NOW.plus(n * 7_000));
        for (i, (_, serial)) in agents.iter().enumerate() {
            let mut event = if i == 2 || (i == 1 && n % 50 == 7) {
                Event::refused(*serial, "delete:a".parse().unwrap())
            } else {
                Event::new(*serial, "read:a".parse().unwrap(), Outcome::Ok)
            };
            event.stream = Some(StreamSeq { stream: 1, seq: n });
            event.target = Some(format!("t{}", n % 9).parse().unwrap());
            block_on(kakunin.tenant(&acme()).observe(event)).unwrap();
        }
    }
    block_on(kakunin.tenant(&acme()).hold(&agents[3].1)).unwrap();
    let mut halted = agent(kakunin, "halted");
    let renewed =
        block_on(kakunin.tenant(&acme()).renew(&halted.0, &MODEL.parse().unwrap(), Profile::HighRisk, P256));
    halted.1 = renewed.unwrap().facts.serial;
    block_on(kakunin.tenant(&acme()).halt(&halted.0, Cause::RegulatoryOrder, None)).unwrap();
    block_on(kakunin.suspect_impersonation(&agents[0].1)).unwrap();
    agents.into_iter().chain([halted]).collect()
}

pub(crate) type Seen = (Vec<(Agent, Risk, Option<Reason>)>, Vec<(u64, Notification)>);

pub(crate) fn look(kakunin: &Kakunin, agents: &[(AgentId, Serial)]) -> Seen {
    let of = |(id, serial): &(AgentId, Serial)| {
        let agent = block_on(kakunin.tenant(&acme()).agent(id)).unwrap();
        let reason = kakunin.revocations().reason(&kakunin.issuer().id(), serial).unwrap();
        (agent, block_on(kakunin.tenant(&acme()).risk(id)).unwrap(), reason)
    };
    (agents.iter().map(of).collect(), block_on(kakunin.tenant(&acme()).notifications(None, 1_000)).unwrap())
}

/// What was recorded once stays recorded once, and what it was for stays known.
pub(crate) fn assert_known(kakunin: &Kakunin, serial: Serial) {
    let mut again = Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok);
    again.stream = Some(StreamSeq { stream: 1, seq: 119 });
    again.target = Some("t2".to_owned().try_into().unwrap());
    let seen = block_on(kakunin.tenant(&acme()).observe(again.clone())).unwrap();
    assert!(seen.status == EventStatus::Duplicate && seen.index.is_some(), "{seen:?}");
    again.target = Some("another".to_owned().try_into().unwrap());
    let refused = block_on(kakunin.tenant(&acme()).observe(again.clone())).unwrap_err();
    assert_eq!(refused.code(), "stream_number_reused");
    // Nothing is known any more of what a number was for that is far below the highest.
    again.stream = Some(StreamSeq { stream: 1, seq: 50 });
    let seen = block_on(kakunin.tenant(&acme()).observe(again)).unwrap();
    assert_eq!((seen.status, seen.index), (EventStatus::Duplicate, None));
}
