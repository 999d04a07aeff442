//! Of several that do the same at the same instant one does it.

use std::sync::Barrier;

use kakunin_core::agent::NewAgent;
use kakunin_core::id::AgentId;
use kakunin_core::issue::Profile;
use kakunin_core::key::{KeyAlgorithm, KeyProvider as _, PlannedKeyId};
use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::{Body, Record};
use kakunin_core::revoke::Cause;
use kakunin_core::service::{EventStatus, Kakunin};
use kakunin_core::time::MINUTE;
use kakunin_core::x509::csr::RequestToSign;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

use crate::common::{MODEL, P256};
use crate::world::{World, event};

const ROUNDS: u64 = 12;

/// What all of them give who do it at once.
fn at_once<T: Send>(w: &World, act: impl Fn(usize, &Kakunin) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(w.members.len());
    std::thread::scope(|scope| {
        let (barrier, act) = (&barrier, &act);
        let threads: Vec<_> = w
            .members
            .iter()
            .enumerate()
            .map(|(number, (kakunin, _))| {
                scope.spawn(move || {
                    barrier.wait();
                    act(number, kakunin)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// What a workload with a key of its own sends.
fn request() -> Vec<u8> {
    let keys = LocalKeys::ephemeral();
    let key = block_on(keys.generate(&PlannedKeyId::new([7; 16]), KeyAlgorithm::P256)).unwrap();
    let key = block_on(keys.open(&key)).unwrap();
    let request = RequestToSign::new(key.public_key());
    let signature = block_on(key.sign(request.to_be_signed())).unwrap();
    request.assemble(&signature)
}

fn records(w: &World, name: &str) -> usize {
    let log = LogId::Tenant(w.acme.clone());
    let entries = block_on(w.one(0).read_log(&log, 0, usize::MAX)).unwrap();
    entries.iter().filter(|entry| Record::open(entry).unwrap().name() == name).count()
}

#[test]
fn an_event_a_nonce_and_a_revocation_are_recorded_once() {
    let w = World::of(3);
    let (agent, serial) = w.agent(0, "one");
    w.level();
    for seq in 1..=ROUNDS {
        let seen = at_once(&w, |_, kakunin| {
            block_on(kakunin.tenant(&w.acme).observe(event(serial, 1, seq))).unwrap()
        });
        let first = seen.iter().filter(|seen| seen.status == EventStatus::Scored).count();
        assert_eq!(first, 1, "{seen:?}");
        assert!(seen.iter().all(|one| one.index == seen[0].index), "all are told where it is: {seen:?}");
        let nonce: kakunin_core::event::Name = format!("nonce-{seq}").parse().unwrap();
        let used = at_once(&w, |_, kakunin| {
            let mut event = event(serial, 1, 0);
            event.stream = None;
            block_on(kakunin.tenant(&w.acme).observe_once(nonce.clone(), event)).is_ok()
        });
        assert_eq!(used.iter().filter(|used| **used).count(), 1, "{used:?}");
    }
    let revoked = at_once(&w, |_, kakunin| {
        block_on(kakunin.tenant(&w.acme).revoke(&serial, Cause::KeyCompromise)).unwrap()
    });
    assert!(revoked.iter().all(|one| *one == revoked[0]), "{revoked:?}");
    assert_eq!(records(&w, "certificate.revoked"), 1);
    let log = LogId::Tenant(w.acme.clone());
    let entries = block_on(w.one(0).read_log(&log, 0, usize::MAX)).unwrap();
    let acts = entries.iter().filter(|entry| matches!(Record::open(entry).unwrap().body, Body::Event(..)));
    assert_eq!(acts.count(), usize::try_from(2 * ROUNDS).unwrap());
    w.agree(&[agent]);
}

#[test]
fn a_join_token_is_redeemed_once_and_a_certificate_is_asked_for_in_turn() {
    let w = World::of(3);
    let agents: Vec<AgentId> = (0..6)
        .map(|n| {
            let spec = NewAgent::new(&format!("agent-{n}"), MODEL, ["read:a"]).unwrap();
            block_on(w.one(n).tenant(&w.acme).register(spec)).unwrap().id
        })
        .collect();
    w.level();
    for (n, agent) in agents.iter().enumerate() {
        let tenant = w.one(n).tenant(&w.acme);
        let (_, token) = block_on(tenant.create_join_token(agent, Profile::Standard, MINUTE)).unwrap();
        w.level();
        let csrs: Vec<_> = (0..w.members.len()).map(|_| request()).collect();
        let joined =
            at_once(&w, |number, kakunin| block_on(kakunin.enrol(token.reveal(), &csrs[number])).is_ok());
        assert_eq!(joined.iter().filter(|joined| **joined).count(), 1, "{joined:?}");
    }
    let spec = NewAgent::new("without", MODEL, ["read:a"]).unwrap();
    let without = block_on(w.one(0).tenant(&w.acme).register(spec)).unwrap().id;
    w.level();
    let certified = at_once(&w, |_, kakunin| {
        block_on(kakunin.tenant(&w.acme).certify(&without, Profile::Standard, P256))
            .map(|leaf| leaf.facts.serial)
    });
    // Whoever is overtaken is told so, and only one certificate stands.
    let done: Vec<_> = certified.iter().flatten().collect();
    w.level();
    let known = block_on(w.one(0).tenant(&w.acme).agent(&without)).unwrap();
    assert_eq!(known.certificate.is_some(), !done.is_empty(), "{certified:?}");
    assert!(done.iter().all(|serial| Some(**serial) == known.certificate), "{certified:?}");
    w.agree(&[agents, vec![without]].concat());
}
