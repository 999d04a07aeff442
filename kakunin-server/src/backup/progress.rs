//! How far it has come, on the standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two words of it, for somebody who looks at a screen.
const PAUSE: Duration = Duration::from_millis(200);
/// And in a log: what takes less long says nothing.
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// One line, written over again and again; or, in a log, a line now and then.
pub(super) struct Progress {
    doing: &'static str,
    said: Instant,
    is_seen: bool,
}

impl Progress {
    pub(super) fn of(doing: &'static str) -> Self {
        Self { doing, said: Instant::now(), is_seen: std::io::stderr().is_terminal() }
    }

    pub(super) fn at(&mut self, done: u64, of: u64) {
        let (pause, is_last) = (if self.is_seen { PAUSE } else { LONG_PAUSE }, done >= of);
        if self.said.elapsed() < pause && !(self.is_seen && is_last) {
            return;
        }
        self.said = Instant::now();
        let percent = done.saturating_mul(100).checked_div(of).unwrap_or(100);
        let (back, end) = match (self.is_seen, is_last) {
            (true, false) => ("\r", ""),
            (true, true) => ("\r", "\n"),
            (false, _) => ("", "\n"),
        };
        // Where nobody reads it, it is not needed.
        let _ = write!(std::io::stderr().lock(), "{back}kakunin: {}: {percent:3} %{end}", self.doing);
    }
}
