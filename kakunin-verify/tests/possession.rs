//! Possession: what proves it, what does not, and what another implementation of RFC 9421 says.

#![cfg(feature = "possession")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "a test that cannot go on has failed; not every test uses all of `common`"
)]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{Key, NOW, World};
use kakunin_core::crypto::Backend;
use kakunin_core::id::Serial;
use kakunin_core::key::{KeyAlgorithm, Signature, Spki};
use kakunin_core::time::{SECOND, UnixTime};
use kakunin_verify::possession::{MAX_AGE, MAX_AHEAD, Nonces, RequestToSign, SignedRequest, prove};
use kakunin_verify::{Denied, VerifiedAgent};

const TARGET: &str = "/payments?to=a&amount=5";
const NONCE: &str = "0123456789abcdef";

fn worlds() -> Vec<World> {
    [Key::p256(), Key::rsa(), Key::ed25519()].map(|key| World::new(Key::p256(), key)).into()
}

fn agent(world: &World) -> VerifiedAgent {
    world.verifier(Backend::fastest()).verify(&[world.leaf_der()], NOW).unwrap()
}

fn algorithm(world: &World) -> KeyAlgorithm {
    Spki::from_der(&world.leaf_key.spki()).unwrap().algorithm()
}

/// `Signature-Input` and `Signature` as an agent makes them.
fn signed(world: &World, serial: &Serial, created: UnixTime) -> (String, String) {
    let request = RequestToSign::new("POST", TARGET, serial, algorithm(world), NONCE, created);
    let signature = Signature::new(world.leaf_key.sign(request.to_be_signed()));
    (request.signature_input().to_owned(), request.signature(&signature).unwrap())
}

/// The same over an input of our own making.
fn signed_over(world: &World, base: &str, input: &str) -> (String, String) {
    let request =
        RequestToSign::new("GET", "/", &"42".repeat(16).parse().unwrap(), algorithm(world), NONCE, NOW);
    let params = input.split_once('=').unwrap().1;
    let base = format!("{base}\"@signature-params\": {params}");
    let signature = Signature::new(world.leaf_key.sign(base.as_bytes()));
    let value = request.signature(&signature).unwrap();
    (input.to_owned(), value.replacen("kakunin", input.split_once('=').unwrap().0, 1))
}

fn code(result: Result<(), Denied>) -> &'static str {
    result.map_or_else(|denied| denied.code(), |()| "proved")
}

fn tried(
    world: &World,
    method: &str,
    target: &str,
    (input, value): &(String, String),
    now: UnixTime,
) -> &'static str {
    let request = SignedRequest::new(method, target, input, value);
    code(prove(&request, &agent(world), &Nonces::default(), now))
}

#[test]
fn every_algorithm_proves_possession_once() {
    for world in worlds() {
        let (agent, nonces) = (agent(&world), Nonces::default());
        let (input, value) = signed(&world, agent.serial(), NOW);
        let request = SignedRequest::new("POST", TARGET, &input, &value);
        assert_eq!(code(prove(&request, &agent, &nonces, NOW)), "proved", "{:?}", algorithm(&world));
        assert_eq!(code(prove(&request, &agent, &nonces, NOW)), "possession_replayed");
    }
}

#[test]
fn another_request_or_another_time_proves_nothing() {
    for world in worlds() {
        let serial = *agent(&world).serial();
        let good = signed(&world, &serial, NOW);
        assert_eq!(tried(&world, "GET", TARGET, &good, NOW), "possession_invalid");
        assert_eq!(tried(&world, "POST", "/payments?to=b&amount=5", &good, NOW), "possession_invalid");
        assert_eq!(tried(&world, "POST", "/payments", &good, NOW), "possession_invalid");
        let end = NOW.plus(MAX_AGE);
        assert_eq!(tried(&world, "POST", TARGET, &good, end), "proved");
        assert_eq!(tried(&world, "POST", TARGET, &good, end.plus(1)), "possession_stale");
        let early = signed(&world, &serial, NOW.plus(MAX_AHEAD));
        assert_eq!(tried(&world, "POST", TARGET, &early, NOW), "proved");
        assert_eq!(tried(&world, "POST", TARGET, &early, NOW.minus(SECOND)), "possession_stale");
        let flipped = (good.0.clone(), good.1.replacen(":A", ":B", 1).replacen(":M", ":N", 1));
        if flipped.1 != good.1 {
            assert_eq!(tried(&world, "POST", TARGET, &flipped, NOW), "possession_invalid");
        }
    }
}

