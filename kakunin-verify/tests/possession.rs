//! Proof of possession by signed requests: what proves it, once, and what does not.
#![cfg(feature = "possession")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::request::*;
use common::*;
use kakunin_core::time::{MINUTE, SECOND, UnixTime};
use kakunin_verify::possession::{
    Authorities, MAX_AGE, MAX_AHEAD, Outgoing, RequestToSign, SignedRequest, parse_certificates, prove,
    write_certificates,
};
use kakunin_verify::{Denied, VerifiedAgent};

fn code(result: Result<(), Denied>) -> &'static str {
    result.err().map_or("proved", |denied| denied.code())
}

fn agent_of(world: &World) -> VerifiedAgent {
    world.verifier(backends()[0]).verify(&[world.leaf_der()], NOW).unwrap()
}

#[test]
fn each_algorithm_proves_possession_once() {
    for make in KEYS {
        let world = World::new(Key::p256(), make());
        let fields = signed(&world.leaf_key, "POST", TARGET, NONCE, NOW);
        for backend in backends() {
            let agent = world.verifier(backend).verify(&[world.leaf_der()], NOW).unwrap();
            let nonces = fresh();
            assert_eq!(code(prove_post(&fields, &agent, &nonces, NOW)), "proved");
            assert_eq!(code(prove_post(&fields, &agent, &nonces, NOW)), "possession_replayed");
            // A key of the same algorithm that is not the certified one.
            let stranger = signed(&make(), "POST", TARGET, NONCE, NOW);
            assert_eq!(code(prove_post(&stranger, &agent, &fresh(), NOW)), "possession_invalid");
        }
    }
}

#[test]
fn p256_signatures_of_every_length_are_read() {
    let world = World::p256();
    let (agent, nonces) = (agent_of(&world), fresh());
    // One in 128 has a number with a leading zero octet.
    for n in 0..600 {
        let fields = signed(&world.leaf_key, "POST", TARGET, &format!("{NONCE}{n}"), NOW);
        assert_eq!(code(prove_post(&fields, &agent, &nonces, NOW)), "proved", "{fields:?}");
    }
}

type Break = fn(&mut Draft);

