//! What changes while a certificate stays the same: time, revocation, the age of what is known.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::Arc;

use common::*;
use kakunin_core::id::{IssuerId, Serial};
use kakunin_core::revoke::{LiveRevocations, Reason, RevokedSet};
use kakunin_core::time::{DAY, SECOND};
use kakunin_verify::{Authorized, Denied, Policy, RevocationHandle, Snapshot, Verifier};

fn code(result: Result<Authorized, Denied>) -> Option<&'static str> {
    result.err().map(|denied| denied.code())
}

fn leaf_serial() -> Serial {
    Serial::from_der_integer(&serial(0x42)).unwrap()
}

fn revoked(reason: Reason) -> RevokedSet {
    RevokedSet::from_entries([(leaf_serial(), reason)])
}

#[test]
fn a_revocation_is_seen_by_the_next_call_of_an_agent_held_for_long() {
    let world = World::p256();
    let live = Arc::new(LiveRevocations::default());
    live.replace(world.issuing.key.id(), &RevokedSet::default());
    let verifier = Verifier::builder(live.clone())
        .anchor(world.anchor())
        .issuer(world.issuing_der.clone())
        .build(NOW)
        .unwrap();
    let chain = [world.leaf_der()];
    let agent = verifier.verify(&chain, NOW).unwrap();
    assert_eq!(code(agent.authorize(ACTION, NOW)), None);
    for (reason, expected) in
        [(Reason::CertificateHold, "agent_inactive"), (Reason::PrivilegeWithdrawn, "agent_revoked")]
    {
        live.replace(world.issuing.key.id(), &revoked(reason));
        assert_eq!(code(agent.authorize(ACTION, NOW)), Some(expected));
        assert_eq!(code(verifier.check(&chain, ACTION, NOW)), Some(expected), "remembered");
        live.replace(world.issuing.key.id(), &RevokedSet::default());
        assert_eq!(code(agent.authorize(ACTION, NOW)), None, "released");
    }
}

#[test]
fn expiry_is_seen_on_every_way() {
    let world = World::p256();
    let verifier = world.builder().policy(Policy::strict().dangerously_ignore_staleness());
    let verifier = verifier.issuer(world.issuing_der.clone()).build(NOW).unwrap();
    let chain = [world.leaf_der()];
    let agent = verifier.verify(&chain, NOW).unwrap();
    let last = NOW.plus(DAY).plus(SECOND - 1);
    for (now, expected) in [
        (last, None),
        (last.plus(1), Some("agent_expired")),
        (NOW.minus(DAY), None),
        (NOW.minus(DAY + 1), Some("certificate_not_yet_valid")),
        (NOW.plus(4_000 * DAY), Some("agent_expired")),
    ] {
        assert_eq!(code(agent.authorize(ACTION, now)), expected, "held, {now}");
        assert_eq!(code(verifier.check(&chain, ACTION, now)), expected, "remembered, {now}");
    }
}

