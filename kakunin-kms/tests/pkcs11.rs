//! A token of SoftHSM through the suites that any provider must pass, and through the openssl command.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use kakunin_core::conformance::key_provider::{Abilities, all, survives_reopening};
use kakunin_core::key::{KeyAlgorithm, KeyProvider, PlannedKeyId, SignError};
use kakunin_kms::pkcs11::{Pkcs11Config, Pkcs11Keys};
use kakunin_kms::url::KeyUrl;
use pollster::block_on;

const FOLDER: &str = "KAKUNIN_TEST_TOKEN";
const PIN: &str = "271828";

fn module() -> PathBuf {
    let named = std::env::var_os("KAKUNIN_PKCS11_MODULE").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from("/usr/lib/softhsm/libsofthsm2.so"))
}

fn run(program: &str, arguments: &[&str], folder: &Path) -> String {
    let install = "apt-get install -y softhsm2 opensc openssl";
    let conf = folder.join("softhsm2.conf");
    let done = Command::new(program).args(arguments).current_dir(folder).env("SOFTHSM2_CONF", conf).output();
    let done = done.unwrap_or_else(|e| panic!("{program}: {e}; run: {install}"));
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {arguments:?}: {text}");
    text
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
    // Labels are not unique: somebody else's token may have the same one.
    for label in ["kakunin", "other", "twin", "twin"] {
        let token = ["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN];
        run("softhsm2-util", &token, folder);
    }
    for test in [
        "the_suites",
        "openssl_verifies_and_nothing_leaves_the_token",
        "a_session_that_is_lost_comes_back",
        "a_wrong_pin_is_tried_once",
        "of_two_tokens_of_one_label_neither_is_given_the_pin",
    ] {
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

fn open_with(label: &str, pin: &str, sessions: usize) -> Result<Pkcs11Keys, SignError> {
    let (token, pin) = (label.into(), pin.to_owned().into());
    Pkcs11Keys::open(Pkcs11Config { module: module(), token, pin, sessions })
}

fn open() -> Pkcs11Keys {
    open_with("kakunin", PIN, 4).unwrap()
}

#[test]
#[ignore = "run by `softhsm`, which makes the token"]
fn the_suites() {
    let algorithms = vec![KeyAlgorithm::P256, KeyAlgorithm::Rsa2048];
    block_on(all(&open(), &Abilities { algorithms: algorithms.clone(), longest_whole: None }));
    for (algorithm, token) in algorithms.into_iter().zip(["kakunin", "other"]) {
        let open = || -> Arc<dyn KeyProvider> { Arc::new(open_with(token, PIN, 2).unwrap()) };
        block_on(survives_reopening(open, algorithm));
    }
    let ed = block_on(open().generate(&PlannedKeyId::new([1; 16]), KeyAlgorithm::Ed25519));
    assert!(matches!(ed, Err(SignError::Unsupported(_))));
}

#[test]
#[ignore = "run by `softhsm`, which makes the token"]
fn openssl_verifies_and_nothing_leaves_the_token() {
    let (keys, folder) = (open(), folder());
    for (algorithm, n) in [(KeyAlgorithm::Rsa2048, 0xa1), (KeyAlgorithm::P256, 0xa2)] {
        let key = block_on(keys.generate(&PlannedKeyId::new([n; 16]), algorithm)).unwrap();
        let signer = block_on(keys.open(&key)).unwrap();
        std::fs::write(folder.join("pub.der"), signer.public_key().as_der()).unwrap();
        std::fs::write(folder.join("m"), b"message").unwrap();
        std::fs::write(folder.join("sig"), block_on(signer.sign(b"message")).unwrap().as_bytes()).unwrap();
        let verify = ["dgst", "-sha256", "-verify", "pub.der", "-keyform", "DER", "-signature", "sig"];
        run("openssl", &[&verify[..], &["m"]].concat(), &folder);
        if algorithm == KeyAlgorithm::Rsa2048 {
            let signature = block_on(signer.sign_pss(b"message")).unwrap();
            std::fs::write(folder.join("sig"), signature.as_bytes()).unwrap();
            let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest", "m"];
            run("openssl", &[&verify[..], &pss[..]].concat(), &folder);
        }
    }
    // Another program's view of the objects.
    let module = module();
    let module = module.to_str().unwrap();
    let token = ["--module", module, "--token-label", "kakunin", "--login", "--pin", PIN];
    let listed =
        run("pkcs11-tool", &[&token[..], &["--list-objects", "--type", "privkey"]].concat(), &folder);
    assert!(listed.contains("never extractable") && listed.contains("sensitive"), "{listed}");
    assert!(!listed.lines().any(|l| l.contains("Access:") && !l.contains("never extractable")), "{listed}");
    assert!(!format!("{keys:?}").contains(PIN));
}

#[test]
#[ignore = "run by `softhsm`, which makes the token"]
fn a_session_that_is_lost_comes_back() {
    use cryptoki::context::Pkcs11;
    let keys = open_with("kakunin", PIN, 1).unwrap();
    let key = block_on(keys.generate(&PlannedKeyId::new([0xb1; 16]), KeyAlgorithm::P256)).unwrap();
    let signer = block_on(keys.open(&key)).unwrap();
    block_on(signer.sign(b"m")).unwrap();
    // Somebody else in this process logs out, which ends the login of all its sessions.
    let module = Pkcs11::new(module()).unwrap();
    for slot in module.get_slots_with_initialized_token().unwrap() {
        module.open_ro_session(slot).unwrap().logout().unwrap();
    }
    block_on(signer.sign(b"m")).unwrap();
    // The token is pulled, and plugged in again.
    let (tokens, pulled) = (folder().join("tokens"), folder().join("pulled"));
    std::fs::rename(&tokens, &pulled).unwrap();
    let gone = block_on(signer.sign(b"m")).unwrap_err();
    assert!(gone.is_transient(), "{gone}");
    std::fs::rename(&pulled, &tokens).unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while let Err(error) = block_on(signer.sign(b"m")) {
        assert!(error.is_transient() && std::time::Instant::now() < deadline, "{error:?}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let missing = open_with("elsewhere", PIN, 1).unwrap_err();
    assert!(matches!(missing, SignError::Locked(_)) && missing.to_string().contains("elsewhere"));
}

#[test]
#[ignore = "run by `softhsm`, which makes the token"]
fn a_wrong_pin_is_tried_once() {
    let wrong = open_with("other", "not it", 1).unwrap_err();
    assert!(matches!(wrong, SignError::Locked(_)) && !wrong.to_string().contains("not it"), "{wrong}");
    assert!(open_with("other", PIN, 1).is_ok(), "the token is not locked");
}

fn open_url(attributes: &str, pin: &str) -> Result<Arc<dyn KeyProvider>, String> {
    let module = module().display().to_string();
    let url: KeyUrl = format!("pkcs11:{attributes}?module-path={module}&pin-value={pin}").parse().unwrap();
    block_on(url.open()).map_err(|error| error.to_string())
}

#[test]
#[ignore = "run by `softhsm`, which makes the token"]
fn of_two_tokens_of_one_label_neither_is_given_the_pin() {
    use cryptoki::context::Pkcs11;
    // Loads the module into this process; the tokens are looked at in a life that others began.
    drop(open());
    let look = Pkcs11::new(module()).unwrap();
    let twins = || {
        let slots = look.get_slots_with_initialized_token().unwrap().into_iter();
        let info = slots.map(|slot| (slot, look.get_token_info(slot).unwrap()));
        info.filter(|(_, info)| info.label().trim_end() == "twin").collect::<Vec<_>>()
    };
    let serials: Vec<_> =
        twins().iter().map(|(_, info)| info.serial_number().trim_end().to_owned()).collect();
    // A PIN that is wrong for both: were it tried, a token would say so.
    for attributes in ["token=twin", "token=tw%69n", "token=twin;manufacturer=SoftHSM%20project"] {
        let refused = open_url(attributes, "99999999").unwrap_err();
        assert!(serials.iter().all(|serial| refused.contains(serial.as_str())), "{refused}");
        assert!(refused.contains("2 tokens") && refused.contains("`slot-id=`"), "{refused}");
        assert!(!refused.contains("99999999"), "{refused}");
    }
    assert!(twins().iter().all(|(_, info)| !info.user_pin_count_low() && !info.user_pin_locked()));
    for (slot, info) in twins() {
        let serial = info.serial_number().trim_end();
        for attributes in [
            format!("token=twin;serial={serial}"),
            format!("serial={serial}"),
            format!("slot-id={}", slot.id()),
            format!("token=twin;slot-id={};model=SoftHSM%20v2", slot.id()),
        ] {
            open_url(&attributes, PIN).unwrap();
        }
        for other in [
            format!("token=kakunin;serial={serial}"),
            format!("serial={serial};model=other"),
            format!("serial={serial};manufacturer=other"),
            format!("serial={serial};slot-id=77777"),
            format!("serial={}", &serial[1..]),
        ] {
            assert!(open_url(&other, "99999999").unwrap_err().contains("no slot has a token"), "{other}");
        }
    }
    // The keys of one are not the other's.
    let [one, two] = &serials[..] else { panic!("{serials:?}") };
    let at = |serial: &str| open_url(&format!("serial={serial}"), PIN).unwrap();
    let made = block_on(at(one).generate(&PlannedKeyId::new([0xc1; 16]), KeyAlgorithm::P256)).unwrap();
    assert!(block_on(at(one).open(&made)).is_ok() && block_on(at(two).open(&made)).is_err());
}
