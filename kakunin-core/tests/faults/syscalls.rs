//! The system calls by which SQLite writes, one after the other: each fails once, fails from then on, or is the last that its
//! process makes. `strace` sees to that; what is not durable then must not have been acknowledged.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use crate::check::Witness;
use crate::killed::{in_memory, this_binary};
use crate::work::ONE_BY_ONE;
use crate::world::{World, copy, event};

const CALLS: [&str; 7] = ["openat", "pwrite64", "write", "fdatasync", "fsync", "ftruncate", "unlink"];
/// A build of SQLite has others than these in its place.
const REACHED: usize = 5;

/// Where it writes, in a deployment's folder.
const FILES: [&str; 4] = ["k.db", "k.db-wal", "k.db-shm", "k.db.reserve"];

/// What happens at the n-th such call of a thread.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It fails.
    Once,
    /// It and all after it fail.
    FromThenOn,
    /// The process is killed before it.
    Last,
}

impl Fault {
    fn injected(self, call: &str, n: usize) -> String {
        match self {
            Self::Once => format!("inject={call}:error=EIO:when={n}"),
            Self::FromThenOn => format!("inject={call}:error=EIO:when={n}+"),
            Self::Last => format!("inject={call}:signal=KILL:when={n}"),
        }
    }
}

#[test]
fn whichever_system_call_fails_nothing_acknowledged_is_lost() {
    let template = in_memory();
    let w = World::open(template.path());
    let (first, spare) = (w.populate(), w.agent("spare").unwrap());
    let mut before = Witness::default();
    for seq in 0..3 {
        let seen =
            pollster::block_on(w.kakunin.tenant(&w.acme).observe(event(first, ONE_BY_ONE, seq))).unwrap();
        before.hears(&format!("event {ONE_BY_ONE} {seq} {}", seen.index.unwrap()));
    }
    before.check(&w);
    drop(w);
    let words = format!("{first} {spare} {}", before.next(ONE_BY_ONE));
    let mut reached = 0;
    for call in CALLS {
        let mut tally = [0; 3];
        for (fault, count) in [Fault::Once, Fault::FromThenOn, Fault::Last].into_iter().zip(&mut tally) {
            // Each of the first ones, and then some.
            let mut at = 0;
            loop {
                at += 1 + at / 8;
                let n = at;
                let dir = in_memory();
                copy(template.path(), dir.path());
                let Some(heard) = run(dir.path(), &words, &fault.injected(call, n)) else { break };
                let mut witness = before.clone();
                heard.iter().for_each(|line| witness.hears(line));
                goes_on(dir.path(), witness, &format!("{call} {n}: {fault:?}"));
                *count += 1;
            }
        }
        println!(
            "{call:9} failed {} times, for good {} times, was the last {} times",
            tally[0], tally[1], tally[2]
        );
        reached += usize::from(tally.iter().all(|count| *count > 0));
    }
    assert!(reached >= REACHED, "of {CALLS:?} too few were reached");
}

/// What the process was told before or in spite of the fault; `None` if it never came to it.
fn run(dir: &Path, words: &str, inject: &str) -> Option<Vec<String>> {
    let trace = dir.join("trace");
    let child = this_binary("child_that_does_a_little");
    let call = inject.split(['=', ':']).nth(1).unwrap();
    let output = Command::new("strace")
        .args(["-f", "-qq", "-e", "signal=none"])
        // Quicker, and then it injects no signals.
        .args((!inject.contains("signal=")).then_some("--seccomp-bpf"))
        .arg("-o")
        .arg(&trace)
        .args(["-e", &format!("trace={call}"), "-e", inject])
        .args(FILES.iter().flat_map(|file| ["-P".into(), dir.join(file)]))
        .arg(child.get_program())
        .args(child.get_args())
        .env("KAKUNIN_FAULT_DIR", dir)
        .env("KAKUNIN_FAULT_ARGUMENTS", words)
        .output();
    let output = output.expect("strace is missing; as root, run: apt-get install -y strace");
    let traced = std::fs::read_to_string(&trace).unwrap();
    let killed = output.status.signal().is_some() || traced.contains("killed by SIGKILL");
    if !traced.contains("(INJECTED)") && !killed {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{inject}: {}, {said}\n{traced}", output.status);
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// The next process finds all that was acknowledged, and goes on.
fn goes_on(dir: &Path, mut witness: Witness, fault: &str) {
    let _context = crate::Context(fault.to_owned());
    let w = World::open(dir);
    witness.check(&w);
    let (agents, _) = pollster::block_on(w.kakunin.tenant(&w.acme).agents(None, 0, 10)).unwrap();
    let first = agents.iter().find(|agent| agent.spec.name.as_str() == "first").unwrap();
    for seq in witness.next(ONE_BY_ONE)..witness.next(ONE_BY_ONE) + 3 {
        let event = event(first.certificate.unwrap(), ONE_BY_ONE, seq);
        let seen = pollster::block_on(w.kakunin.tenant(&w.acme).observe(event)).unwrap();
        witness.hears(&format!("event {ONE_BY_ONE} {seq} {}", seen.index.unwrap()));
    }
    witness.check(&w);
}
