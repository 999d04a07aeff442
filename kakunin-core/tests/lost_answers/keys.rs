//! Keys of the provider, of the certificate that was renewed.

use kakunin_core::id::Serial;
use kakunin_core::issue::{Certificate, Profile};
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::KeySource;
use pollster::block_on;

use crate::common::MODEL;
use crate::world::{GRACE, World, code, world, world_of};

#[test]
fn the_provider_s_key_of_the_old_certificate_ends_with_it() {
    let w = world();
    let agent = w.agent();
    let p256 = KeySource::Provider(KeyAlgorithm::P256);
    let key = |certificate: Certificate| (certificate.facts.serial, certificate.key.unwrap());
    let signs =
        |key| block_on(w.parts.keys.open(key)).is_ok_and(|signer| block_on(signer.sign(b"m")).is_ok());
    let tenant = w.kakunin.tenant(&w.acme);
    let certify = tenant.certify(&agent, Profile::Standard, p256);
    let (first, old) = key(block_on(certify).unwrap());
    let (second, middle) = key(w.renew(&agent, p256).unwrap());
    assert!(signs(&old) && w.reason(&first).is_none());
    let (_, new) = key(w.renew(&agent, p256).unwrap());
    assert_eq!((w.reason(&first), w.reason(&second)), (Some(Reason::Superseded), None), "at most two");
    assert!(!signs(&old) && signs(&middle) && signs(&new));
    // The server signs with the newest: that is its first use.
    block_on(w.kakunin.tenant(&w.acme).sign(&agent, b"pay")).unwrap();
    assert_eq!(w.reason(&second), Some(Reason::Superseded));
    block_on(w.kakunin.tend()).unwrap();
    assert!(!signs(&middle) && signs(&new));
}

#[test]
fn a_request_for_a_key_of_the_provider_s_is_told_by_what_it_renews() {
    for issuing in [KeyAlgorithm::P256, KeyAlgorithm::Rsa2048] {
        let mut w = world_of(issuing, GRACE);
        let agent = w.agent();
        let (p256, ed25519) =
            (KeySource::Provider(KeyAlgorithm::P256), KeySource::Provider(KeyAlgorithm::Ed25519));
        let certify =
            |w: &World, profile, source| block_on(w.kakunin.tenant(&w.acme).certify(&agent, profile, source));
        let first = certify(&w, Profile::Elevated, p256).unwrap();
        // Nothing tells one such request from another; whoever asks again fetches what there is.
        assert_eq!(code(certify(&w, Profile::Elevated, p256)), "exists");
        let first = first.facts.serial;
        let renew = |w: &World, serial: &Serial, profile, source| {
            let model = MODEL.parse().unwrap();
            block_on(w.kakunin.tenant(&w.acme).renew_certificate(serial, &model, profile, source))
        };
        let renewed = renew(&w, &first, Profile::Standard, p256).unwrap();
        let size = w.size();
        w = w.reopened();
        assert_eq!(renew(&w, &first, Profile::Standard, p256).unwrap(), renewed);
        assert_eq!(code(renew(&w, &first, Profile::Elevated, p256)), "agent_state");
        assert_eq!(code(renew(&w, &first, Profile::Standard, ed25519)), "agent_state");
        assert!(w.size() == size && w.reason(&first).is_none(), "the old one stands");
        // Who names the new one asks for another; and what came before the last is no answer.
        let third = renew(&w, &renewed.facts.serial, Profile::Standard, p256).unwrap();
        assert_ne!(third, renewed);
        assert_eq!(code(renew(&w, &first, Profile::Standard, p256)), "agent_state");
        block_on(w.kakunin.tenant(&w.acme).revoke(&third.facts.serial, Cause::KeyCompromise)).unwrap();
        assert_eq!(code(renew(&w, &renewed.facts.serial, Profile::Standard, p256)), "agent_state");
        assert_eq!(code(certify(&w, Profile::Elevated, p256)), "agent_suspended");
    }
}
