//! Reading and writing rows. Every function here runs inside its caller's transaction.

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::{corrupt, store_error};
use super::{bound, entries};
use crate::error::StoreError;
use crate::id::{IssuerId, Serial};
use crate::log::entry::{Entry, LogId, Payload};
use crate::log::merkle::{Frontier, Hash};
use crate::revoke::{Acceptance, Revocation, RevocationChange};
use crate::store::audit::{Append, Head};
use crate::store::state::Change;
use crate::time::UnixTime;

pub(super) fn head(connection: &Connection, log: &LogId) -> Result<(Head, Option<String>), StoreError> {
    let sql = "SELECT new_size, frontier, time, checkpoint, root FROM batch
        WHERE log_id = (SELECT id FROM log WHERE name = ?1) ORDER BY new_size DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let found = statement
        .query_row([log.to_string()], |row| {
            let (frontier, root): (Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(4)?);
            Ok((unsigned(row, 0)?, frontier, unsigned(row, 2)?, row.get(3)?, root))
        })
        .optional()
        .map_err(store_error)?;
    let Some((size, frontier, time, checkpoint, root)) = found else {
        return Ok((Head::default(), None));
    };
    let roots: Vec<Hash> = frontier.chunks_exact(32).filter_map(|c| c.try_into().ok()).collect();
    let frontier = Frontier::from_parts(size, roots).filter(|f| f.root().as_slice() == root);
    let frontier = frontier.ok_or_else(|| corrupt("the head of a log does not fit its root"))?;
    Ok((Head { frontier, time: UnixTime::from_millis(time) }, Some(checkpoint)))
}

pub(super) fn append(connection: &Connection, append: &Append) -> Result<(), StoreError> {
    if head(connection, &append.log)?.0 != append.expected {
        return Err(StoreError::Conflict);
    }
    let id = log_id(connection, &append.log)?;
    let (first, next) = (append.expected.frontier.size(), &append.next);
    entries::insert(connection, id, signed(first)?, &append.entries)?;
    let sql = "INSERT INTO batch(log_id, prev_size, new_size, root, frontier, time, checkpoint)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let size = signed(next.frontier.size())?;
    let (root, frontier) = (next.frontier.root(), next.frontier.roots().concat());
    let time = signed(next.time.millis())?;
    let mut batch = connection.prepare_cached(sql).map_err(store_error)?;
    batch
        .execute(params![id, signed(first)?, size, root, frontier, time, append.checkpoint])
        .map_err(store_error)?;
    bound::bind(connection, &append.bindings)?;
    set_state(connection, id, size, &append.changes)?;
    if let LogId::Revocations(issuer) = &append.log {
        apply_revocations(connection, issuer, &append.revocations)?;
    }
    Ok(())
}

pub(super) fn read(
    connection: &Connection,
    log: &LogId,
    from: u64,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    // Before the rows, so that an append in between makes nothing missing.
    let size = size(connection, log)?;
    let sql = "SELECT l.idx, l.leaf, p.salt, p.octets FROM leaf l
        LEFT JOIN payload p ON p.log_id = l.log_id AND p.idx = l.idx
        WHERE l.log_id = (SELECT id FROM log WHERE name = ?1) AND l.idx >= ?2 ORDER BY l.idx LIMIT ?3";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let rows = statement
        .query_map(params![log.to_string(), clamp(from), clamp(limit)], |row| {
            let payload = match (row.get::<_, Option<[u8; 32]>>(2)?, row.get(3)?) {
                (Some(salt), Some(octets)) => Some(Payload { salt, octets }),
                _ => None,
            };
            Ok((unsigned(row, 0)?, Entry { leaf: row.get(1)?, payload }))
        })
        .map_err(store_error)?;
    let mut entries = Vec::new();
    // Rows lead: counting on from the largest number there is would be an overflow.
    for (row, expected) in rows.zip(from..) {
        let (index, entry) = row.map_err(store_error)?;
        if index != expected {
            return Err(StoreError::Corrupt(format!("index {expected} of log {log} is missing")));
        }
        entries.push(entry);
    }
    let next = from.saturating_add(u64::try_from(entries.len()).unwrap_or(u64::MAX));
    if entries.len() < limit && next < size {
        return Err(StoreError::Corrupt(format!("index {next} of log {log} is missing")));
    }
    Ok(entries)
}

/// How many leaves a log has, by its newest batch.
pub(super) fn size(connection: &Connection, log: &LogId) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(max(new_size), 0) FROM batch
        WHERE log_id = (SELECT id FROM log WHERE name = ?1)";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    statement.query_row([log.to_string()], |row| unsigned(row, 0)).map_err(store_error)
}

