//! Shares of agents and tenants in what is remembered.

use kakunin_verify::VerifiedAgent;
use kakunin_verify::possession::{Outgoing, RequestToSign};

use crate::agents::{agent_of, code};
use crate::common::request::*;
use crate::common::*;

/// A certificate of another tenant, agent and serial number, with the world's one key.
fn another(world: &World, tenant: u8, agent: u8, first: u8) -> VerifiedAgent {
    let mut spec = world.leaf();
    spec.serial = serial(first);
    for ext in &mut spec.extensions {
        let at = |value: &[u8], text: &[u8]| value.windows(text.len()).position(|w| w == text);
        if let Some(at) = at(&ext.value, b"tnt_01") {
            ext.value[at + 5] = b'0' + tenant;
        }
        if let Some(at) = at(&ext.value, b"bfff-ffffffffffff") {
            ext.value[at + 5..at + 7].copy_from_slice(format!("{agent:02x}").as_bytes());
        }
    }
    world.verifier(backends()[0]).verify(&[spec.sign(&world.issuing.key)], NOW).unwrap()
}

/// How many of so many signatures of an agent prove something.
fn proved(
    world: &World,
    agent: &VerifiedAgent,
    nonces: &kakunin_verify::possession::Nonces,
    count: u32,
) -> usize {
    let algorithm = kakunin_core::key::KeyAlgorithm::P256;
    let authority = HOST.parse().unwrap();
    let outgoing = Outgoing { method: "POST", target: TARGET, authority: &authority, content: b"" };
    let one = |n: u32| {
        let request = RequestToSign::new(&outgoing, agent.serial(), algorithm, &format!("{NONCE}{n}"), NOW);
        let signature = kakunin_core::key::Signature::new(world.leaf_key.sign(request.to_be_signed()));
        let fields = (request.signature_input().to_owned(), request.signature(&signature).unwrap());
        prove_post(&fields, agent, nonces, NOW).is_ok()
    };
    (0..count).filter(|n| one(*n)).count()
}

#[test]
fn six_certificates_of_one_agent_have_one_share() {
    let (world, nonces) = (World::p256(), room(160));
    let of = |first| proved(&world, &another(&world, 1, 0xff, first), &nonces, 30);
    let all: Vec<_> = (0x42..0x48).map(of).collect();
    assert_eq!((all[0], all.iter().sum::<usize>()), (20, 20), "an eighth of 160, whichever certificate");
    let figures = nonces.figures();
    assert_eq!((figures.held, figures.refused, figures.last_refused), (20, 160, Some(NOW)));
}

#[test]
fn one_tenant_with_many_agents_does_not_shut_another_out() {
    let (world, nonces) = (World::p256(), room(160));
    for agent in 0..24 {
        proved(&world, &another(&world, 1, agent, 0x42), &nonces, 25);
    }
    assert!((80..=160).contains(&nonces.figures().held));
    for tenant in 2..4 {
        // The same agent id and serial number, and another tenant.
        assert_eq!(proved(&world, &another(&world, tenant, 1, 0x42), &nonces, 25), 20, "{tenant}");
    }
}

#[test]
fn nobody_signs_for_another_agent() {
    let (world, key) = ed25519();
    let verifier = world.verifier(backends()[0]);
    let other_key = Key::ed25519();
    let mut spec = world.leaf();
    (spec.serial, spec.spki) = (serial(0x43), other_key.spki());
    spec.ext(kakunin_core::x509::oid::SUBJECT_KEY_ID).value = subject_key_id(other_key.id().as_bytes());
    let other = verifier.verify(&[spec.sign(&world.issuing.key)], NOW).unwrap();
    let mut draft = Draft::good();
    let refused = |fields: &Fields| code(prove_post(fields, &other, &fresh(), NOW));
    assert_eq!(refused(&draft.sign(&key)), "possession_invalid", "by its own name");
    draft.set("keyid", format!("\"{}\"", other.serial()));
    assert_eq!(refused(&draft.sign(&key)), "possession_invalid", "by the other's name");
    // Nonces are those of one certificate: nobody uses up another's.
    let (agent, nonces) = (agent_of(&world), fresh());
    let Key::Ed25519(other_key) = &other_key else { panic!() };
    assert_eq!(code(prove_post(&draft.sign(other_key), &other, &nonces, NOW)), "proved");
    assert_eq!(code(prove_post(&Draft::good().sign(&key), &agent, &nonces, NOW)), "proved");
}
