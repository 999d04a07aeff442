//! AWS KMS over HTTP through the suites that any provider must pass, the openssl command, and faults.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod kms;

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kakunin_core::conformance::at_once;
use kakunin_core::conformance::key_provider::{Abilities, all, survives_reopening};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, SignError};
use kakunin_kms::aws::{AwsKeys, Quotas};
use kms::{FAST, Faults, Kms, Relay, config, keys};
use pollster::block_on;

const ALL: [KeyAlgorithm; 3] = [KeyAlgorithm::Rsa2048, KeyAlgorithm::P256, KeyAlgorithm::Ed25519];

#[test]
fn the_suites() {
    let folder = tempfile::tempdir().unwrap();
    let mut kms = Kms::start(folder.path());
    let (aws, runtime) = keys(config(kms.port));
    block_on(all(&aws, &Abilities { algorithms: ALL.to_vec(), longest_whole: Some(4_096) }));
    let _entered = runtime.enter();
    let open = || -> Arc<dyn KeyProvider> { Arc::new(AwsKeys::new(config(kms.port)).unwrap()) };
    block_on(survives_reopening(open, KeyAlgorithm::Rsa2048));
    // The service restarts too, and its keys are what they were.
    let planned = PlannedKeyId::new([0x77; 16]);
    let key = block_on(aws.generate(&planned, KeyAlgorithm::Rsa2048)).unwrap();
    let signature = block_on(block_on(aws.open(&key)).unwrap().sign(b"m")).unwrap();
    kms.restart();
    let again = AwsKeys::new(config(kms.port)).unwrap();
    assert_eq!(block_on(again.generate(&planned, KeyAlgorithm::Rsa2048)).unwrap(), key);
    assert_eq!(block_on(block_on(again.open(&key)).unwrap().sign(b"m")).unwrap(), signature);
}

#[test]
fn openssl_verifies_every_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let kms = Kms::start(folder.path());
    let (aws, _runtime) = keys(config(kms.port));
    let openssl = |arguments: &[&str]| {
        let done = Command::new("openssl").args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    std::fs::write(folder.path().join("m"), b"message").unwrap();
    for (algorithm, n) in ALL.into_iter().zip(1..) {
        let key = block_on(aws.generate(&PlannedKeyId::new([n; 16]), algorithm)).unwrap();
        assert!(key.as_str().starts_with("awskms:arn:aws:kms:eu-west-1:"), "{key}");
        let signer = block_on(aws.open(&key)).unwrap();
        let write = |name: &str, octets: &[u8]| std::fs::write(folder.path().join(name), octets).unwrap();
        write("pub.der", signer.public_key().as_der());
        write("sig", block_on(signer.sign(b"message")).unwrap().as_bytes());
        let key = ["-inkey", "pub.der", "-pubin", "-keyform", "DER", "-sigfile", "sig", "-in", "m"];
        let hashed = ["pkeyutl", "-verify", "-rawin", "-digest", "sha256"];
        match algorithm {
            KeyAlgorithm::Ed25519 => openssl(&[&["pkeyutl", "-verify", "-rawin"], &key[..]].concat()),
            KeyAlgorithm::P256 => openssl(&[&hashed[..], &key[..]].concat()),
            _ => {
                openssl(&[&hashed[..], &key[..]].concat());
                write("sig", block_on(signer.sign_pss(b"message")).unwrap().as_bytes());
                let pss = ["-pkeyopt", "rsa_padding_mode:pss", "-pkeyopt", "rsa_pss_saltlen:digest"];
                openssl(&[&hashed[..], &key[..], &pss[..]].concat());
            }
        }
    }
}

