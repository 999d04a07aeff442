//! Keys under a seal that is a file: the suites, servers at once, wrong seals, altered rows, hostile files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod sealing;

use std::fs::{self, Permissions};
use std::num::NonZeroU32;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use kakunin_core::conformance::at_once;
use kakunin_core::key::{KeyAlgorithm, KeyProvider, KeyRef, SignError};
use kakunin_kms::local::{KdfCost, LocalKeys, Secret};
use kakunin_kms::seal::{FileSeal, Seal, SealError, SealUrlError, SealedKeys, from_url};
use pollster::block_on;
use sealing::{Failing, FolderVault, key_suites, keys_move, locked, memory, planned, row, seal_suite};
use zeroize::Zeroizing;

const FOLDER: &str = "KAKUNIN_TEST_SEALED";
const ED: KeyAlgorithm = KeyAlgorithm::Ed25519;

fn file_seal(folder: &Path, name: &str) -> Arc<dyn Seal> {
    let path = folder.join(name);
    let seal = if path.exists() { FileSeal::open(path) } else { FileSeal::create(path) };
    Arc::new(seal.unwrap())
}

#[test]
fn the_suites() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (file_seal(folder.path(), "one"), file_seal(folder.path(), "two"));
    seal_suite(&*one, true);
    key_suites(&one);
    sealing::rows_are_bound_to_their_place_and_seal(&one, &two);
    keys_move(&one, &two);
    // What is sealed opens with the file alone, in another process.
    let sealed = block_on(one.seal(b"c", b"s")).unwrap();
    assert_eq!(**block_on(file_seal(folder.path(), "one").open(b"c", &sealed)).unwrap(), *b"s");
}

#[test]
fn servers_that_generate_at_once_have_one_key() {
    let folder = tempfile::tempdir().unwrap();
    let (seal, vault) = (file_seal(folder.path(), "seal"), memory());
    let signed = at_once(16, |_| async {
        let keys = SealedKeys::new(vault.clone(), seal.clone());
        let key = keys.generate(&planned(1), ED).await.unwrap();
        let signer = keys.open(&key).await.unwrap();
        (key, signer.public_key().clone(), signer.sign(b"m").await.unwrap())
    });
    assert!(signed.windows(2).all(|w| w[0] == w[1]), "{signed:?}");
    assert_eq!(block_on(vault.list(b"", 10)).unwrap().len(), 1);
}

#[test]
fn processes_that_generate_at_once_have_one_key() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["vault", "ready"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    file_seal(folder.path(), "seal");
    let start = || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "one_process", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let running: Vec<_> = (0..6).map(|_| start()).collect();
    // None begins before all are there.
    let ready = folder.path().join("ready");
    while fs::read_dir(&ready).unwrap().count() < running.len() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    fs::write(folder.path().join("go"), b"").unwrap();
    let said = running.into_iter().map(|child| {
        let done = child.wait_with_output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{text}");
        text.lines().find_map(|line| line.split_once("signed ").map(|(_, it)| it.to_owned())).unwrap()
    });
    let said: Vec<_> = said.collect();
    assert!(said.windows(2).all(|w| w[0] == w[1]), "{said:?}");
}

#[test]
#[ignore = "run by `processes_that_generate_at_once_have_one_key`"]
fn one_process() {
    let folder = std::path::PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let seal = file_seal(&folder, "seal");
    fs::write(folder.join("ready").join(std::process::id().to_string()), b"").unwrap();
    while !folder.join("go").exists() {
        std::thread::yield_now();
    }
    let keys = SealedKeys::new(Arc::new(FolderVault(folder.join("vault"))), seal);
    let signed = (0..20).map(|n| {
        let key = block_on(keys.generate(&planned(n), ED)).unwrap();
        block_on(block_on(keys.open(&key)).unwrap().sign(b"m")).unwrap()
    });
    let signed: Vec<u8> = signed.flat_map(|it| it.as_bytes().to_vec()).collect();
    println!("signed {}", kakunin_core::id::hex_encode(&signed));
}

