//! `kakunin rebuild`: every projection of a folder made anew from its logs, while no server runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kakunin_core::log::entry::LogId;
use kakunin_core::log::record::RowsHash;
use kakunin_core::service::{Rebuild, RebuildProgress, Rebuilt, RebuiltTable, rebuild};
use serde_json::{Value, json};

use crate::progress::Progress;
use crate::serve::{ServeError, ServeOptions, database, wire};

/// What came of it, for people and for programs.
#[derive(Debug)]
pub struct Report(Rebuilt);

/// Makes everything anew, and compares it with what is stored; writes what differs unless it is a `dry_run`.
///
/// # Errors
/// [`ServeError`] says what to change.
pub async fn run(options: &ServeOptions, dry_run: bool) -> Result<Report, ServeError> {
    let parts = wire::parts_of_deployment(options).await?;
    if !dry_run {
        database::alone(&parts).await?;
    }
    let config = wire::config(options, options.listen, &parts).await?;
    let what = if dry_run { Rebuild::Compare } else { Rebuild::Write };
    Ok(Report(rebuild(config, parts, what, Some(shown())).await?))
}

/// One bar after the other: logs are read one after the other.
pub(crate) fn shown() -> RebuildProgress {
    let now: Mutex<Option<(LogId, Progress)>> = Mutex::default();
    Arc::new(move |log: &LogId, done, of| {
        let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.as_ref().is_none_or(|(of, _)| of != log) {
            *now = Some((log.clone(), Progress::of(&log.to_string())));
        }
        if let Some((_, bar)) = &mut *now {
            bar.at(done, of);
        }
        if done == of {
            *now = None;
        }
    })
}

impl Report {
    /// Whether everything was what the logs say.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.0.is_equal()
    }

    /// One object of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Rebuilt { tables, unsealed, damage, written } = &self.0;
        json!({
            "equal": self.is_equal(),
            "written": *written && !self.is_equal(),
            "tables": tables.iter().map(table_json).collect::<Vec<_>>(),
            "without_seal": unsealed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "damage": damage.named,
        })
        .to_string()
    }
}

fn table_json(table: &RebuiltTable) -> Value {
    let RebuiltTable { log, table, before, after, differs } = table;
    json!({"log": log.to_string(), "table": table, "before": before, "after": after, "differs": differs})
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rebuilt { tables, unsealed, damage, written } = &self.0;
        for RebuiltTable { log, table, before, after, differs } in tables {
            write!(f, "{log} {table}: ")?;
            match before {
                Some(before) => write!(f, "{}", Rows(before))?,
                None => write!(f, "not readable")?,
            }
            match differs {
                false => writeln!(f, ", as the log says")?,
                true => writeln!(f, "; the log says {}", Rows(after))?,
            }
        }
        for log in unsealed {
            writeln!(f, "{log}: its rows were under no seal")?;
        }
        for what in &damage.named {
            writeln!(f, "found: {what}")?;
        }
        f.write_str(match (self.is_equal(), written) {
            (true, _) => "everything is what the logs say; nothing was written",
            (false, true) => "what differed is now what the logs say",
            (false, false) => "some is not what the logs say; without --dry-run it is made so",
        })
    }
}

struct Rows<'h>(&'h RowsHash);

impl fmt::Display for Rows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows {}", self.0.rows, self.0.sha256)
    }
}
