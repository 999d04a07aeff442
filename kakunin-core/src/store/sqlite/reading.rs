//! The file, opened for reading alone: beside a server that has it open, or without one, and rows as they are at one
//! moment. It takes no lock.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::error::store_error;
use super::readers::Readers;
use super::rows::{self, clamp, unsigned};
use super::schema;
use crate::error::StoreError;
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::Hash;
use crate::log::walk::SignedHead;
use crate::store::audit::{Append, AuditSink, Head, Room};
use crate::store::heads::Heads;
use crate::store::state::{Kind, StateView};
use crate::time::UnixTime;

/// The logs of a file, for who only reads.
#[derive(Debug)]
pub struct SqliteReader {
    readers: Readers,
}

impl SqliteReader {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if it is not ours, or of another format; [`StoreError::Unavailable`] if it cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let readers = Readers::open(path.as_ref())?;
        readers.read(is_ours)?;
        Ok(Self { readers })
    }
}

/// Whether it is a file of this format. What else is in it is not asked: who reads may want to know what became of it.
fn is_ours(connection: &Connection) -> Result<(), StoreError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let said = (pragma("application_id").map_err(store_error)?, pragma("user_version").map_err(store_error)?);
    let why = match said {
        (schema::APPLICATION_ID, schema::VERSION) => return Ok(()),
        (schema::APPLICATION_ID, other) => {
            let wanted = schema::VERSION;
            format!(
                "its format is {other} and not {wanted}: start its server once, or use the program that wrote it"
            )
        }
        _ => "the file is a database of another application; name another file".into(),
    };
    Err(StoreError::Foreign(why))
}

#[async_trait]
impl AuditSink for SqliteReader {
    async fn append(&self, _: Vec<Append>) -> Result<(), StoreError> {
        Err(StoreError::unavailable("the file is open for reading alone"))
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.readers.read(|c| rows::head(c, log))
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.readers.read(|c| rows::read(c, log, from, limit))
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        self.readers.read(rows::logs)
    }

    async fn room(&self) -> Room {
        Room::default()
    }
}

#[async_trait]
impl Heads for SqliteReader {
    async fn at_most(&self, log: &LogId, size: u64) -> Result<Option<SignedHead>, StoreError> {
        let sql = "new_size <= ?2 ORDER BY new_size DESC LIMIT ?3";
        Ok(self.readers.read(|c| heads(c, sql, (log, size, 1)))?.pop())
    }

    async fn above(&self, log: &LogId, size: u64, limit: usize) -> Result<Vec<SignedHead>, StoreError> {
        let sql = "new_size > ?2 ORDER BY new_size LIMIT ?3";
        self.readers.read(|c| heads(c, sql, (log, size, limit)))
    }
}

/// The rows of one log at one moment: a connection of its own, in a transaction that reads.
#[derive(Debug)]
pub(super) struct View {
    connection: Connection,
    log: LogId,
    applied: u64,
}

impl View {
    pub(super) fn open(path: &Path, log: &LogId) -> Result<Self, StoreError> {
        let connection = schema::open_reader(path)?;
        connection.execute_batch("BEGIN").map_err(store_error)?;
        // The moment is that of the first read.
        let applied = rows::state_applied(&connection, log)?;
        Ok(Self { connection, log: log.clone(), applied })
    }
}

#[async_trait]
impl StateView for View {
    fn applied(&self) -> u64 {
        self.applied
    }

    async fn scan(
        &mut self,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<rows::Rows, StoreError> {
        rows::scan(&self.connection, &self.log, kind.code(), after, limit)
    }
}

fn heads(
    connection: &Connection,
    which: &str,
    (log, size, limit): (&LogId, u64, usize),
) -> Result<Vec<SignedHead>, StoreError> {
    let sql = format!(
        "SELECT prev_size, new_size, frontier, root, time, checkpoint FROM batch
        WHERE log_id = (SELECT id FROM log WHERE name = ?1) AND {which}"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(store_error)?;
    let rows = statement.query_map(params![log.to_string(), clamp(size), clamp(limit)], head);
    rows.map_err(store_error)?.collect::<Result<_, _>>().map_err(store_error)
}

fn head(row: &Row<'_>) -> rusqlite::Result<SignedHead> {
    let roots: Vec<u8> = row.get(2)?;
    Ok(SignedHead {
        before: Some(unsigned(row, 0)?),
        size: unsigned(row, 1)?,
        // Of another length it is not what the leaves lead to.
        roots: roots.chunks(32).map(|root| Hash::try_from(root).unwrap_or_default()).collect(),
        root: row.get(3)?,
        time: UnixTime::from_millis(unsigned(row, 4)?),
        checkpoint: row.get(5)?,
    })
}