/// Each draft is signed by the right key: the rule is all that is broken.
const RULES: &[(&str, &str, Break)] = &[
    ("nothing", "proved", |_| ()),
    ("another label", "proved", |d| d.label = "k-1.*_".into()),
    ("the method not covered", "possession_invalid", |d| _ = d.covered.remove(0)),
    ("the target not covered", "possession_invalid", |d| _ = d.covered.remove(1)),
    ("nothing covered", "possession_invalid", |d| d.covered.clear()),
    ("path and query", "proved", |d| {
        d.cover(&[("@query", "?to=acme"), ("@method", "POST"), ("@path", "/payments")]);
    }),
    ("path without the query", "possession_invalid", |d| {
        d.cover(&[("@method", "POST"), ("@path", "/payments")]);
    }),
    ("query without the path", "possession_invalid", |d| {
        d.cover(&[("@method", "POST"), ("@query", "?to=acme")]);
    }),
    ("another method", "possession_invalid", |d| d.covered[0].1 = "GET".into()),
    ("a method in lower case", "possession_invalid", |d| d.covered[0].1 = "post".into()),
    ("another target", "possession_invalid", |d| d.covered[1].1 = "/payments?to=mallory".into()),
    ("the service not covered", "possession_invalid", |d| _ = d.covered.remove(2)),
    ("another service", "possession_invalid", |d| d.covered[2].1 = "evil.example".into()),
    ("another port of it", "possession_invalid", |d| d.covered[2].1 = "api.example.org:8443".into()),
    ("its name in upper case", "possession_invalid", |d| d.covered[2].1 = "API.example.org".into()),
    ("its name with the default port", "possession_invalid", |d| {
        d.covered[2].1 = "api.example.org:443".into()
    }),
    ("a digest nobody knows", "possession_invalid", |d| {
        d.covered.push(("content-digest".into(), "sha-256=:AAAA:".into()));
    }),
    ("a field that is not of the profile", "possession_invalid", |d| {
        d.covered.push(("content-type".into(), "application/json".into()));
    }),
    ("a derived component that is not of the profile", "possession_invalid", |d| {
        d.covered.push(("@scheme".into(), "https".into()));
    }),
    ("a component in upper case", "possession_invalid", |d| d.covered[0].0 = "@METHOD".into()),
    ("a component twice", "possession_invalid", |d| d.covered.push(d.covered[0].clone())),
    ("no created", "possession_invalid", |d| d.drop("created")),
    ("no nonce", "possession_invalid", |d| d.drop("nonce")),
    ("no keyid", "possession_invalid", |d| d.drop("keyid")),
    ("no tag", "possession_invalid", |d| d.drop("tag")),
    ("created as a string", "possession_invalid", |d| d.set("created", format!("\"{}\"", NOW.secs()))),
    ("created as a decimal", "possession_invalid", |d| d.set("created", format!("{}.0", NOW.secs()))),
    ("nonce of 15", "possession_invalid", |d| d.set("nonce", "\"0123456789abcde\"")),
    ("nonce of 16", "proved", |d| d.set("nonce", "\"0123456789abcdef\"")),
    ("nonce of 64", "proved", |d| d.set("nonce", format!("\"{}\"", "~ ".repeat(32)))),
    ("nonce of 65", "possession_invalid", |d| d.set("nonce", format!("\"{}\"", "x".repeat(65)))),
    ("nonce with an escape", "possession_invalid", |d| d.set("nonce", "\"0123456789abcd\\\\ef\"")),
    ("nonce as octets", "possession_invalid", |d| d.set("nonce", ":MDEyMzQ1Njc4OWFiY2RlZg==:")),
    ("keyid in lower case", "proved", |d| {
        d.set("keyid", format!("\"{}\"", leaf_serial().to_string().to_lowercase()));
    }),
    ("keyid of another", "possession_invalid", |d| d.set("keyid", format!("\"{}\"", "4B".repeat(16)))),
    ("keyid cut short", "possession_invalid", |d| d.set("keyid", "\"42070707\"")),
    ("keyid empty", "possession_invalid", |d| d.set("keyid", "\"\"")),
    ("another tag", "possession_invalid", |d| d.set("tag", "\"web-bot-auth\"")),
    ("a tag in upper case", "possession_invalid", |d| d.set("tag", "\"Kakunin-Request\"")),
    ("the key's algorithm", "proved", |d| d.set("alg", "\"ed25519\"")),
    ("another algorithm", "possession_invalid", |d| d.set("alg", "\"ecdsa-p256-sha256\"")),
    ("a shared secret", "possession_invalid", |d| d.set("alg", "\"hmac-sha256\"")),
    ("expires now", "proved", |d| d.set("expires", NOW.secs().to_string())),
    ("expires before it is created", "possession_invalid", |d| {
        d.set("created", (NOW.secs() + 9).to_string());
        d.set("expires", (NOW.secs() + 8).to_string());
    }),
    ("expired", "possession_stale", |d| d.set("expires", (NOW.secs() - 1).to_string())),
    ("an unknown parameter", "possession_invalid", |d| d.set("audience", "\"me\"")),
    ("a parameter twice", "possession_invalid", |d| d.params.push(d.params[2].clone())),
    ("a flag", "possession_invalid", |d| d.set("x;created", "1")),
];

#[test]
fn each_rule_of_the_profile_holds() {
    let (world, key) = ed25519();
    let agent = agent_of(&world);
    for (what, expected, change) in RULES {
        let mut draft = Draft::good();
        change(&mut draft);
        let fields = draft.sign(&key);
        assert_eq!(code(prove_post(&fields, &agent, &fresh(), NOW)), *expected, "{what}: {fields:?}");
    }
}

#[test]
fn one_signature_with_our_tag_under_one_label_in_both_fields() {
    let (world, key) = ed25519();
    let agent = agent_of(&world);
    let (input, signature) = Draft::good().sign(&key);
    let (other_input, other) = (input.replacen("sig=", "b=", 1), signature.replacen("sig=", "b=", 1));
    for (input, signature) in [
        (input.clone(), other.clone()),
        (format!("{input}, {other_input}"), format!("{signature}, {other}")),
        (format!("{input}, {other_input}"), signature.clone()),
        (input.clone(), format!("{signature}, {signature}")),
        (format!("{input}, sig=(\"@path\");created=1"), signature.clone()),
        (input.clone(), format!("{signature} ")),
        (input.clone(), format!("{signature};x")),
        (input.clone(), "sig=::".to_owned()),
        (input.clone(), String::new()),
        (String::new(), signature.clone()),
        (format!("{input};created=1"), signature.clone()),
    ] {
        let fields = (input, signature);
        let result = prove_post(&fields, &agent, &fresh(), NOW);
        assert_eq!(code(result), "possession_invalid", "{fields:?}");
    }
}

