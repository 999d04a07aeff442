//! Issuing authorities: which are accepted, loaded or met beside a leaf.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::*;
use kakunin_core::time::{DAY, SECOND};
use kakunin_core::x509::oid;
use kakunin_verify::anchor::SetupError;
use kakunin_verify::{Policy, TrustAnchor, Verifier};

type Break = fn(&mut Spec);

fn met(world: &World, issuing: Vec<u8>) -> Option<&'static str> {
    let verifier = world.builder().build(NOW).unwrap();
    let leaf = world.leaf_der();
    assert_eq!(verifier.verify(&[&leaf], NOW).unwrap_err().code(), "issuer_unknown");
    let met = verifier.verify(&[&leaf, &issuing], NOW).err().map(|d| d.code());
    // Once met, a good one is known, and a bad one is not.
    let alone = verifier.verify(&[&leaf], NOW);
    assert_eq!(alone.is_ok(), met.is_none());
    met
}

#[test]
fn each_rule_for_authorities_is_enforced_loaded_or_met() {
    let rules: &[(&str, Break)] = &[
        ("not an authority", |s| s.drop_ext(oid::BASIC_CONSTRAINTS)),
        ("key usage missing", |s| s.drop_ext(oid::KEY_USAGE)),
        ("no keyCertSign", |s| s.ext(oid::KEY_USAGE).value = key_usage(0x02)),
        ("subject key id missing", |s| s.drop_ext(oid::SUBJECT_KEY_ID)),
        ("subject key id of another", |s| s.ext(oid::SUBJECT_KEY_ID).value = subject_key_id(&[1; 20])),
        ("name constraints", |s| s.extensions.push(ext(NAME_CONSTRAINTS, false, vec![0x30, 0]))),
        ("critical name constraints", |s| s.extensions.push(ext(NAME_CONSTRAINTS, true, vec![0x30, 0]))),
        ("unknown critical extension", |s| s.extensions.push(ext(&[0x2a, 3], true, vec![5, 0]))),
        ("for servers only", |s| s.extensions.push(ext(oid::EXT_KEY_USAGE, false, eku(&[oid::SERVER_AUTH])))),
        ("expired", |s| s.not_after = time(NOW.minus(SECOND))),
        ("not yet valid", |s| s.not_before = time(NOW.plus(SECOND))),
        ("unknown root", |s| s.issuer = name("another root")),
        ("version 1", |s| s.version = vec![0]),
    ];
    for backend in backends() {
        let world = World::p256();
        assert_eq!(met(&world, world.issuing_der.clone()), None);
        for (what, spoil) in rules {
            let mut spec = world.issuing.spec(&world.root, Some(0));
            spoil(&mut spec);
            let der = spec.sign(&world.root.key);
            let loaded = world.builder().issuer(der.clone()).backend(backend).build(NOW);
            let error = loaded.expect_err("it is refused");
            assert_eq!(error.code(), "issuer_invalid", "{what}, loaded");
            let said = error.to_string();
            assert!(!said.contains('{') && !said.contains("UnixTime"), "{said}");
            match *what {
                "expired" => {
                    assert!(said.contains("ended at 20") && said.contains("00Z, and here it is 20"), "{said}")
                }
                "not yet valid" => {
                    assert!(said.contains("begins at 20") && said.contains("check the clocks"), "{said}")
                }
                "unknown root" => assert!(said.contains("leads to no anchor"), "{said}"),
                _ => {}
            }
            // Without its key identifier it is not even recognised as the issuer.
            let unknown = what.starts_with("subject key id") || what.starts_with("version");
            let expected = if unknown { "issuer_unknown" } else { "issuer_invalid" };
            assert_eq!(met(&world, der), Some(expected), "{what}, met");
        }
        let forged = world.issuing.spec(&world.root, Some(0)).sign(&Key::p256());
        assert_eq!(met(&world, forged), Some("issuer_invalid"));
    }
}

#[test]
fn longer_chains_are_followed_within_their_path_length() {
    let world = World::p256();
    let middle = Ca::new(Key::p256(), "test middle");
    for (path_len, expected) in [(Some(1), None), (None, None), (Some(0), Some("issuer_invalid"))] {
        let above = middle.spec(&world.root, path_len).sign(&world.root.key);
        let issuing = world.issuing.spec(&middle, Some(0)).sign(&middle.key);
        let chain = [world.leaf_der(), above.clone(), issuing.clone()];
        let verifier = world.builder().build(NOW).unwrap();
        assert_eq!(verifier.verify(&chain, NOW).err().map(|d| d.code()), expected);
        let loaded = world.builder().issuer(issuing).issuer(above).build(NOW);
        assert_eq!(loaded.is_ok(), expected.is_none());
    }
    // A rule that webpki leaves out holds for the authorities in between as well.
    let mut above = middle.spec(&world.root, None);
    above.ext(oid::KEY_USAGE).value = key_usage(0x02);
    let chain =
        [world.leaf_der(), world.issuing.spec(&middle, None).sign(&middle.key), above.sign(&world.root.key)];
    assert_eq!(world.builder().build(NOW).unwrap().verify(&chain, NOW).unwrap_err().code(), "issuer_invalid");
}