pub(super) fn logs(connection: &Connection) -> Result<Vec<LogId>, StoreError> {
    let sql = "SELECT name FROM log WHERE id IN (SELECT log_id FROM batch) ORDER BY name";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0)).map_err(store_error)?;
    names.map(|name| name.map_err(store_error)?.parse()).collect()
}

pub(super) fn apply_state(
    connection: &Connection,
    log: &LogId,
    size: u64,
    changes: &[Change],
) -> Result<(), StoreError> {
    let id = log_id(connection, log)?;
    let sql = "INSERT INTO state_applied(log_id, size) VALUES (?1, ?2)
        ON CONFLICT(log_id) DO UPDATE SET size = excluded.size WHERE excluded.size > size";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    if statement.execute(params![id, signed(size)?]).map_err(store_error)? == 0 {
        return Ok(());
    }
    put_state(connection, log, changes)
}

/// What follows from an append: the head is known to be the next, whatever the row said that it replaces.
fn set_state(connection: &Connection, id: i64, size: i64, changes: &[Change]) -> Result<(), StoreError> {
    let sql = "INSERT INTO state_applied(log_id, size) VALUES (?1, ?2)
        ON CONFLICT(log_id) DO UPDATE SET size = excluded.size";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    statement.execute(params![id, size]).map_err(store_error)?;
    put_rows(connection, id, changes)
}

pub(super) fn put_state(connection: &Connection, log: &LogId, changes: &[Change]) -> Result<(), StoreError> {
    put_rows(connection, log_id(connection, log)?, changes)
}

pub(super) fn swap(
    connection: &Connection,
    log: &LogId,
    expected: Option<&[u8]>,
    change: &Change,
) -> Result<(), StoreError> {
    match get(connection, log, change.kind.code(), &change.key)?.as_deref() == expected {
        true => put_state(connection, log, core::slice::from_ref(change)),
        false => Err(StoreError::Conflict),
    }
}

fn put_rows(connection: &Connection, id: i64, changes: &[Change]) -> Result<(), StoreError> {
    for run in changes.chunk_by(|one, next| one.value.is_some() == next.value.is_some()) {
        if run.iter().all(|change| change.value.is_some()) {
            entries::put(connection, id, run)?;
            continue;
        }
        let sql = "DELETE FROM state WHERE log_id = ?1 AND kind = ?2 AND key = ?3";
        let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
        for Change { kind, key, .. } in run {
            statement.execute(params![id, kind.code(), key]).map_err(store_error)?;
        }
    }
    Ok(())
}

pub(super) fn state_applied(connection: &Connection, log: &LogId) -> Result<u64, StoreError> {
    let sql = "SELECT size FROM state_applied WHERE log_id = (SELECT id FROM log WHERE name = ?1)";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let found = statement.query_row([log.to_string()], |row| unsigned(row, 0)).optional();
    Ok(found.map_err(store_error)?.unwrap_or_default())
}

pub(super) fn get(
    connection: &Connection,
    log: &LogId,
    kind: u8,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT value FROM state WHERE log_id = (SELECT id FROM log WHERE name = ?1) AND kind = ?2 AND key = ?3";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    statement.query_row(params![log.to_string(), kind, key], |row| row.get(0)).optional().map_err(store_error)
}

pub(super) type Rows = Vec<(Vec<u8>, Vec<u8>)>;