#[test]
fn signatures_of_others_may_stand_beside_ours() {
    let (world, key) = ed25519();
    let agent = agent_of(&world);
    let (input, signature) = Draft::good().sign(&key);
    let bot =
        r#"bot=("@authority" "x-a";sf);created=1;keyid="a\",b";alg="rsa-pss-sha512";tag="web-bot-auth""#;
    for (input, signature) in [
        (format!("{input}, {bot}"), format!("{signature}, bot=:AQID:")),
        (format!("{bot},{input}"), format!("bot=:AQID: , {signature}")),
        (format!("{bot}, {input}"), signature.clone()),
        (input.clone(), format!("bot=:{}:, {signature}", "A".repeat(5_000))),
    ] {
        let fields = (input, signature);
        assert_eq!(code(prove_post(&fields, &agent, &fresh(), NOW)), "proved", "{fields:?}");
    }
    // Another's signature is not ours, though it is good, and under our usual label.
    let mut draft = Draft::good();
    draft.set("tag", "\"web-bot-auth\"");
    draft.label = "kakunin".into();
    let others = draft.sign(&key);
    let both = (format!("{}, {bot}", others.0), format!("{}, bot=:AQID:", others.1));
    assert_eq!(code(prove_post(&both, &agent, &fresh(), NOW)), "possession_invalid");
    // Ours has to hold, whoever else signed.
    let broken = (format!("{input}, {}", others.0), format!("{}, sig=:AQID:", others.1));
    assert_eq!(code(prove_post(&broken, &agent, &fresh(), NOW)), "possession_invalid");
}

#[test]
fn der_is_called_by_its_name() {
    let world = World::p256();
    let agent = agent_of(&world);
    let request = to_sign(&world.leaf_key, ("POST", TARGET, b""), HOST, NONCE, NOW);
    let der = world.leaf_key.sign(request.to_be_signed());
    let refused = |octets: &[u8]| {
        let signature = format!("kakunin=:{}:", base64(octets));
        let request = SignedRequest::new("POST", TARGET, request.signature_input(), &signature);
        prove(&request.sent_to(HOST), &agent, &Authorities::new([HOST]).unwrap(), NOW)
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&der).contains("DER") && refused(&der).contains("64 octets"), "{}", refused(&der));
    assert!(refused(&[1; 96]).contains("IEEE P1363") && !refused(&[1; 96]).contains("DER"));
}

/// SHA-256 of nothing, and of `x`.
const OF_NOTHING: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
const OF_X: &str = "sha-256=:LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=:";

#[test]
fn a_signature_is_for_one_of_our_names_whatever_the_request_says() {
    let world = World::p256();
    let agent = agent_of(&world);
    let names = Authorities::new(["https://api.example.org", "10.0.0.7:8443"]).unwrap();
    let tried = |signed_for: &str, sent_to: Option<&str>, us: &Authorities| {
        let request = to_sign(&world.leaf_key, ("POST", TARGET, b""), signed_for, NONCE, NOW);
        let signature = kakunin_core::key::Signature::new(world.leaf_key.sign(request.to_be_signed()));
        let signature = request.signature(&signature).unwrap();
        let mut request = SignedRequest::new("POST", TARGET, request.signature_input(), &signature);
        if let Some(host) = sent_to {
            request = request.sent_to(host);
        }
        prove(&request, &agent, us, NOW).err().map_or("proved", |denied| denied.code())
    };
    for (signed_for, sent_to, expected) in [
        ("API.example.org:443", Some("api.example.org"), "proved"),
        ("api.example.org", None, "proved"),
        ("10.0.0.7:8443", Some("10.0.0.7:8443"), "proved"),
        // A proxy in between may name us as it likes.
        ("api.example.org", Some("127.0.0.1:8080"), "proved"),
        ("api.example.org", Some("10.0.0.7:8443"), "proved"),
        ("evil.example", Some("evil.example"), "possession_misdirected"),
        ("evil.example", Some("not a name"), "possession_misdirected"),
        ("evil.example", Some("api.example.org"), "possession_invalid"),
        ("evil.example", None, "possession_invalid"),
        ("10.0.0.7", Some("10.0.0.7"), "possession_misdirected"),
        ("api.example.org.evil.example", Some("api.example.org"), "possession_invalid"),
    ] {
        assert_eq!(tried(signed_for, sent_to, &names), expected, "{signed_for} {sent_to:?}");
    }
    for sent_to in [None, Some("api.example.org")] {
        let answer = tried("api.example.org", sent_to, &Authorities::none());
        assert!(["possession_invalid", "possession_misdirected"].contains(&answer), "{answer}");
    }
}

