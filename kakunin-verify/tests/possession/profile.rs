//! The profile: what is signed, by which keys, and in which form.

use kakunin_verify::possession::{Authorities, SignedRequest, parse_certificates, prove, write_certificates};

use crate::agents::{agent_of, code};
use crate::common::request::*;
use crate::common::*;

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
