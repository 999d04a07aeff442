//! That a public key belongs to one agent, and to nobody while nothing of it is on record; and that what was given for it
//! is given again, also where there is no room.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::sink::{Does, Sink};
use common::{MODEL, config, parts};
use kakunin_core::agent::{AgentChange, NewAgent};
use kakunin_core::event::{Event, Outcome};
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId};
use kakunin_core::service::{Error, EventStatus, Kakunin, KeySource, Observed, Parts};
use kakunin_core::x509::csr::RequestToSign;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

struct World {
    kakunin: Kakunin,
    parts: Parts,
    sink: Arc<Sink>,
    own: LocalKeys,
    made: Mutex<u8>,
}

fn world() -> World {
    let (mut parts, _) = parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let kakunin = block_on(Kakunin::open(config(), parts.clone())).unwrap();
    for tenant in ["acme", "bolt"] {
        block_on(kakunin.create_tenant(&tenant.parse().unwrap())).unwrap();
    }
    World { kakunin, parts, sink, own: LocalKeys::ephemeral(), made: Mutex::default() }
}

impl World {
    /// A certification request for a new key.
    fn request(&self) -> Vec<u8> {
        let mut made = self.made.lock().unwrap();
        *made += 1;
        let key = block_on(self.own.generate(&PlannedKeyId::new([*made; 16]), KeyAlgorithm::P256)).unwrap();
        let key = block_on(self.own.open(&key)).unwrap();
        let request = RequestToSign::new(key.public_key());
        let signature = block_on(key.sign(request.to_be_signed())).unwrap();
        request.assemble(&signature)
    }

    fn agent(&self, tenant: &str, name: &str) -> (TenantId, AgentId) {
        agent(&self.kakunin, tenant, name)
    }

    /// Another process over the same store and keys, or the same one after its end. It has loaded no tenant.
    fn another(&self) -> Kakunin {
        block_on(Kakunin::open(config(), self.parts.clone())).unwrap()
    }

    fn certify(&self, (tenant, agent): &(TenantId, AgentId), request: &[u8]) -> Result<Certificate, Error> {
        certify(&self.kakunin, (tenant, agent), request)
    }
}

fn agent(kakunin: &Kakunin, tenant: &str, name: &str) -> (TenantId, AgentId) {
    let tenant = tenant.parse().unwrap();
    let spec = NewAgent::new(name, MODEL, ["read:a"]).unwrap();
    let agent = block_on(kakunin.tenant(&tenant).register(spec)).unwrap();
    (tenant, agent.id)
}

fn certify(
    kakunin: &Kakunin,
    (tenant, agent): (&TenantId, &AgentId),
    request: &[u8],
) -> Result<Certificate, Error> {
    block_on(kakunin.tenant(tenant).certify(agent, Profile::Standard, KeySource::Request(request)))
}

#[test]
fn a_key_of_which_nothing_could_be_recorded_belongs_to_nobody() {
    let w = world();
    let (one, two, other) = (w.agent("acme", "one"), w.agent("acme", "two"), w.agent("bolt", "other"));
    for (failure, code, next) in
        [(Does::Full, "storage_full", &other), (Does::Gone, "storage_unavailable", &two)]
    {
        let request = w.request();
        w.sink.does(failure);
        assert_eq!(w.certify(&one, &request).unwrap_err().code(), code);
        w.sink.does(Does::Well);
        w.certify(next, &request).unwrap();
        assert_eq!(w.certify(&one, &request).unwrap_err().code(), "key_in_use");
    }
}

#[test]
fn a_key_that_was_recorded_though_nobody_heard_of_it_is_its_agents() {
    let w = world();
    let (one, two, other) = (w.agent("acme", "one"), w.agent("acme", "two"), w.agent("bolt", "other"));
    let request = w.request();
    w.sink.does(Does::Lost);
    assert_eq!(w.certify(&one, &request).unwrap_err().code(), "storage_unavailable");
    w.sink.does(Does::Well);
    for next in [&other, &two] {
        assert_eq!(w.certify(next, &request).unwrap_err().code(), "key_in_use");
    }
    // To whom it belongs it answers, with what was made.
    w.certify(&one, &request).unwrap();
    assert_eq!(w.certify(&other, &request).unwrap_err().code(), "key_in_use");
}

#[test]
fn a_process_that_died_before_its_append_leaves_no_claim_and_one_that_died_after_it_a_key() {
    let mut w = world();
    for (failure, refused) in [(Does::Gone, None), (Does::Lost, Some("key_in_use"))] {
        let name = format!("{failure:?}");
        let (one, other) = (w.agent("acme", &name), w.agent("bolt", &name));
        let request = w.request();
        w.sink.does(failure);
        w.certify(&one, &request).unwrap_err();
        w.sink.does(Does::Well);
        w.kakunin = w.another();
        let next = w.certify(&other, &request).map_err(|error| error.code());
        assert_eq!(next.err(), refused, "{failure:?}");
    }
}