#[test]
fn an_altered_row_never_opens_wherever_it_is_altered() {
    let folder = tempfile::tempdir().unwrap();
    let (seal, vault) = (file_seal(folder.path(), "seal"), memory());
    let key = block_on(SealedKeys::new(vault.clone(), seal.clone()).generate(&planned(1), ED)).unwrap();
    let good = block_on(vault.get(&row(1))).unwrap().unwrap();
    let refused = |bad: &[u8]| {
        block_on(vault.put(&row(1), bad)).unwrap();
        locked(block_on(SealedKeys::new(vault.clone(), seal.clone()).open(&key)), "seal");
    };
    for (i, bits) in (0..good.len()).flat_map(|i| [1, 2, 4, 8, 16, 32, 64, 128, 255].map(|bits| (i, bits))) {
        let mut bad = good.clone();
        bad[i] ^= bits;
        refused(&bad);
    }
    (0..good.len()).for_each(|len| refused(&good[..len]));
    refused(&[&good[..], &[0]].concat());
    refused(&vec![1; 1 << 20]);
    block_on(vault.put(&row(1), &[2, 0, 0])).unwrap();
    locked(block_on(SealedKeys::new(vault.clone(), seal.clone()).open(&key)), "a later version");
    // A secret that was sealed for this place, and is no key.
    let context = format!("kakunin:1:seal/{}", planned(1)).into_bytes();
    let none = block_on(seal.seal(&context, b"no key")).unwrap();
    refused(&[&[1], &none[..]].concat());
    block_on(vault.put(&row(1), &good)).unwrap();
    assert!(block_on(SealedKeys::new(vault.clone(), seal.clone()).open(&key)).is_ok());
}

#[test]
fn what_one_server_changes_another_hears_when_it_opens() {
    let folder = tempfile::tempdir().unwrap();
    let (seal, vault) = (file_seal(folder.path(), "seal"), memory());
    let [one, two] = [(), ()].map(|()| SealedKeys::new(vault.clone(), seal.clone()));
    let key = block_on(one.generate(&planned(1), ED)).unwrap();
    let signer = block_on(two.open(&key)).unwrap();
    let public = signer.public_key().clone();
    block_on(one.disable(&key)).unwrap();
    let again = block_on(two.open_known(&key, &public)).unwrap();
    assert!(matches!(block_on(again.sign(b"m")), Err(SignError::Refused { .. })));
    assert!(matches!(block_on(signer.sign(b"m")), Err(SignError::Refused { .. })));
    block_on(one.enable(&key)).unwrap();
    block_on(two.open(&key)).unwrap();
    block_on(signer.sign(b"m")).unwrap();
    block_on(one.retire(&key)).unwrap();
    assert!(matches!(block_on(two.open(&key)), Err(SignError::Refused { .. })));
    assert!(matches!(block_on(signer.sign(b"m")), Err(SignError::Refused { .. })));
    assert!(matches!(block_on(two.generate(&planned(1), ED)), Err(SignError::Refused { .. })));
    let rows = block_on(vault.list(b"", 10)).unwrap();
    assert_eq!(rows, [(format!("seal/{}/retired", planned(1)).into_bytes(), vec![1])], "no secret is left");
    // One that knows another key's public half is told.
    let other = block_on(one.generate(&planned(2), ED)).unwrap();
    assert!(matches!(block_on(two.open_known(&other, &public)), Err(SignError::Refused { .. })));
}

#[test]
fn a_move_to_another_seal_that_is_cut_off_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (file_seal(folder.path(), "old"), file_seal(folder.path(), "new"));
    let vault = memory();
    let before = SealedKeys::new(vault.clone(), old.clone());
    let made: Vec<_> = (0..5).map(|n| block_on(before.generate(&planned(n), ED)).unwrap()).collect();
    let public = |keys: &SealedKeys, n: usize| block_on(keys.open(&made[n])).map(|s| s.public_key().clone());
    let was: Vec<_> = (0..5).map(|n| public(&before, n).unwrap()).collect();
    let stopped = SealedKeys::new(Arc::new(Failing(vault.clone(), 2.into())), new.clone());
    let error = block_on(stopped.rewrap(&*old)).unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("rewrap"), "{error}");
    // Each key is under one or the other.
    let [under_new, under_old] = [&new, &old].map(|seal| SealedKeys::new(vault.clone(), seal.clone()));
    for n in 0..5 {
        assert_eq!((public(&under_new, n).is_ok(), public(&under_old, n).is_ok()), (n < 2, n >= 2));
    }
    let third = file_seal(folder.path(), "third");
    locked(block_on(under_new.rewrap(&*third)), "the seal does not open");
    assert_eq!(block_on(under_new.rewrap(&*old)).unwrap(), 3);
    assert_eq!(block_on(under_new.rewrap(&*old)).unwrap(), 0);
    for (n, was) in was.iter().enumerate() {
        assert_eq!(public(&under_new, n).unwrap(), *was);
    }
}

/// A seal under which a key is retired by another server while it is moved.
#[derive(Debug)]
struct Meanwhile(Arc<dyn Seal>, SealedKeys, KeyRef);

#[async_trait]
impl Seal for Meanwhile {
    async fn seal(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, SealError> {
        self.1.retire(&self.2).await.unwrap();
        self.0.seal(context, secret).await
    }

    async fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.0.open(context, sealed).await
    }
}

