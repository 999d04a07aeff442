//! Keys under a seal that is a key of a token of SoftHSM.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod sealing;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use kakunin_kms::pkcs11::Pkcs11Config;
use kakunin_kms::seal::{FileSeal, HsmSeal, Seal, SealError, SealUrlError, SealingKey, from_url};
use pollster::block_on;
use sealing::{key_suites, keys_move, seal_suite};

const FOLDER: &str = "KAKUNIN_TEST_TOKEN";
const PIN: &str = "271828";

fn module() -> PathBuf {
    let named = std::env::var_os("KAKUNIN_PKCS11_MODULE").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from("/usr/lib/softhsm/libsofthsm2.so"))
}

/// The module reads its configuration from the environment, once: the rest runs in a process of its own.
#[test]
fn softhsm() {
    assert!(module().exists(), "{} is missing; run: apt-get install -y softhsm2", module().display());
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("tokens")).unwrap();
    let conf = format!("directories.tokendir = {}/tokens\nobjectstore.backend = file\n", folder.display());
    std::fs::write(folder.join("softhsm2.conf"), conf).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let conf = folder.join("softhsm2.conf");
        let done = Command::new(program).args(arguments).env("SOFTHSM2_CONF", conf).output();
        let done = done.unwrap_or_else(|e| panic!("{program}: {e}; run: apt-get install -y softhsm2 opensc"));
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let token = ["--init-token", "--free", "--label", "kakunin", "--so-pin", "12345678", "--pin", PIN];
    run("softhsm2-util", &token);
    let path = module().display().to_string();
    let login = ["--module", &path, "--token-label", "kakunin", "--login", "--pin", PIN, "--keygen"];
    for (kind, label, id) in [
        ("AES:32", "seal", "01"),
        ("AES:32", "other", "ff00"),
        ("AES:16", "short", "03"),
        ("AES:32", "twin", "04"),
        ("AES:32", "twin", "05"),
    ] {
        let key = ["--key-type", kind, "--label", label, "--id", id, "--sensitive"];
        run("pkcs11-tool", &[&login[..], &key[..]].concat());
    }
    for test in ["the_suites", "a_key_is_named_and_one_alone", "a_token_that_is_gone_is_an_outage"] {
        let done = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--ignored", "--nocapture"])
            .env("SOFTHSM2_CONF", folder.join("softhsm2.conf"))
            .env(FOLDER, folder)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&done.stdout);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && text.contains("1 passed"), "{test}: {text}{said}");
    }
}

fn folder() -> PathBuf {
    PathBuf::from(std::env::var_os(FOLDER).unwrap())
}

fn open(pin: &str, label: Option<&str>, id: Option<&[u8]>) -> Result<HsmSeal, SealError> {
    let key = SealingKey { label: label.map(str::to_owned), id: id.map(<[u8]>::to_vec) };
    let token =
        Pkcs11Config { module: module(), token: "kakunin".into(), pin: pin.to_owned().into(), sessions: 2 };
    block_on(HsmSeal::open(token, key))
}

fn seal(label: &str) -> Arc<dyn Seal> {
    Arc::new(open(PIN, Some(label), None).unwrap())
}

#[test]
#[ignore = "run by `softhsm`, which makes the token"]
fn the_suites() {
    let (one, two) = (seal("seal"), seal("other"));
    seal_suite(&*one, true);
    key_suites(&one);
    sealing::rows_are_bound_to_their_place_and_seal(&one, &two);
    keys_move(&one, &two);
    let folder = tempfile::tempdir().unwrap();
    let file: Arc<dyn Seal> = Arc::new(FileSeal::create(folder.path().join("seal")).unwrap());
    keys_move(&file, &one);
    keys_move(&one, &file);
    assert!(!format!("{one:?}").contains(PIN));
}

#[test]
#[ignore = "run by `softhsm`, which makes the token"]
fn a_key_is_named_and_one_alone() {
    let refused = |opened: Result<HsmSeal, SealError>, said: &str| {
        let error = opened.unwrap_err();
        assert!(matches!(error, SealError::Unusable(_)) && error.to_string().contains(said), "{error}");
        assert!(!error.to_string().contains("9999"), "{error}");
    };
    refused(open(PIN, None, None), "name the key");
    refused(open(PIN, Some("nobody"), None), "no AES-256 key `object=nobody`");
    refused(open(PIN, Some("short"), None), "is no AES-256 key");
    refused(open(PIN, Some("twin"), None), "several keys");
    refused(open(PIN, Some("twin"), Some(&[1])), "no AES-256 key `object=twin;id=01`");
    open(PIN, Some("twin"), Some(&[5])).unwrap();
    let by_label = seal("other");
    let url = |key: &str, pin: &str| {
        let module = module().display().to_string();
        block_on(from_url(&format!("pkcs11:token=kakunin;{key}?module-path={module}&pin-value={pin}")))
    };
    let by_id = url("id=%ff%00", PIN).unwrap();
    let sealed = block_on(by_label.seal(b"c", b"s")).unwrap();
    assert_eq!(**block_on(by_id.open(b"c", &sealed)).unwrap(), *b"s");
    assert!(matches!(block_on(seal("seal").open(b"c", &sealed)), Err(SealError::Wrong)));
    assert!(matches!(url("object=nobody", PIN), Err(SealUrlError::Seal(SealError::Unusable(_)))));
}

#[test]
#[ignore = "run by `softhsm`, which makes the token"]
fn a_token_that_is_gone_is_an_outage() {
    let seal = seal("seal");
    let sealed = block_on(seal.seal(b"c", b"s")).unwrap();
    let (tokens, pulled) = (folder().join("tokens"), folder().join("pulled"));
    std::fs::rename(&tokens, &pulled).unwrap();
    let gone = block_on(seal.open(b"c", &sealed)).unwrap_err();
    assert!(!matches!(gone, SealError::Wrong), "{gone:?}");
    std::fs::rename(&pulled, &tokens).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while let Err(error) = block_on(seal.open(b"c", &sealed)) {
        assert!(!matches!(error, SealError::Wrong) && std::time::Instant::now() < deadline, "{error:?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}
