//! What the signature is for: this host, and this content.

use kakunin_verify::possession::{Authorities, SignedRequest, prove};

use crate::agents::{agent_of, code};
use crate::common::request::*;
use crate::common::*;

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