#[test]
fn a_key_of_a_tenant_that_is_not_loaded_is_that_tenants() {
    let mut w = world();
    let (one, other) = (w.agent("acme", "one"), w.agent("bolt", "other"));
    let request = w.request();
    w.certify(&other, &request).unwrap();
    w.kakunin = w.another();
    assert_eq!(w.certify(&one, &request).unwrap_err().code(), "key_in_use");
    w.certify(&one, &w.request()).unwrap();
}

#[test]
fn of_two_processes_that_race_for_a_key_exactly_one_gets_it() {
    let w = world();
    let second = w.another();
    let mut won = [0, 0];
    for round in 0..40 {
        // Each serves a tenant.
        let name = format!("round {round}");
        let (here, there) = (agent(&w.kakunin, "acme", &name), agent(&second, "bolt", &name));
        let request = w.request();
        let results = std::thread::scope(|scope| {
            let threads = [(&w.kakunin, &here), (&second, &there)].map(|(kakunin, (tenant, agent))| {
                let request = &request;
                scope.spawn(move || certify(kakunin, (tenant, agent), request))
            });
            threads.map(|thread| thread.join().unwrap().map_err(|error| error.code()))
        });
        for (count, result) in won.iter_mut().zip(&results) {
            *count += usize::from(result.is_ok());
        }
        let refused: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
        assert_eq!(refused, [&"key_in_use"], "round {round}");
    }
    assert_eq!(won.iter().sum::<usize>(), 40);
}

#[test]
fn who_is_refused_by_the_store_takes_nobody_along() {
    let mut w = world();
    let (one, two, other) = (w.agent("acme", "one"), w.agent("acme", "two"), w.agent("bolt", "other"));
    let (taken, free) = (w.request(), w.request());
    w.certify(&other, &taken).unwrap();
    let serial = w.certify(&w.agent("acme", "acts"), &w.request()).unwrap().facts.serial;
    w.kakunin = w.another();
    block_on(w.kakunin.tenant(&one.0).agent(&one.1)).unwrap();
    let wanted = NewAgent::new("two", MODEL, ["read:b"]).unwrap().scope;
    let events = [Event::new(serial, "read:a".parse().unwrap(), Outcome::Ok)];
    let before = w.sink.appends();
    w.sink.does(Does::Waits);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| w.agent("acme", "the first"));
        while w.sink.appends() == before {
            std::thread::sleep(Duration::from_millis(1));
        }
        let refused = scope.spawn(|| w.certify(&one, &taken));
        let certified = scope.spawn(|| w.certify(&two, &free));
        let registered = scope.spawn(|| w.agent("acme", "the last"));
        let observed = scope.spawn(|| block_on(w.kakunin.tenant(&one.0).observe_all(events.to_vec())));
        let changed = scope.spawn(|| {
            let scope = wanted.clone();
            let change = AgentChange { scope: Some(scope), ..AgentChange::default() };
            block_on(w.kakunin.tenant(&two.0).update(&two.1, change))
        });
        // They queue behind the first.
        std::thread::sleep(Duration::from_millis(300));
        w.sink.does(Does::Well);
        assert_eq!(refused.join().unwrap().unwrap_err().code(), "key_in_use");
        certified.join().unwrap().unwrap();
        let observed = observed.join().unwrap().unwrap();
        assert!(matches!(observed[..], [Ok(Observed { status: EventStatus::Scored, .. })]), "{observed:?}");
        assert_eq!(changed.join().unwrap().unwrap().spec.scope, wanted);
        for agent in [first.join().unwrap(), registered.join().unwrap()] {
            block_on(w.kakunin.tenant(&agent.0).agent(&agent.1)).unwrap();
        }
    });
    // The first; the others together, which were refused; and once more, without the one.
    assert_eq!(w.sink.appends() - before, 3);
    // What is in memory is what the log says.
    let again = w.another();
    for (tenant, agent) in [&one, &two] {
        let (lived, read) =
            (block_on(w.kakunin.tenant(tenant).agent(agent)), block_on(again.tenant(tenant).agent(agent)));
        assert_eq!(lived.unwrap(), read.unwrap());
    }
}

#[test]
fn the_same_request_gets_the_same_answer_where_there_is_no_room() {
    let w = world();
    let (one, two) = (w.agent("acme", "one"), w.agent("acme", "two"));
    let (request, other) = (w.request(), w.request());
    let given = w.certify(&one, &request).unwrap();
    w.sink.does(Does::Scarce);
    assert_eq!(w.certify(&one, &request).unwrap().der, given.der);
    assert_eq!(w.certify(&one, &other).unwrap_err().code(), "storage_full");
    assert_eq!(w.certify(&two, &request).unwrap_err().code(), "storage_full");
    w.sink.does(Does::Well);
    assert_eq!(w.certify(&two, &request).unwrap_err().code(), "key_in_use");
}
