//! The log of the process, on its standard error: nothing waits for it, and nothing fails with it.
//!
//! | file | does |
//! |---|---|
//! | `sink.rs` | lines that wait, and the thread that writes them |
//! | `line.rs` | what a line may hold |

mod line;
mod sink;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, fmt, reload};

use sink::SINK;

/// What is logged: this, and what is more important.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// What somebody has to do something about.
    Error,
    /// What somebody should look at.
    Warn,
    /// What happens to agents, and to the server.
    Info,
    /// Each request.
    Debug,
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
        }
    }
}

/// The log, until it is dropped: then what waits is written, for at most 2 s.
#[derive(Debug)]
pub struct Log {
    level: reload::Handle<LevelFilter, Registry>,
}

/// Whether each line is an object of JSON.
static JSON: AtomicBool = AtomicBool::new(false);
/// Whether there is a log.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts the log of this process, once. Panics are lines of it, too.
#[must_use]
pub fn start(level: Level, json: bool) -> Log {
    JSON.store(json, Ordering::Relaxed);
    let (filter, handle) = reload::Layer::new(LevelFilter::from(level));
    // No colours: what a value brings along for a terminal is written out, and so would they be.
    let layer =
        fmt::layer().with_writer(line::writer).with_target(false).with_ansi(false).log_internal_errors(false);
    let registry = tracing_subscriber::registry().with(filter);
    let begun = if json { registry.with(layer.json()).try_init() } else { registry.with(layer).try_init() };
    if begun.is_ok() && sink::start() {
        STARTED.store(true, Ordering::Relaxed);
        std::panic::set_hook(Box::new(panicked));
    }
    Log { level: handle }
}

impl Log {
    /// Logs what is at least this important from now on.
    pub fn set_level(&self, level: Level) {
        // It fails only where this log is not the one of the process.
        let _ = self.level.modify(|filter| *filter = level.into());
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        SINK.flush();
    }
}

/// Says why a command fails: a line of the log in JSON, if there is one, else on the standard error as a person reads it.
pub fn complain(text: &str) {
    if JSON.load(Ordering::Relaxed) {
        tracing::error!("{text}");
    } else {
        say(&format!("kakunin: {text}"));
    }
}

/// Writes a line to the standard error, if that can be done.
fn say(text: &str) {
    let line = line::clean(text, false);
    if STARTED.load(Ordering::Relaxed) {
        SINK.push(line);
    } else {
        show(&line);
    }
}

/// Writes to the standard error what a person reads, as it is, if that can be done.
pub fn show(text: &str) {
    // If not, nobody is left to tell.
    let _ = sink::whole(text.as_bytes());
}

fn panicked(info: &std::panic::PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = info.payload_as_str().unwrap_or("without a message");
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, place, %trace, "a thread panicked: {message}");
    } else {
        tracing::error!(thread, place, "a thread panicked: {message}");
    }
}

/// How many lines could not be written, or had no room to wait.
pub(crate) fn lines_lost() -> u64 {
    SINK.lost()
}

/// Whether what was logged last was written.
pub(crate) fn is_written() -> bool {
    !SINK.is_failing()
}