#[test]
fn content_is_what_was_signed() {
    let (world, key) = ed25519();
    let agent = agent_of(&world);
    let with = |covered: Option<&str>, sent: Option<&str>, content: &[u8]| {
        let mut draft = Draft::good();
        draft.covered.extend(covered.map(|digest| ("content-digest".into(), digest.into())));
        let (input, signature) = draft.sign(&key);
        let mut request = SignedRequest::new("POST", TARGET, &input, &signature);
        if let Some(digest) = sent {
            request = request.content_digest(digest);
        }
        code(prove(&request, &agent, &us(), NOW).and_then(|proof| proof.content(content)))
    };
    for (covered, sent, content, expected) in [
        (None, None, &b""[..], "proved"),
        (None, None, b"x", "possession_invalid"),
        (Some(OF_X), Some(OF_X), b"x", "proved"),
        (Some(OF_X), Some(OF_X), b"y", "possession_invalid"),
        (Some(OF_X), Some(OF_X), b"", "possession_invalid"),
        (Some(OF_NOTHING), Some(OF_NOTHING), b"", "proved"),
        (Some(OF_X), Some(OF_NOTHING), b"", "possession_invalid"),
        // It is there, and anybody may have put it there.
        (None, Some(OF_X), b"x", "possession_invalid"),
        (Some(OF_X), None, b"x", "possession_invalid"),
        (Some("md5=:AAAA:"), Some("md5=:AAAA:"), b"x", "possession_invalid"),
        (Some("x\r"), Some("x\r"), b"x", "possession_invalid"),
        (Some("x\n\"@path\": /"), Some("x\n\"@path\": /"), b"x", "possession_invalid"),
    ] {
        assert_eq!(with(covered, sent, content), expected, "{covered:?} {sent:?} {content:?}");
    }
}

#[test]
fn a_signature_with_an_end_of_its_own_ends_there_and_is_forgotten_then() {
    let (world, key) = ed25519();
    let (agent, nonces) = (agent_of(&world), fresh());
    let mut draft = Draft::good();
    draft.set("expires", (NOW.secs() + 5).to_string());
    let fields = draft.sign(&key);
    let at = |seconds: u64| code(prove_post(&fields, &agent, &nonces, NOW.plus(seconds * SECOND)));
    assert_eq!((at(0), at(5), at(6)), ("proved", "possession_replayed", "possession_stale"));
    draft.set("nonce", "\"another-nonce-of-this\"");
    draft.set("created", (NOW.secs() + 6).to_string());
    draft.drop("expires");
    assert_eq!(code(prove_post(&draft.sign(&key), &agent, &nonces, NOW.plus(6 * SECOND))), "proved");
    assert_eq!((nonces.figures().held, at(4)), (1, "possession_stale"));
}

#[test]
fn what_is_refused_uses_nothing_up() {
    let (world, key) = ed25519();
    let (agent, nonces) = (agent_of(&world), fresh());
    let (input, signature) = Draft::good().sign(&key);
    let request = SignedRequest::new("POST", TARGET, &input, &signature);
    for _ in 0..3 {
        let proof = prove(&request, &agent, &us(), NOW).unwrap();
        assert!(proof.content(b"somebody else's").is_err() && proof.unused(&nonces, NOW).is_ok());
    }
    assert_eq!(nonces.figures().held, 0);
    assert_eq!(code(once(&request, &agent, &nonces, NOW)), "proved");
    assert_eq!(
        code(prove(&request, &agent, &us(), NOW).unwrap().unused(&nonces, NOW)),
        "possession_replayed"
    );
}