#[test]
fn another_key_proves_nothing() {
    let (world, other) = (World::p256(), World::p256());
    let serial = *agent(&world).serial();
    assert_eq!(tried(&world, "POST", TARGET, &signed(&other, &serial, NOW), NOW), "possession_invalid");
    let foreign: Serial = "43".repeat(16).parse().unwrap();
    assert_eq!(tried(&world, "POST", TARGET, &signed(&world, &foreign, NOW), NOW), "possession_invalid");
}

#[test]
fn each_rule_of_the_profile_is_enforced() {
    let world = World::p256();
    let keyid = agent(&world).serial().to_string();
    let rest = format!("created={};keyid=\"{keyid}\";nonce=\"{NONCE}\";tag=\"kakunin-request\"", NOW.secs());
    let method = "\"@method\": POST\n";
    let target = format!("\"@request-target\": {TARGET}\n");
    let path = "\"@path\": /payments\n".to_owned();
    let query = "\"@query\": ?to=a&amount=5\n".to_owned();
    let cases = [
        ("(\"@method\" \"@request-target\")", format!("{method}{target}"), "proved"),
        ("(\"@method\" \"@path\" \"@query\")", format!("{method}{path}{query}"), "proved"),
        ("(\"@method\" \"@path\")", format!("{method}{path}"), "possession_invalid"),
        ("(\"@request-target\")", target.clone(), "possession_invalid"),
        ("(\"@method\")", method.to_owned(), "possession_invalid"),
        (
            "(\"@method\" \"@request-target\" \"x-other\")",
            format!("{method}{target}\"x-other\": 1\n"),
            "possession_invalid",
        ),
        (
            "(\"@method\" \"@request-target\" \"@authority\")",
            format!("{method}{target}\"@authority\": a\n"),
            "possession_invalid",
        ),
    ];
    for (components, base, expected) in cases {
        let fields = signed_over(&world, &base, &format!("sig={components};{rest}"));
        assert_eq!(tried(&world, "POST", TARGET, &fields, NOW), expected, "{components}");
    }
    let base = format!("{method}{target}");
    let params = [
        ("tag=\"kakunin-request\"", "tag=\"other\"", "possession_invalid"),
        (&format!("nonce=\"{NONCE}\""), "nonce=\"short\"", "possession_invalid"),
        (&format!(";nonce=\"{NONCE}\""), "", "possession_invalid"),
        (";tag", ";alg=\"ed25519\";tag", "possession_invalid"),
        (";tag", ";alg=\"ecdsa-p256-sha256\";tag", "proved"),
        (";tag", &format!(";expires={};tag", NOW.secs()), "proved"),
        (";tag", &format!(";expires={};tag", NOW.secs() - 1), "possession_stale"),
        (";tag", ";other=1;tag", "possession_invalid"),
    ];
    for (from, to, expected) in params {
        let input = format!("sig=(\"@method\" \"@request-target\");{rest}").replacen(from, to, 1);
        let fields = signed_over(&world, &base, &input);
        assert_eq!(tried(&world, "POST", TARGET, &fields, NOW), expected, "{from} -> {to}");
    }
}

#[test]
fn authority_and_digest_are_covered_when_they_are_known() {
    let world = World::p256();
    let keyid = agent(&world).serial().to_string();
    let base = "\"@method\": POST\n\"@request-target\": /\n\"@authority\": a.example\n\"content-digest\": sha-256=:AA==:\n";
    let input = format!(
        "sig=(\"@method\" \"@request-target\" \"@authority\" \"content-digest\");created={};keyid=\"{keyid}\";nonce=\"{NONCE}\";tag=\"kakunin-request\"",
        NOW.secs()
    );
    let (input, value) = signed_over(&world, base, &input);
    let request = SignedRequest::new("POST", "/", &input, &value);
    let tried = |request| code(prove(&request, &agent(&world), &Nonces::default(), NOW));
    assert_eq!(tried(request.authority("a.example").content_digest("sha-256=:AA==:")), "proved");
    assert_eq!(tried(request.authority("b.example").content_digest("sha-256=:AA==:")), "possession_invalid");
    assert_eq!(tried(request.authority("a.example")), "possession_invalid");
    let split = "a.example\n\"content-digest\": x";
    assert_eq!(tried(request.authority(split).content_digest("sha-256=:AA==:")), "possession_invalid");
}

