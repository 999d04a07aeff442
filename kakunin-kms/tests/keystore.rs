//! A key folder against wrong secrets, altered files, other processes and curious eyes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::fs;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use kakunin_kms::kakunin_core::key::{KeyAlgorithm, KeyProvider, KeyRef, PlannedKeyId, SignError};
use kakunin_kms::local::{KdfCost, LocalKeys, Secret, SecretError};
use pollster::block_on;

const PASSPHRASE: &str = "correct horse battery staple";

fn open(dir: &Path, passphrase: &str) -> Result<LocalKeys, SignError> {
    LocalKeys::open_with_cost(dir, &Secret::new(passphrase).unwrap(), KdfCost(NonZeroU32::MIN))
}

fn planned(n: u8) -> PlannedKeyId {
    PlannedKeyId::new([n; 16])
}

fn file_of(dir: &Path, n: u8) -> PathBuf {
    dir.join(format!("{}.key", planned(n).as_str()))
}

/// A folder with one P-256 key, closed.
fn folder() -> (tempfile::TempDir, KeyRef) {
    let dir = tempfile::tempdir().unwrap();
    let keys = open(dir.path(), PASSPHRASE).unwrap();
    let key = block_on(keys.generate(&planned(1), KeyAlgorithm::P256)).unwrap();
    (dir, key)
}

fn locked(result: Result<LocalKeys, SignError>) -> String {
    match result {
        Err(SignError::Locked(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_passphrase_is_one_clear_error() {
    let (dir, _) = folder();
    let why = locked(open(dir.path(), "wrong"));
    assert!(why.contains("wrong passphrase") && !why.contains(PASSPHRASE), "{why}");
    assert!(open(dir.path(), PASSPHRASE).is_ok(), "nothing was touched");
}

#[test]
fn an_altered_key_file_is_refused_whichever_byte_it_is() {
    let (dir, _) = folder();
    let path = file_of(dir.path(), 1);
    let good = fs::read(&path).unwrap();
    for (i, bit) in (0..good.len()).flat_map(|i| [(i, 1), (i, 0x80), (i, 0xff)]) {
        let mut bad = good.clone();
        bad[i] ^= bit;
        fs::write(&path, &bad).unwrap();
        let why = locked(open(dir.path(), PASSPHRASE));
        assert!(why.contains("damaged"), "byte {i}: {why}");
    }
    for len in [0, 1, 4, 7, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..len]).unwrap();
        locked(open(dir.path(), PASSPHRASE));
    }
    fs::write(&path, &good).unwrap();
    assert!(open(dir.path(), PASSPHRASE).is_ok());
}

#[test]
fn a_renamed_or_foreign_key_file_is_refused() {
    let (dir, _) = folder();
    let (other, _) = folder();
    fs::rename(file_of(dir.path(), 1), file_of(dir.path(), 2)).unwrap();
    locked(open(dir.path(), PASSPHRASE));
    fs::remove_file(file_of(dir.path(), 2)).unwrap();
    fs::copy(file_of(other.path(), 1), file_of(dir.path(), 1)).unwrap();
    locked(open(dir.path(), PASSPHRASE));
}

#[test]
fn an_altered_or_missing_header_is_refused() {
    let (dir, _) = folder();
    let path = dir.path().join("keystore.json");
    let good = fs::read_to_string(&path).unwrap();
    for bad in [
        "",
        "{}",
        "[]",
        &good.replace("\"version\": 1", "\"version\": 2"),
        &good.replace("\"salt\": \"", "\"salt\": \"0"),
    ] {
        fs::write(&path, bad).unwrap();
        locked(open(dir.path(), PASSPHRASE));
    }
    fs::remove_file(&path).unwrap();
    assert!(
        locked(open(dir.path(), PASSPHRASE)).contains("restore it"),
        "keys are never taken over by a new header"
    );
}

#[test]
fn a_second_process_is_refused() {
    let (dir, _) = folder();
    let _held = open(dir.path(), PASSPHRASE).unwrap();
    assert!(locked(open(dir.path(), PASSPHRASE)).contains("in use by another process"));
}

/// PKCS#8 in plain as aws-lc writes it: P-256, Ed25519, RSA.
fn plain_keys() -> [Vec<u8>; 3] {
    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap().to_pkcs8v1().unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap();
    let rsa: Pkcs8V1Der<'_> = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
    [p256.as_ref().to_vec(), ed25519.as_ref().to_vec(), rsa.as_ref().to_vec()]
}

#[test]
fn nobody_else_can_read_the_folder_and_nothing_in_it_is_plain() {
    let (dir, key) = folder();
    let keys_dir = dir.path().join("made");
    let keys = open(&keys_dir, PASSPHRASE).unwrap();
    block_on(keys.generate(&planned(3), KeyAlgorithm::Ed25519)).unwrap();
    block_on(keys.generate(&planned(4), KeyAlgorithm::Rsa2048)).unwrap();
    assert_eq!(fs::metadata(&keys_dir).unwrap().permissions().mode() & 0o777, 0o700);
    // What stands before the private half in PKCS#8, and not in a public key: of EC, Ed25519 and RSA.
    let marks: [&[u8]; 3] = [
        &[0x02, 0x01, 0x01, 0x04, 0x20],
        &[0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20],
        &[0x01, 0x01, 0x01, 0x05, 0x00, 0x04, 0x82],
    ];
    for (mark, pkcs8) in marks.iter().zip(plain_keys()) {
        assert!(pkcs8.windows(mark.len()).any(|w| w == *mark), "{mark:x?} is a mark of nothing");
    }
    for dir in [dir.path(), &keys_dir] {
        for file in fs::read_dir(dir).unwrap().map(|f| f.unwrap().path()).filter(|p| p.is_file()) {
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o077, 0, "{}", file.display());
            let octets = fs::read(&file).unwrap();
            for mark in marks.iter().chain([&PASSPHRASE.as_bytes()]) {
                assert!(!octets.windows(mark.len()).any(|w| w == *mark), "{}", file.display());
            }
        }
    }
    let signer = block_on(open(dir.path(), PASSPHRASE).unwrap().open(&key)).unwrap();
    let shown = format!("{keys:?} {signer:?} {key:?} {:?}", Secret::new(PASSPHRASE).unwrap());
    assert!(!shown.contains("horse"), "{shown}");
}

#[test]
fn a_key_file_that_others_read_and_a_folder_that_others_write_are_refused() {
    let (dir, _) = folder();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&file_of(dir.path(), 1), 0o644);
    assert!(locked(open(dir.path(), PASSPHRASE)).contains("chmod 600"));
    mode(&file_of(dir.path(), 1), 0o400);
    mode(dir.path(), 0o770);
    assert!(locked(open(dir.path(), PASSPHRASE)).contains("chmod 700"));
    mode(dir.path(), 0o755);
    assert!(open(dir.path(), PASSPHRASE).is_ok());
}