#[test]
fn a_key_that_is_retired_while_it_is_moved_is_not_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (file_seal(folder.path(), "old"), file_seal(folder.path(), "new"));
    let vault = memory();
    let key = block_on(SealedKeys::new(vault.clone(), old.clone()).generate(&planned(1), ED)).unwrap();
    let other = SealedKeys::new(vault.clone(), old.clone());
    let keys = SealedKeys::new(vault.clone(), Arc::new(Meanwhile(new, other, key.clone())));
    block_on(keys.rewrap(&*old)).unwrap();
    assert_eq!(block_on(vault.get(&row(1))).unwrap(), None);
    assert!(matches!(block_on(keys.open(&key)), Err(SignError::Refused { .. })));
}

#[test]
fn a_vault_that_fails_is_named_and_a_retirement_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (seal, vault) = (file_seal(folder.path(), "seal"), memory());
    let with = |writes: usize| SealedKeys::new(Arc::new(Failing(vault.clone(), writes.into())), seal.clone());
    let error = block_on(with(0).generate(&planned(1), ED)).unwrap_err();
    assert!(error.is_transient() && error.code() == "key_unavailable", "{error}");
    let key = block_on(with(1).generate(&planned(1), ED)).unwrap();
    // Marked, and not yet gone: it is retired all the same, and the next call removes it.
    assert!(block_on(with(1).retire(&key)).unwrap_err().is_transient());
    assert!(matches!(block_on(with(0).open(&key)), Err(SignError::Refused { .. })));
    assert!(block_on(with(0).list()).unwrap().is_empty());
    block_on(with(2).retire(&key)).unwrap();
    assert_eq!(block_on(vault.get(&row(1))).unwrap(), None);
}

#[test]
fn a_file_that_others_can_reach_or_that_holds_no_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let refused = |name: &str, said: &str| {
        let error = FileSeal::open(at(name)).unwrap_err();
        assert!(
            matches!(error, SealError::Unusable(_)) && error.code() == "seal_unusable",
            "{name}: {error:?}"
        );
        assert!(error.to_string().contains(said), "{name}: {error}");
    };
    let hex = "ab".repeat(32);
    let write = |name: &str, content: &[u8], mode| {
        fs::write(at(name), content).unwrap();
        fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    };
    for (name, content) in [("none", 0), ("31", 31), ("33", 33), ("63", 63), ("long", 100_000)] {
        write(name, &vec![b'a'; content], 0o600);
        refused(name, "32 bytes, or 64 hex digits");
    }
    write("words", "no key".repeat(11).as_bytes(), 0o600);
    refused("words", "32 bytes, or 64 hex digits");
    for mode in [0o604, 0o644, 0o444, 0o601] {
        write("read", hex.as_bytes(), mode);
        refused("read", "others can read");
    }
    for mode in [0o602, 0o620, 0o666] {
        write("written", hex.as_bytes(), mode);
        refused("written", "others can write");
    }
    fs::create_dir(at("folder")).unwrap();
    refused("folder", "must be a file");
    refused("missing", "missing");
    symlink("nowhere", at("dangling")).unwrap();
    refused("dangling", "nowhere");
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    refused("pipe", "must be a file");
    // A folder in which others can exchange the file.
    fs::create_dir(at("open")).unwrap();
    write("open/seal", hex.as_bytes(), 0o600);
    fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
    refused("open/seal", "others can write");
    symlink("open/seal", at("into")).unwrap();
    refused("into", "others can write");
    // What keys may be sealed with is not replaced.
    write("good", hex.as_bytes(), 0o600);
    let there = FileSeal::create(at("good")).unwrap_err();
    assert!(there.to_string().contains("is there already"), "{there}");
    assert_eq!(fs::read(at("good")).unwrap(), hex.as_bytes());
    // Links and modes as Kubernetes and systemd make them.
    symlink("good", at("data")).unwrap();
    symlink("data", at("link")).unwrap();
    let line = format!("{hex}\n");
    for (content, mode) in [(hex.as_bytes(), 0o400), (line.as_bytes(), 0o440), (&[7; 32][..], 0o640)] {
        fs::remove_file(at("good")).unwrap();
        write("good", content, mode);
        FileSeal::open(at("link")).unwrap();
    }
    // Root alone can give files away.
    if chown(at("good"), None, Some(4_242)).is_ok() {
        refused("good", "others can read");
        fs::set_permissions(at("good"), Permissions::from_mode(0o600)).unwrap();
        FileSeal::open(at("good")).unwrap();
        chown(at("good"), Some(4_242), None).unwrap();
        refused("good", "belongs to user 4242");
        std::os::unix::fs::lchown(at("data"), Some(4_242), None).unwrap();
        refused("data", "belongs to user 4242");
    }
}