pub(super) fn scan(
    connection: &Connection,
    log: &LogId,
    kind: u8,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Rows, StoreError> {
    let sql = "SELECT key, value FROM state WHERE log_id = (SELECT id FROM log WHERE name = ?1) AND kind = ?2
        AND (?3 IS NULL OR key > ?3) ORDER BY key LIMIT ?4";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let rows = statement
        .query_map(params![log.to_string(), kind, after, clamp(limit)], |r| Ok((r.get(0)?, r.get(1)?)));
    rows.map_err(store_error)?.collect::<Result<_, _>>().map_err(store_error)
}

pub(super) fn apply_revocations(
    connection: &Connection,
    issuer: &IssuerId,
    changes: &[(u64, RevocationChange)],
) -> Result<(), StoreError> {
    let applied = revocations_applied(connection, issuer)?;
    let Some(next) = next_index(changes).filter(|next| *next > applied) else {
        return Ok(());
    };
    for (index, change) in changes.iter().filter(|(index, _)| *index >= applied) {
        apply_revocation(connection, issuer, *index, change)?;
    }
    put_revocations_applied(connection, issuer, next)
}

fn apply_revocation(
    connection: &Connection,
    issuer: &IssuerId,
    index: u64,
    change: &RevocationChange,
) -> Result<(), StoreError> {
    let (_, serial) = change.serial();
    let standing = find(connection, issuer, &serial)?.map(|r| r.cause);
    if !Acceptance::from(standing).yields_to(change) {
        return Ok(());
    }
    connection
        .prepare_cached("DELETE FROM revocation WHERE issuer = ?1 AND serial = ?2")
        .and_then(|mut s| s.execute(params![issuer.as_bytes(), serial.as_bytes()]))
        .map_err(store_error)?;
    if let RevocationChange::Revoked(revocation) = change {
        put_revocation(connection, issuer, index, revocation)?;
    }
    Ok(())
}

/// The index that comes after these changes.
pub(super) fn next_index(changes: &[(u64, RevocationChange)]) -> Option<u64> {
    changes.last().map(|(last, _)| last.saturating_add(1))
}

pub(super) fn revocations_applied(connection: &Connection, issuer: &IssuerId) -> Result<u64, StoreError> {
    let sql = "SELECT size FROM revocation_applied WHERE issuer = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let found = statement.query_row([issuer.as_bytes()], |row| unsigned(row, 0)).optional();
    Ok(found.map_err(store_error)?.unwrap_or_default())
}

pub(super) fn find(
    connection: &Connection,
    issuer: &IssuerId,
    serial: &Serial,
) -> Result<Option<Revocation>, StoreError> {
    let sql = "SELECT record FROM revocation WHERE issuer = ?1 AND serial = ?2";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let found =
        statement.query_row(params![issuer.as_bytes(), serial.as_bytes()], |row| row.get::<_, String>(0));
    found.optional().map_err(store_error)?.map(|record| revocation(&record)).transpose()
}

pub(super) fn after(
    connection: &Connection,
    issuer: &IssuerId,
    cursor: u64,
    limit: usize,
) -> Result<Vec<(u64, Revocation)>, StoreError> {
    let sql = "SELECT idx, record FROM revocation WHERE issuer = ?1 AND idx >= ?2 ORDER BY idx LIMIT ?3";
    let mut statement = connection.prepare_cached(sql).map_err(store_error)?;
    let rows = statement
        .query_map(params![issuer.as_bytes(), clamp(cursor), clamp(limit)], |row| {
            Ok((unsigned(row, 0)?, row.get::<_, String>(1)?))
        })
        .map_err(store_error)?;
    rows.map(|row| row.map_err(store_error).and_then(|(index, record)| Ok((index, revocation(&record)?))))
        .collect()
}

pub(super) fn replace_revocations(
    connection: &Connection,
    issuer: &IssuerId,
    applied: u64,
    standing: &[(u64, Revocation)],
) -> Result<(), StoreError> {
    connection
        .execute("DELETE FROM revocation WHERE issuer = ?1", [issuer.as_bytes()])
        .map_err(store_error)?;
    for (index, revocation) in standing {
        put_revocation(connection, issuer, *index, revocation)?;
    }
    put_revocations_applied(connection, issuer, applied)
}

fn put_revocation(
    connection: &Connection,
    issuer: &IssuerId,
    index: u64,
    revocation: &Revocation,
) -> Result<(), StoreError> {
    let (serial, record) = (revocation.serial, serde_json::to_string(revocation));
    let record = record.map_err(StoreError::unavailable)?;
    connection
        .prepare_cached("INSERT INTO revocation(issuer, idx, serial, record) VALUES (?1, ?2, ?3, ?4)")
        .and_then(|mut s| s.execute(params![issuer.as_bytes(), clamp(index), serial.as_bytes(), record]))
        .map(|_| ())
        .map_err(store_error)
}

fn put_revocations_applied(connection: &Connection, issuer: &IssuerId, size: u64) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO revocation_applied(issuer, size) VALUES (?1, ?2)")
        .and_then(|mut s| s.execute(params![issuer.as_bytes(), clamp(size)]))
        .map(|_| ())
        .map_err(store_error)
}

fn revocation(record: &str) -> Result<Revocation, StoreError> {
    serde_json::from_str(record).map_err(|_| corrupt("a revocation does not decode"))
}

fn log_id(connection: &Connection, log: &LogId) -> Result<i64, StoreError> {
    let name = log.to_string();
    let mut statement =
        connection.prepare_cached("SELECT id FROM log WHERE name = ?1").map_err(store_error)?;
    if let Some(id) = statement.query_row([&name], |row| row.get(0)).optional().map_err(store_error)? {
        return Ok(id);
    }
    let mut statement =
        connection.prepare_cached("INSERT INTO log(name) VALUES (?1)").map_err(store_error)?;
    statement.insert([&name]).map_err(store_error)
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(e)))
}

fn signed(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| corrupt("a number is beyond what can be stored"))
}

// For bounds: nothing lies beyond the largest number that can be stored.
pub(super) fn clamp(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}
