//! Everything in one SQLite file: WAL, every commit synced, append-only tables beside mutable ones.
//!
//! Triggers keep bugs and injected SQL from changing history. They do not keep out whoever owns the file:
//! a checkpoint held elsewhere does. Writes go through one thread that commits in groups; reads run on
//! the calling thread, over a connection of their own.

mod error;
mod rows;
mod schema;
mod writer;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::id::{IssuerId, Serial};
use crate::lock::{self, LockError};
use crate::log::sink::{Append, AuditSink, Entry, Head, LogId};
use crate::revoke::{Revocation, RevocationChange, RevocationStore};
use crate::state::{Change, Kind, StateStore};
use writer::{Work, Writer};

/// A store in one file.
pub struct SqliteStore {
    path: PathBuf,
    writer: Writer,
    reader: Mutex<Connection>,
    applied: Mutex<Applied>,
    /// Held until the store is dropped.
    _lock: File,
}

/// How far projections were applied, so that applying again costs no transaction.
#[derive(Debug, Default)]
struct Applied {
    state: HashMap<LogId, u64>,
    revocations: HashMap<IssuerId, u64>,
}

impl SqliteStore {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the file is not ours, of a later format, or in use by another process;
    /// [`StoreError::Corrupt`] if its tables or triggers were changed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let lock = lock(&path)?;
        let connection = schema::open_writer(&path)?;
        let reader = Mutex::new(schema::open_reader(&path)?);
        let writer = Writer::start(connection)?;
        Ok(Self { path, writer, reader, applied: Mutex::default(), _lock: lock })
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // A query that panicked leaves the connection usable: it only reads.
        query(&self.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn remember(&self, note: impl FnOnce(&mut Applied)) {
        note(&mut self.applied.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[async_trait]
impl AuditSink for SqliteStore {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let sizes: Vec<_> = appends.iter().map(|a| (a.log.clone(), a.next.frontier.size())).collect();
        self.writer.call(Work::Append(appends)).await?;
        self.remember(|applied| {
            for (log, size) in sizes {
                if let LogId::Revocations(issuer) = &log {
                    applied.revocations.insert(*issuer, size);
                }
                applied.state.insert(log, size);
            }
        });
        Ok(())
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.read(|c| rows::head(c, log))
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        Self::read(self, |c| rows::read(c, log, from, limit))
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        Self::read(self, rows::logs)
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        let mut done = false;
        self.remember(|applied| done = applied.state.get(log).is_some_and(|size| *size >= index));
        if done {
            return Ok(());
        }
        self.writer.call(Work::Apply(log.clone(), index, changes.to_vec())).await?;
        let size = Self::read(self, |c| rows::state_applied(c, log))?;
        self.remember(|applied| _ = applied.state.insert(log.clone(), size));
        Ok(())
    }

    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        Self::read(self, |c| rows::state_applied(c, log))
    }

    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        self.writer.call(Work::Put(log.clone(), changes.to_vec())).await
    }

    async fn get(&self, log: &LogId, kind: Kind, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Self::read(self, |c| rows::get(c, log, kind.code(), key))
    }

    async fn scan(
        &self,
        log: &LogId,
        kind: Kind,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StoreError> {
        Self::read(self, |c| rows::scan(c, log, kind.code(), after, limit))
    }
}

#[async_trait]
impl RevocationStore for SqliteStore {
    async fn apply(&self, issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<(), StoreError> {
        let Some((last, _)) = changes.last() else {
            return Ok(());
        };
        let mut done = false;
        self.remember(|applied| done = applied.revocations.get(issuer).is_some_and(|size| size > last));
        if done {
            return Ok(());
        }
        self.writer.call(Work::Revocations(*issuer, changes.to_vec())).await?;
        let size = Self::read(self, |c| rows::revocations_applied(c, issuer))?;
        self.remember(|applied| _ = applied.revocations.insert(*issuer, size));
        Ok(())
    }

    async fn applied(&self, issuer: &IssuerId) -> Result<u64, StoreError> {
        Self::read(self, |c| rows::revocations_applied(c, issuer))
    }

    async fn find(&self, issuer: &IssuerId, serial: &Serial) -> Result<Option<Revocation>, StoreError> {
        Self::read(self, |c| rows::find(c, issuer, serial))
    }

    async fn after(
        &self,
        issuer: &IssuerId,
        cursor: u64,
        limit: usize,
    ) -> Result<Vec<(u64, Revocation)>, StoreError> {
        Self::read(self, |c| rows::after(c, issuer, cursor, limit))
    }
}

/// Two sequencers on one file would only refuse each other's appends; it is clearer to refuse the second.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    lock::exclusive(Path::new(&name)).map_err(|error| match error {
        LockError::InUse => StoreError::Foreign(format!("{}: {error}", path.display())),
        LockError::Io(error) => StoreError::unavailable(error),
    })
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteStore({})", self.path.display())
    }
}