#[test]
fn an_expiring_issuer_ends_its_agents_and_a_renewed_one_takes_over() {
    let world = World::p256();
    let mut short = world.issuing.spec(&world.root, Some(0));
    short.not_after = time(NOW.plus(SECOND));
    let policy = Policy::strict();
    let verifier = world.builder().policy(policy).issuer(short.sign(&world.root.key)).build(NOW).unwrap();
    let agent = verifier.verify(&[world.leaf_der()], NOW).unwrap();
    let later = NOW.plus(2 * SECOND);
    assert_eq!(agent.authorize(ACTION, later).unwrap_err().code(), "issuer_expired");
    assert_eq!(verifier.verify(&[world.leaf_der()], later).unwrap_err().code(), "issuer_expired");
    assert!(verifier.verify(&[world.leaf_der(), world.issuing_der.clone()], later).is_ok());
    assert!(verifier.verify(&[world.leaf_der()], later).is_ok());
    assert_eq!(verifier.issuers().len(), 1);
}

#[test]
fn of_several_certificates_for_one_issuer_the_first_good_one_is_taken() {
    let world = World::p256();
    let stranger = Ca::new(Key::p256(), "another root");
    let crossed = world.issuing.spec(&stranger, Some(0)).sign(&stranger.key);
    let verifier = world.builder().build(NOW).unwrap();
    assert!(verifier.verify(&[world.leaf_der(), crossed, world.issuing_der.clone()], NOW).is_ok());
}

#[test]
fn an_expired_root_ends_everything() {
    let world = World::p256();
    let mut root = world.root.spec(&world.root, None);
    root.not_after = time(NOW.plus(SECOND));
    let anchor = TrustAnchor::new(&root.sign(&world.root.key), domain()).unwrap();
    let verifier = Verifier::builder(world.revocations()).anchor(anchor);
    let verifier = verifier.issuer(world.issuing_der.clone()).build(NOW).unwrap();
    assert!(verifier.verify(&[world.leaf_der()], NOW).is_ok());
    let denied = verifier.verify(&[world.leaf_der()], NOW.plus(2 * SECOND)).unwrap_err();
    assert_eq!(denied.code(), "issuer_expired");
}

#[test]
fn anchors_are_bound_to_their_trust_domain() {
    let (ours, theirs) = (World::p256(), World::p256());
    let other = || TrustAnchor::new(&theirs.root_der, "agents.example.com".parse().unwrap()).unwrap();
    let verifier = ours.builder().anchor(other()).build(NOW).unwrap();
    assert!(verifier.verify(&[ours.leaf_der(), ours.issuing_der.clone()], NOW).is_ok());
    // Their root signs agents of our trust domain: names, extensions and signatures are in order.
    let denied = verifier.verify(&[theirs.leaf_der(), theirs.issuing_der.clone()], NOW).unwrap_err();
    assert_eq!(denied.code(), "spiffe_mismatch");

    let twice = TrustAnchor::new(&ours.root_der, "agents.example.com".parse().unwrap()).unwrap();
    let error = ours.builder().anchor(twice).build(NOW).unwrap_err();
    assert_eq!(error.code(), "anchor_twice");
    let none = Verifier::builder(ours.revocations()).build(NOW).unwrap_err();
    assert_eq!(none, SetupError::NoAnchor);
    let leaf = TrustAnchor::new(&ours.leaf_der(), domain()).unwrap_err();
    assert_eq!(leaf.code(), "anchor_invalid");
}

#[test]
fn nobody_takes_the_place_of_an_issuer_by_its_name_or_key_id() {
    // Another authority under the same root, with the name and key identifier of ours.
    let world = World::p256();
    let rogue = Ca { key: Key::p256(), name: world.issuing.name.clone() };
    let mut spec = rogue.spec(&world.root, Some(0));
    spec.ext(oid::SUBJECT_KEY_ID).value = subject_key_id(world.issuing.key.id().as_bytes());
    let rogue_der = spec.sign(&world.root.key);
    let mut leaf = world.leaf();
    leaf.serial = serial(0x43);
    let forged = leaf.sign(&rogue.key);
    let verifier = world.builder().build(NOW).unwrap();
    assert_eq!(verifier.verify(&[&forged, &rogue_der], NOW).unwrap_err().code(), "issuer_invalid");
    let loaded = world.verifier(backends()[0]);
    assert_eq!(loaded.verify(&[&forged, &rogue_der], NOW).unwrap_err().code(), "signature_invalid");
}

#[test]
fn an_endless_chain_is_cut() {
    let world = World::p256();
    let mut chain = vec![world.leaf_der()];
    chain.extend((0..1_000).map(|_| world.root_der.clone()));
    chain.push(world.issuing_der.clone());
    let verifier = world.builder().build(NOW).unwrap();
    assert_eq!(verifier.verify(&chain, NOW).unwrap_err().code(), "issuer_unknown");
    let later = NOW.plus(DAY);
    assert!(verifier.verify(&chain, later).is_err());
}
