//! How far a command has come, on the standard error: a bar, or a line now and then where nobody watches.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::logging;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// How far one part of a command has come.
pub(crate) struct Progress {
    bar: ProgressBar,
    what: String,
    said: Instant,
}

impl Progress {
    pub(crate) fn of(what: &str) -> Self {
        let style = ProgressStyle::with_template("{msg:<24} {wide_bar} {pos}/{len} {per_sec} {eta}");
        let bar = ProgressBar::new(0)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(what.to_owned());
        Self { bar, what: what.to_owned(), said: Instant::now() }
    }

    /// So much is done, of so much.
    pub(crate) fn at(&mut self, done: u64, of: u64) {
        self.bar.set_length(of);
        self.bar.set_position(done);
        if self.bar.is_hidden() && self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            logging::show(&format!("{}: {done} of {of} records\n", self.what));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
