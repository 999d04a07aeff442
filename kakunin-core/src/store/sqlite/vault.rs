//! A vault in a file of its own, so that whoever copies the logs has no secret, and whoever destroys one has destroyed it:
//! what is removed is overwritten, and no side file keeps it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::error::{may_be_full, store_error};
use crate::error::StoreError;
use crate::lock::{self, LockError};
use crate::store::vault::{Kept, Vault};

/// "KAKV": tells our vaults from other databases.
const APPLICATION_ID: i64 = 0x4b41_4b56;
const VERSION: i64 = 1;
/// Octets that are set aside, so that secrets are removed where there is no room.
const RESERVE: u64 = 256 * 1024;

/// How long whoever reads beside it is waited for.
const PATIENCE: Duration = Duration::from_secs(3);

const SCHEMA: &str = "
CREATE TABLE secret(
  name BLOB PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

/// The connection to the file.
struct Open {
    connection: Connection,
    /// Whether the write-ahead log may still say what was removed.
    dirty: bool,
}

/// Secrets in one SQLite file.
pub struct SqliteVault {
    path: PathBuf,
    connection: Mutex<Open>,
    /// Held until the vault is dropped, by who writes.
    _lock: Option<File>,
}

impl SqliteVault {
    /// Opens the file, or makes it, for its owner alone, and sets room aside beside it, so that on a full disk it is opened
    /// and secrets are removed all the same.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the file is not ours, of a later format, or in use by another process.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let lock = lock::exclusive(&beside(&path, ".lock")).map_err(|error| match error {
            LockError::InUse => StoreError::Foreign(format!("{}: {error}", path.display())),
            LockError::Io(error) => StoreError::unavailable(error),
        })?;
        // SQLite gives its side files the mode of the file.
        drop(private(&path).map_err(StoreError::unavailable)?);
        let connection = match open(&path) {
            // What is set aside is enough for the side files.
            Err(error) if is_out(&error) && fs::remove_file(beside(&path, ".reserve")).is_ok() => open(&path),
            opened => opened,
        }?;
        let vault = Self { path, connection: Open::new(connection), _lock: Some(lock) };
        vault.set_aside();
        Ok(vault)
    }

    /// Opens a vault that is there for reading alone, beside who has it open: nothing is kept in it or removed from it then.
    ///
    /// # Errors
    /// [`StoreError::Foreign`] if the file is not ours; [`StoreError::Unavailable`] if it cannot be read.
    pub fn open_to_read(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(store_error)?;
        is_ours(&connection)?;
        Ok(Self { path, connection: Open::new(connection), _lock: None })
    }

    fn open_file(&self) -> MutexGuard<'_, Open> {
        // A transaction that a panic cut off is rolled back where it is dropped.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn erase(&self, names: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut open = self.open_file();
        if !names.is_empty() {
            open.dirty = true;
            open.write(|connection| {
                let mut statement = connection.prepare_cached("DELETE FROM secret WHERE name = ?1")?;
                names.iter().try_for_each(|name| statement.execute([name]).map(|_| ()))
            })?;
        }
        if open.dirty {
            open.truncate()?;
            open.dirty = false;
        }
        Ok(())
    }

    /// Sets room aside, as far as there is any.
    fn set_aside(&self) {
        let path = beside(&self.path, ".reserve");
        if fs::metadata(&path).is_ok_and(|file| file.len() >= RESERVE) {
            return;
        }
        // Octets that are written have their place, other than those of a file with a hole.
        let fill = usize::try_from(RESERVE).map(|octets| vec![0xff; octets]).unwrap_or_default();
        let written = private(&path).and_then(|mut file| {
            std::io::Write::write_all(&mut file, &fill)?;
            file.sync_all()
        });
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
    }
}

#[async_trait]
impl Vault for SqliteVault {
    async fn put(&self, name: &[u8], secret: &[u8]) -> Result<(), StoreError> {
        self.put_all(&[(name.to_vec(), secret.to_vec())]).await
    }

    async fn put_all(&self, secrets: &[Kept]) -> Result<(), StoreError> {
        self.open_file().write(|connection| {
            let mut statement =
                connection.prepare_cached("INSERT OR REPLACE INTO secret(name, value) VALUES (?1, ?2)")?;
            secrets.iter().try_for_each(|(name, secret)| statement.execute([name, secret]).map(|_| ()))
        })
    }