#[test]
fn a_full_memory_refuses_rather_than_forgets() {
    let world = World::p256();
    let (agent, nonces) = (agent(&world), Nonces::new(1));
    let prove = |nonce: &str, now| {
        let request = RequestToSign::new("POST", TARGET, agent.serial(), algorithm(&world), nonce, now);
        let signature = Signature::new(world.leaf_key.sign(request.to_be_signed()));
        let value = request.signature(&signature).unwrap();
        code(prove(
            &SignedRequest::new("POST", TARGET, request.signature_input(), &value),
            &agent,
            &nonces,
            now,
        ))
    };
    assert_eq!(prove("aaaaaaaaaaaaaaaa", NOW), "proved");
    assert_eq!(prove("bbbbbbbbbbbbbbbb", NOW), "possession_unavailable");
    assert_eq!(prove("bbbbbbbbbbbbbbbb", NOW.plus(MAX_AGE + 1)), "proved");
}

/// Python with `http-message-signatures`: `KAKUNIN_PYTHON`, or where `make setup` puts it.
fn python() -> String {
    let cache = std::env::var("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|_| std::env::var("HOME").map(|h| PathBuf::from(h).join(".cache")));
    let tools = std::env::var("KAKUNIN_TOOLS").map(PathBuf::from);
    let tools = tools.or_else(|_| cache.map(|c| c.join("kakunin/tools")));
    let there = || tools.unwrap().join("venv/bin/python").display().to_string();
    std::env::var("KAKUNIN_PYTHON").unwrap_or_else(|_| there())
}

const SCRIPT: &str = r#"
import datetime, json, sys
import requests
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms
asked = json.load(sys.stdin)
algorithm = getattr(algorithms, asked["algorithm"])
class Keys(HTTPSignatureKeyResolver):
    def resolve_private_key(self, key_id): return load_der_private_key(bytes.fromhex(asked["private"]), None)
    def resolve_public_key(self, key_id): return load_der_public_key(bytes.fromhex(asked["public"]))
url = "http://a.example" + asked["target"]
mine = requests.Request("POST", url).prepare()
signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Keys())
signer.sign(mine, key_id=asked["keyid"], created=datetime.datetime.fromtimestamp(asked["created"]),
    nonce="fedcba9876543210", tag="kakunin-request", label="py",
    covered_component_ids=("@method", "@path", "@query"), include_alg=True)
theirs = requests.Request("POST", url, headers={"Signature-Input": asked["input"], "Signature": asked["signature"]}).prepare()
verifier = HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=Keys())
result = verifier.verify(theirs, max_age=datetime.timedelta(days=36500), expect_tag="kakunin-request")
print(json.dumps({"input": mine.headers["Signature-Input"], "signature": mine.headers["Signature"],
    "label": result[0].label}))
"#;

#[test]
fn another_implementation_signs_for_us_and_verifies_what_we_sign() {
    for (world, name) in worlds().into_iter().zip(["ECDSA_P256_SHA256", "RSA_V1_5_SHA256", "ED25519"]) {
        let agent = agent(&world);
        let (input, signature) = signed(&world, agent.serial(), UnixTime::from_secs(NOW.secs()));
        let hex = kakunin_core::id::hex_encode;
        let asked = serde_json::json!({
            "algorithm": name, "private": hex(&world.leaf_key.pkcs8()), "public": hex(&world.leaf_key.spki()),
            "target": TARGET, "keyid": agent.serial().to_string(), "created": NOW.secs(),
            "input": input, "signature": signature,
        });
        let mut child = Command::new(python())
            .args(["-c", SCRIPT])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("python is installed by `make setup`");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), asked.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: is http-message-signatures there? run `make setup`");
        let theirs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(theirs["label"], "kakunin");
        let text = |member: &str| theirs[member].as_str().unwrap().to_owned();
        let (input, value) = (text("input"), text("signature"));
        let request = SignedRequest::new("POST", TARGET, &input, &value);
        assert_eq!(code(prove(&request, &agent, &Nonces::default(), NOW)), "proved", "{name}: {input}");
    }
}
