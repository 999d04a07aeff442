//! A process that is killed at every point between the append that takes an identity away and each of its
//! effects: what it left is opened again, and is what the log says, once, everywhere.

#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

mod case;
mod check;
mod fuse;
mod world;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use case::{Case, HELD, RELEASED, REVOKED, history};
use fuse::Fuse;
use kakunin_core::revoke::Cause;
use kakunin_core::time::SECOND;
use pollster::block_on;
use world::{Kept, NOW, STRAWS, Subject, World, copy};

const SIGKILL: i32 = 9;

#[test]
fn an_automatic_revocation_survives_its_process_wherever_that_is_killed() {
    killed_everywhere(Case::Automatic);
}

#[test]
fn an_operators_revocation_survives_its_process_wherever_that_is_killed() {
    killed_everywhere(Case::Operator);
}

#[test]
fn a_regulators_stop_survives_its_process_wherever_that_is_killed() {
    killed_everywhere(Case::Regulator);
}

#[test]
fn a_hold_and_its_release_survive_their_process_wherever_that_is_killed() {
    killed_everywhere(Case::HoldAndRelease);
}

#[test]
fn a_renewal_and_what_it_supersedes_survive_their_process_wherever_that_is_killed() {
    killed_everywhere(Case::Superseded);
}

#[test]
fn a_grace_and_the_use_that_ends_it_survive_their_process_wherever_that_is_killed() {
    killed_everywhere(Case::Used);
}

/// What the child does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Child {
    /// The fuse is lit when the deployment is at work, and the identity taken away.
    Acts,
    /// The fuse is lit before the deployment is opened, and what was left is worked off.
    Starts,
}

fn killed_everywhere(case: Case) {
    for kept in [Kept::Together, Kept::Apart] {
        let template = tempfile::tempdir().unwrap();
        let world = World::open(template.path(), kept, None, case.grace());
        let token = world.populate(if case == Case::Automatic { *STRAWS } else { 1 });
        let one = world.subject(token);
        drop(world);
        let acts = enumerate((case, kept, Child::Acts), &one, template.path());
        println!("{:45} {acts}", format!("{case:?}, kept {kept:?}"));
        assert!(acts.killed() >= 12 && acts.absent >= 4 && acts.unacknowledged >= 2, "{case:?} {kept:?}");
        // The start after such a kill is killed in its turn, where it has most to do: projections are behind
        // the first record, and a key was planned before it.
        let planned = (case == Case::Superseded).then_some(acts.absent);
        for n in planned.into_iter().chain([acts.absent + 1]).filter(|_| kept == Kept::Apart) {
            let left = tempfile::tempdir().unwrap();
            copy(template.path(), left.path());
            run((case, kept, Child::Acts), left.path(), n).unwrap();
            let starts = enumerate((case, kept, Child::Starts), &one, left.path());
            println!("{:45} {starts}", format!("  at point {n}, and then while it starts"));
            assert!(starts.killed() >= 12, "{case:?} {kept:?}");
        }
    }
}

/// Where processes were killed, and what they left.
#[derive(Default)]
struct Tally {
    calls: BTreeMap<String, usize>,
    absent: usize,
    unacknowledged: usize,
    acknowledged: usize,
}

fn enumerate(how: (Case, Kept, Child), one: &Subject, template: &Path) -> Tally {
    let mut tally = Tally::default();
    for n in 1_usize.. {
        let folder = tempfile::tempdir().unwrap();
        copy(template, folder.path());
        let Some(point) = run(how, folder.path(), n) else {
            examine(how, folder.path(), one, "none: it came to its end");
            return tally;
        };
        let (on_record, acknowledged) = examine(how, folder.path(), one, &format!("{n}, {point}"));
        let call = point.split_once(' ').unwrap().1;
        *tally.calls.entry(call.to_owned()).or_default() += 1;
        match (on_record, acknowledged) {
            (false, false) => tally.absent += 1,
            (true, false) => tally.unacknowledged += 1,
            (_, true) => tally.acknowledged += 1,
        }
    }
    unreachable!()
}

/// Runs the child until it is killed at the `n`-th point, and says which that is, or until it ends.
fn run((case, kept, child): (Case, Kept, Child), dir: &Path, n: usize) -> Option<String> {
    // Of the process before it, if this is a start after a kill.
    let _ = fs::remove_file(dir.join("killed"));
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child_that_is_killed", "--nocapture"])
        .env("KAKUNIN_KILL_AT", n.to_string())
        .env("KAKUNIN_KILL_DIR", dir)
        .env("KAKUNIN_KILL_CASE", format!("{case:?}"))
        .env("KAKUNIN_KILL_APART", format!("{}", kept == Kept::Apart))
        .env("KAKUNIN_KILL_STARTS", format!("{}", child == Child::Starts))
        .output()
        .unwrap();
    let killed = output.status.signal() == Some(SIGKILL);
    let said = || String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(killed || output.status.success(), "{case:?} {kept:?} {n}: {}\n{}", output.status, said());
    let point = fs::read_to_string(dir.join("killed")).ok();
    assert_eq!(point.is_some(), killed);
    assert_eq!(acknowledged(dir).contains(&"end".to_owned()), !killed, "the child ran");
    point
}