#[test]
fn unknown_and_stale_are_denied_unless_the_policy_says_so_by_name() {
    let world = World::p256();
    let chain = [world.leaf_der()];
    let id = world.issuing.key.id();
    let old = NOW.minus(20 * SECOND + 1);
    let lax_age = Policy::strict().dangerously_ignore_staleness();
    let lax_unknown = Policy::strict().dangerously_accept_unknown_revocation();
    let cases = [
        ("nothing yet", Snapshot::default(), Policy::strict(), Some("revocation_unknown")),
        ("unknown issuer", Snapshot::new(NOW), Policy::strict(), Some("revocation_unknown")),
        ("unknown accepted", Snapshot::new(NOW), lax_unknown.clone(), None),
        ("fresh", Snapshot::new(NOW).with(id, RevokedSet::default()), Policy::strict(), None),
        (
            "stale",
            Snapshot::new(old).with(id, RevokedSet::default()),
            Policy::strict(),
            Some("verify_unavailable"),
        ),
        (
            "stale, tighter",
            Snapshot::new(NOW.minus(2)).with(id, RevokedSet::default()),
            Policy::strict().max_staleness(1),
            Some("verify_unavailable"),
        ),
        (
            "stale, unknown accepted",
            Snapshot::new(old).with(id, RevokedSet::default()),
            lax_unknown,
            Some("verify_unavailable"),
        ),
        (
            "from the future",
            Snapshot::new(NOW.plus(DAY)).with(id, RevokedSet::default()),
            Policy::strict(),
            Some("verify_unavailable"),
        ),
        ("stale accepted", Snapshot::new(old).with(id, RevokedSet::default()), lax_age.clone(), None),
        (
            "stale accepted, revoked",
            Snapshot::new(old).with(id, revoked(Reason::Superseded)),
            lax_age,
            Some("agent_revoked"),
        ),
    ];
    for (what, snapshot, policy, expected) in cases {
        let handle = RevocationHandle::default();
        let verifier = Verifier::builder(handle.clone()).anchor(world.anchor()).policy(policy);
        let verifier = verifier.issuer(world.issuing_der.clone()).build(NOW).unwrap();
        handle.publish(snapshot);
        assert_eq!(code(verifier.check(&chain, ACTION, NOW)), expected, "{what}");
    }
}

#[test]
fn a_revoked_issuer_takes_its_agents_with_it() {
    let world = World::p256();
    let handle = world.revocations();
    let verifier = Verifier::builder(handle.clone()).anchor(world.anchor());
    let verifier = verifier.issuer(world.issuing_der.clone()).build(NOW).unwrap();
    let agent = verifier.verify(&[world.leaf_der()], NOW).unwrap();
    let issuing_serial = Serial::from_der_integer(&serial(0x51)).unwrap();
    let by_root = RevokedSet::from_entries([(issuing_serial, Reason::CaCompromise)]);
    handle.publish((*handle.current()).clone().with(world.root.key.id(), by_root));
    assert_eq!(code(agent.authorize(ACTION, NOW)), Some("issuer_revoked"));
    assert_eq!(code(verifier.check(&[world.leaf_der()], ACTION, NOW)), Some("issuer_revoked"));
}

#[test]
fn the_cache_changes_nothing_but_speed() {
    let world = World::p256();
    for capacity in [0, 1, 40] {
        let verifier =
            world.builder().issuer(world.issuing_der.clone()).cache_capacity(capacity).build(NOW).unwrap();
        let leaves: Vec<_> = (0..100_u8)
            .map(|n| {
                let mut spec = world.leaf();
                spec.serial[15] = n;
                spec.sign(&world.issuing.key)
            })
            .collect();
        for _ in 0..3 {
            for (n, leaf) in (0_u8..).zip(&leaves) {
                let agent = verifier.verify(&[leaf], NOW).unwrap();
                assert_eq!(agent.serial().as_bytes()[15], n);
            }
        }
        // The same tail under other octets is another certificate.
        let mut forged = leaves[0].clone();
        forged[100] ^= 1;
        assert!(verifier.verify(&[forged], NOW).is_err());
    }
}

#[test]
fn a_refusal_says_what_to_answer() {
    let world = World::p256();
    let verifier = world.verifier(backends()[0]);
    let none: [&[u8]; 0] = [];
    for (result, code, status) in [
        (verifier.check(&none, ACTION, NOW), "certificate_missing", 401),
        (verifier.check(&[b"x"], ACTION, NOW), "certificate_malformed", 401),
        (verifier.check(&[world.leaf_der()], "write:all", NOW), "scope_violation", 403),
        (verifier.check(&[world.leaf_der()], ACTION, NOW.plus(60 * SECOND)), "verify_unavailable", 503),
    ] {
        let denied = result.unwrap_err();
        assert_eq!((denied.code(), denied.http_status()), (code, status), "{denied}");
    }
    assert!(!verifier.issuers().contains(&IssuerId::from_bytes([0; 20])));
}