#[test]
fn what_was_signed_before_this_process_began_is_refused() {
    let (world, key) = ed25519();
    let agent = agent_of(&world);
    let began = |millis: u64| kakunin_verify::possession::Nonces::new(100, NOW.minus(1_000).plus(millis));
    let fields = Draft::good().sign(&key);
    for (millis, expected) in
        [(0, "proved"), (1_000, "proved"), (1_001, "possession_stale"), (9_000, "possession_stale")]
    {
        let now = NOW.plus(9_000);
        assert_eq!(code(prove_post(&fields, &agent, &began(millis), now)), expected, "{millis}");
    }
}

#[test]
fn a_target_without_a_query_needs_only_its_path() {
    let (world, key) = ed25519();
    let agent = agent_of(&world);
    for (covered, target, expected) in [
        (&[("@method", "GET"), ("@path", "/a")][..], "/a", "proved"),
        (&[("@method", "GET"), ("@path", "/a"), ("@query", "?")], "/a", "proved"),
        (&[("@method", "GET"), ("@path", "/a"), ("@query", "?")], "/a?", "proved"),
        (&[("@method", "GET"), ("@path", "/a")], "/a?", "possession_invalid"),
        (&[("@method", "GET"), ("@path", "/a"), ("@query", "?b?c")], "/a?b?c", "proved"),
        (&[("@method", "GET"), ("@request-target", "/a")], "/a?", "possession_invalid"),
    ] {
        let mut draft = Draft::good();
        draft.cover(covered);
        let (input, signature) = draft.sign(&key);
        let request = SignedRequest::new("GET", target, &input, &signature);
        assert_eq!(code(once(&request, &agent, &fresh(), NOW)), expected, "{target}: {input}");
    }
}

#[test]
fn a_signature_is_of_this_minute() {
    let (world, key) = ed25519();
    let (agent, fields) = (agent_of(&world), Draft::good().sign(&key));
    let at = |now: UnixTime| code(prove_post(&fields, &agent, &fresh(), now));
    assert_eq!(at(NOW.plus(MAX_AGE)), "proved");
    assert_eq!(at(NOW.plus(MAX_AGE + 1)), "possession_stale");
    assert_eq!(at(NOW.minus(MAX_AHEAD)), "proved");
    assert_eq!(at(NOW.minus(MAX_AHEAD + 1)), "possession_stale");
    assert_eq!(at(UnixTime::default()), "possession_stale");
    assert_eq!((MAX_AGE, MAX_AHEAD), (MINUTE, 10 * SECOND));
}

#[test]
fn a_replay_is_refused_for_as_long_as_it_would_be_young_enough() {
    let (world, key) = ed25519();
    let (agent, nonces) = (agent_of(&world), fresh());
    let mut draft = Draft::good();
    draft.set("created", NOW.plus(MAX_AHEAD).secs().to_string());
    let fields = draft.sign(&key);
    assert_eq!(code(prove_post(&fields, &agent, &nonces, NOW)), "proved");
    let end = NOW.plus(MAX_AHEAD + MAX_AGE);
    for now in [NOW, NOW.plus(MAX_AGE), end] {
        assert_eq!(code(prove_post(&fields, &agent, &nonces, now)), "possession_replayed");
    }
    assert_eq!(code(prove_post(&fields, &agent, &nonces, end.plus(1))), "possession_stale");
    // The next signature makes room of what is too old; a clock that is set back does not revive that.
    draft.set("nonce", "\"a-nonce-of-a-minute-later\"");
    draft.set("created", end.secs().to_string());
    assert_eq!(code(prove_post(&draft.sign(&key), &agent, &nonces, end.plus(1))), "proved");
    assert_eq!(code(prove_post(&fields, &agent, &nonces, end)), "possession_stale");
}

