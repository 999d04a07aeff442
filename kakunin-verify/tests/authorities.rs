//! Revocation of authorities, whatever their serial numbers and key identifiers; and authorities of one tenant.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::*;
use kakunin_core::id::{SerialNumber, TenantId};
use kakunin_core::revoke::{Reason, RevokedSet};
use kakunin_core::x509::extensions::TENANT;
use kakunin_core::x509::oid;
use kakunin_verify::{Denied, RevocationHandle, TrustAnchor, Verifier};

type Odd = fn(&mut Spec);

fn code<T>(result: Result<T, Denied>) -> Option<&'static str> {
    result.err().map(|denied| denied.code())
}

fn revoke(handle: &RevocationHandle, by: &Ca, serial: &[u8], reason: Reason) {
    let serial = SerialNumber::from_der_integer(serial).unwrap();
    let set = RevokedSet::from_entries([(serial, reason)]);
    handle.publish((*handle.current()).clone().with(by.key.id(), set));
}

/// Content octets of serial numbers that other people's CAs give.
fn serials() -> Vec<Vec<u8>> {
    vec![
        vec![1],
        vec![0, 0x80],
        vec![0x12, 0x34],
        vec![0x42; 15],
        [&[0][..], &[0x80; 16]].concat(),
        vec![0x42; 17],
        vec![0x7f; 20],
        serial(0x51),
    ]
}

/// Ways in which an authority names the key above it, or does not.
const NAMED: &[(&str, Odd)] = &[
    ("by key identifier", |_| ()),
    ("not at all", |s| s.drop_ext(oid::AUTHORITY_KEY_ID)),
    ("by name and serial", |s| {
        s.ext(oid::AUTHORITY_KEY_ID).value = encode(|w| {
            w.sequence(|w| {
                w.nested(0xa1, |w| _ = w.nested(0xa4, |w| _ = w.raw(&name("test root")))).element(0x82, &[1]);
            });
        });
    }),
    ("by key identifier, name and serial", |s| {
        s.ext(oid::AUTHORITY_KEY_ID).value = encode(|w| {
            w.sequence(|w| {
                w.element(0x80, &[1; 20]);
                w.nested(0xa1, |w| _ = w.nested(0xa4, |w| _ = w.raw(&name("test root")))).element(0x82, &[1]);
            });
        });
    }),
    ("by a key identifier of 8 octets", |s| {
        s.ext(oid::AUTHORITY_KEY_ID).value = encode(|w| _ = w.sequence(|w| _ = w.element(0x80, &[1; 8])));
    }),
    ("by another's key identifier", |s| {
        s.ext(oid::AUTHORITY_KEY_ID).value = encode(|w| _ = w.sequence(|w| _ = w.element(0x80, &[1; 20])));
    }),
    ("empty", |s| s.ext(oid::AUTHORITY_KEY_ID).value = vec![0x30, 0]),
];

#[test]
fn a_revoked_authority_is_found_by_any_serial_number_and_however_it_names_its_issuer() {
    let world = World::p256();
    for (named, odd) in NAMED {
        for serial in serials() {
            for reason in [Reason::CaCompromise, Reason::CertificateHold, Reason::Unspecified] {
                let mut spec = world.issuing.spec(&world.root, Some(0));
                spec.serial.clone_from(&serial);
                odd(&mut spec);
                let issuing = spec.sign(&world.root.key);
                let handle = world.revocations();
                let verifier = || Verifier::builder(handle.clone()).anchor(world.anchor());
                let loaded = verifier().issuer(issuing.clone()).build(NOW).unwrap();
                let met = verifier().build(NOW).unwrap();
                let chain = [world.leaf_der(), issuing];
                let agent = met.verify(&chain, NOW).unwrap();
                assert_eq!(code(loaded.verify(&chain[..1], NOW)), None, "{named} {serial:x?}");
                revoke(&handle, &world.root, &serial, reason);
                for verifier in [&loaded, &met] {
                    assert_eq!(
                        code(verifier.verify(&chain, NOW)),
                        Some("issuer_revoked"),
                        "{named} {serial:x?}"
                    );
                }
                assert_eq!(code(agent.authorize(ACTION, NOW)), Some("issuer_revoked"));
            }
        }
    }
}

