//! Keys under a seal that is a key of AWS KMS, over HTTP: the suites, and who must act when it fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod kms;
mod sealing;

use std::process::Command;
use std::sync::Arc;

use kakunin_core::key::{KeyAlgorithm, KeyProvider};
use kakunin_kms::seal::{FileSeal, KmsSeal, Seal, SealError, SealedKeys};
use kms::{Faults, Kms, Relay, config};
use pollster::block_on;
use sealing::{key_suites, keys_move, locked, memory, planned, seal_suite};

const ED: KeyAlgorithm = KeyAlgorithm::Ed25519;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A call of another program.
fn call(port: u16, operation: &str, body: &str) -> String {
    let signed = "Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-1/kms/aws4_request";
    let done = Command::new("curl")
        .args(["-sf", "-X", "POST", &format!("http://127.0.0.1:{port}/"), "-d", body])
        .args(["-H", &format!("X-Amz-Target: TrentService.{operation}"), "-H", signed])
        .args(["-H", "Content-Type: application/x-amz-json-1.1"])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    String::from_utf8(done.stdout).unwrap()
}

/// A symmetric key, by its ARN.
fn symmetric(port: u16) -> String {
    let made = call(port, "CreateKey", r#"{"KeySpec":"SYMMETRIC_DEFAULT","KeyUsage":"ENCRYPT_DECRYPT"}"#);
    let arn = made.split('"').find(|part| part.starts_with("arn:aws:kms:") && part.contains(":key/"));
    arn.unwrap().to_owned()
}

fn seal(port: u16, key: &str) -> Arc<dyn Seal> {
    Arc::new(KmsSeal::new(&config(port), key).unwrap())
}

#[test]
fn the_suites() {
    let folder = tempfile::tempdir().unwrap();
    let mut kms = Kms::start(folder.path());
    let (runtime, arns) = (runtime(), [symmetric(kms.port), symmetric(kms.port)]);
    let _entered = runtime.enter();
    let [one, two] = arns.clone().map(|arn| seal(kms.port, &arn));
    seal_suite(&*one, false);
    key_suites(&one);
    sealing::rows_are_bound_to_their_place_and_seal(&one, &two);
    keys_move(&one, &two);
    let file: Arc<dyn Seal> = Arc::new(FileSeal::create(folder.path().join("seal")).unwrap());
    keys_move(&file, &one);
    keys_move(&one, &file);
    // By an alias, and after the service was restarted.
    let alias = r#"{"AliasName":"alias/kakunin-seal","TargetKeyId":"#;
    call(kms.port, "CreateAlias", &format!(r#"{alias}"{}"}}"#, arns[0]));
    let sealed = block_on(seal(kms.port, "alias/kakunin-seal").seal(b"c", b"s")).unwrap();
    kms.restart();
    assert_eq!(**block_on(seal(kms.port, &arns[0]).open(b"c", &sealed)).unwrap(), *b"s");
    assert!(format!("{one:?}").contains(&arns[0]));
}

#[test]
fn a_signer_goes_on_while_the_service_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut kms = Kms::start(folder.path());
    let (runtime, arn) = (runtime(), symmetric(kms.port));
    let _entered = runtime.enter();
    let relay = Relay::before(kms.port);
    let (vault, seal) = (memory(), seal(relay.port, &arn));
    let keys = SealedKeys::new(vault.clone(), seal.clone());
    let key = block_on(keys.generate(&planned(1), ED)).unwrap();
    let signer = block_on(keys.open(&key)).unwrap();
    assert_eq!((relay.calls("Encrypt").len(), relay.calls("Decrypt").len()), (1, 1));
    kms.down();
    block_on(signer.sign(b"m")).unwrap();
    block_on(block_on(keys.open(&key)).unwrap().sign(b"m")).unwrap();
    assert_eq!(relay.calls("Decrypt").len(), 1, "unsealed once");
    let error = block_on(SealedKeys::new(vault, seal).open(&key)).unwrap_err();
    assert!(error.is_transient() && error.to_string().contains(&format!("open `{key}`")), "{error}");
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let folder = tempfile::tempdir().unwrap();
    let kms = Kms::start(folder.path());
    let (runtime, arn) = (runtime(), symmetric(kms.port));
    let _entered = runtime.enter();
    let relay = Relay::before(kms.port);
    let keys = SealedKeys::new(memory(), seal(relay.port, &arn));
    relay.lose_answer_of("Encrypt");
    let key = block_on(keys.generate(&planned(1), ED)).unwrap();
    relay.lose_answer_of("Decrypt");
    block_on(block_on(keys.open(&key)).unwrap().sign(b"m")).unwrap();
    assert_eq!((relay.calls("Encrypt").len(), relay.calls("Decrypt").len()), (2, 2));
}

#[test]
fn who_must_act_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let kms = Kms::start(folder.path());
    let (runtime, arn) = (runtime(), symmetric(kms.port));
    let _entered = runtime.enter();
    let faults = Faults::before(kms.port);
    // Each with a breaker of its own.
    let (vault, seal_of) = (memory(), || seal(faults.port, &arn));
    let key = block_on(SealedKeys::new(vault.clone(), seal_of()).generate(&planned(1), ED)).unwrap();
    let sealed = block_on(seal_of().seal(b"c", b"secret octets")).unwrap();
    for (fault, code) in [
        ("AccessDeniedException", "seal_denied"),
        ("UnrecognizedClientException", "seal_denied"),
        ("ExpiredTokenException", "seal_denied"),
        ("InvalidCiphertextException", "seal_wrong"),
        ("IncorrectKeyException", "seal_wrong"),
        ("NotFoundException", "seal_unusable"),
        ("DisabledException", "seal_unusable"),
        ("KMSInvalidStateException", "seal_unusable"),
        ("ThrottlingException", "seal_unavailable"),
        ("KMSInternalException", "seal_unavailable"),
        ("InvalidSignatureException", "seal_unavailable"),
    ] {
        let rule = |operation: &str| {
            let of = r#""service":"kms","operation""#;
            faults.rules(&format!(r#"[{{{of}:"{operation}","error":{{"code":"{fault}"}}}}]"#));
        };
        rule("Decrypt");
        let error = block_on(seal_of().open(b"c", &sealed)).unwrap_err();
        assert_eq!(
            (error.code(), error.is_transient()),
            (code, code == "seal_unavailable"),
            "{fault}: {error}"
        );
        assert!(!format!("{error:?}").contains("secret octets"));
        let keys = SealedKeys::new(vault.clone(), seal_of());
        match block_on(keys.open(&key)) {
            Err(error) if error.is_transient() => assert_eq!(code, "seal_unavailable", "{fault}"),
            opened => locked(opened, "seal"),
        }
        rule("Encrypt");
        let error = block_on(seal_of().seal(b"c", b"secret octets")).unwrap_err();
        assert_eq!(error.code(), code, "{fault}: {error}");
        faults.rules("[]");
        block_on(seal_of().open(b"c", &sealed)).unwrap();
    }
    // A key that is gone, or cannot encrypt, or is not named.
    let signing = call(kms.port, "CreateKey", r#"{"KeySpec":"ECC_NIST_P256","KeyUsage":"SIGN_VERIFY"}"#);
    let signing = signing.split('"').find(|part| part.starts_with("arn:aws:kms:")).unwrap();
    for useless in ["alias/nobody", signing] {
        let error = block_on(seal(kms.port, useless).seal(b"c", b"s")).unwrap_err();
        assert!(matches!(error, SealError::Unusable(_)), "{useless}: {error:?}");
    }
    assert!(matches!(KmsSeal::new(&config(kms.port), ""), Err(SealError::Unusable(_))));
    let elsewhere = std::thread::spawn(|| KmsSeal::new(&config(1), "key").map(drop)).join().unwrap();
    assert!(matches!(elsewhere, Err(SealError::Unusable(_))), "outside a runtime");
}