#[test]
fn of_many_uses_at_once_one_wins() {
    let world = World::p256();
    let agent = agent_of(&world);
    for n in 0..20 {
        let fields = signed(&world.leaf_key, "POST", TARGET, &format!("{NONCE}{n}"), NOW);
        let (nonces, start) = (fresh(), std::sync::Barrier::new(8));
        let codes: Vec<_> = std::thread::scope(|scope| {
            let use_it = || {
                start.wait();
                code(prove_post(&fields, &agent, &nonces, NOW))
            };
            let uses: Vec<_> = (0..8).map(|_| scope.spawn(use_it)).collect();
            uses.into_iter().map(|used| used.join().unwrap()).collect()
        });
        assert_eq!(codes.iter().filter(|c| **c == "proved").count(), 1, "{codes:?}");
        assert_eq!(codes.iter().filter(|c| **c == "possession_replayed").count(), 7, "{codes:?}");
    }
}

#[test]
fn a_full_memory_refuses_and_forgets_nothing() {
    let world = World::p256();
    let (agent, nonces) = (agent_of(&world), room(2));
    let with = |nonce: &str, at: UnixTime| {
        let fields = signed(&world.leaf_key, "POST", TARGET, &format!("{NONCE}{nonce}"), at);
        let result = prove_post(&fields, &agent, &nonces, at);
        (result.as_ref().err().map_or(200, Denied::http_status), code(result))
    };
    assert_eq!((with("a", NOW).1, with("b", NOW).1), ("proved", "proved"));
    assert_eq!(with("c", NOW), (429, "possession_unavailable"));
    assert_eq!((with("a", NOW).1, with("b", NOW).1), ("possession_replayed", "possession_replayed"));
    assert_eq!(with("c", NOW.plus(MAX_AGE)).1, "possession_unavailable");
    let later = NOW.plus(MAX_AGE + SECOND);
    assert_eq!((with("c", later).1, with("d", later).1), ("proved", "proved"));
    assert_eq!(with("e", later).1, "possession_unavailable");
    let none = room(0);
    let fields = signed(&world.leaf_key, "POST", TARGET, NONCE, NOW);
    assert_eq!(code(prove_post(&fields, &agent, &none, NOW)), "possession_unavailable");
}

#[test]
fn only_a_signature_that_verifies_uses_its_nonce_up() {
    let (world, key) = ed25519();
    let (agent, nonces) = (agent_of(&world), room(1));
    let good = Draft::good().sign(&key);
    let forged = (good.0.clone(), format!("sig=:{}:", base64(&[0; 64])));
    for _ in 0..3 {
        assert_eq!(code(prove_post(&forged, &agent, &nonces, NOW)), "possession_invalid");
    }
    assert_eq!(code(prove_post(&good, &agent, &nonces, NOW)), "proved");
}

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

#[test]
fn no_alteration_proves_anything_and_nothing_panics() {
    let (world, key) = ed25519();
    let agent = agent_of(&world);
    let (good, header) = (Draft::good().sign(&key), write_certificates(&[vec![1; 70], vec![2; 71]]));
    let mut random = Random(21);
    let mut alphabet: Vec<char> = "\"();= :,@-AZaz09+/\\\t\r\n\u{e9}\u{0}\u{1f600}".chars().collect();
    alphabet.extend("created nonce keyid".chars());
    let mut alter = |text: &str| {
        let mut text: Vec<char> = text.chars().collect();
        for _ in 0..=random.below(3) {
            let (at, c) = (random.below(text.len().max(1)), alphabet[random.below(alphabet.len())]);
            match random.below(4) {
                _ if at >= text.len() => text.push(c),
                0 => text[at] = c,
                1 => text.insert(at, c),
                2 => text.truncate(at),
                _ => _ = text.remove(at),
            }
        }
        text.into_iter().collect::<String>()
    };
    let mut read = 0;
    for _ in 0..30_000 {
        for altered in [(alter(&good.0), good.1.clone()), (good.0.clone(), alter(&good.1))] {
            let proved = prove_post(&altered, &agent, &fresh(), NOW).is_ok();
            assert_eq!(proved, altered == good, "{altered:?}");
        }
        if let Ok(chain) = parse_certificates(&alter(&header)) {
            read += 1;
            assert!((1..=4).contains(&chain.len()));
            assert_eq!(parse_certificates(&write_certificates(&chain)).unwrap(), chain);
        }
    }
    assert!(read > 100, "{read} alterations were still lists of octets");
}