#[test]
fn an_authority_whose_serial_number_could_not_be_looked_up_is_not_trusted() {
    let world = World::p256();
    let twenty = [&[0][..], &[0x80; 20]].concat();
    for serial in [vec![0], vec![0x80], vec![0xff; 16], vec![], vec![0, 1], vec![1; 21], vec![1; 200], twenty]
    {
        let mut spec = world.issuing.spec(&world.root, Some(0));
        spec.serial.clone_from(&serial);
        let issuing = spec.sign(&world.root.key);
        let error = world.builder().issuer(issuing.clone()).build(NOW).unwrap_err();
        assert_eq!(error.code(), "issuer_invalid", "{serial:x?}");
        assert!(world.builder().build(NOW).unwrap().verify(&[world.leaf_der(), issuing], NOW).is_err());
    }
}

#[test]
fn serial_numbers_are_of_one_issuer_and_every_authority_of_a_path_is_looked_up() {
    // root -> upper -> lower -> issuing, all with the same serial number.
    let world = World::p256();
    let (upper, lower) = (Ca::new(Key::p256(), "upper"), Ca::new(Key::p256(), "lower"));
    let make = |ca: &Ca, parent: &Ca| {
        let mut spec = ca.spec(parent, None);
        spec.serial = vec![7];
        spec.drop_ext(oid::AUTHORITY_KEY_ID);
        if ca.name != world.issuing.name {
            // Nor does it say whose key it has.
            spec.drop_ext(oid::SUBJECT_KEY_ID);
        }
        spec.sign(&parent.key)
    };
    let chain =
        [world.leaf_der(), make(&world.issuing, &lower), make(&lower, &upper), make(&upper, &world.root)];
    for by in [&world.root, &upper, &lower] {
        let handle = world.revocations();
        let verifier = Verifier::builder(handle.clone()).anchor(world.anchor()).build(NOW).unwrap();
        assert_eq!(code(verifier.verify(&chain, NOW)), None);
        revoke(&handle, by, &[7], Reason::CaCompromise);
        assert_eq!(code(verifier.verify(&chain, NOW)), Some("issuer_revoked"));
    }
    // The same number of an issuer that has nothing to do with it, and other numbers.
    let handle = world.revocations();
    let verifier = Verifier::builder(handle.clone()).anchor(world.anchor()).build(NOW).unwrap();
    revoke(&handle, &Ca::new(Key::p256(), "another"), &[7], Reason::CaCompromise);
    revoke(&handle, &world.root, &[0x07, 0x07], Reason::CaCompromise);
    assert_eq!(code(verifier.verify(&chain, NOW)), None);
}

#[test]
fn a_revoked_path_is_refused_and_another_certificate_of_the_same_authority_stands() {
    let (world, other) = (World::p256(), Ca::new(Key::p256(), "another root"));
    let mut crossed = world.issuing.spec(&other, Some(0));
    crossed.serial = vec![9];
    let crossed = crossed.sign(&other.key);
    let mut root = other.spec(&other, None);
    root.drop_ext(oid::AUTHORITY_KEY_ID);
    let anchor = || TrustAnchor::new(&root.sign(&other.key), domain()).unwrap();
    let handle = world.revocations();
    let verifier =
        || Verifier::builder(handle.clone()).anchor(world.anchor()).anchor(anchor()).build(NOW).unwrap();
    let (first, second) = (verifier(), verifier());
    let by_first = [world.leaf_der(), world.issuing_der.clone()];
    let by_second = [world.leaf_der(), crossed];
    assert_eq!(code(first.verify(&by_first, NOW)), None);
    assert_eq!(code(second.verify(&by_second, NOW)), None);
    revoke(&handle, &world.root, &serial(0x51), Reason::Superseded);
    assert_eq!(code(first.verify(&by_first, NOW)), Some("issuer_revoked"));
    assert_eq!(code(second.verify(&by_second, NOW)), None, "by a root that did not revoke it");
    revoke(&handle, &other, &[9], Reason::Superseded);
    assert_eq!(code(second.verify(&by_second, NOW)), Some("issuer_revoked"));
}

fn tenant(text: &str) -> TenantId {
    text.parse().unwrap()
}

/// The extension that binds an authority to a tenant.
fn bound_to(text: &str) -> Ext {
    ext(&oid::Arc::default().extension(TENANT), false, encode(|w| _ = w.utf8(text)))
}

/// An agent of another tenant than `tnt_01`, in everything.
fn leaf_of(world: &World, tenant: &str) -> Vec<u8> {
    let mut spec = world.leaf();
    spec.ext(&oid::Arc::default().extension(TENANT)).value = encode(|w| _ = w.utf8(tenant));
    spec.ext(oid::SUBJECT_ALT_NAME).value = san(&[(0x86, &SPIFFE_ID.replace("tnt_01", tenant))]);
    spec.sign(&world.issuing.key)
}

