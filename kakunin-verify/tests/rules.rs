//! One rule, one leaf that breaks it and nothing else.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::*;
use kakunin_core::time::{DAY, SECOND};
use kakunin_core::x509::oid;

type Break = fn(&mut Spec);

fn agent_oid(n: u8) -> Vec<u8> {
    oid::Arc::default().extension(n)
}

fn utf8(text: &str) -> Vec<u8> {
    encode(|w| _ = w.utf8(text))
}

const RULES: &[(&str, &str, Break)] = &[
    ("not yet valid", "certificate_not_yet_valid", |s| s.not_before = time(NOW.plus(SECOND))),
    ("expired a second ago", "agent_expired", |s| s.not_after = time(NOW.minus(SECOND))),
    ("not a date", "certificate_malformed", |s| {
        s.not_after = encode(|w| _ = w.element(0x17, b"261301000000Z"))
    }),
    ("generalized time before 2050", "certificate_malformed", |s| {
        s.not_after = encode(|w| _ = w.element(0x18, b"20261224080000Z"));
    }),
    ("version 2", "certificate_malformed", |s| s.version = vec![1]),
    ("serial of 15 octets", "certificate_malformed", |s| _ = s.serial.pop()),
    ("serial of 17 octets", "certificate_malformed", |s| s.serial.push(1)),
    ("serial negative", "certificate_malformed", |s| s.serial = serial(0x80)),
    ("serial zero", "certificate_malformed", |s| s.serial = vec![0]),
    ("issuer name", "issuer_unknown", |s| s.issuer = name("somebody else")),
    ("signature algorithm", "signature_invalid", |s| s.algorithm = oid::SHA256_WITH_RSA_IDENTIFIER.to_vec()),
    ("authority key id missing", "extension_missing", |s| s.drop_ext(oid::AUTHORITY_KEY_ID)),
    ("authority key id empty", "extension_missing", |s| {
        s.ext(oid::AUTHORITY_KEY_ID).value = vec![0x30, 0];
    }),
    ("authority key id of another", "issuer_unknown", |s| {
        s.ext(oid::AUTHORITY_KEY_ID).value = authority_key_id(&Key::p256().id());
    }),
    ("authority key id critical", "extension_critical", |s| s.ext(oid::AUTHORITY_KEY_ID).critical = true),
    ("subject key id critical", "extension_critical", |s| s.ext(oid::SUBJECT_KEY_ID).critical = true),
    ("unknown critical extension", "extension_critical", |s| {
        s.extensions.push(ext(&[0x2a, 3], true, vec![5, 0]))
    }),
    ("agent extension critical", "extension_critical", |s| s.ext(&agent_oid(1)).critical = true),
    ("extension twice", "certificate_malformed", |s| s.extensions.push(s.extensions[3].clone())),
    ("no extensions", "certificate_malformed", |s| s.extensions.clear()),
    ("extension id malformed", "certificate_malformed", |s| {
        s.extensions.push(ext(&[0x2a, 0x80, 1], false, vec![]))
    }),
    ("a certificate authority", "usage_not_allowed", |s| {
        s.ext(oid::BASIC_CONSTRAINTS).value = ca_constraints(None);
    }),
    ("path length on a leaf", "certificate_malformed", |s| {
        s.ext(oid::BASIC_CONSTRAINTS).value = vec![0x30, 3, 2, 1, 0];
    }),
    ("name constraints", "usage_not_allowed", |s| {
        s.extensions.push(ext(NAME_CONSTRAINTS, false, vec![0x30, 0]));
    }),
    ("key usage missing", "extension_missing", |s| s.drop_ext(oid::KEY_USAGE)),
    ("key usage not critical", "usage_not_allowed", |s| s.ext(oid::KEY_USAGE).critical = false),
    ("key usage keyAgreement", "usage_not_allowed", |s| s.ext(oid::KEY_USAGE).value = key_usage(0x08)),
    ("key usage keyCertSign", "usage_not_allowed", |s| s.ext(oid::KEY_USAGE).value = key_usage(0x84)),
    ("key usage cRLSign", "usage_not_allowed", |s| s.ext(oid::KEY_USAGE).value = key_usage(0x82)),
    ("extended key usage missing", "extension_missing", |s| s.drop_ext(oid::EXT_KEY_USAGE)),
    ("extended key usage empty", "certificate_malformed", |s| s.ext(oid::EXT_KEY_USAGE).value = eku(&[])),
    ("server only", "usage_not_allowed", |s| s.ext(oid::EXT_KEY_USAGE).value = eku(&[oid::SERVER_AUTH])),
    ("client only", "usage_not_allowed", |s| s.ext(oid::EXT_KEY_USAGE).value = eku(&[oid::CLIENT_AUTH])),
    ("names missing", "extension_missing", |s| s.drop_ext(oid::SUBJECT_ALT_NAME)),
    ("two URIs", "spiffe_mismatch", |s| {
        s.ext(oid::SUBJECT_ALT_NAME).value = san(&[(0x86, SPIFFE_ID), (0x86, SPIFFE_ID)]);
    }),
    ("a DNS name beside", "spiffe_mismatch", |s| {
        s.ext(oid::SUBJECT_ALT_NAME).value = san(&[(0x86, SPIFFE_ID), (0x82, "a.example.org")]);
    }),
    ("names with a tail", "certificate_malformed", |s| s.ext(oid::SUBJECT_ALT_NAME).value.push(0)),
    ("another trust domain", "spiffe_mismatch", |s| {
        let id = SPIFFE_ID.replace("agents.example.org", "agents.example.com");
        s.ext(oid::SUBJECT_ALT_NAME).value = san(&[(0x86, &id)]);
    }),
    ("a longer trust domain", "spiffe_mismatch", |s| {
        let id = SPIFFE_ID.replace("agents.example.org", "agents.example.org.evil");
        s.ext(oid::SUBJECT_ALT_NAME).value = san(&[(0x86, &id)]);
    }),
    ("another tenant", "spiffe_mismatch", |s| s.ext(&agent_oid(3)).value = utf8("tnt_02")),
    ("another environment", "spiffe_mismatch", |s| s.ext(&agent_oid(4)).value = utf8("staging")),
    ("another agent", "spiffe_mismatch", |s| {
        s.ext(&agent_oid(5)).value = utf8("01923456-789a-7fff-bfff-fffffffffffe");
    }),
    ("a longer path", "spiffe_mismatch", |s| {
        s.ext(oid::SUBJECT_ALT_NAME).value = san(&[(0x86, &format!("{SPIFFE_ID}/x"))]);
    }),
    ("https", "spiffe_mismatch", |s| {
        s.ext(oid::SUBJECT_ALT_NAME).value = san(&[(0x86, &SPIFFE_ID.replace("spiffe", "https"))]);
    }),
    ("scope missing", "extension_missing", |s| s.drop_ext(&agent_oid(1))),
    ("model hash missing", "extension_missing", |s| s.drop_ext(&agent_oid(2))),
    ("tenant missing", "extension_missing", |s| s.drop_ext(&agent_oid(3))),
    ("environment missing", "extension_missing", |s| s.drop_ext(&agent_oid(4))),
    ("agent id missing", "extension_missing", |s| s.drop_ext(&agent_oid(5))),
    ("profile version missing", "extension_missing", |s| s.drop_ext(&agent_oid(6))),
    ("profile version 2", "certificate_malformed", |s| s.ext(&agent_oid(6)).value = vec![2, 1, 2]),
    ("scope unsorted", "certificate_malformed", |s| {
        s.ext(&agent_oid(1)).value = encode(|w| _ = w.sequence(|w| _ = w.utf8("write:b").utf8("read:a")));
    }),
    ("scope not of the grammar", "certificate_malformed", |s| {
        s.ext(&agent_oid(1)).value = encode(|w| _ = w.sequence(|w| _ = w.utf8("everything")));
    }),
    ("model hash malformed", "certificate_malformed", |s| s.ext(&agent_oid(2)).value = utf8("sha256:00")),
    ("agent id in upper case", "certificate_malformed", |s| {
        s.ext(&agent_oid(5)).value = utf8("01923456-789A-7FFF-BFFF-FFFFFFFFFFFF");
    }),
    ("constraints of 31 octets", "certificate_malformed", |s| {
        s.extensions.push(ext(&agent_oid(7), false, encode(|w| _ = w.element(4, &[0; 31]))));
    }),
    ("subject empty", "certificate_malformed", |s| s.subject = vec![0x30, 0]),
    ("subject is the issuer", "certificate_malformed", |s| s.subject.clone_from(&s.issuer)),
    ("subject not a name", "certificate_malformed", |s| s.subject = vec![0x30, 3, 0x31, 1, 0]),
    ("point off its curve", "key_not_allowed", |s| *s.spki.last_mut().unwrap() ^= 1),
    ("weak RSA key", "key_not_allowed", |s| {
        let key = encode(|w| _ = w.sequence(|w| _ = w.unsigned(&[0xff; 128]).unsigned(&[1, 0, 1])));
        s.spki = encode(|w| _ = w.sequence(|w| _ = w.raw(oid::RSA_KEY_IDENTIFIER).bit_string(&key)));
    }),
];

