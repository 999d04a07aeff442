//! `kakunin log verify`: whether the logs of a deployment are what was signed, beside its server or without one.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use kakunin_core::error::StoreError;
use kakunin_core::id::hex_encode;
use kakunin_core::log::checkpoint::Checkpoint;
use kakunin_core::log::entry::LogId;
use kakunin_core::log::note::{NoteError, VerifierKey};
use kakunin_core::service::{CheckedLog, Error, LogCheck};
use serde_json::{Value, json};

use crate::progress::Progress;
use crate::serve::around::Logs;
use crate::serve::{ServeError, ServeOptions, wire};

/// What is checked.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Which log, by its name; all of them if none is named.
    pub log: Option<String>,
    /// From about which record on.
    pub from: u64,
    /// The verifier key of the log `_system`; the one on record if none is given.
    pub key: Option<String>,
    /// Files with checkpoints that were kept elsewhere.
    pub checkpoints: Vec<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    key: String,
    given: bool,
    logs: Vec<CheckedLog>,
}

/// Why nothing can be said of the logs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogVerifyError {
    /// The folder cannot be used.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The logs cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no deployment.
    #[error(transparent)]
    Deployment(#[from] Error),
    /// There is no such log.
    #[error("there is no log {0} here; without --log all are checked")]
    NoLog(String),
    /// The key is none.
    #[error("--key: {0}")]
    Key(#[source] NoteError),
    /// A file is no checkpoint of a log here.
    #[error("--checkpoint: {path} is no checkpoint of a log that is checked", path = .0.display())]
    Checkpoint(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system does not do it.
    #[error("the system refuses: {0}")]
    Io(#[from] std::io::Error),
}

/// Checks the logs of a deployment. It takes no lock, and changes nothing.
///
/// # Errors
/// [`LogVerifyError`] where nothing can be said; what is wrong with a log is in the report.
pub async fn run(serve: &ServeOptions, options: &Options) -> Result<Report, LogVerifyError> {
    let Logs { raw, sink, heads } = wire::logs(serve).await?;
    let key = options.key.as_deref().map(VerifierKey::parse).transpose().map_err(LogVerifyError::Key)?;
    let check = LogCheck::new(&*sink, &*heads, key).await?;
    let mut all = raw.logs().await?;
    if let Some(name) = &options.log {
        all.retain(|log| log.to_string() == *name);
        if all.is_empty() {
            return Err(LogVerifyError::NoLog(name.clone()));
        }
    }
    let kept = options.checkpoints.iter().map(|path| kept(path, &all)).collect::<Result<Vec<_>, _>>()?;
    let mut logs = Vec::new();
    for log in &all {
        let mut shown = Progress::of(&log.to_string());
        let checked = check.log(log, options.from, &kept, &mut |at| shown.at(at.done, at.of)).await?;
        logs.push(checked);
    }
    Ok(Report { key: check.key().to_string(), given: options.key.is_some(), logs })
}

/// A checkpoint of one of these logs: one of another log would be passed over, and nothing be checked by it.
fn kept(path: &Path, logs: &[LogId]) -> Result<String, LogVerifyError> {
    let unreadable = |source| LogVerifyError::File { path: path.to_owned(), source };
    let note = fs::read_to_string(path).map_err(unreadable)?;
    let text = note.split_once("\n\n").map(|(text, _)| format!("{text}\n"));
    let origin = text.and_then(|text| Some(Checkpoint::parse(&text).ok()?.origin));
    let of = |log: &LogId| origin.as_deref().is_some_and(|origin| origin.contains(&format!("/{log}/")));
    match logs.iter().any(of) {
        true => Ok(note),
        false => Err(LogVerifyError::Checkpoint(path.to_owned())),
    }
}

impl Report {
    /// Whether every log is what was signed.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.logs.iter().all(|log| log.bad.is_none())
    }

    /// One object of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let logs: Vec<_> = self.logs.iter().map(log_json).collect();
        json!({"ok": self.is_good(), "log_key": self.key, "log_key_given": self.given, "logs": logs})
            .to_string()
    }
}

fn log_json(checked: &CheckedLog) -> Value {
    let bad = checked.bad.map(|bad| {
        json!({"first": bad.first, "last": bad.last, "code": bad.fault.code(), "what": bad.fault.to_string()})
    });
    json!({
        "log": checked.log.to_string(),
        "from": checked.from,
        "size": checked.size,
        "records": checked.records,
        "payloads": checked.payloads,
        "erased": checked.erased,
        "checkpoints": checked.heads,
        "checkpoints_of_lost_records": checked.lost,
        "root": hex_encode(&checked.root),
        "bad": bad,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CheckedLog { log, from, records, payloads, erased, heads, lost, bad, .. } in &self.logs {
            write!(f, "{log}: {records} records from {from} on, {payloads} payloads, ")?;
            if *erased > 0 {
                write!(f, "{erased} erased, ")?;
            }
            if *lost > 0 {
                write!(f, "{lost} kept checkpoints of what was lost before a recovery, ")?;
            }
            write!(f, "{heads} checkpoints: ")?;
            match bad {
                None => writeln!(f, "good")?,
                Some(bad) if bad.first == bad.last => {
                    writeln!(f, "bad at record {}: {}", bad.first, bad.fault)?
                }
                Some(bad) => writeln!(f, "bad at records {} to {}: {}", bad.first, bad.last, bad.fault)?,
            }
        }
        write!(f, "log key: {}", self.key)?;
        if !self.given {
            write!(
                f,
                "\nThat key is the one on record: hold it against the one you kept, or name that with --key."
            )?;
        }
        Ok(())
    }
}
