//! The tables, and what is checked before a file is used.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::{corrupt, store_error};
use super::fill;
use crate::error::StoreError;

/// "KAKU": tells our files from other applications' databases.
pub(super) const APPLICATION_ID: i64 = 0x4b41_4b55;
pub(super) const VERSION: i64 = 3;
/// What came with each format after the first.
const SINCE: [(i64, &[&str]); 2] =
    [(2, &["payload_new"]), (3, &["bound_key", "bound_key_new", "bound_key_update", "bound_key_delete"])];

/// Append-only tables refuse UPDATE and DELETE. `INSERT OR REPLACE` and UPSERT would get past those triggers where
/// recursive triggers are off, which each connection says for itself; so INSERT takes nothing but what comes
/// next: that refuses gaps as well, and a payload for an entry of long ago.
const SCHEMA: &str = "
CREATE TABLE log(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TRIGGER log_new BEFORE INSERT ON log
WHEN EXISTS (SELECT 1 FROM log WHERE id = NEW.id OR name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'append-only: log'); END;
CREATE TRIGGER log_update BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'append-only: log'); END;
CREATE TRIGGER log_delete BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'append-only: log'); END;

CREATE TABLE batch(
  log_id INTEGER NOT NULL REFERENCES log(id),
  prev_size INTEGER NOT NULL,
  new_size INTEGER NOT NULL CHECK (new_size > prev_size),
  root BLOB NOT NULL CHECK (length(root) = 32),
  frontier BLOB NOT NULL,
  time INTEGER NOT NULL,
  checkpoint TEXT NOT NULL,
  PRIMARY KEY (log_id, new_size),
  UNIQUE (log_id, prev_size)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER batch_order BEFORE INSERT ON batch
WHEN NEW.prev_size <> (SELECT coalesce(max(new_size), 0) FROM batch WHERE log_id = NEW.log_id)
BEGIN SELECT RAISE(ABORT, 'append-only: not the head of the log'); END;
CREATE TRIGGER batch_whole BEFORE INSERT ON batch
WHEN NEW.new_size <> (SELECT coalesce(max(idx) + 1, 0) FROM leaf WHERE log_id = NEW.log_id)
BEGIN SELECT RAISE(ABORT, 'append-only: the entries do not lead to the new head'); END;
CREATE TRIGGER batch_update BEFORE UPDATE ON batch BEGIN SELECT RAISE(ABORT, 'append-only: batch'); END;
CREATE TRIGGER batch_delete BEFORE DELETE ON batch BEGIN SELECT RAISE(ABORT, 'append-only: batch'); END;

CREATE TABLE leaf(
  log_id INTEGER NOT NULL REFERENCES log(id),
  idx INTEGER NOT NULL,
  leaf BLOB NOT NULL CHECK (length(leaf) <= 512),
  PRIMARY KEY (log_id, idx)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER leaf_order BEFORE INSERT ON leaf
WHEN NEW.idx <> (SELECT coalesce(max(idx) + 1, 0) FROM leaf WHERE log_id = NEW.log_id)
BEGIN SELECT RAISE(ABORT, 'append-only: not the next index'); END;
CREATE TRIGGER leaf_update BEFORE UPDATE ON leaf BEGIN SELECT RAISE(ABORT, 'append-only: leaf'); END;
CREATE TRIGGER leaf_delete BEFORE DELETE ON leaf BEGIN SELECT RAISE(ABORT, 'append-only: leaf'); END;

CREATE TABLE payload(
  log_id INTEGER NOT NULL REFERENCES log(id),
  idx INTEGER NOT NULL,
  salt BLOB NOT NULL CHECK (length(salt) = 32),
  octets BLOB NOT NULL,
  PRIMARY KEY (log_id, idx)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER payload_new BEFORE INSERT ON payload
WHEN EXISTS (SELECT 1 FROM payload WHERE log_id = NEW.log_id AND idx = NEW.idx)
  OR NEW.idx < (SELECT coalesce(max(new_size), 0) FROM batch WHERE log_id = NEW.log_id)
  OR NOT EXISTS (SELECT 1 FROM leaf WHERE log_id = NEW.log_id AND idx = NEW.idx)
BEGIN SELECT RAISE(ABORT, 'append-only: payload'); END;
CREATE TRIGGER payload_update BEFORE UPDATE ON payload BEGIN SELECT RAISE(ABORT, 'append-only: payload'); END;
-- Erasure will lift this for rows whose erasure is itself a record of the log, and for no others.
CREATE TRIGGER payload_delete BEFORE DELETE ON payload BEGIN SELECT RAISE(ABORT, 'append-only: payload'); END;

CREATE TABLE bound_key(
  key BLOB PRIMARY KEY CHECK (length(key) = 20),
  agent BLOB NOT NULL CHECK (length(agent) = 16)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER bound_key_new BEFORE INSERT ON bound_key
WHEN EXISTS (SELECT 1 FROM bound_key WHERE key = NEW.key)
BEGIN SELECT RAISE(ABORT, 'append-only: bound_key'); END;
CREATE TRIGGER bound_key_update BEFORE UPDATE ON bound_key BEGIN SELECT RAISE(ABORT, 'append-only: bound_key'); END;
CREATE TRIGGER bound_key_delete BEFORE DELETE ON bound_key BEGIN SELECT RAISE(ABORT, 'append-only: bound_key'); END;

CREATE TABLE state(
  log_id INTEGER NOT NULL REFERENCES log(id),
  kind INTEGER NOT NULL,
  key BLOB NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (log_id, kind, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE state_applied(
  log_id INTEGER PRIMARY KEY REFERENCES log(id),
  size INTEGER NOT NULL
) STRICT;

CREATE TABLE revocation(
  issuer BLOB NOT NULL,
  idx INTEGER NOT NULL,
  serial BLOB NOT NULL,
  record TEXT NOT NULL,
  PRIMARY KEY (issuer, idx),
  UNIQUE (issuer, serial)
) STRICT, WITHOUT ROWID;
CREATE TABLE revocation_applied(
  issuer BLOB PRIMARY KEY,
  size INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// Opens the file for writing, makes the tables if it is new, and checks them if it is not.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    make_file(path)?;
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let application: i64 = pragma(&connection, "application_id")?;
    let version: i64 = pragma(&connection, "user_version")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(store_error)?;
    // The journal mode is kept in the file: not a byte of somebody else's database may change.
    match (application, version, tables) {
        (0, 0, 0) => configure(&connection).and_then(|()| create(&connection))?,
        (APPLICATION_ID, VERSION, _) => check(&connection).and_then(|()| configure(&connection))?,
        (APPLICATION_ID, former @ 1..VERSION, _) => {
            migrate(&connection, former)?;
            check(&connection).and_then(|()| configure(&connection))?;
        }
        (APPLICATION_ID, other, _) => {
            return Err(StoreError::Foreign(format!(
                "its format {other} is not {VERSION}; use the program that wrote it, or update this one"
            )));
        }
        _ => {
            return Err(StoreError::Foreign(
                "the file is a database of another application; name another file".into(),
            ));
        }
    }
    Ok(connection)
}

/// Opens the file once more, for reading alone.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Makes the file if it is not there, for its owner alone: secrets lie in it. SQLite gives its side files
/// the same mode.
fn make_file(path: &Path) -> Result<(), StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(StoreError::unavailable(error)),
        _ => Ok(()),
    }
}

fn open(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(store_error)
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    for (name, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        // macOS: flush the drive's own cache too.
        ("fullfsync", "ON"),
        ("recursive_triggers", "ON"),
        ("trusted_schema", "OFF"),
        ("foreign_keys", "ON"),
        ("cache_size", "-65536"),
        // What savepoints would undo: else it goes through files in the system's temporary folder.
        ("temp_store", "MEMORY"),
        // The writer copies the WAL itself, when nobody waits for its answer.
        ("wal_autocheckpoint", "0"),
    ] {
        connection.pragma_update(None, name, value).map_err(store_error)?;
    }
    connection.set_prepared_statement_cache_capacity(32);
    // Plans do not depend on the values that are bound: else a statement is compiled again for each of them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(store_error)?;
    // No writes to the schema behind SQLite's back.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map(|_| ()).map_err(store_error)
}

fn create(connection: &Connection) -> Result<(), StoreError> {
    let script = format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    );
    connection.execute_batch(&script).map_err(store_error)
}

/// Brings a file of an earlier format to this one, in one transaction. Where somebody changed it, the check says so.
fn migrate(connection: &Connection, former: i64) -> Result<(), StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(store_error)?;
    migrate_within(connection, former).inspect_err(|_| {
        let _ = connection.execute_batch("ROLLBACK");
    })
}

fn migrate_within(connection: &Connection, former: i64) -> Result<(), StoreError> {
    let parts = fresh()?;
    let newer = SINCE.iter().filter(|(version, _)| *version > former).flat_map(|(_, names)| *names);
    // Tables come before their triggers.
    for name in newer {
        let part = parts.iter().find(|part| part.name == *name);
        connection
            .execute_batch(part.map(|part| part.sql.as_str()).unwrap_or_default())
            .map_err(store_error)?;
    }
    if former < 3 {
        fill::bound_keys(connection)?;
    }
    connection.execute_batch(&format!("PRAGMA user_version = {VERSION}; COMMIT")).map_err(store_error)
}

/// Compares tables and triggers with what they must be: a dropped trigger is how an append-only table
/// stops being one, and an added one writes what nobody here wrote.
fn check(connection: &Connection) -> Result<(), StoreError> {
    let (there, wanted) = (parts_of(connection)?, fresh()?);
    let wrong = there.iter().find(|part| !wanted.contains(part));
    let Some(wrong) = wrong.or_else(|| wanted.iter().find(|part| !there.contains(part))) else {
        return Ok(());
    };
    Err(corrupt(&format!(
        "its tables or triggers are not the ones this program made: {} {}; restore the file from a backup",
        wrong.kind, wrong.name
    )))
}

/// Makes triggers, views and indexes what they must be while the file is in use, within the caller's
/// transaction, and says what was wrong.
///
/// # Errors
/// [`StoreError::Corrupt`] if a table was changed.
pub(super) fn mend(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let (there, wanted) = (parts_of(connection)?, fresh()?);
    let mut said = Vec::new();
    for part in there.iter().filter(|part| !wanted.contains(part)) {
        if part.kind == "table" {
            return Err(corrupt(&format!("table {} was changed or added; restore the file", part.name)));
        }
        let sql = format!("DROP {} \"{}\"", part.kind, part.name.replace('"', "\"\""));
        connection.execute_batch(&sql).map_err(store_error)?;
        said.push(format!(
            "{} {} was changed or added by somebody else; it was removed",
            part.kind, part.name
        ));
    }
    for part in wanted.iter().filter(|part| !there.contains(part)) {
        if part.kind == "table" {
            return Err(corrupt(&format!("table {} is gone; restore the file", part.name)));
        }
        connection.execute_batch(&part.sql).map_err(store_error)?;
        said.push(format!("{} {} was removed by somebody else; it was made again", part.kind, part.name));
    }
    Ok(said)
}

/// A table, trigger, view or index.
#[derive(PartialEq, Eq)]
struct Part {
    kind: String,
    name: String,
    table: String,
    sql: String,
}

fn fresh() -> Result<Vec<Part>, StoreError> {
    let fresh = Connection::open_in_memory().map_err(store_error)?;
    fresh.execute_batch(SCHEMA).map_err(store_error)?;
    parts_of(&fresh)
}

fn parts_of(connection: &Connection) -> Result<Vec<Part>, StoreError> {
    // Indexes that SQLite makes for a constraint have no SQL, and have to be there as well.
    let sql = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY name";
    let mut statement = connection.prepare(sql).map_err(store_error)?;
    let part = |row: &rusqlite::Row<'_>| {
        Ok(Part { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
    };
    let rows = statement.query_map([], part).map_err(store_error)?;
    rows.collect::<Result<_, _>>().map_err(store_error)
}

/// A number that changes when another connection wrote to the file.
pub(super) fn data_version(connection: &Connection) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("PRAGMA data_version").map_err(store_error)?;
    statement.query_row([], |row| row.get(0)).map_err(store_error)
}

fn pragma(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(store_error)
}
