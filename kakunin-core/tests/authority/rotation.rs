//! Issuing CAs that are followed by others.

use kakunin_core::issue::Profile;
use kakunin_core::key::KeyAlgorithm;
use kakunin_core::revoke::{Cause, Reason};
use kakunin_core::service::{Config, Error, Kakunin, KeySource};
use kakunin_core::time::{Clock, DAY};
use pollster::block_on;

use crate::world::{MODEL, NOW, config, issue, openssl, reason, world};

#[test]
fn after_a_rotation_old_chains_stand_and_both_publish() {
    let w = world();
    let (before, revoked_later) = (issue(&w.kakunin, &w.acme), issue(&w.kakunin, &w.acme));
    let first = w.kakunin.issuer();
    let second = block_on(w.kakunin.rotate_issuing(None)).unwrap();
    assert_ne!(first.id(), second.id());
    assert_ne!(first.name(), second.name(), "a name has one key");
    assert_eq!(w.kakunin.issuer().id(), second.id());
    let after = issue(&w.kakunin, &w.acme);
    assert_eq!((before.facts.issuer, after.facts.issuer), (first.id(), second.id()));
    for leaf in [&before, &after] {
        assert!(openssl(&w.kakunin, leaf).contains("leaf: OK"), "{}", openssl(&w.kakunin, leaf));
    }
    block_on(w.kakunin.tenant(&w.acme).revoke(&revoked_later.facts.serial, Cause::KeyCompromise)).unwrap();
    let still_so = |kakunin: &Kakunin| {
        assert_eq!(reason(kakunin, &revoked_later), Some(Reason::KeyCompromise));
        assert_eq!((reason(kakunin, &before), reason(kakunin, &after)), (None, None));
        assert!(openssl(kakunin, &revoked_later).contains("certificate revoked"));
        assert!(openssl(kakunin, &after).contains("leaf: OK"));
    };
    still_so(&w.kakunin);
    let reopened = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    block_on(reopened.load()).unwrap();
    still_so(&reopened);
    // A renewal moves an agent to the new one, and ends the old certificate where it was issued.
    let attested = MODEL.parse().unwrap();
    let source = KeySource::Provider(KeyAlgorithm::P256);
    let renewed =
        block_on(reopened.tenant(&w.acme).renew(&before.facts.agent, &attested, Profile::Standard, source))
            .unwrap();
    assert_eq!(renewed.facts.issuer, second.id());
    // Once the old one's grace is over, since nobody uses the new one.
    w.clock.set(w.clock.now().plus(Config::RENEWAL_GRACE));
    block_on(reopened.tend()).unwrap();
    assert_eq!(reason(&reopened, &before), Some(Reason::Superseded));
}

#[test]
fn an_issuing_ca_that_expired_is_gone_and_a_new_one_takes_its_place() {
    let w = world();
    w.clock.set(NOW.plus(2 * 365 * DAY));
    let first = w.kakunin.issuer().id();
    let second = block_on(w.kakunin.rotate_issuing(None)).unwrap().id();
    w.clock.set(NOW.plus(4 * 365 * DAY));
    let reopened = block_on(Kakunin::open(config(), w.parts.clone())).unwrap();
    let ids: Vec<_> = reopened.authorities().iter().map(|ca| ca.issuer.id()).collect();
    assert_eq!(ids, [second]);
    assert!(matches!(block_on(reopened.published_crl(&first, None)), Err(Error::NotFound(_))));
    // The third has a key of its own, although only one is left.
    let third = block_on(reopened.rotate_issuing(None)).unwrap().id();
    assert!(third != first && third != second);
}
