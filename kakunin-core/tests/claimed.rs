//! That a public key belongs to one agent, and to nobody while nothing of it is on record; and that what was given for it
//! is given again, also where there is no room.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::{Arc, Mutex};

use common::sink::{Does, Sink};
use common::{MODEL, config, parts};
use kakunin_core::agent::NewAgent;
use kakunin_core::id::{AgentId, TenantId};
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId};
use kakunin_core::service::{Error, Kakunin, KeySource};
use kakunin_core::x509::csr::RequestToSign;
use kakunin_kms::local::LocalKeys;
use pollster::block_on;

struct World {
    kakunin: Kakunin,
    sink: Arc<Sink>,
    own: LocalKeys,
    made: Mutex<u8>,
}

fn world() -> World {
    let (mut parts, _) = parts(LocalKeys::ephemeral());
    let sink = Sink::beneath(&mut parts);
    let kakunin = block_on(Kakunin::open(config(), parts)).unwrap();
    for tenant in ["acme", "bolt"] {
        block_on(kakunin.create_tenant(&tenant.parse().unwrap())).unwrap();
    }
    World { kakunin, sink, own: LocalKeys::ephemeral(), made: Mutex::default() }
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
        let tenant = tenant.parse().unwrap();
        let spec = NewAgent::new(name, MODEL, ["read:a"]).unwrap();
        let agent = block_on(self.kakunin.register(&tenant, spec)).unwrap();
        (tenant, agent.id)
    }

    fn certify(&self, (tenant, agent): &(TenantId, AgentId), request: &[u8]) -> Result<Certificate, Error> {
        let source = KeySource::Request(request);
        block_on(self.kakunin.certify(tenant, agent, Profile::Standard, source))
    }
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