#[test]
fn an_authority_of_one_tenant_makes_no_agents_of_another() {
    let world = World::p256();
    let (ours, theirs) = (leaf_of(&world, "tnt_01"), leaf_of(&world, "tnt_02"));
    let mut spec = world.issuing.spec(&world.root, Some(0));
    spec.extensions.push(bound_to("tnt_01"));
    let bound = spec.sign(&world.root.key);
    let free = world.issuing_der.clone();
    let build = |builder: kakunin_verify::VerifierBuilder| builder.build(NOW).unwrap();
    // What the certificate says holds loaded and met; what was configured holds for the key, however it comes.
    for (what, verifier, issuing) in [
        ("certificate, loaded", build(world.builder().issuer(bound.clone())), &bound),
        ("certificate, met", build(world.builder()), &bound),
        ("configured", build(world.builder().issuer_of(free.clone(), tenant("tnt_01"))), &free),
        ("both", build(world.builder().issuer_of(bound.clone(), tenant("tnt_01"))), &bound),
    ] {
        for _ in 0..2 {
            let denied = verifier.verify(&[&theirs, issuing], NOW).unwrap_err();
            assert_eq!((denied.code(), denied.http_status()), ("tenant_mismatch", 401), "{what}");
            assert_eq!(code(verifier.identify(&[&theirs, issuing], NOW)), Some("tenant_mismatch"), "{what}");
            assert_eq!(code(verifier.verify(&[&ours, issuing], NOW)), None, "{what}");
        }
    }
    // Without either, an authority is everybody's.
    assert_eq!(code(build(world.builder()).verify(&[&theirs, &free], NOW)), None);
    // A renewed certificate of the same key is bound as configured, also where the loaded one has expired.
    let mut short = world.issuing.spec(&world.root, Some(0));
    short.not_after = time(NOW.plus(kakunin_core::time::SECOND));
    let loaded = build(world.builder().issuer_of(short.sign(&world.root.key), tenant("tnt_01")));
    let later = NOW.plus(5 * kakunin_core::time::SECOND);
    assert_eq!(code(loaded.verify(&[&theirs, &free], later)), Some("tenant_mismatch"));
}

#[test]
fn two_tenants_of_one_authority_are_refused_and_what_is_above_binds_too() {
    let world = World::p256();
    let mut spec = world.issuing.spec(&world.root, Some(0));
    spec.extensions.push(bound_to("tnt_01"));
    let bound = spec.sign(&world.root.key);
    let contradicted = world.builder().issuer_of(bound.clone(), tenant("tnt_02")).build(NOW).unwrap_err();
    assert_eq!(contradicted.code(), "issuer_invalid");
    let free = world.issuing_der.clone();
    let twice = world.builder().issuer_of(free.clone(), tenant("tnt_01")).issuer_of(free, tenant("tnt_02"));
    assert_eq!(twice.build(NOW).unwrap_err().code(), "issuer_invalid");
    assert_eq!(
        world.builder().issuer_of(b"no certificate".to_vec(), tenant("a")).build(NOW).unwrap_err().code(),
        "issuer_invalid"
    );
    for wrong in ["", "_system", "A", "a/b"] {
        let mut spec = world.issuing.spec(&world.root, Some(0));
        spec.extensions.push(bound_to(wrong));
        assert!(world.builder().issuer(spec.sign(&world.root.key)).build(NOW).is_err(), "{wrong}");
    }
    // An authority of one tenant has none below it that is another's.
    let middle = Ca::new(Key::p256(), "middle");
    let mut above = middle.spec(&world.root, None);
    above.extensions.push(bound_to("tnt_02"));
    let above = above.sign(&world.root.key);
    for (below, leaf, expected) in [
        (None, "tnt_01", Some("tenant_mismatch")),
        (None, "tnt_02", None),
        (Some("tnt_01"), "tnt_01", Some("issuer_invalid")),
        (Some("tnt_02"), "tnt_02", None),
    ] {
        let mut issuing = world.issuing.spec(&middle, Some(0));
        issuing.extensions.extend(below.map(bound_to));
        let chain = [leaf_of(&world, leaf), issuing.sign(&middle.key), above.clone()];
        let verifier = world.builder().build(NOW).unwrap();
        assert_eq!(code(verifier.verify(&chain, NOW)), expected, "{below:?} {leaf}");
    }
}