#[test]
fn what_is_made_is_ours_alone_and_nothing_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seal");
    let seal = FileSeal::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let hex = fs::read_to_string(&path).unwrap();
    assert_eq!((hex.len(), hex.trim_end().len()), (65, 64));
    assert_ne!(hex, {
        FileSeal::create(folder.path().join("other")).unwrap();
        fs::read_to_string(folder.path().join("other")).unwrap()
    });
    let seal: Arc<dyn Seal> = Arc::new(seal);
    let (vault, key) = (memory(), kakunin_core::id::hex_decode::<32>(hex.trim_end()).unwrap());
    let keys = SealedKeys::new(vault.clone(), seal.clone());
    let made = block_on(keys.generate(&planned(1), ED)).unwrap();
    let signer = block_on(keys.open(&made)).unwrap();
    let kept = block_on(vault.get(&row(1))).unwrap().unwrap();
    let context = format!("kakunin:1:seal/{}", planned(1)).into_bytes();
    let pkcs8 = block_on(seal.open(&context, &kept[1..])).unwrap();
    // RFC 8410, 7: the private key is the 32 octets after these.
    let at = pkcs8.windows(4).position(|w| w == [0x04, 0x22, 0x04, 0x20]).unwrap() + 4;
    let private = &pkcs8[at..at + 32];
    assert!(kept.windows(32).all(|w| w != private && w != key));
    let shown = format!("{seal:?} {keys:?} {signer:?} {made:?}");
    for secret in [&key[..], private] {
        assert!(!shown.contains(&kakunin_core::id::hex_encode(secret)), "{shown}");
        assert!(!shown.contains(&format!("{secret:?}")), "{shown}");
    }
    assert!(shown.contains("FileSeal(") && shown.contains("sealed:"), "{shown}");
}

#[test]
fn a_url_opens_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let made = file_seal(folder.path(), "a seal");
    let url = format!("file:{}/a%20seal", folder.path().display());
    let opened = block_on(from_url(&url)).unwrap();
    let sealed = block_on(made.seal(b"c", b"s")).unwrap();
    assert_eq!(**block_on(opened.open(b"c", &sealed)).unwrap(), *b"s");
    let missing = block_on(from_url(&format!("{url}2"))).unwrap_err();
    assert!(matches!(missing, SealUrlError::Seal(SealError::Unusable(_))), "{missing}");
    assert!(matches!(block_on(from_url("local:/a")), Err(SealUrlError::Scheme)));
    #[cfg(not(feature = "pkcs11"))]
    {
        let url = "pkcs11:token=a;object=b?module-path=/m&pin-value=1";
        assert!(matches!(block_on(from_url(url)), Err(SealUrlError::NotBuilt("pkcs11", _))));
    }
}

#[test]
fn a_key_of_a_folder_is_adopted_and_opens_under_the_name_that_it_has_there() {
    let folder = tempfile::tempdir().unwrap();
    let secret = Secret::new("correct horse").unwrap();
    let cost = KdfCost(NonZeroU32::MIN);
    let local = LocalKeys::open_with_cost(folder.path().join("keys"), &secret, cost).unwrap();
    let key = block_on(local.generate(&planned(1), KeyAlgorithm::Ed25519)).unwrap();
    let vault = memory();
    let sealed = SealedKeys::new(vault.clone(), file_seal(folder.path(), "seal"));
    assert!(matches!(block_on(sealed.open(&key)), Err(SignError::NotFound(_))));
    for _ in 0..2 {
        block_on(sealed.adopt(&local, &key)).unwrap();
    }
    let signers = [block_on(local.open(&key)).unwrap(), block_on(sealed.open(&key)).unwrap()];
    assert_eq!(signers[0].public_key(), signers[1].public_key());
    let signed = signers.each_ref().map(|signer| block_on(signer.sign(b"a head")).unwrap());
    assert_eq!(signed[0].as_bytes(), signed[1].as_bytes());
    // What lies there already is another key, or another seal's.
    let other = LocalKeys::open_with_cost(folder.path().join("other"), &secret, cost).unwrap();
    block_on(other.generate(&planned(1), KeyAlgorithm::Ed25519)).unwrap();
    assert!(matches!(block_on(sealed.adopt(&other, &key)), Err(SignError::Locked(_))));
    let stranger = SealedKeys::new(vault, file_seal(folder.path(), "stranger"));
    assert!(matches!(block_on(stranger.adopt(&local, &key)), Err(SignError::Locked(_))));
    block_on(local.disable(&key)).unwrap();
    assert!(matches!(block_on(sealed.adopt(&local, &key)), Err(SignError::Refused { .. })));
}
