//! Lines that wait, and the one thread that writes them. Own, and small: `tracing-appender` counts no line that cannot be
//! written, leaves half a line before the next, and tells of its end by `println!`, which panics where nobody reads.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

/// Octets that may wait for a slow reader.
const ROOM: usize = 4 * 1024 * 1024;
/// How long an end waits for what is not written yet.
const FLUSH: Duration = Duration::from_secs(2);
/// How long it is waited where writing would block and cannot.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) static SINK: Sink = Sink {
    waiting: Mutex::new(Waiting { lines: VecDeque::new(), octets: 0, writing: false }),
    more: Condvar::new(),
    done: Condvar::new(),
    lost: AtomicU64::new(0),
    untold: AtomicU64::new(0),
    failing: AtomicBool::new(false),
};

#[derive(Debug)]
pub(super) struct Sink {
    waiting: Mutex<Waiting>,
    more: Condvar,
    done: Condvar,
    /// Lines that nobody will read.
    lost: AtomicU64,
    /// Of these, how many the log has not told of.
    untold: AtomicU64,
    failing: AtomicBool,
}

#[derive(Debug)]
struct Waiting {
    lines: VecDeque<String>,
    octets: usize,
    /// Whether one more is being written.
    writing: bool,
}

/// Starts the thread; whether there is one. Without it lines are lost, and counted.
pub(super) fn start() -> bool {
    std::thread::Builder::new().name("log".into()).spawn(|| SINK.write_for_ever()).is_ok()
}

impl Sink {
    /// Takes a line, if there is room. Waits for nobody.
    pub(super) fn push(&self, line: String) {
        let mut waiting = self.lock();
        if waiting.octets.saturating_add(line.len()) > ROOM {
            drop(waiting);
            return self.lose();
        }
        waiting.octets += line.len();
        waiting.lines.push_back(line);
        drop(waiting);
        self.more.notify_one();
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether the last line was lost.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Waits until all is written, but not for ever.
    pub(super) fn flush(&self) {
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.lines.is_empty();
        let ended = self.done.wait_timeout_while(self.lock(), FLUSH, busy);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.untold.fetch_add(1, Ordering::Relaxed);
        self.failing.store(true, Ordering::Relaxed);
    }

    fn write_for_ever(&self) {
        // Whether the last line was cut off.
        let mut cut = false;
        loop {
            let line = self.next();
            cut = cut && !whole(b"\n").1;
            let (written, all) = if cut { (0, false) } else { whole(line.as_bytes()) };
            if all {
                self.failing.store(false, Ordering::Relaxed);
                self.tell();
            } else {
                cut = cut || written > 0;
                self.lose();
            }
            let mut waiting = self.lock();
            waiting.writing = false;
            drop(waiting);
            self.done.notify_all();
        }
    }

    fn next(&self) -> String {
        let idle = |waiting: &mut Waiting| waiting.lines.is_empty();
        let waiting = self.more.wait_while(self.lock(), idle);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let line = waiting.lines.pop_front().unwrap_or_default();
        waiting.octets -= line.len();
        waiting.writing = true;
        line
    }

    /// Says how many lines are missing, once one could be written again and there is room to say it.
    fn tell(&self) {
        if self.untold.load(Ordering::Relaxed) == 0 || self.lock().octets > ROOM / 2 {
            return;
        }
        let lines = self.untold.swap(0, Ordering::Relaxed);
        tracing::warn!(
            lines,
            "lines of this log were lost: they could not be written, or nobody read them in time"
        );
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to the standard error: how much was written, and whether all was. Not by the library's own, which has a lock that a
/// reader who does not read would hold.
pub(super) fn whole(octets: &[u8]) -> (usize, bool) {
    let (stderr, mut written) = (io::stderr(), 0);
    while let Some(rest) = octets.get(written..).filter(|rest| !rest.is_empty()) {
        match rustix::io::write(stderr.as_fd(), rest) {
            Ok(0) => return (written, false),
            Ok(more) => written += more,
            Err(Errno::INTR) => {}
            // Somebody who shares it has made it so.
            Err(Errno::AGAIN) => std::thread::sleep(PAUSE),
            Err(_) => return (written, false),
        }
    }
    (written, true)
}
