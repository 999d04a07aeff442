//! A third party, http-message-signatures of Python, signs what we accept and accepts what we sign.
#![cfg(feature = "possession")]
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::request::*;
use common::*;
use kakunin_core::id::hex_encode;
use kakunin_verify::possession::{SignedRequest, TAG};
use serde_json::{Value, json};

const URL: &str = "https://API.example.org";

/// Python with `http-message-signatures`: `KAKUNIN_PYTHON`, or where `make setup` puts it.
fn python() -> PathBuf {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = || folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")));
    let tools = || folder("KAKUNIN_TOOLS").or_else(|| cache().map(|cache| cache.join("kakunin/tools")));
    folder("KAKUNIN_PYTHON")
        .or_else(|| tools().map(|tools| tools.join("venv/bin/python")))
        .unwrap_or_else(|| "python3".into())
}

fn ask(jobs: &[Value]) -> Vec<Value> {
    const HINT: &str =
        "`make setup` installs Python with http-message-signatures; KAKUNIN_PYTHON names another";
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/httpsig.py");
    let mut command = Command::new(python());
    let command = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{HINT}: {error}"));
    // One that could not start reads nothing; its own words say why.
    let _ = child.stdin.take().unwrap().write_all(json!(jobs).to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{HINT}: {}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), jobs.len());
    answers
}

fn name(key: &Key) -> &'static str {
    match key {
        Key::P256(_) => "ecdsa-p256-sha256",
        Key::Rsa(_) => "rsa-v1_5-sha256",
        Key::Ed25519(_) => "ed25519",
    }
}

#[test]
fn what_it_signs_is_proof() {
    const DIGEST: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    let forms: [(&str, &[&str]); 5] = [
        (TARGET, &["@method", "@authority", "@request-target", "content-digest"]),
        (TARGET, &["content-digest", "@query", "@path", "@method", "@authority"]),
        ("/payments", &["@method", "@path", "@authority", "content-digest"]),
        ("/payments", &["@method", "@path", "@query", "@authority", "content-digest"]),
        (
            "/a%20b/%C3%A9;c=(d)?q=%22&&=",
            &["@method", "@path", "@query", "@request-target", "@authority", "content-digest"],
        ),
    ];
    for make in KEYS {
        let world = World::new(Key::p256(), make());
        let agent = world.verifier(backends()[0]).verify(&[world.leaf_der()], NOW).unwrap();
        let key = &world.leaf_key;
        let job = |(target, covered): &(&str, &[&str]), alg: bool| {
            json!({
                "method": "POST", "url": format!("{URL}{target}"), "headers": { "content-digest": DIGEST },
                "algorithm": name(key), "key": hex_encode(&key.pkcs8()),
                "sign": {
                    "key_id": leaf_serial().to_string(), "created": NOW.secs(), "nonce": NONCE, "tag": TAG,
                    "include_alg": alg, "use_existing_digest": true, "covered_component_ids": covered,
                },
            })
        };
        let jobs: Vec<_> = forms.iter().flat_map(|form| [job(form, true), job(form, false)]).collect();
        for (n, headers) in ask(&jobs).iter().enumerate() {
            let field = |name: &str| headers[name].as_str().unwrap();
            let (input, signature) = (field("Signature-Input"), field("Signature"));
            let request = |method, target| {
                let request = SignedRequest::new(method, target, input, signature);
                once(&request.sent_to("api.example.org").content_digest(DIGEST), &agent, &fresh(), NOW)
            };
            let target = forms[n / 2].0;
            assert_eq!(request("POST", target), Ok(()), "{input}");
            assert!(request("PUT", target).is_err() && request("POST", "/other?to=acme").is_err(), "{input}");
        }
    }
}

#[test]
fn what_we_sign_it_accepts() {
    for make in KEYS {
        let key = make();
        for content in [&b""[..], b"{\"amount\":1}"] {
            let request = to_sign(&key, ("POST", TARGET, content), HOST, NONCE, NOW);
            let signature = kakunin_core::key::Signature::new(key.sign(request.to_be_signed()));
            let signature = request.signature(&signature).unwrap();
            let input = request.signature_input();
            let digest = request.content_digest();
            let job = |method: &str, url: &str, key: &Key, digest: Option<&str>| {
                let mut headers = json!({ "signature-input": input, "signature": signature });
                if let Some(digest) = digest {
                    headers["content-digest"] = digest.into();
                }
                json!({
                    "method": method, "url": url, "algorithm": name(key), "headers": headers,
                    "key": hex_encode(&key.spki()), "content": String::from_utf8_lossy(content),
                })
            };
            let url = format!("{URL}{TARGET}");
            let mut jobs = vec![
                job("POST", &url, &key, digest),
                job("PUT", &url, &key, digest),
                job("POST", &format!("{URL}/payments"), &key, digest),
                job("POST", &format!("https://evil.example{TARGET}"), &key, digest),
                job("POST", &url, &make(), digest),
            ];
            let mut expected = vec![true, false, false, false, false];
            if digest.is_some() {
                jobs.push(job(
                    "POST",
                    &url,
                    &key,
                    Some("sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
                ));
                expected.push(false);
            }
            assert_eq!(ask(&jobs), expected, "{input}");
        }
    }
}