#[test]
fn what_a_dying_process_left_is_cleared_away_and_nothing_else() {
    let (dir, key) = folder();
    let names = [format!("{}.key.new", planned(1).as_str()), "mine.new".to_owned()];
    names.iter().for_each(|name| fs::write(dir.path().join(name), b"half").unwrap());
    let keys = open(dir.path(), PASSPHRASE).unwrap();
    assert_eq!(names.map(|name| dir.path().join(name).exists()), [false, true]);
    block_on(block_on(keys.open(&key)).unwrap().sign(b"m")).unwrap();
}

#[test]
fn a_retired_keys_file_has_no_private_half() {
    let (dir, key) = folder();
    let before = fs::metadata(file_of(dir.path(), 1)).unwrap().len();
    let keys = open(dir.path(), PASSPHRASE).unwrap();
    block_on(keys.retire(&key)).unwrap();
    let after = fs::metadata(file_of(dir.path(), 1)).unwrap().len();
    assert!(after + 100 < before, "{before} to {after}");
    drop(keys);
    let keys = open(dir.path(), PASSPHRASE).unwrap();
    assert!(matches!(block_on(keys.open(&key)), Err(SignError::Refused { .. })));
}

#[test]
fn secrets_come_from_the_environment_or_a_private_file() {
    let missing = Secret::from_env("KAKUNIN_NO_SUCH_VARIABLE").unwrap_err().to_string();
    assert!(missing.contains("KAKUNIN_NO_SUCH_VARIABLE is not set: set it to"), "{missing}");
    assert!(matches!(Secret::new(""), Err(SecretError::Empty)));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let with = |content: &[u8], mode| {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        Secret::from_key_file(&file)
    };
    assert!(matches!(with(&[7; 32], 0o644), Err(SecretError::TooOpen(_))));
    assert!(matches!(with(&[7; 31], 0o600), Err(SecretError::NotAKey(_))));
    assert!(matches!(with(b"zz", 0o600), Err(SecretError::NotAKey(_))));
    assert!(matches!(Secret::from_key_file(dir.path()), Err(SecretError::TooOpen(_))));
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&pipe).status().unwrap().success());
    assert!(matches!(Secret::from_key_file(&pipe), Err(SecretError::TooOpen(_))), "and it does not wait");
    let keys = LocalKeys::open(dir.path().join("keys"), &with(&[7; 32], 0o600).unwrap()).unwrap();
    drop(keys);
    let hex = with("07".repeat(32).as_bytes(), 0o400).unwrap();
    assert!(LocalKeys::open(dir.path().join("keys"), &hex).is_ok(), "hex and bytes are one key");
    let other = with(&[8; 32], 0o600).unwrap();
    assert!(locked(LocalKeys::open(dir.path().join("keys"), &other)).contains("wrong passphrase or key"));
}

