//! How far it has come, on the standard error.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two words of it.
const PAUSE: Duration = Duration::from_millis(200);
/// And where nobody looks at a screen.
const LONG_PAUSE: Duration = Duration::from_secs(10);

/// One line, written over again and again; or, in a log, a line now and then.
pub(super) struct Progress {
    doing: &'static str,
    said: Option<Instant>,
    is_seen: bool,
}

impl Progress {
    pub(super) fn of(doing: &'static str) -> Self {
        Self { doing, said: None, is_seen: std::io::stderr().is_terminal() }
    }

    pub(super) fn at(&mut self, done: u64, of: u64) {
        let pause = if self.is_seen { PAUSE } else { LONG_PAUSE };
        let last = done >= of;
        if !last && self.said.is_some_and(|said| said.elapsed() < pause) {
            return;
        }
        self.said = Some(Instant::now());
        let percent = if of == 0 { 100 } else { done.saturating_mul(100) / of };
        let (back, end) = match (self.is_seen, last) {
            (true, false) => ("\r", ""),
            (true, true) => ("\r", "\n"),
            (false, _) => ("", "\n"),
        };
        // Where nobody reads it, it is not needed.
        let _ = write!(std::io::stderr().lock(), "{back}kakunin: {}: {percent:3} %{end}", self.doing);
    }
}
