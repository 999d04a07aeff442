//! The process that a fault happens to: clients that append, and say what was acknowledged to them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use kakunin_core::id::Serial;
use kakunin_core::revoke::Cause;
use kakunin_core::service::{Error, Observed};
use pollster::block_on;

use crate::world::{World, event};

/// Events of one call of the client that sends many.
const MANY: u64 = 20;
/// Stream of the client that sends events one by one, and of the one that sends many.
pub(crate) const ONE_BY_ONE: u64 = 1;
pub(crate) const IN_BATCHES: u64 = 2;

/// Says it in one write, so that nothing of it is held back when the process is killed.
fn say(line: &str) {
    use std::io::Write as _;
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn acknowledged(stream: u64, seq: u64, seen: &Observed) {
    say(&format!("event {stream} {seq} {}", seen.index.expect("of a recent number it is known")));
}

/// Three clients at once, until the process is killed or there is no room: one sends events one by one, one in batches, one
/// revokes certificates and has more issued. Each goes on where it was, so it may send again what was recorded and not
/// acknowledged.
pub(crate) fn load(dir: &Path, serials: &[Serial], next: [u64; 2], round: u64) {
    let [serial, stand @ ..] = serials else { panic!("nobody acts") };
    let w = World::open(dir);
    say("ready");
    let full = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| (next[0]..).try_for_each(|seq| until_full(one(&w, *serial, seq), &full)));
        scope.spawn(|| {
            (next[1]..)
                .step_by(usize::try_from(MANY).unwrap())
                .try_for_each(|seq| until_full(many(&w, *serial, seq), &full))
        });
        scope.spawn(|| {
            stand.iter().try_for_each(|stands| until_full(revoke(&w, stands), &full))?;
            // Keys are elsewhere, and say by another word that there is no room.
            (0..).try_for_each(|n| w.agent(&format!("a-{round}-{n}")).ok().map(|_| ()))
        });
    });
    say("full");
}

fn until_full(done: Result<(), Error>, full: &AtomicBool) -> Option<()> {
    match done {
        Err(error) if error.code() == "storage_full" => full.store(true, Ordering::SeqCst),
        done => done.unwrap(),
    }
    (!full.load(Ordering::SeqCst)).then_some(())
}

fn one(w: &World, serial: Serial, seq: u64) -> Result<(), Error> {
    let seen = block_on(w.kakunin.tenant(&w.acme).observe(event(serial, ONE_BY_ONE, seq)))?;
    acknowledged(ONE_BY_ONE, seq, &seen);
    Ok(())
}

fn many(w: &World, serial: Serial, first: u64) -> Result<(), Error> {
    let events = (first..first + MANY).map(|seq| event(serial, IN_BATCHES, seq)).collect();
    let seen = block_on(w.kakunin.tenant(&w.acme).observe_all_or_none(events))?;
    (first..).zip(&seen).for_each(|(seq, seen)| acknowledged(IN_BATCHES, seq, seen));
    Ok(())
}

fn revoke(w: &World, serial: &Serial) -> Result<(), Error> {
    block_on(w.kakunin.tenant(&w.acme).revoke(serial, Cause::KeyCompromise))?;
    say(&format!("revoked {serial}"));
    Ok(())
}

/// One client that does a little, and tries again what fails: five times, then it leaves it.
pub(crate) fn little(dir: &Path, serial: Serial, spare: Serial, next: u64) {
    let Ok(w) = World::try_open(dir) else { return };
    for seq in next..next + 2 {
        if !(0..5).any(|_| one(&w, serial, seq).is_ok()) {
            return;
        }
    }
    let tenant = w.kakunin.tenant(&w.acme);
    if (0..5).any(|_| block_on(tenant.revoke(&spare, Cause::KeyCompromise)).is_ok()) {
        say(&format!("revoked {spare}"));
    }
    let _ = one(&w, serial, next + 2);
}