#[test]
fn a_full_disk_is_one_clear_error_and_loses_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=48k", "tmpfs"]).arg(dir.path()).status();
    assert!(mounted.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
    let _unmount = Unmount(dir.path());
    let keys = open(&dir.path().join("keys"), PASSPHRASE).unwrap();
    let mut made = Vec::new();
    let full = (0..200).find_map(|n| match block_on(keys.generate(&planned(n), KeyAlgorithm::P256)) {
        Ok(key) => {
            made.push(key);
            None
        }
        Err(error) => Some(error),
    });
    let error = full.unwrap().to_string();
    assert!(error.contains("No space left"), "{error}");
    assert!(matches!(
        block_on(
            keys.open(&KeyRef::new(format!("local:{}", planned(u8::try_from(made.len()).unwrap()).as_str())))
        ),
        Err(SignError::NotFound(_))
    ));
    drop(keys);
    let keys = open(&dir.path().join("keys"), PASSPHRASE).unwrap();
    for key in &made {
        block_on(block_on(keys.open(key)).unwrap().sign(b"m")).unwrap();
    }
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// OpenSSL verifies a signature of each algorithm.
#[test]
fn openssl_verifies() {
    use KeyAlgorithm::{Ed25519, P256, Rsa2048, Rsa3072, Rsa4096};
    let keys = LocalKeys::ephemeral();
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, octets: &[u8]| fs::write(dir.path().join(name), octets).unwrap();
    put("m", b"message");
    for (n, algorithm) in [Rsa2048, Rsa3072, Rsa4096, P256, Ed25519].into_iter().enumerate() {
        let key = block_on(keys.generate(&planned(u8::try_from(n).unwrap()), algorithm)).unwrap();
        let signer = block_on(keys.open(&key)).unwrap();
        put("k", signer.public_key().as_der());
        put("s", block_on(signer.sign(b"message")).unwrap().as_bytes());
        let line = match algorithm {
            Ed25519 => "pkeyutl -verify -rawin -pubin -inkey k -keyform DER -in m -sigfile s",
            _ => "dgst -sha256 -verify k -keyform DER -signature s m",
        };
        let done = Command::new("openssl").args(line.split(' ')).current_dir(dir.path()).output().unwrap();
        assert!(done.status.success(), "{algorithm:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn who_only_reads_signs_beside_who_has_it_open_and_changes_nothing() {
    let (dir, key) = folder();
    let keys = open(dir.path(), PASSPHRASE).unwrap();
    let read = LocalKeys::open_to_read(dir.path(), &Secret::new(PASSPHRASE).unwrap()).unwrap();
    let signer = block_on(read.open(&key)).unwrap();
    assert_eq!(signer.public_key(), block_on(keys.open(&key)).unwrap().public_key());
    block_on(signer.sign(b"message")).unwrap();
    let files = || fs::read_dir(dir.path()).unwrap().count();
    let before = files();
    for refused in [
        block_on(read.generate(&planned(2), KeyAlgorithm::P256)).map(|_| ()),
        block_on(read.retire(&key)),
        block_on(read.disable(&key)),
    ] {
        let Err(SignError::Locked(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains("open for reading alone"), "{why}");
    }
    assert_eq!(files(), before);
    block_on(block_on(keys.open(&key)).unwrap().sign(b"message")).unwrap();
    // It makes no folder, and takes no wrong secret.
    let none = dir.path().join("none");
    assert!(LocalKeys::open_to_read(&none, &Secret::new(PASSPHRASE).unwrap()).is_err() && !none.exists());
    let wrong = locked(LocalKeys::open_to_read(dir.path(), &Secret::new("another passphrase").unwrap()));
    assert!(wrong.contains("wrong passphrase"), "{wrong}");
}

#[test]
fn of_several_processes_that_share_a_folder_all_have_the_keys_of_each() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("keys");
    let secret = || Secret::new("correct horse").unwrap();
    let cost = KdfCost(NonZeroU32::MIN);
    drop(LocalKeys::open_with_cost(&dir, &secret(), cost).unwrap());
    let [one, other] = [(); 2].map(|()| LocalKeys::open_shared(&dir, &secret()).unwrap());
    assert!(locked(LocalKeys::open_with_cost(&dir, &secret(), cost)).contains("another process"));
    let make = |keys: &LocalKeys| block_on(keys.generate(&planned(1), KeyAlgorithm::Ed25519)).unwrap();
    let keys = std::thread::scope(|scope| {
        let (a, b) = (scope.spawn(|| make(&one)), scope.spawn(|| make(&other)));
        [a.join().unwrap(), b.join().unwrap()]
    });
    assert_eq!(keys[0], keys[1]);
    let signers = [&one, &other].map(|keys_of| block_on(keys_of.open(&keys[0])).unwrap());
    assert_eq!(signers[0].public_key(), signers[1].public_key());
    let made = block_on(one.generate(&planned(2), KeyAlgorithm::P256)).unwrap();
    block_on(other.open(&made)).unwrap();
    block_on(one.retire(&made)).unwrap();
    assert!(matches!(block_on(other.open(&made)), Err(SignError::Refused { .. })));
    drop((one, other));
    let alone = LocalKeys::open_with_cost(&dir, &secret(), cost).unwrap();
    assert_eq!(block_on(alone.list()).unwrap().len(), 1);
    assert_eq!(block_on(alone.open(&keys[0])).unwrap().public_key(), signers[0].public_key());
}