    async fn put_new(&self, name: &[u8], secret: &[u8]) -> Result<bool, StoreError> {
        let mut kept = 0;
        self.open_file().write(|connection| {
            let sql = "INSERT INTO secret(name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            kept = connection.prepare_cached(sql)?.execute([name, secret])?;
            Ok(())
        })?;
        Ok(kept > 0)
    }

    async fn get(&self, name: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_all(&[name.to_vec()]).await.map(|mut found| found.pop().flatten())
    }

    async fn get_all(&self, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let open = self.open_file();
        let sql = "SELECT value FROM secret WHERE name = ?1";
        let mut statement = open.connection.prepare_cached(sql).map_err(store_error)?;
        let mut find = |name| statement.query_row([name], |row| row.get(0)).optional().map_err(store_error);
        names.iter().map(&mut find).collect()
    }

    async fn remove(&self, names: &[Vec<u8>]) -> Result<(), StoreError> {
        match self.erase(names) {
            Err(error) if is_out(&error) => {
                let _ = fs::remove_file(beside(&self.path, ".reserve"));
                let again = self.erase(names);
                self.set_aside();
                again
            }
            done => done,
        }
    }

    async fn list(&self, prefix: &[u8], limit: usize) -> Result<Vec<Kept>, StoreError> {
        let open = self.open_file();
        let sql = "SELECT name, value FROM secret WHERE name > ?1 ORDER BY name LIMIT ?2";
        let mut statement = open.connection.prepare_cached(sql).map_err(store_error)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = statement.query_map(params![prefix, limit], |row| Ok((row.get(0)?, row.get(1)?)));
        let mut found = Vec::new();
        for row in rows.map_err(store_error)? {
            let row: Kept = row.map_err(store_error)?;
            if !row.0.starts_with(prefix) {
                break;
            }
            found.push(row);
        }
        Ok(found)
    }
}

impl Open {
    /// What was removed before, by whoever had the file open last, may be in its write-ahead log.
    const fn new(connection: Connection) -> Mutex<Self> {
        Mutex::new(Self { connection, dirty: true })
    }

    fn write(&mut self, change: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().map_err(store_error)?;
        change(&transaction).and_then(|()| transaction.commit()).map_err(store_error)
    }

    /// Takes away what the write-ahead log says of secrets that were removed. Who reads beside it is waited for.
    fn truncate(&self) -> Result<(), StoreError> {
        let busy = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        match self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], busy) {
            Ok(0) => Ok(()),
            Ok(_) => Err(StoreError::unavailable("the vault's write-ahead log cannot be emptied")),
            Err(error) => Err(store_error(error)),
        }
    }
}

fn open(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
    prepare(&connection)?;
    Ok(connection)
}

/// Whether there was no room, perhaps in other words.
fn is_out(error: &StoreError) -> bool {
    matches!(error, StoreError::Full) || may_be_full(error)
}

/// Opens a file for writing, or makes it for its owner alone.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the table in a file that is new, and refuses one of somebody else before a byte of it changes.
fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(PATIENCE).map_err(store_error)?;
    let pages = connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
    let new = pages.map_err(store_error)? == 0;
    if !new {
        is_ours(connection)?;
    }
    for (name, value) in
        [("secure_delete", "ON"), ("journal_mode", "WAL"), ("synchronous", "FULL"), ("fullfsync", "ON")]
    {
        connection.pragma_update(None, name, value).map_err(store_error)?;
    }
    if new {
        let made = format!(
            "BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        );
        connection.execute_batch(&made).map_err(store_error)?;
    }
    Ok(())
}

impl fmt::Debug for SqliteVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqliteVault({})", self.path.display())
    }
}

fn is_ours(connection: &Connection) -> Result<(), StoreError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let asked = pragma("application_id").and_then(|id| Ok((id, pragma("user_version")?)));
    match asked.map_err(store_error)? {
        (APPLICATION_ID, VERSION) => Ok(()),
        (APPLICATION_ID, other) => Err(StoreError::Foreign(format!(
            "the format {other} of the vault is not {VERSION}; use the program that wrote it, or update this one"
        ))),
        _ => Err(StoreError::Foreign("the file of the vault is another database; name another file".into())),
    }
}