#[test]
fn each_rule_is_enforced() {
    let world = World::p256();
    for backend in backends() {
        let verifier = world.verifier(backend);
        assert!(verifier.verify(&[world.leaf_der()], NOW).is_ok());
        for (what, code, spoil) in RULES {
            let mut spec = world.leaf();
            spoil(&mut spec);
            let result = verifier.verify(&[spec.sign(&world.issuing.key)], NOW);
            assert_eq!(result.err().map(|d| d.code()), Some(*code), "{what} over {backend:?}");
        }
    }
}

#[test]
fn what_is_not_a_rule_is_no_obstacle() {
    let world = World::p256();
    let verifier = world.verifier(backends()[0]);
    let fine: &[(&str, Break)] = &[
        ("valid in this very second only", |s| (s.not_before, s.not_after) = (time(NOW), time(NOW))),
        ("valid until after 2049", |s| s.not_after = time(NOW.plus(30_000 * DAY))),
        ("no basic constraints", |s| s.drop_ext(oid::BASIC_CONSTRAINTS)),
        ("no CRL distribution points", |s| s.drop_ext(oid::CRL_DISTRIBUTION_POINTS)),
        ("unknown extension, not critical", |s| s.extensions.push(ext(&[0x2a, 3], false, vec![9]))),
        ("one more purpose", |s| {
            s.ext(oid::EXT_KEY_USAGE).value = eku(&[&[0x2a, 3], oid::CLIENT_AUTH, oid::SERVER_AUTH]);
        }),
        ("constraints", |s| {
            s.extensions.push(ext(&agent_oid(7), false, encode(|w| _ = w.element(4, &[1; 32]))));
        }),
        ("critical names", |s| s.ext(oid::SUBJECT_ALT_NAME).critical = true),
    ];
    for (what, change) in fine {
        let mut spec = world.leaf();
        change(&mut spec);
        let last_moment = NOW.plus(if what.starts_with("valid in") { SECOND - 1 } else { 0 });
        let result = verifier.verify(&[spec.sign(&world.issuing.key)], last_moment);
        assert!(result.is_ok(), "{what}: {result:?}");
    }
}

