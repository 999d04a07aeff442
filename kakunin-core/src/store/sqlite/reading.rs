//! The file, opened for reading alone: beside a server that has it open, or without one, and rows as they are at one
//! moment. It takes no lock.

use std::path::Path;

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::bound;
use super::error::store_error;
use super::readers::Readers;
use super::rows::{self, clamp, unsigned};
use super::schema;
use crate::error::StoreError;
use crate::id::IssuerId;
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::Hash;
use crate::log::walk::SignedHead;
use crate::store::audit::{Append, AuditSink, Head, Room};
use crate::store::bound::{Binding, Bound};
use crate::store::heads::Heads;
use crate::store::state::{Kind, StateView};
use crate::store::vault::{Kept, Vault};
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
        readers.read(schema::is_current)?;
        Ok(Self { readers })
    }
}

#[async_trait]
impl AuditSink for SqliteReader {
    async fn append(&self, _: Vec<Append>) -> Result<(), StoreError> {
        Err(only_read())
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

/// Secrets that lie among the rows, for reading alone.
#[async_trait]
impl Vault for SqliteReader {
    async fn put(&self, _: &[u8], _: &[u8]) -> Result<(), StoreError> {
        Err(only_read())
    }

    async fn put_new(&self, _: &[u8], _: &[u8]) -> Result<bool, StoreError> {
        Err(only_read())
    }

    async fn put_all(&self, _: &[Kept]) -> Result<(), StoreError> {
        Err(only_read())
    }

    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.read(|c| rows::get(c, &LogId::System, Kind::Vault.code(), name))
    }

    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let get = |c: &Connection, name: &Vec<u8>| rows::get(c, &LogId::System, Kind::Vault.code(), name);
        self.readers.read(|c| names.iter().map(|name| get(c, name)).collect())
    }

    async fn remove(&self, _: &[Vec<u8>]) -> Result<(), StoreError> {
        Err(only_read())
    }

    async fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<Kept>, StoreError> {
        let code = Kind::Vault.code();
        let mut kept = self.readers.read(|c| rows::scan(c, &LogId::System, code, Some(prefix), limit))?;
        kept.truncate(kept.partition_point(|(name, _)| name.starts_with(prefix)));
        Ok(kept)
    }
}

fn only_read() -> StoreError {
    StoreError::unavailable("the file is open for reading alone")
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

#[async_trait]
impl Bound for SqliteReader {
    async fn bound(&self, after: Option<&IssuerId>, limit: usize) -> Result<Vec<Binding>, StoreError> {
        self.readers.read(|c| bound::after(c, after, rows::clamp(limit)))
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
