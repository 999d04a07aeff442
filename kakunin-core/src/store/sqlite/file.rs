//! A file that is read and not locked: beside the process that uses it, or as a backup lies there.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::{corrupt, store_error};
use super::readers::Readers;
use super::{heads, rows, schema};
use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::Frontier;
use crate::store::audit::{self, Append, AuditSink, Head, Room};

/// Pages that are copied between two words of progress: 8 MiB.
const STEP: i32 = 2_048;
/// How long a copy waits for a moment in which the file may be read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store's file, for reading alone. Whoever uses it goes on meanwhile.
#[derive(Debug)]
pub struct SqliteFile {
    readers: Readers,
}

impl SqliteFile {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if it is not ours, or of another format; [`StoreError::Corrupt`] if its tables or triggers
    /// were changed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let readers = Readers::open(path.as_ref())?;
        readers.read(schema::check_format)?;
        readers.read(heads::check)?;
        Ok(Self { readers })
    }
}

/// Copies an SQLite file as it is at one moment, all in one read transaction: it is never begun anew because somebody
/// writes, and what is written meanwhile waits in the WAL until it is done. The copy is one file, on disk when this
/// returns. Told how many octets are copied, and of how many.
///
/// # Errors
/// [`StoreError::Full`]; [`StoreError::Foreign`] if `from` is no database, or `to` is there already. What was written of
/// the copy stays.
pub fn copy_file(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), StoreError> {
    let source = schema::open_file(from)?;
    source.busy_timeout(PATIENCE).map_err(store_error)?;
    source.execute_batch("BEGIN; SELECT 1 FROM sqlite_schema LIMIT 1").map_err(store_error)?;
    schema::make_new_file(to)?;
    copy(&source, to, &mut progress)?;
    std::fs::File::open(to).and_then(|file| file.sync_all()).map_err(StoreError::unavailable)
}

fn copy(from: &Connection, to: &Path, progress: &mut impl FnMut(u64, u64)) -> Result<(), StoreError> {
    let mut copy = Connection::open(to).map_err(store_error)?;
    // It counts once it is whole and flushed, and not before.
    copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").map_err(store_error)?;
    let page: i64 = from.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(store_error)?;
    {
        let backup = Backup::new(from, &mut copy).map_err(store_error)?;
        loop {
            let step = backup.step(STEP).map_err(store_error)?;
            let of = backup.progress();
            let [all, left] =
                [of.pagecount, of.remaining].map(|n| u64::try_from(i64::from(n) * page).unwrap_or_default());
            progress(all.saturating_sub(left), all);
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(corrupt("the file cannot be read while it is in use; try again")),
            }
        }
    }
    // So that whoever looks at it needs no files beside it.
    copy.execute_batch("PRAGMA journal_mode = DELETE").map_err(store_error)?;
    copy.close().map_err(|(_, error)| store_error(error))
}

#[async_trait]
impl AuditSink for SqliteFile {
    async fn append(&self, _: Vec<Append>) -> Result<(), StoreError> {
        Err(StoreError::unavailable("this file is open for reading alone"))
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.readers.read(|c| rows::head(c, log))
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.readers.read(|c| rows::read(c, log, from, limit))
    }

    async fn frontier(&self, log: &LogId, size: u64) -> Result<Frontier, StoreError> {
        audit::frontier_of(self, log, size).await
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.readers.read(rows::logs)
    }

    async fn room(&self) -> Room {
        Room::default()
    }
}
