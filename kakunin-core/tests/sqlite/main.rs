//! The SQLite file under attack, on a full disk, and killed.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod deployment;
mod erased;
mod former;
mod full;
mod opened;
mod verified;
#[cfg(feature = "conformance")]
mod wal;
mod written;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use deployment::{certified, checked_size, event, open};
use pollster::block_on;

/// Observes for ever, and prints each index it was given.
#[test]
#[ignore = "the child that the next test starts and kills"]
fn child_that_is_killed() {
    let dir = std::env::var("KAKUNIN_TEST_DIR").unwrap();
    let dir = Path::new(&dir);
    let (kakunin, acme) = open(dir, &dir.join("keys"));
    let serial = certified(&kakunin, &acme);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    println!(
                        "ack {}",
                        block_on(kakunin.tenant(&acme).observe(event(serial))).unwrap().index.unwrap()
                    );
                }
            });
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..12_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "child_that_is_killed", "--nocapture"])
            .env("KAKUNIN_TEST_DIR", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Not before it is at work; then at a moment that differs from round to round.
        let first = lines.by_ref().map(Result::unwrap).find(|l| l.starts_with("ack ")).unwrap();
        std::thread::sleep(Duration::from_millis(5 + round * 17 % 60));
        child.kill().unwrap();
        child.wait().unwrap();
        let acks = std::iter::once(first).chain(lines.map_while(Result::ok));
        // The last line may be cut off: only whole numbers before a newline count.
        let highest = acks.filter_map(|l| l.strip_prefix("ack ")?.parse::<u64>().ok()).max().unwrap();
        let (kakunin, acme) = open(dir.path(), &dir.path().join("keys"));
        let size = checked_size(&kakunin, &acme);
        assert!(highest < size, "round {round}: {highest} was acknowledged, {size} are there");
        assert!(size > acknowledged, "round {round}");
        acknowledged = highest;
    }
}
