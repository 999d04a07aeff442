//! The binary: a backup while it is served, and what is made of it afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod binary;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use binary::{MODEL, Server, kakunin, ran, refused, start};
use kakunin_server::demo::Client;
use serde_json::json;
use tempfile::TempDir;

/// Less than this is left of the log beside the database, whatever is written while it is copied.
const MAX_WAL: u64 = 64 << 20;

struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn start(&self, data: &str) -> Server {
        start(&self.path(data), &["--ca-algorithm", "p256"])
    }

    /// What a command says that has to succeed.
    fn says(&self, arguments: &[&str]) -> String {
        String::from_utf8(ran(&mut kakunin(arguments)).stdout).unwrap()
    }

    fn backed_up(&self, data: &str, to: &str) -> String {
        self.says(&["backup", &self.text(to), "--data", &self.text(data)])
    }
}

fn admin(data: &Path, url: &str) -> Client {
    let key = fs::read_to_string(data.join("admin.key")).unwrap();
    Client::new(url).with_key(key.trim_end())
}

async fn certified(admin: &Client, name: &str) -> String {
    let made = json!({ "name": name, "model_hash": MODEL, "scope": ["read:mail"] });
    let id = admin.post("/api/v1/agents", &made).await.unwrap().text("id");
    let certify = format!("/api/v1/agents/{id}/certify");
    admin.post(&certify, &json!({ "key_algorithm": "p256" })).await.unwrap().text("serial_number")
}

