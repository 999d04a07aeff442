//! A process that is killed at any moment, under load.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use kakunin_core::id::Serial;
use tempfile::TempDir;

use crate::check::Witness;
use crate::work::{self, IN_BATCHES, ONE_BY_ONE};
use crate::world::World;

/// A start reads again what was recorded since the last snapshot of scores, so that no database is to become large.
const DATABASES: u64 = 8;
const ROUNDS: u64 = 25;

/// Each round is another process over the same database. The moment is drawn anew: while it opens what the last one left, at
/// its first append, or among many.
#[test]
fn killed_200_times_under_load_nothing_acknowledged_is_lost() {
    let (mut random, mut acknowledged) = (1_u64, (0, 0));
    for _ in 0..DATABASES {
        let (events, revocations) = killed_again_and_again(&mut random);
        acknowledged = (acknowledged.0 + events, acknowledged.1 + revocations);
    }
    let ((events, revocations), killed) = (acknowledged, DATABASES * ROUNDS);
    println!("killed {killed} times; {events} events and {revocations} revocations were acknowledged");
    assert!(killed == 200 && events > 2_000 && revocations > 10, "{killed} {events} {revocations}");
}

/// Over one database; says how many events and revocations were acknowledged.
fn killed_again_and_again(random: &mut u64) -> (usize, usize) {
    let dir = in_memory();
    let w = World::open(dir.path());
    let first = w.populate();
    let mut stand: Vec<_> = (0..12).map(|n| w.agent(&format!("stands-{n}")).unwrap()).collect();
    drop(w);
    let mut witness = Witness::default();
    for round in 0..ROUNDS {
        let next = [ONE_BY_ONE, IN_BATCHES].map(|stream| witness.next(stream));
        let (mut child, lines) =
            start(dir.path(), &[&[first], &stand[..stand.len().min(3)]].concat(), next, round);
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let moment = Duration::from_micros(*random >> 33 & 0xffff);
        // One in eight is killed while it opens, and two have time for what is slow.
        let mut heard: Vec<String> = Vec::new();
        if round % 8 == 7 {
            std::thread::sleep(moment / 4);
        } else {
            heard.extend(lines.iter().take_while(|line| line != "ready"));
            std::thread::sleep(if round % 4 == 1 { moment * 4 } else { moment });
        }
        child.kill().unwrap();
        child.wait().unwrap();
        heard.extend(lines);
        heard.iter().for_each(|line| witness.hears(line));
        witness.check(&World::open(dir.path()));
        stand.retain(|serial| !witness.is_revoked(serial));
    }
    // All of it once more, from the beginning, by somebody who saw nothing before.
    let mut fresh = witness.afresh();
    fresh.check(&World::open(dir.path()));
    witness.heard()
}

/// A folder in memory, where there is one: what a killed process wrote is there as it is on a disk, and flushing takes no
/// time, so that more is under way when it is killed.
pub(crate) fn in_memory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A process that works on a folder, and what it says; a line that is cut off is left out.
pub(crate) fn start(
    dir: &Path,
    serials: &[Serial],
    next: [u64; 2],
    round: u64,
) -> (Child, mpsc::Receiver<String>) {
    let serials: String = serials.iter().map(|serial| format!(" {serial}")).collect();
    let mut child = this_binary("child_under_load")
        .env("KAKUNIN_FAULT_DIR", dir)
        .env("KAKUNIN_FAULT_ARGUMENTS", format!("{} {} {round}{serials}", next[0], next[1]))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let (tell, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        while said.read_line(&mut line).is_ok_and(|read| read > 0) {
            if line.ends_with('\n') && tell.send(line.trim_end().to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    (child, lines)
}

/// This binary, as a process that runs one of the children.
pub(crate) fn this_binary(child: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &format!("killed::{child}"), "--nocapture"]);
    command
}

/// What a child was told: its folder, and words.
pub(crate) fn told() -> (PathBuf, Vec<String>) {
    let words = std::env::var("KAKUNIN_FAULT_ARGUMENTS").unwrap();
    let dir = PathBuf::from(std::env::var_os("KAKUNIN_FAULT_DIR").unwrap());
    (dir, words.split(' ').map(str::to_owned).collect())
}

#[test]
#[ignore = "run by the tests as a process of its own"]
fn child_under_load() {
    let (dir, words) = told();
    let [one, many, round] = [0, 1, 2].map(|n| words[n].parse().unwrap());
    let serials: Vec<_> = words[3..].iter().map(|serial| serial.parse().unwrap()).collect();
    work::load(&dir, &serials, [one, many], round);
}

#[test]
#[ignore = "run by the tests as a process of its own"]
fn child_that_does_a_little() {
    let (dir, words) = told();
    work::little(&dir, words[0].parse().unwrap(), words[1].parse().unwrap(), words[2].parse().unwrap());
}