#[test]
#[ignore = "run by the tests above as a process of its own"]
fn child_that_is_killed() {
    let given = |name: &str| std::env::var(format!("KAKUNIN_KILL_{name}")).unwrap();
    let dir = PathBuf::from(given("DIR"));
    let case = Case::named(&given("CASE")).unwrap();
    let kept = if given("APART") == "true" { Kept::Apart } else { Kept::Together };
    let starts = given("STARTS") == "true";
    let fuse = Fuse::new(given("AT").parse().unwrap(), dir.join("killed"), kept == Kept::Together);
    if starts {
        fuse.light();
    }
    let acknowledge = |what: &str| {
        let mut file = OpenOptions::new().create(true).append(true).open(dir.join("acknowledged")).unwrap();
        file.write_all(format!("{what}\n").as_bytes()).unwrap();
    };
    let w = World::open(&dir, kept, Some(&fuse), case.grace());
    block_on(w.kakunin.load()).unwrap();
    let issuer = w.kakunin.issuer().id();
    if !starts {
        let one = w.subject(String::new());
        fuse.light();
        case.act(&w, &one, &acknowledge);
    }
    block_on(w.kakunin.tend()).unwrap();
    block_on(w.kakunin.publish_due());
    block_on(w.kakunin.feed(&issuer, 0, 1_000)).unwrap();
    block_on(w.kakunin.feed_snapshot(&issuer)).unwrap();
    acknowledge("end");
}

fn acknowledged(dir: &Path) -> Vec<String> {
    let lines = fs::read_to_string(dir.join("acknowledged")).unwrap_or_default();
    lines.lines().map(str::to_owned).collect()
}

/// Opens what a killed process left, and checks it; says whether anything was on record, and acknowledged.
fn examine((case, kept, _): (Case, Kept, Child), dir: &Path, one: &Subject, point: &str) -> (bool, bool) {
    let _context = Context(format!("{case:?}, kept {kept:?}, killed at {point}"));
    let serial = &one.facts.serial;
    let w = World::open(dir, kept, None, case.grace());
    check::opens_level(&w);
    let on_record = check::is_whole_or_absent(&w, dir, case, one);
    let mut acknowledged = acknowledged(dir);
    acknowledged.retain(|line| line.starts_with("certificate."));
    assert!(acknowledged.len() <= on_record.len(), "{acknowledged:?}, and on record {on_record:?}");
    block_on(w.kakunin.load()).unwrap();
    check::holds(&w, case, one);
    assert_eq!(history(&w, serial), on_record, "a start decides nothing about it");
    // Once more: what was not done is done, and what was done stays as it was.
    let first = check::decided(&w);
    case.act(&w, one, &|_| {});
    w.clock.set(NOW.plus(10 * SECOND));
    check::holds(&w, case, one);
    let done = history(&w, serial);
    let changes = |append: &&[&'static str]| {
        let of_certificate = |name: &&&str| [REVOKED, HELD, RELEASED].contains(*name);
        *append.iter().find(of_certificate).unwrap()
    };
    let wanted: Vec<_> = case.appends().iter().map(changes).collect();
    assert_eq!(done, wanted);
    let decided = check::decided(&w);
    assert_eq!(decided[..first.len()], first[..]);
    if case != Case::HoldAndRelease {
        let again = block_on(w.kakunin.tenant(&w.acme).revoke(serial, Cause::OperatorInitiated)).unwrap();
        assert_eq!(again.cause, case.cause(), "the first reason stands");
        assert_eq!(check::decided(&w), decided);
    }
    let mut last = BTreeMap::new();
    for (shard, number) in check::numbers(&w) {
        let before = last.insert(shard, number);
        assert!(before < Some(number), "CRL {number} of {shard:?} after {before:?}");
    }
    (!on_record.is_empty(), !acknowledged.is_empty())
}

impl Tally {
    fn killed(&self) -> usize {
        self.absent + self.unacknowledged + self.acknowledged
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { absent, unacknowledged, acknowledged, .. } = self;
        write!(f, "killed {:2} times: {absent:2} before its record, ", self.killed())?;
        write!(f, "{unacknowledged:2} after it, {acknowledged:2} after its answer; around {:?}", self.calls)
    }
}

/// Says where a check failed.
struct Context(String);

impl Drop for Context {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}