async fn status(admin: &Client, serial: &str) -> String {
    let answer = admin.get(&format!("/api/v1/verify/{serial}")).await.unwrap().json();
    answer["data"]["status"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Reports events until told to end; counts what was acknowledged.
fn load(admin: Client, serial: String) -> (Arc<AtomicBool>, Arc<AtomicU64>, tokio::task::JoinHandle<()>) {
    let (ends, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (ended, counted) = (ends.clone(), count.clone());
    let event = json!({ "certificate_serial": serial, "action": "read:mail", "outcome": "ok" });
    let batch = json!({ "events": vec![event; 200] });
    let task = tokio::spawn(async move {
        while !ended.load(Ordering::SeqCst) {
            let answer = admin.post("/api/v1/events/batch", &batch).await.unwrap();
            assert!(answer.status.is_success(), "{}", answer.json());
            counted.fetch_add(200, Ordering::SeqCst);
        }
    });
    (ends, count, task)
}

fn octets(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_under_load_goes_on_elsewhere_and_accepts_nobody_again() {
    let world = Arc::new(World::new());
    let mut server = world.start("data");
    let data = world.path("data");
    let client = admin(&data, &server.url);
    let [busy, revoked] = [certified(&client, "busy").await, certified(&client, "revoked").await];
    let (ends, count, task) = load(client.clone(), busy.clone());
    while count.load(Ordering::SeqCst) < 4_000 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = count.load(Ordering::SeqCst);
    let made = blocking({
        let world = world.clone();
        move || world.backed_up("data", "backup")
    });
    let made = made.await;
    assert!(made.contains("records of"), "{made}");
    let (after, wal) = (count.load(Ordering::SeqCst), octets(&data.join("kakunin.db-wal")));
    assert!(after > before, "nobody waited for it: {before} {after}");
    assert!(wal < MAX_WAL, "{wal}");
    ends.store(true, Ordering::SeqCst);
    task.await.unwrap();
    // What the backup lacks: a revocation, and a certificate that was revoked at once.
    let unknown = certified(&client, "unknown").await;
    for serial in [&revoked, &unknown] {
        let path = format!("/api/v1/certificates/{serial}/revoke");
        assert_eq!(client.post(&path, &json!({ "reason": "key_compromise" })).await.unwrap().status, 200);
    }
    let crl = client.get("/api/v1/crl/chain").await.unwrap().body;
    fs::write(world.path("newest.crl"), crl).unwrap();
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    assert_eq!(elsewhere(&world), 0, "no side file is left beside a backup");
    let said = world.says(&["restore", &world.text("backup"), "--data", &world.text("restored")]);
    assert!(said.contains("log recover --new-origin") && said.contains("log renew-guard"), "{said}");
    let (restored, crl) = (world.text("restored"), world.text("newest.crl"));
    let serve = refused(&["serve", "--data", &restored, "--listen", "127.0.0.1:0"]);
    assert!(serve.contains("guard file is gone"), "{serve}");
    let untold = refused(&["log", "recover", "--new-origin", "--data", &restored]);
    assert!(untold.contains("no CRL and no feed snapshot"), "{untold}");
    let said = world.says(&["log", "recover", "--new-origin", "--data", &restored, "--crl", &crl]);
    assert!(said.contains("origins end with /2") && said.contains("revoked or held again: 2"), "{said}");
    assert!(said.contains("of tenant default"), "the keys that stand: {said}");
    let server = world.start("restored");
    let client = admin(&world.path("restored"), &server.url);
    assert_eq!(status(&client, &revoked).await, "revoked");
    assert_eq!(status(&client, &busy).await, "active");
    let (ends, count, task) = load(client.clone(), busy);
    while count.load(Ordering::SeqCst) < 400 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ends.store(true, Ordering::SeqCst);
    task.await.unwrap();
    assert!(fs::read_to_string(world.path("restored/kakunin.guard")).unwrap().contains("/default/2\\n"));
}

/// Files in the database's part that are no part of it.
fn elsewhere(world: &World) -> usize {
    let names = fs::read_dir(world.path("backup/database")).unwrap().flatten().map(|entry| entry.file_name());
    names.filter(|name| name != "kakunin.db" && name != "manifest.json").count()
}

#[test]
fn parts_may_lie_apart_and_each_is_looked_at_before_anything_is_restored() {
    let world = World::new();
    drop(world.start("data"));
    let [data, backup, keys, secret] =
        ["data", "backup", "usb/keys", "safe/secret"].map(|name| world.text(name));
    let apart = ["--keys-part", &keys, "--secret-part", &secret];
    world.says(&[&["backup", &backup, "--data", &data], &apart[..]].concat());
    assert!(!world.path("backup/keys").exists() && world.path("usb/keys/manifest.json").exists());
    let restore = |more: &[&str], to: &str| {
        let to = world.text(to);
        let arguments = [&["restore", &backup, "--data", &to], more].concat();
        kakunin(&arguments).output().map(|out| {
            let all = [out.stdout, out.stderr].concat();
            (out.status.success(), String::from_utf8(all).unwrap())
        })
    };
    let said = |more: &[&str], to: &str| restore(more, to).unwrap();
    let (done, why) = said(&apart[..2], "one");
    assert!(!done && why.contains("no whole `secret` part") && !world.path("one").exists(), "{why}");
    // Nothing is restored that was cut, changed, or is of another backup.
    let database = world.path("backup/database/kakunin.db");
    let whole = fs::read(&database).unwrap();
    for wrong in [whole[..whole.len() - 4_096].to_vec(), whole.iter().map(|o| o ^ 1).collect()] {
        fs::write(&database, wrong).unwrap();
        let (done, why) = said(&apart, "one");
        assert!(!done && why.contains("is not what was backed up"), "{why}");
    }
    fs::write(&database, &whole).unwrap();
    world.backed_up("data", "other");
    let (done, why) = said(&["--keys-part", &world.text("other/keys"), "--secret-part", &secret], "one");
    assert!(!done && why.contains("of another backup"), "{why}");
    assert!(!world.path("one").exists());
    let (done, why) = said(&apart, "one");
    assert!(done, "{why}");
    let (done, why) = said(&apart, "one");
    assert!(!done && why.contains("is there already, and nothing is overwritten"), "{why}");
    // Nothing was recorded since: it goes on as it is.
    world.says(&["log", "renew-guard", "--data", &world.text("one")]);
    drop(world.start("one"));
    let (done, why) = said(&[&apart[..2], &["--without", "secret"]].concat(), "two");
    assert!(done && !world.path("two/key.secret").exists(), "{why}");
}

#[test]
fn two_parts_share_no_folder() {
    let world = World::new();
    drop(world.start("data"));
    let (data, backup, one) = (world.text("data"), world.text("backup"), world.text("one"));
    fs::create_dir(world.path("real")).unwrap();
    std::os::unix::fs::symlink(world.path("real"), world.path("link")).unwrap();
    let (link, real, within) = (world.text("link"), world.text("real"), world.text("one/within"));
    for (keys, secret) in [(&one, &one), (&link, &real), (&within, &one), (&one, &backup)] {
        let parts = ["--keys-part", keys, "--secret-part", secret];
        let why = refused(&[&["backup", &backup, "--data", &data], &parts[..]].concat());
        assert!(why.contains("folder of another part"), "{why}");
        let left = |name: &str| fs::read_dir(world.path(name)).map_or(0, Iterator::count);
        assert_eq!([left("one"), left("real"), left("backup")], [0; 3], "{parts:?}");
    }
}

/// The vault is in the database, or in a file of its own that may be in use: then it is a part.
#[test]
fn a_vault_in_a_file_of_its_own_is_a_part() {
    let world = World::new();
    drop(world.start("data"));
    let vault = world.path("data/vault.db");
    if !vault.exists() {
        let make = "PRAGMA journal_mode = WAL; CREATE TABLE secret(name)";
        ran(Command::new("sqlite3").arg(&vault).arg(make));
    }
    let (data, backup, apart) = (world.text("data"), world.text("backup"), world.text("apart"));
    world.says(&["backup", &backup, "--data", &data, "--vault-part", &apart]);
    assert!(world.path("apart/vault.db").exists() && !world.path("backup/vault").exists());
    let refused = refused(&["restore", &backup, "--data", &world.text("one")]);
    assert!(refused.contains("no whole `vault` part"), "{refused}");
    world.says(&["restore", &backup, "--data", &world.text("one"), "--vault-part", &apart]);
    let secrets =
        ran(Command::new("sqlite3").arg(world.path("one/vault.db")).arg("SELECT count(*) FROM secret"));
    assert!(secrets.status.success());
}

#[test]
fn a_backup_that_was_interrupted_or_found_no_room_passes_for_none() {
    let world = World::new();
    drop(world.start("data"));
    let (data, backup) = (world.text("data"), world.text("backup"));
    let restore = |from: &str| refused(&["restore", from, "--data", &world.text("restored")]);
    fs::create_dir(world.path("empty")).unwrap();
    assert!(restore(&world.text("empty")).contains("no whole"), "an empty folder");
    assert!(restore(&world.text("nowhere")).contains("no whole"));
    for millis in [1, 4, 9, 16, 25, 40, 60, 90] {
        let mut child = kakunin(&["backup", &backup, "--data", &data]).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        child.kill().unwrap();
        child.wait().unwrap();
        if world.path("backup/database/manifest.json").exists() {
            ran(&mut kakunin(&["restore", &backup, "--data", &world.text(&format!("after {millis}"))]));
        } else {
            assert!(restore(&backup).contains("no whole"), "{millis}");
        }
        if fs::read_dir(world.path("backup/database")).is_ok_and(|mut all| all.next().is_some()) {
            assert!(refused(&["backup", &backup, "--data", &data]).contains("is not empty"));
        }
        let _ = fs::remove_dir_all(world.path("backup"));
    }
    assert!(!world.path("restored").exists());
    let small = Small::mount(&world, "64k");
    let full = refused(&["backup", &small.0.join("backup").display().to_string(), "--data", &data]);
    assert!(full.contains("no storage space") || full.contains("No space"), "{full}");
    assert!(
        fs::read_dir(small.0.join("backup")).map_or(true, |mut all| all.next().is_none()),
        "nothing is left of it"
    );
    assert!(refused(&["backup", &backup, "--data", &world.text("nothing")]).contains("holds no deployment"));
    world.backed_up("data", "backup");
    let running = world.start("data");
    assert!(refused(&["restore", &backup, "--data", &data]).contains("is there already"));
    drop(running);
}

/// A small file system.
struct Small(PathBuf);

impl Small {
    fn mount(world: &World, size: &str) -> Self {
        let at = world.path("small");
        fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(&at);
        assert!(mount.status().is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
        Self(at)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}