#[test]
fn faults_are_retried_then_named_and_pass() {
    let folder = tempfile::tempdir().unwrap();
    let kms = Kms::start(folder.path());
    let faults = Faults::before(kms.port);
    let relay = Relay::before(faults.port);
    let (aws, _runtime) = keys(config(relay.port));
    let key = block_on(aws.generate(&PlannedKeyId::new([1; 16]), KeyAlgorithm::P256)).unwrap();
    let signer = block_on(aws.open(&key)).unwrap();
    let rule = |body: &str| faults.rules(&format!(r#"[{{"service":"kms","operation":"Sign",{body}}}]"#));
    for (body, said, attempts) in [
        (r#""error":{"code":"ThrottlingException"}"#, "ThrottlingException", 4),
        (r#""error":{"code":"KMSInternalException"}"#, "KMSInternalException", 4),
        (r#""reset":true"#, "", 4),
        // Nothing to wait for: an operator has to act.
        (r#""error":{"code":"AccessDeniedException"}"#, "AccessDeniedException", 1),
        // Our clock is off by more than five minutes.
        (r#""error":{"code":"InvalidSignatureException"}"#, "InvalidSignatureException", 1),
    ] {
        let before = relay.calls("Sign").len();
        rule(body);
        let error = block_on(signer.sign(b"m")).unwrap_err();
        assert!(error.is_transient() && error.to_string().contains(&format!("sign `{key}`")), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(said), "{source}");
        assert_eq!(relay.calls("Sign").len() - before, attempts, "{body}");
        faults.rules("[]");
        // Each of these faults is short of what opens the breaker, and an answer starts the count anew.
        block_on(signer.sign(b"m")).unwrap();
    }
    // An answer that comes after the patience of one attempt.
    rule(r#""latency":4000"#);
    let slow = block_on(signer.sign(b"m")).unwrap_err();
    assert!(slow.is_transient(), "{slow}");
    faults.rules("[]");
    block_on(signer.sign(b"m")).unwrap();
}

#[test]
fn while_it_is_down_callers_hear_so_without_asking() {
    let folder = tempfile::tempdir().unwrap();
    let mut kms = Kms::start(folder.path());
    let relay = Relay::before(kms.port);
    let (aws, _runtime) = keys(config(relay.port));
    let key = block_on(aws.generate(&PlannedKeyId::new([1; 16]), KeyAlgorithm::P256)).unwrap();
    let signer = block_on(aws.open(&key)).unwrap();
    kms.down();
    let said = at_once(50, |_| signer.sign(b"m"));
    assert!(said.iter().all(|said| said.as_ref().is_err_and(SignError::is_transient)));
    let asked = relay.calls("Sign").len();
    let error = block_on(signer.sign(b"m")).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("the service is down"), "{source}");
    assert_eq!(relay.calls("Sign").len(), asked);
    kms.up();
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = block_on(signer.sign(b"m")) {
        assert!(error.is_transient() && Instant::now() < deadline, "{error}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// `CreateKey` is not idempotent: an answer that is lost leaves a key that nobody knows.
#[test]
fn a_key_whose_maker_heard_nothing_is_found_by_its_tag() {
    let folder = tempfile::tempdir().unwrap();
    let kms = Kms::start(folder.path());
    let relay = Relay::before(kms.port);
    let (aws, _runtime) = keys(config(relay.port));
    let one = PlannedKeyId::new([1; 16]);
    relay.lose_answer_of("CreateKey");
    let key = block_on(aws.generate(&one, KeyAlgorithm::P256)).unwrap();
    assert_eq!(relay.calls("CreateKey").len(), 2);
    assert_eq!(block_on(aws.find(&one)).unwrap(), std::slice::from_ref(&key), "the first is on its way out");
    assert_eq!(block_on(aws.list()).unwrap().len(), 1);
    // A name whose giver heard nothing is its key's all the same.
    let two = PlannedKeyId::new([2; 16]);
    relay.lose_answer_of("CreateAlias");
    let named = block_on(aws.generate(&two, KeyAlgorithm::P256)).unwrap();
    assert_eq!(block_on(aws.find(&two)).unwrap(), std::slice::from_ref(&named));
    assert_eq!(block_on(aws.generate(&two, KeyAlgorithm::P256)).unwrap(), named);
    // A maker that died before it named its key.
    let three = PlannedKeyId::new([3; 16]);
    let tags = [("kakunin-planned-id", three.as_str()), ("kakunin-deployment", "tests")];
    create_key(kms.port, &tags);
    create_key(kms.port, &[("kakunin-planned-id", three.as_str()), ("kakunin-deployment", "another")]);
    let strays = block_on(aws.find(&three)).unwrap();
    assert_eq!((strays.len(), block_on(aws.list()).unwrap().len()), (1, 3), "and no other deployment's");
    block_on(aws.retire(&strays[0])).unwrap();
    assert!(block_on(aws.find(&three)).unwrap().is_empty());
}

/// A key that another program makes.
fn create_key(port: u16, tags: &[(&str, &str)]) {
    let tags: Vec<_> = tags.iter().map(|(k, v)| format!(r#"{{"TagKey":"{k}","TagValue":"{v}"}}"#)).collect();
    let body =
        format!(r#"{{"KeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY","Tags":[{}]}}"#, tags.join(","));
    let done = Command::new("curl")
        .args(["-sf", "-X", "POST", &format!("http://127.0.0.1:{port}/"), "-d", &body])
        .args([
            "-H",
            "X-Amz-Target: TrentService.CreateKey",
            "-H",
            "Content-Type: application/x-amz-json-1.1",
        ])
        .args(["-H", "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/kms/aws4_request"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
}

#[test]
fn the_quota_is_never_exceeded_by_retries_either() {
    let folder = tempfile::tempdir().unwrap();
    let kms = Kms::start(folder.path());
    let faults = Faults::before(kms.port);
    let relay = Relay::before(faults.port);
    let mut slow = config(relay.port);
    slow.quotas = Quotas { sign_ecc: 20, ..FAST };
    let (aws, _runtime) = keys(slow);
    let key = block_on(aws.generate(&PlannedKeyId::new([1; 16]), KeyAlgorithm::P256)).unwrap();
    let signer = block_on(aws.open(&key)).unwrap();
    faults.rules(r#"[{"service":"kms","operation":"Sign","error":{"code":"ThrottlingException"}}]"#);
    at_once(12, |_| async { signer.sign(b"m").await.unwrap_err() });
    faults.rules("[]");
    at_once(40, |_| async { signer.sign(b"m").await.unwrap() });
    let calls = relay.calls("Sign");
    assert_eq!(calls.len(), 12 * 4 + 40);
    // A call may start late, so that two arrive closer together than they were released; over the whole
    // time there are as many turns as periods.
    let whole = calls.last().unwrap().duration_since(calls[0]);
    let periods = usize::try_from(whole.as_millis() / 50).unwrap() + 1;
    assert!(calls.len() <= periods + 1, "{} calls in {whole:?}", calls.len());
}
