//! Everything in one SQLite file: WAL, every commit synced, append-only tables beside mutable ones.
//!
//! Triggers keep bugs and injected SQL from changing history. They do not keep out whoever owns the file:
//! a checkpoint held elsewhere does. Writes go through one thread that commits in groups; reads run on
//! the calling thread, each over a connection of its own.

mod authorizer;
mod bound;
mod copier;
mod entries;
mod error;
mod file;
mod fill;
mod heads;
mod readers;
mod reading;
mod reserve;
mod rows;
mod schema;
mod vault;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::id::{IssuerId, Serial};
use crate::lock::{self, LockError};
use crate::log::entry::{Entry, LogId};
use crate::log::merkle::Frontier;
use crate::revoke::{Revocation, RevocationChange};
use crate::store::audit::{self, Append, AuditSink, Head, Room};
use crate::store::levels::Levels;
use crate::store::revocations::RevocationStore;
use crate::store::state::{Change, Kind, StateStore, StateView, Touched};
pub use file::{SqliteFile, copy_file};
use readers::Readers;
pub use reading::SqliteReader;
use reserve::Reserve;
pub use vault::SqliteVault;
use writer::{Work, Writer};

/// A store in one file.
pub struct SqliteStore {
    path: PathBuf,
    // Closed before the writer: the last connection to close copies the WAL into the file, and one that only
    // reads cannot.
    readers: Readers,
    writer: Writer,
    state: Levels<LogId>,
    revocations: Levels<IssuerId>,
    room: Arc<Mutex<Room>>,
    /// Closed after all connections: with it go the locks of this process on the file.
    _file: Arc<File>,
    /// Held until the store is dropped.
    _lock: File,
}

impl SqliteStore {
    /// Opens the file, or makes it, and sets room aside beside it (ADR 21). On a full disk it is opened all the same, if
    /// room was set aside before.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the file is not ours, of a later format, or in use by another process;
    /// [`StoreError::Corrupt`] if its tables or triggers were changed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        // Whatever is beside it, the lock above all, is beside the file and not beside a link to it.
        let path = path.as_ref();
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let lock = lock(&path)?;
        let mut reserve = Reserve::beside(&path);
        let connection = within(&mut reserve, || schema::open_writer(&path))?;
        let readers = within(&mut reserve, || Readers::open(&path))?;
        readers.read(heads::check)?;
        reserve.look();
        let room = reserve.shared();
        let file = Arc::new(File::open(&path).map_err(StoreError::unavailable)?);
        let writer = Writer::start(path.clone(), connection, reserve, file.clone())?;
        let (state, revocations) = (Levels::default(), Levels::default());
        Ok(Self { path, writer, readers, state, revocations, room, _file: file, _lock: lock })
    }

    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.readers.read(query)
    }
}

#[async_trait]
impl AuditSink for SqliteStore {
    async fn append(&self, appends: Vec<Append>) -> Result<(), StoreError> {
        let sizes: Vec<_> = appends
            .iter()
            .map(|a| (a.log.clone(), a.next.frontier.size(), rows::next_index(&a.revocations)))
            .collect();
        self.writer.call(Work::Append(appends)).await?;
        for (log, size, revocations) in sizes {
            self.state.raise(&log, size);
            // An append that named no revocations applied none.
            if let (LogId::Revocations(issuer), Some(size)) = (&log, revocations) {
                self.revocations.raise(issuer, size);
            }
        }
        Ok(())
    }

    async fn head(&self, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
        self.read(|c| rows::head(c, log))
    }

    async fn read(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        Self::read(self, |c| rows::read(c, log, from, limit))
    }

    async fn frontier(&self, log: &LogId, size: u64) -> Result<Frontier, StoreError> {
        match Self::read(self, |c| heads::frontier(c, log, size))? {
            Some(frontier) => Ok(frontier),
            None => audit::frontier_of(self, log, size).await,
        }
    }

    async fn logs(&self) -> Result<Vec<LogId>, StoreError> {
        Self::read(self, rows::logs)
    }

    async fn room(&self) -> Room {
        let known = || *self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if known().full {
            // Whoever writes looks again; if it has ended, there is none.
            let _ = self.writer.call(Work::Look).await;
        }
        known()
    }
}

#[async_trait]
impl StateStore for SqliteStore {
    async fn apply(&self, log: &LogId, index: u64, changes: &[Change]) -> Result<(), StoreError> {
        if self.state.reaches(log, index) {
            return Ok(());
        }
        let applied = Self::read(self, |c| rows::state_applied(c, log))?;
        if applied < index {
            self.writer.call(Work::Apply(log.clone(), index, changes.to_vec())).await?;
        }
        self.state.raise(log, applied.max(index));
        Ok(())
    }

    async fn applied(&self, log: &LogId) -> Result<u64, StoreError> {
        Self::read(self, |c| rows::state_applied(c, log))
    }

    async fn put(&self, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
        self.writer.call(Work::Put(log.clone(), changes.to_vec())).await
    }

    async fn swap(&self, log: &LogId, expected: Option<&[u8]>, change: &Change) -> Result<bool, StoreError> {
        let swap = Work::Swap(log.clone(), expected.map(<[u8]>::to_vec), change.clone());
        match self.writer.call(swap).await {
            Err(StoreError::Conflict) => Ok(false),
            done => done.map(|()| true),
        }
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

    async fn view(&self, log: &LogId) -> Result<Box<dyn StateView>, StoreError> {
        Ok(Box::new(reading::View::open(&self.path, log)?))
    }

    async fn touched(&self) -> Result<Touched, StoreError> {
        self.writer.call(Work::Look).await?;
        Ok(self.writer.touched())
    }
}

#[async_trait]
impl RevocationStore for SqliteStore {
    async fn apply(&self, issuer: &IssuerId, changes: &[(u64, RevocationChange)]) -> Result<(), StoreError> {
        let Some(next) = rows::next_index(changes) else {
            return Ok(());
        };
        if self.revocations.reaches(issuer, next) {
            return Ok(());
        }
        let applied = Self::read(self, |c| rows::revocations_applied(c, issuer))?;
        if applied < next {
            self.writer.call(Work::Revocations(*issuer, changes.to_vec())).await?;
        }
        self.revocations.raise(issuer, applied.max(next));
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

    async fn replace(
        &self,
        issuer: &IssuerId,
        applied: u64,
        standing: &[(u64, Revocation)],
    ) -> Result<(), StoreError> {
        self.writer.call(Work::Replace(*issuer, applied, standing.to_vec())).await?;
        self.revocations.raise(issuer, applied);
        Ok(())
    }
}

/// Opens something; while there is no room for that, within what is set aside.
fn within<T>(reserve: &mut Reserve, open: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    loop {
        match open() {
            Err(StoreError::Full | StoreError::Unavailable(_))
                if reserve.is_out() && reserve.give_up_some() => {}
            opened => return opened,
        }
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