#[test]
fn every_algorithm_of_issuers_and_agents_over_every_backend() {
    for issuing in KEYS {
        for leaf in KEYS {
            let world = World::new(issuing(), leaf());
            for backend in backends() {
                let agent = world.verifier(backend).verify(&[world.leaf_der()], NOW).unwrap();
                assert_eq!(agent.public_key().as_der(), world.leaf_key.spki());
            }
        }
    }
}

#[test]
fn any_altered_octet_is_refused() {
    for issuing in &KEYS[..2] {
        let world = World::new(issuing(), Key::p256());
        let leaf = world.leaf_der();
        for backend in backends() {
            let verifier = world.verifier(backend);
            assert!(verifier.verify(&[&leaf], NOW).is_ok());
            for at in 0..leaf.len() {
                for mask in [0x01, 0x20, 0x80, 0xff] {
                    let mut altered = leaf.clone();
                    altered[at] ^= mask;
                    assert!(verifier.verify(&[altered], NOW).is_err(), "octet {at} ^ {mask:#x}");
                }
            }
            for len in 0..leaf.len() {
                assert!(verifier.verify(&[&leaf[..len]], NOW).is_err(), "cut to {len}");
            }
        }
    }
}

#[test]
fn the_agent_is_what_the_certificate_says() {
    let world = World::p256();
    let agent = world.verifier(backends()[0]).verify(&[world.leaf_der()], NOW).unwrap();
    let claims = claims();
    assert_eq!(agent.agent(), &claims.agent);
    assert_eq!(agent.tenant(), &claims.tenant);
    assert_eq!(agent.environment(), &claims.environment);
    assert_eq!(agent.model_hash(), &claims.model_hash);
    assert_eq!(agent.scope(), &claims.scope);
    assert_eq!(agent.constraints(), None);
    assert_eq!(agent.serial().as_bytes().as_slice(), serial(0x42));
    assert_eq!(agent.issuer(), &world.issuing.key.id());
    assert_eq!(agent.not_after(), NOW.plus(DAY));
    assert_eq!(agent.spiffe_id(), SPIFFE_ID);
    assert_eq!(agent.trust_domain(), &domain());
    assert_eq!(agent.authorize(ACTION, NOW).unwrap().action().as_str(), ACTION);
    for (action, code) in [
        ("read:accounts/7", None),
        ("write:pay", Some("scope_violation")),
        ("read:accounts", Some("scope_violation")),
        ("write:*", Some("action_malformed")),
        ("", Some("action_malformed")),
    ] {
        assert_eq!(agent.authorize(action, NOW).err().map(|d| d.code()), code, "{action}");
    }
}
