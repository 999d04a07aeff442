//! Which key may have a certificate, and which speaks for it.

use kakunin_core::agent::NewAgent;
use kakunin_core::issue::Profile;
use kakunin_core::log::record::Control;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Kakunin, KeySource};
use pollster::block_on;

use crate::common::{MODEL, config};
use crate::world::{code, world};

#[test]
fn a_key_stands_for_one_agent_and_one_certificate() {
    let w = world();
    let (one, two) = (w.agent(), w.agent());
    let first = w.certify(&one, &w.request(0)).unwrap();
    assert_eq!(code(w.certify(&two, &w.request(0))), "key_in_use");
    block_on(w.kakunin.tenant(&w.acme).revoke(&first.facts.serial, Cause::OperatorInitiated)).unwrap();
    let reason = "it was a drill".to_owned().try_into().unwrap();
    block_on(w.kakunin.tenant(&w.acme).reinstate(&one, reason)).unwrap();
    assert_eq!(code(w.certify(&one, &w.request(0))), "key_in_use", "nor once more for the same agent");
    w.certify(&one, &w.request(2)).unwrap();
    // Another process that opens the deployment knows it too, and so does another tenant.
    let again = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    block_on(again.load()).unwrap();
    let other = "other".parse().unwrap();
    block_on(again.create_tenant(&other)).unwrap();
    let spec = NewAgent::new("theirs", MODEL, ["read:mail"]).unwrap();
    let theirs = block_on(again.tenant(&other).register(spec)).unwrap().id;
    let request = w.request(2);
    let tenant = again.tenant(&other);
    let refused = tenant.certify(&theirs, Profile::Standard, KeySource::Request(&request));
    assert_eq!(code(block_on(refused)), "key_in_use");
}

#[test]
fn the_current_key_speaks_for_the_next() {
    let w = world();
    let agent = w.agent();
    let first = w.certify(&agent, &w.request(0)).unwrap().facts.serial;
    let (request, other) = (w.request(1), w.request(2));
    let good = w.binding(0, &first, &request);
    assert_eq!(code(w.renew(&agent, KeySource::Request(&request))), "key_not_bound");
    for (request, binding) in [
        (&request, w.binding(1, &first, &request)),
        (&request, w.binding(0, &first, &other)),
        (&request, Vec::new()),
        (&other, good.clone()),
    ] {
        assert_eq!(code(w.renew(&agent, KeySource::Bound(request, &binding))), "key_not_bound");
    }
    let same = w.request(0);
    let binding = w.binding(0, &first, &same);
    assert_eq!(code(w.renew(&agent, KeySource::Bound(&same, &binding))), "key_in_use", "a fresh key");
    let second = w.renew(&agent, KeySource::Bound(&request, &good)).unwrap().facts.serial;
    let bound = w.controls().into_iter().find_map(|control| match control {
        Control::KeyBound { binding, .. } => binding,
        _ => None,
    });
    assert_eq!(bound.unwrap().serial, first);
    // What was said for one renewal says nothing for the next.
    assert_eq!(
        code(w.renew(&agent, KeySource::Bound(&other, &w.binding(0, &first, &other)))),
        "key_not_bound"
    );
    let next = w.binding(1, &second, &other);
    assert!(w.renew(&agent, KeySource::Bound(&other, &next)).is_ok());
}
